//! The line that LOG would print for a packet: `nf_log_ip_packet` and `nf_log_ip6_packet` of net/netfilter/nf_log_syslog.c
//! (Linux 6.18), told again from what NFLOG delivers of it. Pure.
//!
//! Packets are hostile: they may be cut short anywhere, and their lengths may lie. The kernel prints a line all the same,
//! and so does this, in the same words.
//!
//! Not told: the ports of a bridge (`PHYSIN=`), the outer addresses of a SIT tunnel and VLAN tags, none of which there is
//! in a lab.

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
    /// What the rule puts in front.
    pub prefix: &'a [u8],
    /// Where it came in; `None` for a packet of the host itself.
    pub in_interface: Option<&'a str>,
    /// Where it leaves; `None` in PREROUTING and INPUT.
    pub out_interface: Option<&'a str>,
    /// The link-layer header as it lay in front of the packet.
    pub link_header: &'a [u8],
    /// Type of the link layer (`ARPHRD_*`, linux/if_arp.h).
    pub link_type: Option<u16>,
    /// Who owns the socket that it belongs to, if anybody does.
    pub owner: Option<Owner>,
    /// Its mark.
    pub mark: u32,
    /// The family of the rule.
    pub family: Family,
    /// The packet, from the network header on.
    pub packet: &'a [u8],
}

/// What the kernel makes of the lowest of the four reserved bits of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccurateEcn {
    /// A flag, `AE`: Linux 6.15 and later.
    Flag,
    /// Just another reserved bit.
    Reserved,
}

/// The kernel's own buffer for a line (`S_SIZE` of net/netfilter/nf_log.c), less the NUL, and the level in front.
const LONGEST: usize = 1024 - 5 - 1 - 2;

/// How far a packet was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rendered {
    /// To its end: owner and mark follow.
    ToTheEnd,
    /// Up to where it is cut short; nothing follows.
    InPart,
}

/// Which packet is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuoteDepth {
    /// The one that was logged.
    Logged,
    /// The one that an ICMP error quotes: what that quotes in turn is not told.
    Quoted,
}

/// What the rule and the kernel ask for.
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

    fn body(&self, asked: RenderOptions) -> String {
        let name = |interface: Option<&str>| interface.unwrap_or_default().to_owned();
        let mut line = format!("IN={} OUT={} ", name(self.in_interface), name(self.out_interface));
        if self.in_interface.is_some() {
            self.render_link(&mut line, asked.flags);
        }
        let packet = Bytes::new(self.packet);
        let told = match self.family {
            Family::Ipv4 => ipv4::render(&mut line, packet, asked, QuoteDepth::Logged),
            Family::Ipv6 => ipv6::render(&mut line, packet, asked, QuoteDepth::Logged),
        };
        if told == Rendered::ToTheEnd {
            self.render_interfaces_and_mark(&mut line, asked.flags);
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

    /// A packet that the host hears back of itself (multicast, broadcast: `dev_loopback_xmit`) has a link-layer header of
    /// no length. LOG prints none then; NFLOG delivers as many bytes as usual, which are the packet's own first ones.
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
