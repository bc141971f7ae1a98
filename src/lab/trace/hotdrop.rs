//! Matches that drop a packet by themselves (`hotdrop` of `struct xt_action_param`, linux/netfilter/x_tables.h).
//! x_tables does not trace that: only the rules that may have dropped the packet are known.

use crate::net::Family;
use crate::wire::headers::{Content, TracedHeaders};
use crate::wire::ip_header::{IpHeader, split};

/// The packets that a match may drop by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotDrop {
    /// None.
    Never,
    /// Those whose header of the protocol is cut short: the protocol, and the length of its header (net/netfilter/xt_tcpudp.c).
    Short(u8, usize),
    /// Unknown: any.
    Any,
}

/// The conditions of a rule, as far as they show if it may drop a packet by a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// The protocol that it names.
    pub protocol: Option<u8>,
    /// Its matches.
    pub matches: Vec<HotDrop>,
}

impl HotDrop {
    /// The packets that a match with this name and data may drop.
    pub fn of(name: &str, data: &[u8]) -> HotDrop {
        // These have no `hotdrop` in net/netfilter and net/ipv4/netfilter.
        const NEVER: [&str; 22] = [
            "addrtype",
            "comment",
            "connmark",
            "conntrack",
            "cpu",
            "devgroup",
            "dscp",
            "hl",
            "iprange",
            "length",
            "limit",
            "mac",
            "mark",
            "owner",
            "pkttype",
            "quota",
            "state",
            "statistic",
            "string",
            "time",
            "tos",
            "ttl",
        ];
        // The field `option` of struct xt_tcp (linux/netfilter/xt_tcpudp.h).
        let has_option = data.get(8) != Some(&0);
        match name {
            "tcp" if !has_option => HotDrop::Short(6, 20),
            "udp" => HotDrop::Short(17, 8),
            name if NEVER.contains(&name) => HotDrop::Never,
            _ => HotDrop::Any,
        }
    }

    fn concerns(self, packet: &[u8], seen: &TracedHeaders) -> bool {
        match self {
            HotDrop::Never => false,
            HotDrop::Short(protocol, length) => !has_whole_header(packet, seen, protocol, length),
            HotDrop::Any => true,
        }
    }
}

impl Conditions {
    /// True if a match of the rule may have dropped `packet`, whose headers are `seen`. A rule for IPv6 that names a
    /// protocol drops packets whose chain of headers is broken (`ip6_packet_match`).
    pub fn may_drop(&self, family: Family, packet: &[u8], seen: &TracedHeaders) -> bool {
        let is_clear = family == Family::Ipv4 || seen.headers.content != Content::Other;
        if !is_clear && self.protocol.is_some() {
            return true;
        }
        let is_for_other = self.protocol.is_some_and(|protocol| protocol != seen.headers.protocol);
        !(is_clear && is_for_other) && self.matches.iter().any(|one| one.concerns(packet, seen))
    }
}

/// True if the transport header of `protocol` follows the network header, and is at least `length` bytes long.
fn has_whole_header(packet: &[u8], seen: &TracedHeaders, protocol: u8, length: usize) -> bool {
    let follows = packet.first().is_some_and(|byte| byte >> 4 == 4) || packet.get(6) == Some(&protocol);
    seen.headers.protocol == protocol && follows && !is_fragment(packet) && split(packet).1.len() >= length
}

/// True for a fragment: conntrack keeps it until the last one comes.
pub fn is_fragment(packet: &[u8]) -> bool {
    IpHeader::read(packet).is_some_and(|header| header.is_fragment())
}

#[cfg(test)]
mod tests {
    use super::{Conditions, HotDrop};
    use crate::net::Family;
    use crate::wire::headers::TracedHeaders;

    /// An IPv4 packet with `length` bytes of TCP, and these bits and offset of fragments.
    fn may_drop(conditions: &Conditions, length: usize, fragment: [u8; 2]) -> bool {
        let mut packet = vec![0; 20 + length];
        packet[0] = 0x45;
        packet[6..8].copy_from_slice(&fragment);
        packet[9] = 6;
        let seen = TracedHeaders::from_packet(&packet).expect("headers");
        conditions.may_drop(Family::Ipv4, &packet, &seen)
    }

    #[test]
    fn a_match_of_tcp_drops_only_short_headers_and_fragments() {
        let rule = |one: HotDrop| Conditions { protocol: Some(6), matches: vec![one] };
        let (ports, option) = ([0; 12], [0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0]);
        let ports = rule(HotDrop::of("tcp", &ports));
        let found = [(20, [0, 0]), (19, [0, 0]), (20, [0, 1])].map(|(length, bits)| may_drop(&ports, length, bits));
        assert_eq!(found, [false, true, true]);
        assert!(may_drop(&rule(HotDrop::of("tcp", &option)), 20, [0, 0]));
        assert!(!may_drop(&rule(HotDrop::of("comment", &[])), 12, [0, 0]));
        let of_udp = Conditions { protocol: Some(17), matches: vec![HotDrop::Any] };
        assert!(!may_drop(&of_udp, 20, [0, 0]));
    }
}
