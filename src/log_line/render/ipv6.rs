//! `dump_ipv6_packet`

use std::net::Ipv6Addr;

use super::bytes::{Bytes, be16, be32};
use super::transport::{self, Whole};
use super::{QuoteDepth, RenderOptions, Rendered, append};
use crate::log_line::{FragmentHeader, Icmp, IcmpDetail, Ipv6, LogFlags, LoggedProtocol, Transport};
use crate::net::Family;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ESP: u8 = 50;
const AH: u8 = 51;
const DESTINATION: u8 = 60;

/// Adds an IPv6 packet to the line.
pub(super) fn render(line: &mut String, packet: Bytes, shown: RenderOptions, depth: QuoteDepth) -> Rendered {
    const HEADER: usize = 40;
    let Some(header) = packet.first::<HEADER>() else {
        append(line, "TRUNCATED");
        return Rendered::InPart;
    };
    append(line, read(header));
    let listed = shown.flags.has(LogFlags::IP_OPTIONS);
    match (HeaderWalk { next: header[6], rest: packet.skip(HEADER), whole: Whole::Beginning }).render(line, listed) {
        Some(end) => carried(line, end, shown, depth),
        None => Rendered::InPart,
    }
}

fn read(header: &[u8; 40]) -> Ipv6 {
    let first = be32(header, 0);
    Ipv6 {
        source: address(header, 8),
        destination: address(header, 24),
        length: u32::from(be16(header, 4)) + 40,
        traffic_class: (first >> 20) as u8,
        hop_limit: header[7],
        flow_label: first & 0x000f_ffff,
        extensions: Vec::new(),
        transport: None,
    }
}

fn address(header: &[u8; 40], at: usize) -> Ipv6Addr {
    let octets: [u8; 16] = header[at..at + 16].try_into().expect("16 bytes");
    octets.into()
}

/// The position during the walk through the extension headers.
#[derive(Clone, Copy)]
struct HeaderWalk<'a> {
    /// The next header.
    next: u8,
    /// The bytes from that header on.
    rest: Bytes<'a>,
    whole: Whole,
}

impl HeaderWalk<'_> {
    /// Adds every extension header to the line, `listed` ones in `OPT ( .. )`. Returns the position after them, or
    /// `None` if the line ends with them.
    fn render(mut self, line: &mut String, listed: bool) -> Option<Self> {
        while matches!(self.next, HOP_BY_HOP | ROUTING | FRAGMENT | ESP | AH | DESTINATION) {
            let Some([next, length]) = self.rest.first::<2>().copied() else {
                append(line, "TRUNCATED");
                return None;
            };
            if listed {
                append(line, "OPT ( ");
            }
            let length = match self.next {
                FRAGMENT => self.fragment(line)?,
                AH => self.security(line, listed).then_some((usize::from(length) + 2) * 4)?,
                ESP => {
                    self.security(line, listed);
                    return None;
                }
                _ => self.unnamed(line, listed).then_some((usize::from(length) + 1) * 8)?,
            };
            if listed {
                append(line, ") ");
            }
            (self.next, self.rest) = (next, self.rest.skip(length));
        }
        Some(self)
    }

    fn fragment(&mut self, line: &mut String) -> Option<usize> {
        let Some(header) = self.rest.first::<8>() else {
            append(line, "FRAG:TRUNCATED ");
            return None;
        };
        let field = be16(header, 2);
        let (offset, more) = (field & 0xfff8, field & 1 != 0);
        append(line, FragmentHeader { offset, more, id: be32(header, 4) });
        if offset != 0 {
            self.whole = Whole::LaterFragment;
        }
        Some(8)
    }

    /// Adds AH and ESP, which are printed only if they are listed. Returns false if the line ends here.
    fn security(&self, line: &mut String, listed: bool) -> bool {
        if !listed {
            return true;
        }
        append(line, if self.next == AH { "AH " } else { "ESP " });
        if self.whole == Whole::LaterFragment {
            append(line, ")");
            return false;
        }
        let spi = match self.next {
            AH => self.rest.first::<12>().map(|header| be32(header, 4)),
            _ => self.rest.first::<8>().map(|header| be32(header, 0)),
        };
        match spi {
            None => append(line, format_args!("INCOMPLETE [{} bytes] )", self.rest.left())),
            Some(spi) => append(line, format_args!("SPI=0x{spi:x} ")),
        }
        // An ESP header is the last, and its parenthesis has no space before it.
        if self.next == ESP && spi.is_some() {
            append(line, ")");
        }
        spi.is_some()
    }

    fn unnamed(&self, line: &mut String, listed: bool) -> bool {
        let ends = self.whole == Whole::LaterFragment;
        if ends && listed {
            append(line, ")");
        }
        !ends
    }
}

fn carried(line: &mut String, end: HeaderWalk, shown: RenderOptions, depth: QuoteDepth) -> Rendered {
    const ICMPV6: u8 = 58;
    match end.next {
        6 => transport::render_tcp(line, end.rest, end.whole, shown),
        17 => transport::render_udp(line, end.rest, end.whole, LoggedProtocol::Udp),
        136 => transport::render_udp(line, end.rest, end.whole, LoggedProtocol::UdpLite),
        ICMPV6 => render_icmp(line, end.rest, end.whole, shown, depth),
        number => {
            append(line, Transport::Named(LoggedProtocol::Number(number)));
            Rendered::ToTheEnd
        }
    }
}

fn render_icmp(line: &mut String, rest: Bytes, whole: Whole, shown: RenderOptions, depth: QuoteDepth) -> Rendered {
    const HEADER: usize = 8;
    if whole == Whole::LaterFragment {
        append(line, Transport::Named(LoggedProtocol::Icmpv6));
        return Rendered::ToTheEnd;
    }
    let Some(header) = rest.first::<HEADER>() else {
        append(line, Transport::Incomplete { protocol: LoggedProtocol::Icmpv6, bytes: rest.left() });
        return Rendered::InPart;
    };
    let (kind, code) = (header[0], header[1]);
    let detail = match kind {
        128 | 129 => IcmpDetail::Echo { id: be16(header, 4), seq: be16(header, 6) },
        4 => IcmpDetail::Pointer(be32(header, 4)),
        _ => IcmpDetail::None,
    };
    append(line, Transport::Icmp(Icmp { family: Family::Ipv6, kind, code, detail, quoted: None, mtu: None }));
    if matches!(kind, 1..=4) && depth == QuoteDepth::Logged {
        append(line, "[");
        render(line, rest.skip(HEADER), shown, QuoteDepth::Quoted);
        append(line, "] ");
    }
    if kind == 2 {
        append(line, format_args!("MTU={} ", be32(header, 4)));
    }
    Rendered::ToTheEnd
}
