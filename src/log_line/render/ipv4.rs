//! `dump_ipv4_packet`

use super::bytes::{Bytes, be16, be32};
use super::transport::{self, Whole};
use super::{QuoteDepth, RenderOptions, Rendered, append};
use crate::log_line::{Icmp, IcmpDetail, Ipv4, LogFlags, LoggedProtocol, Transport};
use crate::net::Family;

/// Adds an IPv4 packet to the line.
pub(super) fn render(line: &mut String, packet: Bytes, shown: RenderOptions, depth: QuoteDepth) -> Rendered {
    const HEADER: usize = 20;
    let Some(header) = packet.first::<HEADER>() else {
        append(line, "TRUNCATED");
        return Rendered::InPart;
    };
    let length = usize::from(header[0] & 0x0f) * 4;
    let wanted = shown.flags.has(LogFlags::IP_OPTIONS) && length > HEADER;
    let options = packet.skip(HEADER).up_to(length.saturating_sub(HEADER)).filter(|_| wanted);
    let ipv4 = read(header, options.map(<[u8]>::to_vec));
    append(line, &ipv4);
    if wanted && options.is_none() {
        append(line, "TRUNCATED");
        return Rendered::InPart;
    }
    let whole = if ipv4.fragment_offset == 0 { Whole::Beginning } else { Whole::LaterFragment };
    carried(line, header[9], packet.skip(length), whole, shown, depth)
}

fn read(header: &[u8; 20], options: Option<Vec<u8>>) -> Ipv4 {
    let fragment = be16(header, 6);
    Ipv4 {
        source: be32(header, 12).into(),
        destination: be32(header, 16).into(),
        length: be16(header, 2).into(),
        tos: header[1],
        ttl: header[8],
        id: be16(header, 4),
        reserved_bit: fragment & 0x8000 != 0,
        dont_fragment: fragment & 0x4000 != 0,
        more_fragments: fragment & 0x2000 != 0,
        fragment_offset: fragment & 0x1fff,
        options,
        transport: None,
    }
}

fn carried(
    line: &mut String,
    protocol: u8,
    rest: Bytes,
    whole: Whole,
    shown: RenderOptions,
    depth: QuoteDepth,
) -> Rendered {
    match (protocol, whole) {
        (6, _) => return transport::render_tcp(line, rest, whole, shown),
        (17, _) => return transport::render_udp(line, rest, whole, LoggedProtocol::Udp),
        (136, _) => return transport::render_udp(line, rest, whole, LoggedProtocol::UdpLite),
        (1, _) => render_icmp(line, rest, whole, shown, depth),
        // The kernel checks for a fragment before it prints the name.
        (51, Whole::LaterFragment) => {}
        (51, Whole::Beginning) => tell_spi::<12>(line, rest, LoggedProtocol::Ah, 4),
        (50, Whole::LaterFragment) => append(line, Transport::Named(LoggedProtocol::Esp)),
        (50, Whole::Beginning) => tell_spi::<8>(line, rest, LoggedProtocol::Esp, 0),
        _ => append(line, Transport::Named(LoggedProtocol::Number(protocol))),
    }
    Rendered::ToTheEnd
}

/// Reads the SPI at byte `at` of a header of `N` bytes (struct ip_auth_hdr, struct ip_esp_hdr).
fn tell_spi<const N: usize>(line: &mut String, rest: Bytes, protocol: LoggedProtocol, at: usize) {
    let transport = match (rest.first::<N>().map(|header| be32(header, at)), protocol) {
        (None, _) => Transport::Incomplete { protocol, bytes: rest.left() },
        (Some(spi), LoggedProtocol::Ah) => Transport::Ah { spi },
        (Some(spi), _) => Transport::Esp { spi },
    };
    append(line, transport);
}

fn render_icmp(line: &mut String, rest: Bytes, whole: Whole, shown: RenderOptions, depth: QuoteDepth) {
    const HEADER: usize = 8;
    let header = match (whole, rest.first::<HEADER>()) {
        (Whole::LaterFragment, _) => return append(line, Transport::Named(LoggedProtocol::Icmp)),
        (_, None) => {
            let (protocol, bytes) = (LoggedProtocol::Icmp, rest.left());
            return append(line, Transport::Incomplete { protocol, bytes });
        }
        (_, Some(header)) => header,
    };
    let (kind, code) = (header[0], header[1]);
    let is_short = rest.left() < required(kind);
    let detail = if is_short { IcmpDetail::Incomplete { bytes: rest.left() } } else { detail(header) };
    append(line, Transport::Icmp(Icmp { family: Family::Ipv4, kind, code, detail, quoted: None, mtu: None }));
    if is_short {
        return;
    }
    if matches!(kind, 3 | 4 | 5 | 11) && depth == QuoteDepth::Logged {
        append(line, "[");
        render(line, rest.skip(HEADER), shown, QuoteDepth::Quoted);
        append(line, "] ");
    }
    if (kind, code) == (3, 4) {
        append(line, format_args!("MTU={} ", be16(header, 6)));
    }
}

/// The minimum length in bytes of a message of this type (`required_len`).
fn required(kind: u8) -> u32 {
    match kind {
        0 | 8 => 4,
        3 | 4 | 5 | 11 | 12 => 8 + 20,
        13 | 14 => 20,
        17 | 18 => 12,
        _ => 0,
    }
}

fn detail(header: &[u8; 8]) -> IcmpDetail {
    match header[0] {
        0 | 8 => IcmpDetail::Echo { id: be16(header, 4), seq: be16(header, 6) },
        12 => IcmpDetail::Parameter(header[4]),
        5 => IcmpDetail::Gateway(be32(header, 4).into()),
        _ => IcmpDetail::None,
    }
}
