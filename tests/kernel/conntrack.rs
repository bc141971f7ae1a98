//! The conntrack state of each probe is in its path, including INVALID, which the kernel does not trace. Needs root.

use crate::support::binary;
use std::fs;
use std::process::Command;

use serde_json::Value;

/// Names such as `ipv4 null`, with their conntrack states.
fn states(rules: &str, scan: &str) -> Vec<(String, Option<String>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules");
    fs::write(&path, rules).expect("write the rules");
    let mut states = Vec::new();
    for family in [&["--rules"][..], &["-6", "--rules6"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.args(["scan", "--trace", "--format", "json", "--scan", scan, "-p", "80", "--iptables", "nft"]);
        let output = command.args(family).arg(&path).output().expect("scanlab runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        for probe in report["probes"].as_array().expect("probes") {
            let name = format!("{} {}", probe["family"].as_str().unwrap(), probe["scan"].as_str().unwrap());
            states.push((name, probe["conntrack"].as_str().map(str::to_owned)));
        }
    }
    states
}

fn filter(rules: &str) -> String {
    format!("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
}

const TRACKED: &str = "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n";

/// The states for both families. Before Linux 6.16 the trace of nf_tables has no state, and none is guessed.
fn told(state: Option<&str>, scan: &str) -> Vec<(String, Option<String>)> {
    let state = state.filter(|_| trace_has_state());
    ["ipv4", "ipv6"].map(|family| (format!("{family} {scan}"), state.map(str::to_owned))).to_vec()
}

fn trace_has_state() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().expect("a number"));
    (numbers.next(), numbers.next()) >= (Some(6), Some(16))
}

#[test]
fn null_fin_and_xmas_are_invalid() {
    let _machine = binary::share_the_machine();
    for rules in ["", "-A INPUT -p tcp -j DROP\n", "-A INPUT -p tcp -j REJECT\n", "-A INPUT -p tcp -j ACCEPT\n"] {
        for scan in ["null", "fin", "xmas"] {
            let rules = filter(&format!("{TRACKED}{rules}"));
            assert_eq!(states(&rules, scan), told(Some("INVALID"), scan), "{rules}");
        }
    }
}

#[test]
fn syn_and_ack_are_new() {
    let _machine = binary::share_the_machine();
    for scan in ["syn", "ack"] {
        assert_eq!(states(&filter(TRACKED), scan), told(Some("NEW"), scan));
    }
}

#[test]
fn where_nothing_asks_conntrack_there_is_no_state() {
    let _machine = binary::share_the_machine();
    for scan in ["null", "syn"] {
        assert_eq!(states(&filter("-A INPUT -p tcp -j DROP\n"), scan), told(None, scan));
    }
}

/// A nat table registers its own hooks; only a target of nat enables those of conntrack.
#[test]
fn a_nat_table_that_translates_nothing_does_not_track() {
    let _machine = binary::share_the_machine();
    let nat = |rules: &str| format!("*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n");
    let log = nat("-A PREROUTING -p tcp -j LOG\n");
    let redirect = nat("-A PREROUTING -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 22\n");
    for scan in ["null", "syn"] {
        assert_eq!(states(&(log.clone() + &filter("-A INPUT -p tcp -j DROP\n")), scan), told(None, scan));
    }
    assert_eq!(states(&(redirect.clone() + &filter("")), "null"), told(Some("INVALID"), "null"));
    assert_eq!(states(&(redirect + &filter("")), "syn"), told(Some("NEW"), "syn"));
}

#[test]
fn packets_dropped_by_the_raw_table_are_unknown_to_conntrack() {
    let _machine = binary::share_the_machine();
    let raw = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p tcp -j DROP\nCOMMIT\n";
    assert_eq!(states(&format!("{raw}{}", filter(TRACKED)), "null"), told(None, "null"));
}
