//! A TUN gives the same verdicts, lines and paths as a TAP, and no ruleset can hold its fence back. Needs root.

use std::process::Command;

use crate::support::binary::{Ended, ended, run, run_files, share_the_machine};
use scanlab::error::Source;
use scanlab::lab::{Flavour, HOST_MAC, HostService, Lab, LabOptions, LabSpec, LinkMode, WatchedEvents};
use scanlab::log_line::LogLine;
use scanlab::net::port::Port;
use scanlab::net::{Addresses, Family, InterfaceName};
use scanlab::probe::Probe;
use scanlab::probe::observation::Observation;
use scanlab::probe::scan::{PortState, Technique};
use scanlab::probe::scan_pass::{PassNumbering, SEED};
use scanlab::report::to_json;
use scanlab::verdict::findings::{FindingsSubject, measure};
use serde_json::Value;

const NOT_APPLICABLE: &str = "vendor and neighbour checks: not applicable on a TUN link, which has no MAC addresses";

fn equipment(link: LinkMode, flavour: Flavour) -> LabOptions {
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    let found = LabOptions::usual(flavour, &std::env::var("PATH").unwrap_or_default()).expect("iptables");
    LabOptions { link, ..found }
}

fn source(text: &str) -> Source {
    Source { name: "rules".into(), text: text.into() }
}

/// A report without the parts that must differ: the kind of link, MAC addresses, and the checks of these.
fn without_macs(ended: &Ended) -> Value {
    let mut report = ended.report();
    report["environment"]["link"] = Value::Null;
    let entries = report.as_object_mut().expect("a report");
    entries.remove("not_applicable");
    entries.remove("summary");
    forget_host(&mut report["host"]);
    for probe in report["probes"].as_array_mut().expect("probes") {
        for lines in ["log", "followup"] {
            probe[lines].as_array_mut().expect("lines").iter_mut().for_each(forget_mac);
        }
    }
    for scenario in report["scenarios"].as_array_mut().expect("scenarios") {
        forget_host(&mut scenario["host"]);
        let needs_macs = |check: &Value| ["arp", "ndp", "vendor"].contains(&check["scan"].as_str().expect("a subject"));
        let checks = scenario["checks"].as_array_mut().expect("checks");
        checks.retain(|check| !needs_macs(check));
        scenario["outcome"] = worst(checks).into();
    }
    report
}

fn forget_host(host: &mut Value) {
    (host["mac"], host["vendor"]) = (Value::Null, Value::Null);
}

fn forget_mac(record: &mut Value) {
    let line = record["line"].as_str().expect("a line");
    let words = line.split(' ').map(|word| if word.starts_with("MAC=") { "MAC=" } else { word });
    record["line"] = words.collect::<Vec<_>>().join(" ").into();
}

fn worst(checks: &[Value]) -> &'static str {
    let has = |outcome: &&str| checks.iter().any(|check| check["outcome"] == **outcome);
    ["mismatched", "not-run", "known", "matched"].into_iter().find(has).unwrap_or("not-run")
}

/// Checks that do not apply to a TUN are missing, and the rest is the same to the last byte: states, reasons, lines,
/// paths, coverage.
fn assert_same(arguments: &[&str]) {
    let [tap, tun] = ["tap", "tun"].map(|link| run(&[arguments, &["--link", link]].concat()));
    assert_eq!((tap.status, tun.status), (Some(0), Some(0)), "{} {}", tap.stderr, tun.stderr);
    let (of_tap, of_tun) = (without_macs(&tap), without_macs(&tun));
    for key in ["environment", "host", "scenarios"] {
        assert_eq!(of_tap[key], of_tun[key], "{key}");
    }
    let probes = |report: &Value| report["probes"].as_array().expect("probes").clone();
    let pairs: Vec<_> = probes(&of_tap).into_iter().zip(probes(&of_tun)).collect();
    assert!(pairs.len() > 100, "{} probes", pairs.len());
    for (tap, tun) in pairs {
        assert_eq!(tap, tun);
    }
    assert!(of_tap == of_tun, "something else differs");
}

#[test]
fn every_scenario_says_the_same_over_a_tun() {
    let _machine = share_the_machine();
    assert_same(&["scenarios"]);
}

#[test]
fn every_scenario_says_the_same_over_a_tun_to_legacy() {
    let _machine = share_the_machine();
    assert_same(&["scenarios", "--iptables", "legacy"]);
}

#[test]
fn the_report_says_which_checks_are_not_applicable() {
    let _machine = share_the_machine();
    let [tap, tun] = ["tap", "tun"].map(|link| run(&["scenarios/mac/before.toml", "--link", link]));
    let report = tun.report();
    assert_eq!(report["not_applicable"], NOT_APPLICABLE);
    assert_eq!((&report["host"]["mac"], &report["host"]["vendor"]), (&Value::Null, &Value::Null));
    assert_eq!((&report["summary"]["not_run"], &report["summary"]["known"]), (&0.into(), &0.into()));
    let subjects = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
    assert!(subjects.clone().count() > 100);
    assert!(subjects.clone().all(|check| !["arp", "ndp", "vendor"].contains(&check["scan"].as_str().unwrap())));
    assert!(tap.report().get("not_applicable").is_none());
    let mut table = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    table.args(["run", "scenarios/mac/before.toml", "--link", "tun"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let table = ended(table.env("COLUMNS", "120").output().expect("the program starts"));
    let note = format!("note  {NOT_APPLICABLE}");
    assert_eq!(table.stdout.lines().filter(|line| **line == note).count(), 1, "{}", table.stdout);
}

/// A row for a known mismatch of ARP, NDP or vendor is no error if there is nothing to check; one for no check at all
/// still is, and a scenario without other checks fails.
#[test]
fn rows_about_neighbours_are_passed_over() {
    let _machine = share_the_machine();
    let known = |scan: &str| {
        let of_mac = "title = \"t\"\n[ruleset]\nv4 = \"r.v4\"\n[host]\nvendor = \"VMware\"\n";
        let row = "[[expect]]\nscan = \"syn\"\nports = 80\nstate = \"closed\"\nfamily = \"ipv4\"\n";
        format!("{of_mac}{row}[[known]]\nscan = \"{scan}\"\nbecause = \"it is so\"\n")
    };
    let run = |text: &str| run_files(&[("s.toml", text), ("r.v4", "*filter\nCOMMIT\n")], &["--link", "tun"]);
    for scan in ["arp", "ndp", "vendor"] {
        let ended = run(&known(scan));
        assert_eq!(ended.status, Some(0), "{scan}: {} {}", ended.stderr, ended.stdout);
    }
    assert_eq!(run(&known("xmas\"\nports = 9\nfamily = \"ipv4")).status, Some(2));
    let nothing = "title = \"t\"\n[ruleset]\nv4 = \"r.v4\"\n[host]\nvendor = \"VMware\"\n";
    let ended = run(nothing);
    assert_ne!(ended.status, Some(0), "{} {}", ended.stderr, ended.stdout);
}

/// The observations of these probes in a lab over a TUN.
fn observe(equipment: &LabOptions, rules: &Source, watch: WatchedEvents, probes: &[Probe]) -> Vec<Observation> {
    let interface = InterfaceName::default();
    let addresses = Addresses::default();
    let rulesets = Family::BOTH.map(|family| (family, rules));
    let spec = LabSpec {
        services: &[HostService { protocol: scanlab::net::Protocol::Tcp, port: Port(22), greeting: None }],
        watch,
        ..LabSpec::new(equipment, &interface, &addresses, &rulesets)
    };
    Lab::run(&spec, |lab| lab.send(probes)).unwrap_or_else(|error| panic!("{error}\n{}", rules.text))
}

fn probes(technique: Technique) -> [Probe; 2] {
    Family::BOTH
        .map(|family| PassNumbering::new(SEED).phase(technique, family, Addresses::default()).probe(Port(22), 0))
}

/// Rules of both families, and the result of a SYN to port 22 with them.
const HOSTILE: [(&str, PortState); 12] = [
    ("*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j DROP\nCOMMIT\n", PortState::Filtered),
    ("*raw\n:PREROUTING DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n", PortState::Filtered),
    ("*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DROP\nCOMMIT\n", PortState::Filtered),
    (
        "*raw\n:PREROUTING DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n\
         *mangle\n:PREROUTING DROP [0:0]\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n\
         :POSTROUTING DROP [0:0]\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n",
        PortState::Filtered,
    ),
    ("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n", PortState::Filtered),
    ("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j CT --notrack\nCOMMIT\n", PortState::Open),
    (
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID,UNTRACKED -j DROP\nCOMMIT\n",
        PortState::Open,
    ),
    ("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p 253 -j DROP\nCOMMIT\n", PortState::Open),
    // The fence's own group, and others, before and after it.
    (
        "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -j NFLOG --nflog-group 65100\n\
         -A PREROUTING -j NFLOG --nflog-group 0\n-A PREROUTING -j NFLOG --nflog-group 65100 --nflog-threshold 50\n\
         -A OUTPUT -j NFLOG --nflog-group 65100 --nflog-prefix scanlab\nCOMMIT\n",
        PortState::Open,
    ),
    (
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j NFLOG --nflog-group 65100 --nflog-size 1\n\
         -A PREROUTING -j DROP\nCOMMIT\n",
        PortState::Filtered,
    ),
    // No program reads the queue.
    ("*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j NFQUEUE --queue-num 0\nCOMMIT\n", PortState::Unknown),
    ("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n", PortState::Open),
];

/// Beyond the fence's deadline of ten seconds the lab would fail.
#[test]
fn no_ruleset_holds_the_fence_back() {
    let _machine = share_the_machine();
    for flavour in [Flavour::Nft, Flavour::Legacy] {
        let equipment = equipment(LinkMode::Tun, flavour);
        for (rules, state) in HOSTILE {
            let observed = observe(&equipment, &source(rules), WatchedEvents::Replies, &probes(Technique::Syn));
            let states = observed.iter().map(|observation| observation.verdict.state);
            assert!(
                states.clone().all(|found| found == state),
                "{:?} with {flavour:?}\n{rules}",
                states.collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_rule_for_the_fences_own_address_holds_nothing_back() {
    let _machine = share_the_machine();
    let rules = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 192.0.2.203/32 -j DROP\nCOMMIT\n\
                 *filter\n:INPUT DROP [0:0]\n-A INPUT -s 192.0.2.203/32 -p 253 -j ACCEPT\nCOMMIT\n";
    let rules = source(rules);
    for flavour in [Flavour::Nft, Flavour::Legacy] {
        let equipment = equipment(LinkMode::Tun, flavour);
        let interface = InterfaceName::default();
        let addresses = Addresses::default();
        let rulesets = [(Family::Ipv4, &rules)];
        let spec =
            LabSpec { watch: WatchedEvents::Replies, ..LabSpec::new(&equipment, &interface, &addresses, &rulesets) };
        let [probe, _] = probes(Technique::Syn);
        let observed = Lab::run(&spec, |lab| lab.send(&[probe])).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(observed[0].verdict.state, PortState::Filtered);
    }
}

/// If a rule has the fence's own address, a sweep sends packets from it: they are not mistaken for fences.
#[test]
fn findings_are_the_same_over_a_tun() {
    let _machine = share_the_machine();
    for rules in [
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 192.0.2.203/32 -p 253 -j DROP\n\
         -A PREROUTING -s 192.0.2.203/32 -j DROP\n-A PREROUTING -s 192.0.2.203/32 -p tcp -j DROP\nCOMMIT\n",
        "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n\
         -A INPUT -i eth0 -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP\n\
         -A INPUT -s 198.51.100.0/24 -p udp -m udp --dport 53 -j LOG\n\
         -A INPUT -s 198.51.100.7/32 -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j DROP\n\
         -A INPUT -s 198.51.100.8/32 -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n",
    ] {
        let [tap, tun] = [LinkMode::Tap, LinkMode::Tun].map(|link| {
            let subject = FindingsSubject {
                equipment: &equipment(link, Flavour::Nft),
                interface: &InterfaceName::default(),
                mac: HOST_MAC,
                addresses: &Addresses::default(),
                rulesets: &[(Family::Ipv4, &source(rules))],
            };
            to_json(&measure(&subject).unwrap_or_else(|error| panic!("{link:?}: {error}")))
        });
        assert!(tap.contains("\"not_provable\"") || tap.contains("unreachable"), "{tap}");
        assert_eq!(tap, tun);
    }
}

/// `LEN` counts the IP packet in both, and `MAC=` shows the header before it: none.
#[test]
fn a_line_of_a_tun_has_no_mac() {
    let _machine = share_the_machine();
    let rules = source("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j LOG --log-prefix \"seen: \"\nCOMMIT\n");
    for flavour in [Flavour::Nft, Flavour::Legacy] {
        let equipment = equipment(LinkMode::Tun, flavour);
        let observed = observe(&equipment, &rules, WatchedEvents::Paths, &probes(Technique::Syn));
        for (observation, length) in observed.iter().zip(["LEN=44 ", "LEN=64 "]) {
            let [record] = observation.log.as_slice() else { panic!("{observation:?}") };
            assert!(record.line.contains(" MAC= SRC="), "{}", record.line);
            assert!(record.line.contains(length), "{}", record.line);
            let line = LogLine::parse(&record.line).expect("a line of the kernel");
            assert_eq!((line.mac(), line.prefix.as_str()), (None, "seen: "));
            assert_eq!(line.to_string(), record.line);
        }
    }
}

/// Every port of the host, each with its line or its answer: nothing is lost between two fences.
#[test]
fn a_thousand_probes_lose_nothing() {
    let _machine = share_the_machine();
    let rules = source("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 1:500 -j LOG\nCOMMIT\n");
    let equipment = equipment(LinkMode::Tun, Flavour::Nft);
    let mut numbering = PassNumbering::new(SEED);
    for family in Family::BOTH {
        let mut phase = numbering.phase(Technique::Syn, family, Addresses::default());
        let probes: Vec<Probe> = (1..=1000).map(|port| phase.probe(Port(port), 0)).collect();
        let observed = observe(&equipment, &rules, WatchedEvents::Paths, &probes);
        for (probe, observation) in probes.iter().zip(observed) {
            let port = probe.flow.port;
            let state = if port == Port(22) { PortState::Open } else { PortState::Closed };
            assert_eq!(
                (observation.verdict.state, observation.log.len()),
                (state, usize::from(port.0 <= 500)),
                "{port}"
            );
        }
    }
}

/// A sweep over a TUN needs no neighbours for other addresses, and limits are overridden as on a TAP.
#[test]
fn packets_of_strangers_find_their_way_back() {
    let _machine = share_the_machine();
    let packets = [
        "tcp SYN to 22",
        "tcp SYN to 22 from 198.51.100.7",
        "tcp SYN to 22 from 2001:db8:7::7",
        "udp to 9 from host to 198.51.100.7",
        "udp to 9 from host over lo",
        "icmp 8/0 from 198.51.100.7",
        "icmpv6 128/0",
        "tcp ACK to 22 established",
        "protocol 253",
    ];
    let rows = packets.map(|packet| format!("[[expect]]\npacket = \"{packet}\"\nverdict = \"accept\"\n")).concat();
    let scenario = format!("title = \"t\"\n[ruleset]\nv4 = \"r.v4\"\nv6 = \"r.v6\"\n[host]\nlisten = 22\n{rows}");
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        -A INPUT -p tcp -m limit --limit 1/hour --limit-burst 1 -j LOG --log-prefix \"strange: \"\n\
        -A INPUT -p icmp -j DROP\nCOMMIT\n";
    let rules6 = rules.replace("icmp", "ipv6-icmp");
    let [tap, tun] = ["tap", "tun"].map(|link| {
        let files = [("s.toml", scenario.as_str()), ("r.v4", rules), ("r.v6", &rules6)];
        let ended = run_files(&files, &["--link", link]);
        let found: Vec<String> = ended.report()["scenarios"][0]["checks"]
            .as_array()
            .expect("checks")
            .iter()
            .filter(|check| check["scan"] == "packet")
            .map(|check| format!("{} {} {} {}", check["family"], check["packet"], check["observed"], check["outcome"]))
            .collect();
        assert!(found.len() >= packets.len(), "{}", ended.stderr);
        found
    });
    assert_eq!(tap, tun);
}
