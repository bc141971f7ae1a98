//! Every packet has one text, and every stimulus of a sweep has one.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::error::Source;
use crate::intent::scenario::Scenario;
use crate::rules::generate;
use crate::rules::iptables_save::Listing;
use crate::rules::sweep::SweepPlan;
use crate::sensor::{Deny, Sensor};

fn parse(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error: PacketError| panic!("{text}: {error} ({})", error.hint()))
}

fn v4(text: &str) -> Stimulus {
    parse(text).stimulus(Family::Ipv4, &Addresses::default(), 0)
}

#[test]
fn every_form_reads_and_prints_alike() {
    let texts = [
        "tcp SYN to 80",
        "tcp FIN,PSH to 22",
        "tcp NONE to 1",
        "tcp ALL to 443",
        "tcp ACK from 20 to 22",
        "tcp FIN,PSH to 22 established",
        "tcp ACK to 40000 answer",
        "tcp ACK to 40000 established by host",
        "tcp ACK to 22 over lo established",
        "tcp ACK to 443 from host established",
        "udp to 53 from host to 192.0.2.1 established",
        "udp from 53 to 40000 established by host",
        "tcp SYN to 22 over lo",
        "tcp SYN to 22 from host over lo",
        "tcp SYN to 443 from host",
        "tcp SYN to 443 from host to 10.0.0.1",
        "tcp ACK from 22 to 40000 from host answer",
        "udp to 53",
        "udp from 53 to 40000 from 10.0.0.1 answer",
        "udp to 5353 from 2001:db8::1",
        "icmp 8/0",
        "icmp 3/3 answer",
        "icmpv6 135/0",
        "protocol 47",
        "protocol 1",
    ];
    for text in texts {
        assert_eq!(parse(text).to_string(), text);
    }
}

#[test]
fn a_text_is_the_packet_that_it_says() {
    let addresses = Addresses::default();
    let (host, prober) = (addresses.host(Family::Ipv4), addresses.prober(Family::Ipv4));
    let (source, destination) = (Port(40_001), Port(22));
    let headers = Headers {
        source: prober,
        destination: host,
        protocol: 6,
        content: Content::Tcp { source, destination, flags: 9 },
    };
    let expected = Stimulus { sender: StimulusSender::Prober, lead: Lead::Forward, headers };
    assert_eq!(v4("tcp FIN,PSH to 22 established"), expected);
    let from_host = v4("udp from 53 to 5353 from host to 10.0.0.1").headers;
    assert_eq!((from_host.source, from_host.destination), (host, "10.0.0.1".parse().unwrap()));
    assert_eq!(from_host.content, Content::Udp { source: Port(53), destination: Port(5353) });
    assert!(v4("tcp SYN to 22 over lo").headers.source.is_loopback());
    assert!(v4("tcp SYN to 22 from host over lo").is_loopback());
}

#[test]
fn an_address_or_icmp_fixes_the_family() {
    let family = |text| parse(text).family();
    assert_eq!(family("tcp SYN to 80"), None);
    assert_eq!(family("protocol 47"), None);
    assert_eq!(family("tcp SYN to 80 from 10.0.0.1"), Some(Family::Ipv4));
    assert_eq!(family("icmp 8/0"), Some(Family::Ipv4));
    assert_eq!(family("protocol 1"), Some(Family::Ipv6));
    assert_eq!(family("protocol 50"), Some(Family::Ipv4));
    assert_eq!(family("udp to 53 from host to 2001:db8::1"), Some(Family::Ipv6));
}

#[test]
fn errors_say_what_is_wrong_and_what_to_write() {
    let texts = [
        "",
        "syn to 80",
        "tcp",
        "tcp SYN",
        "tcp to 80",
        "tcp SYNC to 80",
        "tcp SYN to 0",
        "tcp SYN to http",
        "tcp SYN from 0 to 80",
        "icmp 8",
        "icmp 8/256",
        "protocol 6",
        "protocol GRE",
        "tcp SYN to 80 from nowhere",
        "tcp SYN to 80 from 127.0.0.1",
        "tcp SYN to 80 from host to fe80::1",
        "icmpv6 128/0 from 10.0.0.1",
        "udp to 53 established",
        "protocol 47 established",
        "tcp ACK to 80 over lo established by host",
        "icmp 8/0 answer",
        "tcp ACK to 80 over lo answer",
        "tcp ACK to 80 from host established by host",
        "tcp SYN to 80 over eth0",
        "tcp SYN to 80 established from host",
        "tcp SYN,FIN to 80",
        "tcp FIN,SYN,RST,PSH,ACK,URG to 80",
        " TCP  syn to 080",
    ];
    let results = texts.map(|text| match text.parse::<Packet>() {
        Ok(packet) => format!("{text:?} is {packet:?}\n"),
        Err(error) => format!("{text:?}: {error}\n    {}\n", error.hint()),
    });
    insta::assert_snapshot!(results.concat());
}

/// Rulesets with addresses and ports in every kind of rule.
fn rulesets() -> Vec<Source> {
    let scenario = Scenario::load("scenarios/sensor-hardened.toml".as_ref()).unwrap();
    let sensor = scenario.sensor.unwrap();
    let both = [Deny::Tcp, Deny::All].map(|deny| generate::generate(&Sensor { deny, ..sensor.clone() }).v4);
    let odd = "*filter\n:INPUT DROP\n:OUTPUT DROP\n-A INPUT -s 10.0.0.0/8 -p tcp --sport 20 --dport 1024: -j ACCEPT\n\
               -A INPUT -s fe80::/10 -p udp --sport 53 -j ACCEPT\n-A INPUT -p 50 -j ACCEPT\n-A INPUT -p 1 -j LOG\n\
               -A INPUT -p icmp --icmp-type 5 -j DROP\n-A INPUT -m state --state NEW -j ACCEPT\n\
               -A OUTPUT -d 192.0.2.1 -j ACCEPT\nCOMMIT\n";
    let source = |text: String| Source { name: "rules".into(), text: text.into() };
    both.into_iter().chain([odd.to_owned()]).map(source).collect()
}

#[test]
fn every_stimulus_of_a_sweep_has_a_text() {
    let addresses = Addresses::default();
    for (ruleset, family) in rulesets().iter().flat_map(|ruleset| Family::BOTH.map(|family| (ruleset, family))) {
        let plan = SweepPlan::new(&Listing::parse(family, ruleset), &addresses);
        let stimuli = plan.stimuli();
        assert!(stimuli.len() > 100);
        for stimulus in stimuli.into_iter().chain(within_connections(&addresses, family)) {
            let exact =
                Packet::from_stimulus(&stimulus, &addresses).unwrap_or_else(|error| panic!("{stimulus:?}: {error}"));
            let read = parse(&exact.to_string());
            assert_eq!(read.stimulus(family, &addresses, 0), stimulus, "{exact}");
            assert!(exact.family().is_none_or(|of| of == family), "{exact}");
            assert_but_for_source(&stimulus, plan.packet(&stimulus, &addresses).unwrap(), family);
        }
    }
}

/// Made as in `Plan::in_connections`.
fn within_connections(addresses: &Addresses, family: Family) -> Vec<Stimulus> {
    let texts = ["tcp ACK from 50000 to 22 established", "tcp RST from 22 to 50000 from host answer"];
    texts.iter().map(|text| parse(text).stimulus(family, addresses, 0)).collect()
}

fn assert_but_for_source(stimulus: &Stimulus, short: Packet, family: Family) {
    let again = parse(&short.to_string()).stimulus(family, &Addresses::default(), 7);
    let without_source =
        |stimulus: &Stimulus| Packet::from_stimulus(stimulus, &Addresses::default()).unwrap().with_any_source();
    assert_eq!(without_source(&again), without_source(stimulus));
}

fn packets() -> impl Strategy<Value = Packet> {
    let port = || (1_u16..).prop_map(Port);
    let ports = || (proptest::option::of(port()), port());
    let family = || proptest::sample::select(&Family::BOTH[..]);
    let what = prop_oneof![
        (0_u8..64, ports()).prop_map(|(flags, (source, destination))| What::Tcp { flags, source, destination }),
        ports().prop_map(|(source, destination)| What::Udp { source, destination }),
        (family(), any::<u8>(), any::<u8>()).prop_map(|(family, kind, code)| What::Icmp { family, kind, code }),
        any::<u8>().prop_map(What::Protocol),
    ];
    let fixed = proptest::sample::select(&[Way::ToHost, Way::FromHost, Way::OverLoopback, Way::HostToItself][..]);
    let address = || prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::V4), any::<Ipv6Addr>().prop_map(IpAddr::V6)];
    let way = prop_oneof![fixed, address().prop_map(Way::From), address().prop_map(Way::FromHostTo)];
    let lead = proptest::sample::select(&[Lead::None, Lead::Forward, Lead::Backward, Lead::Handshake][..]);
    (what, way, lead).prop_filter_map("no such packet", |(what, way, lead)| Packet::new(what, way, lead).ok())
}

proptest! {
    #[test]
    fn a_printed_packet_parses_to_the_same_packet(packet in packets()) {
        prop_assert_eq!(packet.to_string().parse(), Ok(packet));
    }

    #[test]
    fn the_stimulus_of_a_packet_is_named_as_the_packet(packet in packets(), family in proptest::sample::select(&Family::BOTH[..])) {
        let family = packet.family().unwrap_or(family);
        let called = Packet::from_stimulus(&packet.stimulus(family, &Addresses::default(), 3), &Addresses::default());
        prop_assert_eq!(called.map(Packet::with_any_source), Ok(packet.with_any_source()));
    }

    #[test]
    fn any_text_that_parses_as_a_packet_prints_unchanged(text in "[ a-zA-Z0-9,/.:]{0,40}|(tcp|udp|icmp|protocol) .{0,30}") {
        if let Ok(packet) = text.parse::<Packet>() {
            prop_assert_eq!(packet.to_string(), text);
        }
    }
}
