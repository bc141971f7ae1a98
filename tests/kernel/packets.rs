//! Rows of packets that are no scan: the report says what the kernel does with each. Needs root.

use crate::support::binary::{Ended, run_files, share_the_machine};
use serde_json::{Value, json};

/// A ruleset with something for every kind of packet; the host listens on 22.
const RULES: &str = "\
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 22
COMMIT
*filter
:INPUT DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -s 10.0.0.0/8 -j LOG --log-prefix \"stranger: \"
-A INPUT -s 10.0.0.0/8 -p udp --sport 53 -j ACCEPT
-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p tcp --dport 22 --tcp-flags ALL SYN -m limit --limit 1/day --limit-burst 1 -j LOG --log-prefix \"SSHIN=\"
-A INPUT -p tcp --dport 22 --tcp-flags ALL SYN -j ACCEPT
-A INPUT -p tcp --tcp-flags ALL FIN,PSH -j LOG --log-prefix \"odd: \"
-A INPUT -p icmp --icmp-type 8 -j REJECT
-A INPUT -p 47 -j LOG --log-prefix \"GRE: \"
-A OUTPUT -o lo -p tcp --dport 25 -j DROP
-A OUTPUT -o lo -p tcp --dport 26 -j LOG --log-prefix \"out: \"
-A OUTPUT -d 192.0.2.1 -j LOG --log-prefix \"far: \"
-A OUTPUT -p tcp --dport 443 -j REJECT
COMMIT
";

const SCENARIO: &str = "title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n[host]\nlisten = [22]\n";

fn run_rows(rules: &str, rows: &str) -> Ended {
    run_files(&[("s.toml", &format!("{SCENARIO}{rows}")), ("rules.v4", rules)], &[])
}

fn row(packet: &str, verdict: &str, log: &str) -> String {
    format!("[[expect]]\npacket = \"{packet}\"\nfamily = \"ipv4\"\nverdict = \"{verdict}\"\nlog = \"{log}\"\n")
}

fn check(report: &Value, packet: &str) -> Value {
    let mut checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
    checks.find(|check| check["packet"] == packet).unwrap_or_else(|| panic!("no check of {packet}")).clone()
}

#[test]
fn every_kind_of_packet_meets_the_rules_that_are_meant_for_it() {
    let _machine = share_the_machine();
    let rows = [
        row("tcp SYN to 22", "accept", "SSHIN="),
        row("tcp SYN from 1024 to 22", "accept", "SSHIN="),
        row("tcp SYN to 8080", "accept", "SSHIN="),
        row("tcp ACK to 22 established", "accept", ""),
        row("tcp ACK to 22", "drop", ""),
        row("tcp FIN,PSH to 22", "drop", "odd: "),
        row("tcp FIN,ACK to 22 established", "accept", ""),
        // Conntrack calls it INVALID in every connection.
        row("tcp FIN,PSH to 22 established", "drop", "odd: "),
        row("tcp SYN,ACK to 40000 answer", "accept", ""),
        row("tcp ACK to 40000 established by host", "accept", ""),
        row("tcp ACK from 22 to 50000 from host answer", "accept", ""),
        row("udp from 53 to 5353 from 10.0.0.1", "accept", "stranger: "),
        row("udp to 5353 from 10.0.0.1", "drop", "stranger: "),
        row("udp to 5353", "drop", ""),
        row("udp to 5353 answer", "accept", ""),
        row("udp to 53 from host to 192.0.2.1", "accept", "far: "),
        row("icmp 8/0", "reject", ""),
        row("icmp 0/0 answer", "accept", ""),
        row("protocol 47", "drop", "GRE: "),
        row("tcp SYN to 22 over lo", "accept", ""),
        row("tcp SYN to 22 from host over lo", "accept", ""),
        row("tcp SYN to 25 over lo", "drop", ""),
        row("tcp SYN to 26 over lo", "accept", "out: "),
        row("tcp SYN to 443 from host", "reject", ""),
        row("tcp SYN to 80 from host", "accept", ""),
        row("tcp ACK to 80 from host established", "accept", ""),
        row("tcp ACK to 22 over lo established", "accept", ""),
        row("udp from 53 to 40000 established by host", "accept", ""),
    ];
    let ended = run_rows(RULES, &rows.concat());
    assert_eq!((ended.status, ended.not_matched()), (Some(0), [].into()), "{}", ended.stderr);
    assert_eq!(ended.packets().len(), rows.len());
}

#[test]
fn a_mismatch_is_told_as_it_was_observed() {
    let _machine = share_the_machine();
    let ended = run_rows(RULES, &row("tcp FIN,PSH to 22", "accept", ""));
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let check = check(&ended.report(), "tcp FIN,PSH to 22");
    assert_eq!((&check["scan"], &check["family"]), (&json!("packet"), &json!("ipv4")));
    assert_eq!(check["expected"], json!({"verdict": "accept", "log": []}));
    assert_eq!(check["observed"], json!({"verdict": "drop", "log": ["odd: "]}));
    assert_eq!(check["why"], "the verdict of the filter differs; the log line differs");
}

#[test]
fn only_what_is_expected_is_compared_and_over_both_families() {
    let _machine = share_the_machine();
    let ended = run_rows(RULES, "[[expect]]\npacket = [\"tcp RST to 1\", \"icmp 8/0\"]\nlog = \"\"\n");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let names = ["ipv4 icmp 8/0", "ipv4 tcp RST to 1", "ipv6 tcp RST to 1"].map(str::to_owned);
    assert_eq!(ended.packets(), names.into());
    assert_eq!(check(&ended.report(), "icmp 8/0")["observed"], json!({"log": []}));
}

#[test]
fn a_known_mismatch_is_known_as_long_as_it_happens() {
    let _machine = share_the_machine();
    let known = |verdict: &str| {
        format!("[[known]]\npacket = \"udp to 53\"\nfamily = \"ipv4\"\nverdict = \"{verdict}\"\nbecause = \"b\"\n")
    };
    let expected = row("udp to 53", "accept", "");
    let status = |rows: &str| run_rows(RULES, rows).status;
    assert_eq!(status(&format!("{expected}{}", known("drop"))), Some(0));
    assert_eq!(status(&format!("{expected}{}", known("reject"))), Some(1));
    assert_eq!(status(&format!("{}{}", row("udp to 53", "drop", ""), known("drop"))), Some(1));
    assert_eq!(status(&known("drop")), Some(2));
}

/// The row would match: the rules accept every ACK. But no client can get so far.
#[test]
fn a_packet_whose_connection_does_not_open_is_not_run() {
    let _machine = share_the_machine();
    let rules = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 --syn -j DROP\n\
                 -A INPUT -p tcp -j ACCEPT\n-A OUTPUT -p tcp --dport 443 -j DROP\n-A OUTPUT -p tcp --sport 24 -j DROP\n\
                 COMMIT\n";
    for (packet, reason) in [
        ("tcp ACK to 22 established", "the packet that opens its connection was dropped by line 4: "),
        ("tcp ACK to 23 established", "the SYN/ACK that opens its connection was not sent"),
        ("tcp SYN,ACK from 443 to 40000 answer", "the packet that opens its connection was dropped by line 6: "),
    ] {
        let ended = run_rows(rules, &row(packet, "accept", ""));
        let report = ended.report();
        let check = check(&report, packet);
        assert_eq!((ended.status, &check["outcome"]), (Some(3), &json!("not-run")), "{check:#}");
        assert!(check["why"].as_str().is_some_and(|why| why.starts_with(reason)), "{check:#}");
    }
    let open = rules.replace("--syn -j DROP", "--syn -j ACCEPT");
    assert_eq!(run_rows(&open, &row("tcp ACK to 22 established", "accept", "")).status, Some(0));
    let deaf = open.replace("--sport 24", "--sport 22");
    let ended = run_rows(&deaf, &row("tcp ACK to 22 established", "accept", ""));
    let why = check(&ended.report(), "tcp ACK to 22 established")["why"].to_string();
    assert!(why.contains("the SYN/ACK that opens its connection was dropped by line 7"), "{why}");
}

/// A list keeps its entries when its rule is renewed: each packet gets a lab of its own.
#[test]
fn lists_of_what_was_seen_start_empty_for_every_packet() {
    let _machine = share_the_machine();
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m recent --name r --update --seconds 60 -j DROP\n\
                 -A INPUT -p udp -m recent --name r --set -j ACCEPT\nCOMMIT\n";
    let rows = ["udp to 1", "udp to 2", "udp to 3"].map(|packet| row(packet, "accept", ""));
    let ended = run_rows(rules, &rows.concat());
    assert_eq!(ended.status, Some(0), "{} {:?}", ended.stderr, ended.not_matched());
}

#[test]
fn the_hosts_own_address_is_nobody_elses() {
    let _machine = share_the_machine();
    let ended = run_rows(RULES, &row("udp to 53 from 203.0.113.10", "drop", ""));
    assert_eq!(ended.status, Some(2));
    assert!(ended.stderr.contains("203.0.113.10 is the host's own address"), "{}", ended.stderr);
    assert!(ended.stderr.contains("s.toml:6"), "{}", ended.stderr);
}

#[test]
fn rules_that_only_a_packet_reaches_are_exercised() {
    let _machine = share_the_machine();
    let hits = |rows: &str| {
        let report = run_rows(RULES, rows).report();
        let rules = report["scenarios"][0]["coverage"][0]["rules"].as_array().expect("rules").clone();
        let gre = rules.iter().find(|rule| rule["text"].as_str().is_some_and(|text| text.contains("GRE")));
        gre.expect("the rule for GRE")["hits"].as_u64()
    };
    assert_eq!(hits(&row("protocol 47", "drop", "GRE: ")), Some(1));
    assert_eq!(hits(&row("udp to 53", "drop", "")), Some(0));
}
