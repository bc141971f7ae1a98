//! Every technique and every way to craft its packets, against the real kernel and real nmap: the same frames on the wire,
//! field by field, and the same state and reason for every port.
//!
//! Needs root, nmap and iptables, see `.ci/setup tests`.

use std::collections::BTreeMap;
use std::thread;

use scanlab::error::Source;
use scanlab::lab::{Flavour, HostService, Lab, LabOptions, LabSpec};
use scanlab::net::port::{Port, PortSet};
use scanlab::net::{Addresses, Family, InterfaceName, Protocol};
use scanlab::probe::observation::Observation;
use scanlab::probe::scan::{FilterVerdict, PortState, Reason, Technique};
use scanlab::probe::scan_pass::{PassNumbering, SEED};
use scanlab::probe::{Probe, ProbeOverrides};

use crate::support::hosts::{Hosts, Seen, ends, read_xml};
use crate::{REJECTS_V4, REJECTS_V6};

/// The options of nmap, and the same in types of the library.
#[derive(Debug, Clone)]
struct Case {
    technique: Technique,
    options: Vec<&'static str>,
    craft: ProbeOverrides,
}

fn plain(technique: Technique) -> Case {
    Case { technique, options: Vec::new(), craft: ProbeOverrides::default() }
}

fn crafted(technique: Technique, options: &[&'static str], craft: ProbeOverrides) -> Case {
    Case { options: options.to_vec(), craft, ..plain(technique) }
}

fn with_flags(technique: Technique, number: &'static str, flags: u8) -> Case {
    crafted(technique, &["--scanflags", number], ProbeOverrides { scanflags: Some(flags), ..ProbeOverrides::default() })
}

/// 22 is served, 26 answers datagrams, 23 is closed, 24 is dropped, 25 is logged and closed, from 1001 there is one
/// port for each kind of REJECT.
const PORTS: &str = "22-26,1001-1008";

fn ruleset(family: Family) -> String {
    let kinds = if family == Family::Ipv4 { &REJECTS_V4[..] } else { &REJECTS_V6[..] };
    let mut rules = String::new();
    for protocol in ["tcp", "udp"] {
        rules += &format!("-A INPUT -p {protocol} --dport 24 -j DROP\n");
        rules += &format!("-A INPUT -p {protocol} --dport 25 -j LOG --log-prefix \"{protocol} 25: \"\n");
        for (port, kind) in (1001..).zip(kinds).filter(|(_, kind)| protocol == "tcp" || **kind != "tcp-reset") {
            rules += &format!("-A INPUT -p {protocol} --dport {port} -j REJECT --reject-with {kind}\n");
        }
    }
    filter(&rules)
}

fn filter(rules: &str) -> String {
    format!("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
}

/// The lab's observations of `probes`, with all three witnesses.
fn observe(family: Family, rules: &str, probes: &[Probe]) -> Vec<Observation> {
    let equipment = LabOptions::usual(Flavour::Auto, "").expect("iptables");
    let (addresses, interface) = (Addresses::default(), InterfaceName::default());
    let service = |protocol, port, greeting| HostService { protocol, port: Port(port), greeting };
    let services =
        [service(Protocol::Tcp, 22, None), service(Protocol::Udp, 22, None), service(Protocol::Udp, 26, Some("hello"))];
    let source = Source { name: "<test>".into(), text: rules.into() };
    let rulesets = [(family, &source)];
    let spec = LabSpec { services: &services, ..LabSpec::new(&equipment, &interface, &addresses, &rulesets) };
    let observed = Lab::run(&spec, |lab| lab.send(probes));
    observed.unwrap_or_else(|error| panic!("{error}"))
}

fn probes(case: &Case, family: Family, ports: &str) -> Vec<Probe> {
    let ports: PortSet = ports.parse().expect("ports");
    let phase = PassNumbering::new(SEED).phase(case.technique, family, Addresses::default());
    phase.crafted(case.craft).probes(&ports).collect()
}

fn state(observation: &Observation) -> (String, String) {
    (observation.verdict.state.to_string(), observation.verdict.reason.to_string())
}

/// Checks that both send the same frames, and have the same results.
fn assert_parity(cases: &[Case]) {
    for family in Family::BOTH {
        for some in cases.chunks(6) {
            thread::scope(|scope| {
                let scans: Vec<_> = some.iter().map(|case| scope.spawn(move || nmap(case, family))).collect();
                for (case, scan) in some.iter().zip(scans) {
                    let (expected, on_the_wire) = scan.join().expect("nmap's scan");
                    let probes = probes(case, family, PORTS);
                    let observed = observe(family, &ruleset(family), &probes);
                    let observed: Seen =
                        probes.iter().zip(&observed).map(|(probe, seen)| (probe.flow.port.0, state(seen))).collect();
                    assert_eq!(table(&expected), table(&observed), "nmap on the left: {case:?} {family}");
                    if !case.technique.is_full_connect() {
                        assert_same_frames(case, &on_the_wire, &probes);
                    }
                }
            });
        }
    }
}

fn nmap(case: &Case, family: Family) -> (Seen, Vec<Vec<u8>>) {
    let (v4, v6) = (ruleset(Family::Ipv4), ruleset(Family::Ipv6));
    let hosts = Hosts::start(["iptables-restore", "ip6tables-restore"], [&v4, &v6], &[22]);
    hosts.serve_udp(22, None);
    hosts.serve_udp(26, Some("hello"));
    let (xml, frames) = hosts.nmap_on_the_wire(case.technique.profile().nmap, &case.options, family, PORTS);
    (read_xml(&xml), frames)
}

fn table(seen: &Seen) -> Vec<String> {
    seen.iter().map(|(port, (state, reason))| format!("{port} {state} {reason}")).collect()
}

/// Compares the first frame to every port, with random fields replaced by their kinds: nmap's on the left.
fn assert_same_frames(case: &Case, on_the_wire: &[Vec<u8>], probes: &[Probe]) {
    let ours = looks(case, probes.iter().map(|probe| probe.frame(&ends())));
    let is_nmaps = |frame: &&Vec<u8>| !is_of_the_kernel(case, frame);
    assert_eq!(looks(case, on_the_wire.iter().filter(is_nmaps).cloned()), ours, "{case:?}");
}

/// True for packets of the scanner's kernel, which resets connections and refuses datagrams that it does not know.
fn is_of_the_kernel(case: &Case, frame: &[u8]) -> bool {
    let (protocol, is_kernels_reset) = match frame[12..14] {
        [8, 0] => (frame[23], frame[20] & 0x40 != 0),
        _ => (frame[20], frame[20] == 6 && frame[54 + 13] == 4 && frame[21] == 64),
    };
    let own: &[u8] = match case.technique.protocol() {
        Protocol::Tcp => &[6],
        Protocol::Udp => &[17],
        Protocol::Icmp => &[1, 58],
    };
    is_kernels_reset || !own.contains(&protocol)
}

/// The frames by source address, destination port and index: all bytes of the IP packet, except random ones.
fn looks(case: &Case, frames: impl Iterator<Item = Vec<u8>>) -> BTreeMap<(Vec<u8>, u16), Look> {
    let mut looks = BTreeMap::new();
    for frame in frames {
        let look = Look::of(case, &frame);
        looks.entry((look.source.clone(), look.port)).or_insert(look);
    }
    looks
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    source: Vec<u8>,
    port: u16,
    /// The IP header and the transport header with 0 in place of random fields.
    fixed: Vec<u8>,
    /// True for each random field that is there: IP ID, source port or identifier, sequence and acknowledgment number.
    drawn: [bool; 4],
    /// True if the TTL is in the range of nmap's random ones.
    ttl_is_drawn: bool,
    /// The one's complement sum over transport and pseudo header; all ones if the checksum is right.
    sum: u16,
}

impl Look {
    fn of(case: &Case, frame: &[u8]) -> Look {
        let is_v4 = frame[12..14] == [8, 0];
        let (header, addresses, protocol) = if is_v4 { (20, 12..20, frame[23]) } else { (40, 8..40, frame[20]) };
        let (mut ip, mut content) = (frame[14..14 + header].to_vec(), frame[14 + header..].to_vec());
        let source = ip[addresses.start..(addresses.start + addresses.end) / 2].to_vec();
        let sum = sum(&ip[addresses], protocol, &content);
        let zero = |bytes: &mut [u8]| {
            let there = bytes.iter().any(|byte| *byte != 0);
            bytes.fill(0);
            there
        };
        let mut drawn = [false; 4];
        let mut ttl_is_drawn = false;
        if is_v4 {
            drawn[0] = zero(&mut ip[4..6]);
            zero(&mut ip[10..12]);
            if case.craft.ttl.is_none() {
                ttl_is_drawn = (37..=59).contains(&ip[8]);
                ip[8] = 0;
            }
        }
        let port = if matches!(protocol, 6 | 17) { u16::from_be_bytes([content[2], content[3]]) } else { 0 };
        match protocol {
            6 => {
                if case.craft.source_port.is_none() {
                    drawn[1] = zero(&mut content[..2]);
                }
                drawn[2] = zero(&mut content[4..8]);
                drawn[3] = zero(&mut content[8..12]);
                zero(&mut content[16..18]);
            }
            17 => {
                if case.craft.source_port.is_none() {
                    drawn[1] = zero(&mut content[..2]);
                }
                zero(&mut content[6..8]);
            }
            _ => {
                zero(&mut content[2..4]);
                drawn[1] = zero(&mut content[4..6]);
            }
        }
        Look { source, port, fixed: [ip, content].concat(), drawn, ttl_is_drawn, sum }
    }
}

fn sum(addresses: &[u8], protocol: u8, content: &[u8]) -> u16 {
    let length = (content.len() as u16).to_be_bytes();
    let pseudo = if protocol == 1 { Vec::new() } else { [addresses, &[0, protocol], &length].concat() };
    let words = |bytes: &[u8]| bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum::<u32>();
    let mut sum = words(&pseudo) + words(content);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[test]
fn the_new_techniques_see_what_nmap_sees() {
    assert_parity(&[
        plain(Technique::Maimon),
        plain(Technique::Window),
        plain(Technique::Udp),
        plain(Technique::Connect),
    ]);
}

#[test]
fn crafted_packets_are_nmaps_and_see_the_same() {
    let from_53 = ProbeOverrides { source_port: Some(Port(53)), ttl: Some(9), ..ProbeOverrides::default() };
    let [bad, fixed] = [["--badsum"].as_slice(), &["-g", "53", "--ttl", "9"]];
    let badsum = ProbeOverrides { badsum: true, ..ProbeOverrides::default() };
    assert_parity(&[
        with_flags(Technique::Syn, "0xc2", 0xc2),
        with_flags(Technique::Syn, "0xd2", 0xd2),
        with_flags(Technique::Ack, "0x02", 0x02),
        with_flags(Technique::Xmas, "0xff", 0xff),
        with_flags(Technique::Window, "0x51", 0x51),
        crafted(Technique::Syn, bad, badsum),
        crafted(Technique::Udp, bad, badsum),
        crafted(Technique::Fin, fixed, from_53),
        crafted(Technique::Udp, fixed, from_53),
    ]);
}

/// nmap tests if the host is up: *unfiltered* here.
#[test]
fn an_echo_request_finds_the_host_up_where_nmap_does() {
    let case = plain(Technique::Echo);
    for (family, kinds) in [(Family::Ipv4, &REJECTS_V4[..7]), (Family::Ipv6, &REJECTS_V6[..6])] {
        let (protocol, is_request) =
            if family == Family::Ipv4 { ("icmp", "--icmp-type 8") } else { ("ipv6-icmp", "--icmpv6-type 128") };
        let rejects = kinds.iter().map(|kind| format!("REJECT --reject-with {kind}"));
        let targets = ["ACCEPT", "DROP", "LOG"].map(str::to_owned).into_iter().chain(rejects);
        for target in targets {
            let rules = filter(&format!("-A INPUT -p {protocol} {is_request} -j {target}\n"));
            let empty = filter("");
            let rulesets = if family == Family::Ipv4 { [&*rules, &empty] } else { [&*empty, &rules] };
            let hosts = Hosts::start(["iptables-restore", "ip6tables-restore"], rulesets, &[]);
            let (xml, frames) = hosts.nmap_on_the_wire("-PE", &[], family, PORTS);
            let up = xml.split_once("<status state=\"up\" reason=\"").map(|(_, rest)| rest.split('"').next().unwrap());

            let probes = probes(&case, family, PORTS);
            let [observed] = observe(family, &rules, &probes).try_into().expect("one");
            let is_up = (observed.verdict.state == PortState::Unfiltered).then(|| observed.verdict.reason.as_str());
            assert_eq!(up, is_up.as_deref(), "nmap on the left: {family} {target}");
            assert_same_frames(&case, &frames, &probes);
            assert_eq!(observed.log.len(), usize::from(target == "LOG"), "{family} {target}");
        }
    }
}

/// The SYN is accepted and the third segment is rejected: nmap gets the error, and reports it.
#[test]
fn a_connect_that_is_rejected_behind_the_syn_ack_is_what_nmap_says() {
    let case = plain(Technique::Connect);
    for (family, kinds) in [(Family::Ipv4, &REJECTS_V4[..]), (Family::Ipv6, &REJECTS_V6[..])] {
        thread::scope(|scope| {
            let scan = |kind: &'static str| scope.spawn(move || rejected_behind_the_syn_ack(family, kind));
            let scans: Vec<_> = kinds.iter().map(|kind| (*kind, scan(kind))).collect();
            for (kind, expected) in scans {
                let probes = probes(&case, family, "22");
                let [observed] = observe(family, &third_segment(kind), &probes).try_into().expect("one");
                assert_eq!(expected.join().expect("nmap")[&22], state(&observed), "nmap on the left: {family} {kind}");
            }
        });
    }
}

fn third_segment(kind: &str) -> String {
    filter(&format!("-A INPUT -p tcp --dport 22 --tcp-flags SYN,ACK ACK -j REJECT --reject-with {kind}\n"))
}

fn rejected_behind_the_syn_ack(family: Family, kind: &str) -> Seen {
    let (rules, empty) = (third_segment(kind), filter(""));
    let rulesets = if family == Family::Ipv4 { [&*rules, &empty] } else { [&*empty, &rules] };
    let hosts = Hosts::start(["iptables-restore", "ip6tables-restore"], rulesets, &[22]);
    read_xml(&hosts.nmap("-sT", family, "22"))
}

/// Every octet is sent, answered as in RFC 9293, logged, traced, and attributed to its own probe. One batch holds 64 of
/// them.
#[test]
fn every_octet_of_flags_is_its_own_probe() {
    let rules = filter("-A INPUT -p tcp --dport 9 -j LOG --log-prefix \"octet: \"\n");
    for family in Family::BOTH {
        let mut numbering = PassNumbering::new(SEED);
        let probe = |flags| {
            let craft = ProbeOverrides { scanflags: Some(flags), ..ProbeOverrides::default() };
            numbering.phase(Technique::Syn, family, Addresses::default()).crafted(craft).probe(Port(9), 0)
        };
        let probes: Vec<Probe> = (0..=u8::MAX).map(probe).collect();
        for (flags, seen) in (0..=u8::MAX).zip(observe(family, &rules, &probes)) {
            let is_reset = flags & 4 != 0;
            let expected = if is_reset { Reason::NoResponse } else { Reason::Reset };
            assert_eq!(seen.verdict.reason, expected, "{family} {flags:#04x}");
            assert_eq!(seen.filter, Some(FilterVerdict::Accept), "{family} {flags:#04x}");
            let [line] = &seen.log[..] else { panic!("{family} {flags:#04x}: {:?}", seen.log) };
            for (bit, name) in [(0x80, " CWR "), (0x40, " ECE "), (0x01, " FIN ")] {
                assert_eq!(line.line.contains(name), flags & bit != 0, "{family} {flags:#04x}: {}", line.line);
            }
        }
    }
}

/// With one source port for all, conntrack would treat the second technique as a part of the first connection; its
/// table is flushed. Each technique alone, in a lab of its own, is the reference.
#[test]
fn techniques_that_share_a_source_port_do_not_see_each_other() {
    let rules = filter(
        "-A INPUT -p tcp -m conntrack --ctstate ESTABLISHED -j LOG --log-prefix \"established: \"\n\
         -A INPUT -p tcp -m conntrack --ctstate INVALID -j DROP\n",
    );
    let craft = ProbeOverrides { source_port: Some(Port(53)), ..ProbeOverrides::default() };
    let mut numbering = PassNumbering::new(SEED);
    let techniques = [Technique::Syn, Technique::Ack, Technique::Maimon, Technique::Window, Technique::Fin];
    let of = |technique: Technique| {
        numbering
            .phase(technique, Family::Ipv4, Addresses::default())
            .crafted(craft)
            .probes(&"22-23".parse().unwrap())
            .collect()
    };
    let each: Vec<Vec<Probe>> = techniques.into_iter().map(of).collect();
    let alone = each.iter().flat_map(|probes| observe(Family::Ipv4, &rules, probes));
    let alone: Vec<_> = alone.map(|seen| (state(&seen), seen.log.len())).collect();
    let together = observe(Family::Ipv4, &rules, &each.concat());
    let together: Vec<_> = together.iter().map(|seen| (state(seen), seen.log.len())).collect();
    assert_eq!(alone, together);
}

/// A spoofed source gets answers, and is watched, like the prober; one that is not on the link is refused.
#[test]
fn a_source_can_be_spoofed_within_the_network() {
    let rules = filter("-A INPUT -s 203.0.113.99/32 -p tcp --dport 23 -j LOG --log-prefix \"spoofed: \"\n");
    let source = |text: &str| ProbeOverrides { source: Some(text.parse().unwrap()), ..ProbeOverrides::default() };
    let case = crafted(Technique::Syn, &[], source("203.0.113.99"));
    let seen = observe(Family::Ipv4, &rules, &probes(&case, Family::Ipv4, "22-23"));
    let seen: Vec<_> = seen.iter().map(|seen| (seen.verdict.reason, seen.log.len())).collect();
    assert_eq!(seen, [(Reason::SynAck, 0), (Reason::Reset, 1)]);

    let far = crafted(Technique::Syn, &[], source("198.51.100.1"));
    let refused = std::panic::catch_unwind(|| observe(Family::Ipv4, &rules, &probes(&far, Family::Ipv4, "22")));
    let why = *refused.expect_err("an error").downcast::<String>().expect("a message");
    assert!(why.contains("198.51.100.1 is not a neighbour of 203.0.113.10"), "{why}");
}
