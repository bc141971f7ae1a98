//! Protocols, by name and by number.

use crate::net::Family;

/// The names of /etc/protocols that rules use; iptables-save prints the names that iptables has built in
/// (`xtables_chain_protos` in libxtables/xtables.c).
const NAMES: &[(&str, u8)] = &[
    ("all", 0),
    ("ip", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("eigrp", 88),
    ("ospf", 89),
    ("ipip", 94),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("ipv6-mh", 135),
    ("mobility-header", 135),
    ("mh", 135),
    ("udplite", 136),
];

/// Reads `-p`'s argument; letter case does not matter (`xtables_parse_protocol`).
pub(super) fn parse(text: &str) -> Option<u8> {
    let named = || NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    super::number::parse(text).and_then(|number| u8::try_from(number).ok()).or_else(named)
}

/// The match that iptables loads automatically for the options of a protocol (`find_proto` in iptables/xshared.c).
pub(super) fn implied_match(protocol: u8, family: Family) -> Option<&'static str> {
    Some(match (protocol, family) {
        (1, Family::Ipv4) => "icmp",
        (6, _) => "tcp",
        (17, _) => "udp",
        (33, _) => "dccp",
        (50, _) => "esp",
        (51, _) => "ah",
        (58, Family::Ipv6) => "icmp6",
        (132, _) => "sctp",
        (136, _) => "udplite",
        _ => return None,
    })
}
