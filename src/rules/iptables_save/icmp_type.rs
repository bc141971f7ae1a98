//! Types of ICMP, by name and by number. Names and numbers as iptables 1.8.9 saves them (extensions/libxt_icmp.h).

use crate::net::Family;

/// A type, with a code if there is one; `None` is `any`.
pub(super) type IcmpType = Option<(u8, Option<u8>)>;

/// Parses `8`, `3/4`, `echo-request` and the abbreviation of a name, in any letter case; `None` for other texts, and
/// for an ambiguous abbreviation.
pub(super) fn parse(text: &str, family: Family) -> Option<IcmpType> {
    numeric(text, family).or_else(|| named(text, family))
}

/// iptables 1.8.9 saves `--icmp-type 255` as `any`; `--icmpv6-type 255` is type 255.
fn numeric(text: &str, family: Family) -> Option<IcmpType> {
    let (kind, code) = text.split_once('/').map_or((text, None), |(kind, code)| (kind, Some(code)));
    let kind = byte(kind)?;
    let code = code.map_or(Some(None), |code| byte(code).map(Some))?;
    Some((family == Family::Ipv6 || kind != u8::MAX).then_some((kind, code)))
}

fn byte(text: &str) -> Option<u8> {
    super::number::parse(text)?.try_into().ok()
}

fn named(text: &str, family: Family) -> Option<IcmpType> {
    let begins = |name: &str| name.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text));
    let mut begun = names(family).iter().filter(|(name, _)| begins(name));
    match (begun.next(), begun.next()) {
        (Some((_, kind)), None) => Some(*kind),
        _ => None,
    }
}

/// All names of a family.
pub(super) fn names(family: Family) -> &'static [(&'static str, IcmpType)] {
    family.pick(NAMES_V4, NAMES_V6)
}

const fn kind(kind: u8) -> IcmpType {
    Some((kind, None))
}

const fn code(kind: u8, code: u8) -> IcmpType {
    Some((kind, Some(code)))
}

const NAMES_V4: &[(&str, IcmpType)] = &[
    ("any", None),
    ("echo-reply", kind(0)),
    ("pong", kind(0)),
    ("destination-unreachable", kind(3)),
    ("network-unreachable", code(3, 0)),
    ("host-unreachable", code(3, 1)),
    ("protocol-unreachable", code(3, 2)),
    ("port-unreachable", code(3, 3)),
    ("fragmentation-needed", code(3, 4)),
    ("source-route-failed", code(3, 5)),
    ("network-unknown", code(3, 6)),
    ("host-unknown", code(3, 7)),
    ("network-prohibited", code(3, 9)),
    ("host-prohibited", code(3, 10)),
    ("TOS-network-unreachable", code(3, 11)),
    ("TOS-host-unreachable", code(3, 12)),
    ("communication-prohibited", code(3, 13)),
    ("host-precedence-violation", code(3, 14)),
    ("precedence-cutoff", code(3, 15)),
    ("source-quench", kind(4)),
    ("redirect", kind(5)),
    ("network-redirect", code(5, 0)),
    ("host-redirect", code(5, 1)),
    ("TOS-network-redirect", code(5, 2)),
    ("TOS-host-redirect", code(5, 3)),
    ("echo-request", kind(8)),
    ("ping", kind(8)),
    ("router-advertisement", kind(9)),
    ("router-solicitation", kind(10)),
    ("time-exceeded", kind(11)),
    ("ttl-exceeded", kind(11)),
    ("ttl-zero-during-transit", code(11, 0)),
    ("ttl-zero-during-reassembly", code(11, 1)),
    ("parameter-problem", kind(12)),
    ("ip-header-bad", code(12, 0)),
    ("required-option-missing", code(12, 1)),
    ("timestamp-request", kind(13)),
    ("timestamp-reply", kind(14)),
    ("address-mask-request", kind(17)),
    ("address-mask-reply", kind(18)),
];

const NAMES_V6: &[(&str, IcmpType)] = &[
    ("destination-unreachable", kind(1)),
    ("no-route", code(1, 0)),
    ("communication-prohibited", code(1, 1)),
    ("beyond-scope", code(1, 2)),
    ("address-unreachable", code(1, 3)),
    ("port-unreachable", code(1, 4)),
    ("failed-policy", code(1, 5)),
    ("reject-route", code(1, 6)),
    ("packet-too-big", kind(2)),
    ("time-exceeded", kind(3)),
    ("ttl-exceeded", kind(3)),
    ("ttl-zero-during-transit", code(3, 0)),
    ("ttl-zero-during-reassembly", code(3, 1)),
    ("parameter-problem", kind(4)),
    ("bad-header", code(4, 0)),
    ("unknown-header-type", code(4, 1)),
    ("unknown-option", code(4, 2)),
    ("echo-request", kind(128)),
    ("ping", kind(128)),
    ("echo-reply", kind(129)),
    ("pong", kind(129)),
    ("router-solicitation", kind(133)),
    ("router-advertisement", kind(134)),
    ("neighbour-solicitation", kind(135)),
    ("neighbor-solicitation", kind(135)),
    ("neighbour-advertisement", kind(136)),
    ("neighbor-advertisement", kind(136)),
    ("redirect", kind(137)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_a_number_a_name_or_the_beginning_of_one() {
        let v4 = |text| parse(text, Family::Ipv4);
        assert_eq!(["8", "0x8", "ping", "Echo-Req"].map(v4), [Some(kind(8)); 4]);
        assert_eq!(["3/4", "fragmentation-needed"].map(v4), [Some(code(3, 4)); 2]);
        assert_eq!(["any", "255", "255/255"].map(v4), [Some(None); 3]);
        assert_eq!(["echo", "", "8/", "256", "é", "3/é"].map(v4), [None; 6]);
    }

    #[test]
    fn ipv6_has_types_of_its_own() {
        let v6 = |text| parse(text, Family::Ipv6);
        assert_eq!(["neighbour-solicitation", "neighbor-sol", "135"].map(v6), [Some(kind(135)); 3]);
        assert_eq!(v6("255"), Some(kind(255)));
        assert_eq!(v6("any"), None, "ip6tables 1.8.9: Unknown ICMPv6 type `any'");
    }
}
