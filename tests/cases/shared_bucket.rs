//! A limit that many packets share: for each question of `check` it is fresh, and every list is empty.

use super::{facts, scanlab};

#[track_caller]
fn assert_says(rules: &str, flavours: &[&str], question: &str, starts: &[&str]) {
    let sensor = if rules == "strangers.v4" { "strangers.toml" } else { "sensor.toml" };
    for flavour in flavours {
        let arguments = ["check", "--sensor", sensor, "--rules", rules, "--iptables", flavour, "--format", "json"];
        let facts = facts(&scanlab("shared-bucket", &arguments).report(), question);
        for start in starts {
            assert!(facts.iter().any(|fact| fact.starts_with(start)), "{rules}, {flavour}: {start}: {facts:#?}");
        }
    }
}

const TEN_LINES_EACH: [&str; 5] = [
    "note: Xmas scan: 10 lines, ",
    "note: Null scan: 10 lines, ",
    "note: FIN scan: 10 lines, ",
    "note: SYN scan: 10 lines, ",
    "note: ACK scan: 10 lines, ",
];

#[test]
fn each_scan_leaves_the_burst_of_a_shared_limit() {
    assert_says("rules.v4", &["nft", "legacy"], "log-lines", &TEN_LINES_EACH);
}

#[test]
fn each_scan_leaves_the_burst_of_a_shared_hashlimit() {
    assert_says("hashlimit.v4", &["nft"], "log-lines", &TEN_LINES_EACH);
}

const OPEN: [&str; 2] = ["bad: TCP ports 80, 443 over IPv4", "bad: UDP ports 1, 53, 68, 79-81, 123, 161, 442-444, "];

#[test]
fn each_port_that_a_shared_limit_lets_in_is_found() {
    assert_says("open.v4", &["nft", "legacy"], "unasked", &OPEN);
}

#[test]
fn each_port_that_lists_let_in_once_is_found() {
    assert_says("open-listed.v4", &["nft"], "unasked", &OPEN);
}

#[test]
fn each_other_protocol_that_a_shared_limit_lets_in_is_found() {
    let start = "bad: other protocols over IPv4 and IPv6: ping, GRE, ESP accepted";
    assert_says("open.v4", &["nft", "legacy"], "unasked", &[start]);
}

#[test]
fn each_stranger_whom_a_shared_hashlimit_lets_in_is_found() {
    let start = "bad: SSH (port 2222) accepts 192.0.1.254, 192.0.2.16, 198.51.100.77, 203.0.113.66, ";
    assert_says("strangers.v4", &["nft"], "unasked", &[start]);
}
