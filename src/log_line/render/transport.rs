//! `nf_log_dump_tcp_header` and `nf_log_dump_udp_header`

use super::bytes::{Bytes, be16, be32};
use super::{AccurateEcn, RenderOptions, Rendered, append};
use crate::log_line::{LogFlags, LoggedProtocol, Sequence, TcpHeader, Transport, UdpHeader};
use crate::net::port::Port;

/// The presence of the transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// The packet should contain it.
    Beginning,
    /// It is in the first fragment.
    LaterFragment,
}

/// Adds a TCP header to the line.
pub(super) fn render_tcp(line: &mut String, rest: Bytes, whole: Whole, shown: RenderOptions) -> Rendered {
    const HEADER: usize = 20;
    let header = match (whole, rest.first::<HEADER>()) {
        (Whole::LaterFragment, _) => return later_fragment(line, LoggedProtocol::Tcp),
        (_, None) => return incomplete(line, LoggedProtocol::Tcp, rest),
        (_, Some(header)) => header,
    };
    let length = usize::from(header[12] >> 4) * 4;
    let wanted = shown.flags.has(LogFlags::TCP_OPTIONS) && length > HEADER;
    let options = rest.skip(HEADER).up_to(length.saturating_sub(HEADER)).filter(|_| wanted);
    append(line, Transport::Tcp(TcpHeader { options: options.map(<[u8]>::to_vec), ..read_tcp(header, shown) }));
    if wanted && options.is_none() {
        append(line, "OPT (TRUNCATED)");
        return Rendered::InPart;
    }
    Rendered::ToTheEnd
}

fn read_tcp(header: &[u8; 20], shown: RenderOptions) -> TcpHeader {
    let sequence = Sequence { seq: be32(header, 4), ack: be32(header, 8) };
    let (reserved, ae) = match shown.accurate_ecn {
        AccurateEcn::Flag => (header[12] & 0x0e, u16::from(header[12] & 1)),
        AccurateEcn::Reserved => (header[12] & 0x0f, 0),
    };
    TcpHeader {
        source: Port(be16(header, 0)),
        destination: Port(be16(header, 2)),
        sequence: shown.flags.has(LogFlags::TCP_SEQUENCE).then_some(sequence),
        window: be16(header, 14),
        reserved: reserved << 2,
        flags: ae << 8 | u16::from(header[13]),
        urgent_pointer: be16(header, 18),
        options: None,
    }
}

/// Adds a header of UDP or UDP-Lite to the line.
pub(super) fn render_udp(line: &mut String, rest: Bytes, whole: Whole, protocol: LoggedProtocol) -> Rendered {
    match (whole, rest.first::<8>()) {
        (Whole::LaterFragment, _) => later_fragment(line, protocol),
        (_, None) => incomplete(line, protocol, rest),
        (_, Some(header)) => {
            let port = |at| Port(be16(header, at));
            let lite = protocol == LoggedProtocol::UdpLite;
            let (source, destination, length) = (port(0), port(2), be16(header, 4));
            append(line, Transport::Udp(UdpHeader { lite, source, destination, length }));
            Rendered::ToTheEnd
        }
    }
}

fn later_fragment(line: &mut String, protocol: LoggedProtocol) -> Rendered {
    append(line, Transport::Named(protocol));
    Rendered::ToTheEnd
}

fn incomplete(line: &mut String, protocol: LoggedProtocol, rest: Bytes) -> Rendered {
    append(line, Transport::Incomplete { protocol, bytes: rest.left() });
    Rendered::InPart
}
