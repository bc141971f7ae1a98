//! The rule or policy that is blamed for a mismatch, and the explanation of the packet.

use serde_json::Value;

use super::scanlab;

/// The first check of `scan` at `port` that is not as expected.
fn mismatch(scenario: &str, scan: &str, port: u16) -> Value {
    let report = scanlab("blame", &["run", &format!("{scenario}.toml"), "--format", "json"]).report();
    let checks = report["scenarios"][0]["checks"].as_array().expect("checks").clone();
    let is_it = |check: &Value| check["scan"] == scan && (port == 0 || check["port"] == port);
    let found = checks.into_iter().find(|check| is_it(check) && check["outcome"] == "mismatched");
    found.unwrap_or_else(|| panic!("{scan} {port} of {scenario} is as expected"))
}

/// Cause, table and line of the rule that decided, and the line of the intended rule.
fn blamed(check: &Value) -> (&str, &str, u64, Option<u64>) {
    let told = &check["explanation"];
    let word = |value: &'static str| move |told: &Value| told[value].clone();
    let took = word("took")(told);
    let table = match took["table"].as_str() {
        Some("filter") => "filter",
        Some("nat") => "nat",
        _ => "another",
    };
    (
        told["cause"].as_str().expect("a cause"),
        table,
        took["line"].as_u64().unwrap_or_default(),
        told["meant"]["line"].as_u64(),
    )
}

/// The lines that the patch removes and adds.
fn changes(check: &Value) -> Vec<&str> {
    let diff = check["explanation"]["patch"]["diff"].as_str().unwrap_or_default();
    let is_change = |line: &&str| line.starts_with(['-', '+']) && !line.starts_with("---") && !line.starts_with("+++");
    diff.lines().filter(is_change).collect()
}

fn words(check: &Value) -> &str {
    check["explanation"]["words"].as_str().expect("words")
}

#[test]
fn the_rule_of_filter_that_accepted_is_blamed_and_no_policy_of_nat() {
    for port in [22, 2222] {
        let check = mismatch("other-table", "syn", port);
        assert_eq!(blamed(&check), ("too-broad", "filter", 12, None), "{check:#}");
        assert_eq!(changes(&check), ["--A INPUT -p tcp -m tcp --dport 2222 -j ACCEPT"], "{check:#}");
    }
}

#[test]
fn record_and_exec_name_the_rule_of_filter_that_accepted_and_no_policy_of_nat() {
    let rules = ["--rules", "nat-input.v4", "--listen", "22"];
    let record = scanlab("blame", &[&["record"], &rules[..]].concat()).stdout;
    assert!(record.contains("# nat-input.v4:10 -A INPUT -p tcp --dport 22"), "{record}");
    assert!(!record.contains("# nat-input.v4:3 "), "{record}");
    let connect = ["--host-addr", "203.0.113.9/24", "--", "bash", "-c", "exec 3<>/dev/tcp/203.0.113.9/22"];
    let exec = scanlab("blame", &[&["exec"], &rules[..], &connect].concat());
    assert!(exec.stdout.contains("accepted by line 10  -A INPUT"), "{}{}", exec.stdout, exec.stderr);
    assert!(!exec.stdout.contains("accepted by line 3 "), "{}", exec.stdout);
    let diff = scanlab("blame", &["diff", "nat-input.v4", "nat-input-drops.v4"]).stdout;
    assert!(diff.contains("nat-input.v4:10") && !diff.contains("nat-input.v4:3 "), "{diff}");
}

#[test]
fn the_policy_of_filter_accepts_whatever_other_tables_say() {
    let check = mismatch("policy", "syn", 139);
    assert_eq!(blamed(&check), ("policy", "filter", 6, None), "{check:#}");
    assert!(changes(&check).iter().all(|line| !line.contains(":INPUT DROP") || line.starts_with('+')), "{check:#}");
}

#[test]
fn a_rule_of_another_hook_is_not_shadowed() {
    let check = mismatch("other-hook", "packet", 0);
    assert_eq!(blamed(&check), ("no-rule", "filter", 6, None), "{check:#}");
    assert!(words(&check).contains("other-hook.v4:5"), "{check:#}");
}

#[test]
fn a_chain_of_the_same_name_in_another_table_is_another_chain() {
    let check = mismatch("same-name", "syn", 22);
    assert_eq!(blamed(&check), ("chain-not-reached", "filter", 8, Some(11)), "{check:#}");
}

#[test]
fn a_port_that_nat_changed_is_part_of_the_explanation() {
    for (name, port) in [("redirect", 2222), ("dnat", 8022)] {
        let check = mismatch(name, "syn", 22);
        assert_eq!(blamed(&check), ("other-match", "filter", 6, Some(7)), "{check:#}");
        let said = format!("{name}.v4:3 changed the port from 22 to {port}");
        assert!(words(&check).contains(&said), "{check:#}");
        let added = format!("+-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT");
        assert_eq!(changes(&check), ["--A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", &added], "{check:#}");
    }
}

/// The kernel uses the first port of a range; `2000-2009/20` maps each port to its own.
#[test]
fn a_range_of_ports_that_nat_chooses_from_is_part_of_the_explanation_and_the_fix() {
    for (name, said, fix) in [
        ("natrange", "changed the port from 22 to 2000 (of 2000-2010); ", "--dport 2000:2010"),
        ("dnatrange", "changed the port from 22 to 80 (of 80-90); ", "--dport 80:90"),
        ("shift", "changed the port from 22 to 2002; ", "--dport 2002"),
    ] {
        let check = mismatch(name, "syn", 22);
        assert_eq!(blamed(&check), ("other-match", "filter", 6, Some(11)), "{check:#}");
        assert!(words(&check).contains(said), "{check:#}");
        assert!(changes(&check)[1].contains(fix), "{check:#}");
    }
}

#[test]
fn a_policy_of_nat_or_security_that_drops_is_blamed_and_stays() {
    for (name, table, line) in [("natpol", "nat", 2), ("secpol", "another", 2)] {
        let check = mismatch(name, "connect", 22);
        assert_eq!(blamed(&check), ("policy", table, line, None), "{check:#}");
        assert!(changes(&check).iter().all(|line| !line.starts_with("-")), "{check:#}");
    }
}

#[test]
fn packet_after_an_untracked_syn_is_not_established() {
    let check = mismatch("untracked-est", "connect", 22);
    assert_eq!(blamed(&check), ("followup-taken", "filter", 6, None), "{check:#}");
    assert!(words(&check).contains("UNTRACKED, and never ESTABLISHED"), "{check:#}");
}

#[test]
fn a_syn_that_was_dropped_has_no_handshake() {
    let check = mismatch("syn-dropped", "connect", 22);
    assert_eq!(check["why"], "the port state differs");
}

#[test]
fn untracked_packet_is_not_invalid_and_synproxy_is_not_deleted() {
    let check = mismatch("synproxy", "syn", 8080);
    assert!(!words(&check).contains("INVALID"), "{check:#}");
    assert!(!changes(&check).iter().any(|line| line.contains("SYNPROXY")), "{check:#}");
    // The kernel's own third segment is dropped, and the path that is shown is that of this segment.
    let check = mismatch("synproxy", "connect", 22);
    assert_eq!(blamed(&check), ("followup-taken", "filter", 13, Some(14)), "{check:#}");
    assert!(!check["why"].as_str().expect("why").contains("handshake completes"), "{check:#}");
}
