//! `scanlab scan` has the results of nmap: the same state and reason for every port, all techniques, both families.
//!
//! Needs root, nmap and iptables, see `.ci/setup tests`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use scanlab::intent::scenario::Scenario;
use scanlab::net::Family;
use scanlab::net::port::PortSet;
use scanlab::probe::scan::Technique;
use scanlab::rules::generate;
use serde_json::Value;

use crate::support::hosts::{Seen, nmap_scan};
use crate::{REJECTS_V4, REJECTS_V6};

/// A ruleset, the services of its host, and the ports to scan.
struct Subject {
    v4: String,
    v6: String,
    listen: &'static [u16],
    ports: &'static str,
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn on_a_ruleset_of_ones_own() {
    let (v4, v6) = (text("scenarios/own-ruleset.v4"), text("scenarios/own-ruleset.v6"));
    assert_parity(&Subject { v4, v6, listen: &[22, 80], ports: "21-23,80,113,65535" });
}

#[test]
fn on_the_hardened_sensor() {
    let scenario = Scenario::load(Path::new("scenarios/sensor-hardened.toml")).expect("a scenario");
    let generated = generate::generate(&scenario.sensor.expect("a sensor"));
    let (v4, v6) = (generated.v4, generated.v6);
    assert_parity(&Subject { v4, v6, listen: &[22, 32232], ports: "1,21-23,80,139,443,445,5555,32232,65535" });
}

/// Every `--reject-with`, one port for each from 1001; 22 is served and 23 is closed.
#[test]
fn on_every_kind_of_reject() {
    assert_parity(&Subject {
        v4: rejects(&REJECTS_V4),
        v6: rejects(&REJECTS_V6),
        listen: &[22, 1001],
        ports: "22,23,1001-1009",
    });
}

fn rejects(kinds: &[&str]) -> String {
    let rule = |(port, kind): (u16, &&str)| format!("-A INPUT -p tcp --dport {port} -j REJECT --reject-with {kind}\n");
    let rules: String = (1001..).zip(kinds).map(rule).collect();
    format!("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
}

/// The reference itself: without a ruleset nmap has the results that nmap's guide and Linux's TCP promise.
#[test]
fn nmap_sees_a_plain_host() {
    for family in Family::BOTH {
        let table: BTreeMap<&str, [(&str, &str); 2]> = BTreeMap::from([
            ("-sS", [("open", "syn-ack"), ("closed", "reset")]),
            ("-sT", [("open", "syn-ack"), ("closed", "conn-refused")]),
            ("-sX", [("open|filtered", "no-response"), ("closed", "reset")]),
            ("-sA", [("unfiltered", "reset"), ("unfiltered", "reset")]),
        ]);
        for (technique, [served, closed]) in table {
            let seen = nmap_scan("", "", &[22], technique, family, "22-23");
            let expected = [(22, served), (23, closed)].map(|(port, (state, reason))| (port, state, reason));
            let seen: Vec<_> = seen.iter().map(|(port, (state, reason))| (*port, &**state, &**reason)).collect();
            assert_eq!(seen, expected, "{technique} {family}");
        }
    }
}

/// More than 25 ports with the same result: nmap no longer lists them one by one.
#[test]
fn ports_that_nmap_collapses_are_read() {
    let seen = nmap_scan("", "", &[22], "-sS", Family::Ipv4, "1-100");
    let closed = ("closed".to_owned(), "reset".to_owned());
    assert_eq!((seen.len(), seen.values().filter(|seen| **seen == closed).count()), (100, 99));
}

fn assert_parity(subject: &Subject) {
    for family in Family::BOTH {
        let mut observed = scanlab_scan(subject, family);
        let scans = thread::scope(|scope| {
            let scan = |technique: Technique| (technique, scope.spawn(move || nmap(subject, technique, family)));
            let scans = Technique::DERIVED.map(scan);
            scans.map(|(technique, scan)| (technique, scan.join().expect("nmap's scan")))
        });
        for (technique, expected) in scans {
            let observed = observed.remove(technique.name()).unwrap_or_default();
            assert_eq!(table(&expected), table(&observed), "nmap on the left: {technique} {family}");
        }
    }
}

fn nmap(subject: &Subject, technique: Technique, family: Family) -> Seen {
    nmap_scan(&subject.v4, &subject.v6, subject.listen, technique.profile().nmap, family, subject.ports)
}

/// One line for each port, so that a difference is readable.
fn table(seen: &Seen) -> Vec<String> {
    seen.iter().map(|(port, (state, reason))| format!("{port} {state} {reason}")).collect()
}

/// The results of `scanlab scan`, by technique.
fn scanlab_scan(subject: &Subject, family: Family) -> BTreeMap<String, Seen> {
    let folder = tempfile::tempdir().expect("a folder");
    let [v4, v6] = [("rules.v4", &subject.v4), ("rules.v6", &subject.v6)].map(|(name, rules)| {
        let path = folder.path().join(name);
        fs::write(&path, rules).expect("write the ruleset");
        path
    });
    let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    scan.arg("scan").arg("--rules").arg(v4).arg("--rules6").arg(v6);
    scan.args(["--scan", &Technique::DERIVED.map(Technique::name).join(","), "-p", subject.ports, "--format", "json"]);
    let listen: Vec<String> = subject.listen.iter().map(u16::to_string).collect();
    scan.args(["--listen", &listen.join(",")]);
    if family == Family::Ipv6 {
        scan.arg("-6");
    }
    let output = scan.output().expect("run scanlab");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scanlab ended with {}: {talk}", output.status);
    read_json(&serde_json::from_slice(&output.stdout).expect("JSON"), family)
}

/// Parses `probes[]` of the JSON report: `port`, or `ports` for several with the same result.
fn read_json(report: &Value, family: Family) -> BTreeMap<String, Seen> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let probes = report["probes"].as_array().expect("probes");
    for probe in probes.iter().filter(|probe| probe["family"] == family.to_string()) {
        let word = |key: &str| probe[key].as_str().unwrap_or_else(|| panic!("no {key} in {probe}")).to_owned();
        let ports = probe["port"].as_u64().map_or_else(|| word("ports"), |port| port.to_string());
        let ports: PortSet = ports.parse().expect("ports");
        let of_scan = seen.entry(word("scan")).or_default();
        of_scan.extend(ports.iter().map(|port| (port.0, (word("state"), word("reason")))));
    }
    seen
}
