//! The packets for a ruleset, and their bytes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use etherparse::{SlicedPacket, TransportSlice};

use super::plan::LIMIT;
use super::points::{PortPoints, strangers};
use super::*;
use crate::error::Source;
use crate::net::port::{Port, PortSet};
use crate::net::{Addresses, Family};
use crate::probe::packet::{Numbers, StimulusSender, bytes};
use crate::rules::iptables_save::{Listing, Match};
use crate::wire::headers::{Content, Headers};

fn listing(rules: &str) -> Listing {
    let text = format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}\nCOMMIT\n");
    Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() })
}

fn plan(rules: &str) -> SweepPlan {
    SweepPlan::new(&listing(rules), &Addresses::default())
}

#[test]
fn every_range_has_a_port_on_either_side_of_both_ends() {
    let sets = ["22", "1000-2000", "1-5"].map(|text| text.parse::<PortSet>().unwrap());
    let found = PortPoints::of(sets.iter());
    assert_eq!(found.points, BTreeSet::from([1, 5, 6, 21, 22, 23, 999, 1000, 2000, 2001, 65535]));
    assert_eq!(found.unnamed, 2001..=65535);
}

#[test]
fn a_prefix_has_an_address_inside_and_one_behind_it() {
    let rules = listing("-A INPUT -s 10.0.0.0/8 -j DROP\n-A INPUT -s 203.0.113.66 -j DROP\n-A INPUT -s 0/0 -j DROP");
    let prefixes = rules.rules().flat_map(|rule| &rule.clauses).filter_map(|clause| match &clause.ask {
        Match::Source(prefix) => Some(prefix),
        _ => None,
    });
    let taken: [IpAddr; 2] = [[203, 0, 113, 10].into(), [203, 0, 113, 66].into()];
    let expected: [IpAddr; 3] = [[10, 0, 0, 1].into(), [11, 0, 0, 1].into(), [203, 0, 113, 67].into()];
    assert_eq!(strangers(prefixes, &taken), BTreeSet::from(expected));
}

/// Conntrack: S and S|U start a connection, A and A|U may; six kinds are valid, the others are INVALID.
#[test]
fn octets_are_told_apart_by_rules_and_by_conntrack() {
    let octets = |rules| flag_coverage::distinguished(&listing(rules).rules().collect::<Vec<_>>());
    assert_eq!(octets(""), [0, 2, 4, 16, 17, 18, 20]);
    let with_null = octets("-A INPUT -p tcp --tcp-flags ALL NONE -j DROP");
    assert_eq!(with_null, [0, 1, 2, 4, 16, 17, 18, 20]);
}

#[test]
fn a_sweep_that_would_be_too_long_is_thinned_out_or_not_complete() {
    let ports = |count: u16| -> String {
        let rule = |port: u16| format!("-A INPUT -p tcp --dport {} -m state --state NEW -j DROP\n", 10 * port);
        (1..=count).map(rule).collect()
    };
    let small = plan(&ports(10));
    assert_eq!((small.which_octets, small.is_complete), (FlagCoverage::All, true));
    let large = plan(&ports(100));
    assert_eq!((large.which_octets, large.is_complete), (FlagCoverage::Distinguished, true));
    assert!(large.stimuli().len() <= LIMIT, "{}", large.stimuli().len());
    let huge = plan(&ports(2000));
    assert!(!huge.is_complete && huge.stimuli().is_empty());
}

#[test]
fn flows_of_unnamed_ports_do_not_meet() {
    let stimuli = plan("-A INPUT -p tcp --dport 22 -j DROP").stimuli();
    let fresh = stimuli.iter().filter(|one| one.sender == StimulusSender::Prober && one.headers.protocol == 6);
    let flows: Vec<Headers> = fresh.map(|one| one.headers.with_flags(0)).collect();
    assert_eq!(flows.iter().collect::<std::collections::HashSet<_>>().len(), flows.len());
}

/// Compares every header and checksum with etherparse.
#[test]
fn every_packet_is_well_formed() {
    let numbers = Numbers { tag: 0x1234, echo: 0x5678, seq: 1, ack: 2 };
    for headers in one_of_each() {
        let packet = bytes(&headers, numbers, None);
        let sliced = SlicedPacket::from_ip(&packet).unwrap_or_else(|error| panic!("{headers:?}: {error}"));
        match (sliced.transport, headers.source, headers.destination) {
            (Some(TransportSlice::Tcp(tcp)), IpAddr::V4(source), IpAddr::V4(destination)) => {
                let sum = tcp.calc_checksum_ipv4(source.octets(), destination.octets()).unwrap();
                assert_eq!(sum, tcp.checksum());
            }
            (Some(TransportSlice::Tcp(tcp)), IpAddr::V6(source), IpAddr::V6(destination)) => {
                let sum = tcp.calc_checksum_ipv6(source.octets(), destination.octets()).unwrap();
                assert_eq!(sum, tcp.checksum());
            }
            (Some(TransportSlice::Icmpv6(icmp)), IpAddr::V6(source), IpAddr::V6(destination)) => {
                assert!(icmp.is_checksum_valid(source.octets(), destination.octets()));
            }
            (Some(TransportSlice::Udp(udp)), ..) => assert_ne!(udp.checksum(), 0),
            (Some(TransportSlice::Icmpv4(icmp)), ..) => assert_eq!(pnet_packet::util::checksum(icmp.slice(), 1), {
                u16::from_be_bytes([icmp.slice()[2], icmp.slice()[3]])
            }),
            (None, ..) => assert_eq!(headers.content, Content::Other),
            (Some(other), ..) => panic!("{headers:?}: {other:?}"),
        }
    }
}

fn one_of_each() -> Vec<Headers> {
    let addresses = Addresses::default();
    let mut all = Vec::new();
    for (family, icmp) in [(Family::Ipv4, 1), (Family::Ipv6, 58)] {
        let (source, destination) = (addresses.prober(family), addresses.host(family));
        let tcp = Content::Tcp { source: Port(40_000), destination: Port(22), flags: 41 };
        let udp = Content::Udp { source: Port(40_000), destination: Port(53) };
        let (error, echo) = if family == Family::Ipv4 { (3, 8) } else { (1, 128) };
        let message = |kind| Content::Icmp { kind, code: 0 };
        let kinds = [(6, tcp), (17, udp), (icmp, message(error)), (icmp, message(echo)), (253, Content::Other)];
        all.extend(kinds.map(|(protocol, content)| Headers { source, destination, protocol, content }));
    }
    all
}
