//! The line that LOG would print for a packet, rebuilt from the data that NFLOG delivers: `nf_log_ip_packet` and
//! `nf_log_ip6_packet` of net/netfilter/nf_log_syslog.c (Linux 6.18). Pure.
//!
//! Packets are hostile: they may be cut short anywhere, and their lengths may be wrong. The kernel prints a line all
//! the same, and so does this code, in the same words.
//!
//! Not rendered: the ports of a bridge (`PHYSIN=`), the outer addresses of a SIT tunnel, and VLAN tags. A lab has none
//! of them.

mod bytes;
mod ipv4;
mod ipv6;
mod transport;

use std::fmt::Write;

use self::bytes::Bytes;
use super::{LinkHeader, LogFlags, MacHeader, Owner};
use crate::net::Family;

/// A packet that a rule has logged.
#[derive(Debug, Clone, Copy)]
pub struct LoggedPacket<'a> {
    /// The prefix of the rule.
    pub prefix: &'a [u8],
    /// The interface that it arrived on; `None` for a packet of the host itself.
    pub in_interface: Option<&'a str>,
    /// The interface that it leaves by; `None` in PREROUTING and INPUT.
    pub out_interface: Option<&'a str>,
    /// The link-layer header as it precedes the packet.
    pub link_header: &'a [u8],
    /// Type of the link layer (`ARPHRD_*`, linux/if_arp.h).
    pub link_type: Option<u16>,
    /// The owner of its socket, if it has one.
    pub owner: Option<Owner>,
    /// Its mark.
    pub mark: u32,
    /// The family of the rule.
    pub family: Family,
    /// The packet, from the network header on.
    pub packet: &'a [u8],
}

/// The kernel's interpretation of the lowest of the four reserved bits of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccurateEcn {
    /// A flag, `AE`: Linux 6.15 and later.
    Flag,
    /// A reserved bit like the others.
    Reserved,
}

/// The size of the kernel's buffer for a line (`S_SIZE` of net/netfilter/nf_log.c), without the NUL and the level at
/// its start.
const LONGEST: usize = 1024 - 5 - 1 - 2;

/// The extent to which a packet was rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rendered {
    /// To its end: owner and mark follow.
    ToTheEnd,
    /// Up to the point where it is cut short; the line ends there.
    InPart,
}

/// The position of the packet that is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuoteDepth {
    /// The packet that was logged.
    Logged,
    /// The packet that an ICMP error quotes: its own quoted packet is not rendered.
    Quoted,
}

/// The fields that the rule requests and the kernel prints.
#[derive(Debug, Clone, Copy)]
struct RenderOptions {
    flags: LogFlags,
    accurate_ecn: AccurateEcn,
}

impl LoggedPacket<'_> {
    /// The line, to the byte, trailing space included. Bytes that are not UTF-8 are U+FFFD, as in
    /// [`super::kmsg::KmsgRecord::text`].
    pub fn line(&self, flags: LogFlags, accurate_ecn: AccurateEcn) -> String {
        let mut line = [self.prefix, self.body(RenderOptions { flags, accurate_ecn }).as_bytes()].concat();
        line.truncate(LONGEST);
        String::from_utf8_lossy(&line).into_owned()
    }

    fn body(&self, shown: RenderOptions) -> String {
        let name = |interface: Option<&str>| interface.unwrap_or_default().to_owned();
        let mut line = format!("IN={} OUT={} ", name(self.in_interface), name(self.out_interface));
        if self.in_interface.is_some() {
            self.render_link(&mut line, shown.flags);
        }
        let packet = Bytes::new(self.packet);
        let rendered = match self.family {
            Family::Ipv4 => ipv4::render(&mut line, packet, shown, QuoteDepth::Logged),
            Family::Ipv6 => ipv6::render(&mut line, packet, shown, QuoteDepth::Logged),
        };
        if rendered == Rendered::ToTheEnd {
            self.render_interfaces_and_mark(&mut line, shown.flags);
        }
        line
    }

    fn render_link(&self, line: &mut String, flags: LogFlags) {
        const ETHERNET: u16 = 1;
        let bytes = self.real_link_header();
        if !flags.has(LogFlags::MACDECODE) || self.link_type != Some(ETHERNET) {
            append(line, LinkHeader::Plain { bytes: bytes.to_vec(), tunnel: None });
        } else if let Some(mac) = MacHeader::from_bytes(bytes) {
            append(line, LinkHeader::Decoded { mac, vlan: None });
        }
    }

    /// The link-layer header. A packet that the host receives from itself (multicast, broadcast: `dev_loopback_xmit`)
    /// has one of length 0. LOG prints none then; NFLOG delivers as many bytes as usual, which are the first ones of
    /// the packet.
    fn real_link_header(&self) -> &[u8] {
        if self.packet.starts_with(self.link_header) { &[] } else { self.link_header }
    }

    fn render_interfaces_and_mark(&self, line: &mut String, flags: LogFlags) {
        if let Some(owner) = self.owner.filter(|_| flags.has(LogFlags::UID)) {
            append(line, format_args!("UID={} GID={} ", owner.uid, owner.gid));
        }
        if self.mark != 0 {
            append(line, format_args!("MARK=0x{:x} ", self.mark));
        }
    }
}

/// Adds to the line.
fn append(line: &mut String, what: impl std::fmt::Display) {
    write!(line, "{what}").expect("a String takes everything");
}

#[cfg(test)]
mod tests;
