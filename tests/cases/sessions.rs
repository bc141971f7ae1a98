//! Rules that cut an SSH session after a number of packets, and rules that close the port after a number of
//! connections.

use std::path::Path;

use super::{facts, scanlab};

/// The facts of "Will I be locked out?", as `tone: text`.
fn locked_out(rules: &str, flavour: &str) -> Vec<String> {
    locked_out_of(rules, flavour, "sensor.toml")
}

fn locked_out_of(rules: &str, flavour: &str, sensor: &str) -> Vec<String> {
    let (v4, v6) = (format!("{rules}.v4"), format!("{rules}.v6"));
    let mut arguments = vec!["check", "--sensor", sensor, "--iptables", flavour, "--format", "json", "--rules", &v4];
    if Path::new("tests/cases/sessions").join(&v6).exists() {
        arguments.extend(["--rules6", &v6]);
    }
    facts(&scanlab("sessions", &arguments).report(), "locked-out")
}

fn has(facts: &[String], start: &str, part: &str) -> bool {
    facts.iter().any(|fact| fact.starts_with(start) && fact.contains(part))
}

/// Checks the number of packets after which a session freezes, and that the rule in `place` is named for it.
#[track_caller]
fn assert_freezes(rules: &str, flavour: &str, packets: std::ops::RangeInclusive<usize>, place: &str) {
    let facts = locked_out(rules, flavour);
    let start = "bad: an SSH session to port 22 freezes after ";
    let of_rule = |fact: &&String| fact.starts_with(start) && fact.contains(&format!("{rules}.{place}: "));
    let fact = facts.iter().find(of_rule).unwrap_or_else(|| panic!("{rules}, {flavour}: {facts:#?}"));
    let number = fact[start.len()..].split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    assert!(packets.contains(&number), "{rules}, {flavour}: {fact}");
}

#[test]
fn a_session_that_nothing_cuts_gets_through() {
    let facts = locked_out("healthy", "nft");
    assert!(has(&facts, "good: an SSH session of 300 segments each way", "get through port 22"), "{facts:#?}");
    assert!(has(&facts, "good: 64 new connections to port 22 in a row open", ""), "{facts:#?}");
    assert!(facts.iter().all(|fact| fact.starts_with("good: ")), "{facts:#?}");
}

#[test]
fn a_rule_that_counts_the_packets_of_a_session_cuts_it() {
    assert_freezes("recent", "nft", 15..=20, "v4:6");
    assert_freezes("recent", "legacy", 15..=20, "v6:7");
    assert_freezes("connbytes", "legacy", 20..=40, "v4:6");
}

#[test]
fn a_rule_that_counts_what_the_host_sends_cuts_a_session() {
    // The host sends a segment and up to one acknowledgment for two packets of the client.
    assert_freezes("hashlimit-out", "nft", 140..=305, "v4:6");
}

#[test]
fn a_limit_on_established_packets_is_used_up() {
    assert_freezes("established-limit", "nft", 995..=1005, "v4:2");
}

#[test]
fn a_limit_that_no_session_uses_up_is_not_called_safe() {
    let facts = locked_out("established-huge", "nft");
    let start = "unknown: a longer SSH session to port 22 may be cut over IPv4: ";
    assert!(has(&facts, start, "established-huge.v4:6: "), "{facts:#?}");
}

#[test]
fn a_session_that_loses_segment_after_segment_is_no_session() {
    let facts = locked_out("established-slow", "legacy");
    assert!(
        has(&facts, "bad: an SSH session to port 22 loses so many segments", "established-slow.v4:2"),
        "{facts:#?}"
    );
}

#[test]
fn a_quota_cuts_a_session_by_its_bytes() {
    assert_freezes("quota", "nft", 10..=90, "v4:2");
}

#[test]
fn a_rule_against_long_segments_or_the_banner_cuts_a_session() {
    assert_freezes("length", "nft", 2..=6, "v4:6");
    assert_freezes("length-out", "legacy", 2..=6, "v4:6");
    assert_freezes("banner", "nft", 2..=2, "v4:6");
}

#[test]
fn a_rule_against_what_real_clients_send_is_named_with_the_packets_before_it() {
    let freezes = "bad: an SSH session to port 22 freezes after ";
    let refused = "bad: a new SSH connection to port 22 gets no answer, over IPv4";
    for (rule, flavour, start, doing) in [
        ("-A INPUT -p tcp -m tos ! --tos 0x00 -j DROP", "nft", freezes, ", with TOS 0x48"),
        ("-A INPUT -p tcp -m dscp --dscp 46 -j DROP", "legacy", freezes, ", with TOS 0xb8"),
        ("-A OUTPUT -p tcp -m tos --tos 0x10/0xff -j DROP", "nft", freezes, ", with TOS 0x10"),
        ("-A INPUT -p tcp -m length --length 1480: -j DROP", "nft", freezes, ", in a key exchange"),
        ("-A INPUT -p tcp --syn -m tcp --tcp-option 8 -j DROP", "nft", refused, ""),
        ("-A INPUT -p tcp --syn -m length --length 60 -j DROP", "legacy", refused, ""),
        ("-A INPUT -p tcp ! --syn -m tcp --tcp-option 8 -j DROP", "nft", "bad: a new SSH connection to port 22", ""),
        (
            "-A INPUT -p tcp -m connbytes --connbytes 300: --connbytes-dir original --connbytes-mode packets -j DROP",
            "nft",
            freezes,
            "",
        ),
    ] {
        let facts = super::moments::locked_out(rule, flavour);
        let fact = facts.iter().find(|fact| fact.starts_with(start) && fact.contains("rules.v4:6: "));
        assert!(fact.is_some_and(|fact| fact.contains(doing)), "{rule}, {flavour}: {facts:#?}");
    }
}

#[test]
fn source_ports_that_do_not_get_in_are_named_and_are_no_limit() {
    for (ports, start) in [
        ("0:1023", "note: new connections to port 22 from source ports of 1 to 1023 do not open, over IPv4"),
        ("61000:65535", "bad: new connections to port 22 from source ports of 61000 to 65535 do not open, over IPv4"),
    ] {
        let facts = super::moments::locked_out(&format!("-A INPUT -p tcp --sport {ports} -j DROP"), "nft");
        assert!(has(&facts, start, "rules.v4:6: "), "{ports}: {facts:#?}");
        assert!(!has(&facts, "", "are limited over"), "{ports}: {facts:#?}");
        assert!(has(&facts, "good: 64 new connections to port 22 in a row open", ""), "{ports}: {facts:#?}");
    }
}

#[test]
fn a_second_session_that_does_not_open_is_found_and_closed_ones_do_not_count() {
    let facts = locked_out("connlimit", "nft");
    assert!(has(&facts, "bad: a second SSH session to port 22 does not open", "connlimit.v4:6: "), "{facts:#?}");
    assert!(has(&facts, "good: 64 new connections to port 22 in a row open", ""), "{facts:#?}");
    assert!(!has(&facts, "bad: after an SSH session", ""), "{facts:#?}");
}

#[test]
fn connections_that_a_stranger_holds_open_keep_out_whom_the_rule_counts_with_him() {
    let held = "a stranger who holds 3 connections to port 22 open keeps you out, over IPv4";
    for flavour in ["nft", "legacy"] {
        let facts = locked_out("connlimit-all", flavour);
        assert!(has(&facts, &format!("bad: {held}"), "connlimit-all.v4:2: "), "{flavour}: {facts:#?}");
    }
    let each = locked_out("connlimit-each", "nft");
    assert!(!has(&each, "", "a stranger who holds"), "{each:#?}");
}

#[test]
fn a_hashlimit_keeps_out_everybody_or_each_by_its_mode() {
    for flavour in ["nft", "legacy"] {
        let ports = locked_out("hashlimit-dstport", flavour);
        assert!(
            has(&ports, "bad: new connections to port 22", "after 3 in a row the next does not open"),
            "{ports:#?}"
        );
        assert!(has(&ports, "bad: ", "accepts 3/min"), "{ports:#?}");
        let each = locked_out("hashlimit-srcip-dstport", flavour);
        assert!(has(&each, "note: new connections to port 22", "after 3 in a row the next does not open"), "{each:#?}");
    }
    let above = locked_out("hashlimit-dstport-above", "nft");
    assert!(has(&above, "bad: new connections to port 22", "hashlimit-dstport-above.v4:7: "), "{above:#?}");
}

#[test]
fn new_connections_in_a_row_are_counted_from_fresh_limits() {
    let limit = locked_out("limit-new", "nft");
    assert!(has(&limit, "bad: new connections to port 22", "after 12 in a row the next does not open"), "{limit:#?}");
    assert!(has(&limit, "bad: ", "accepts 1/hour"), "{limit:#?}");
    let hitcount = locked_out("hitcount-new", "legacy");
    assert!(has(&hitcount, "note: new connections to port 22", "after 15 in a row"), "{hitcount:#?}");
    assert!(has(&hitcount, "note: ", "60 seconds, and each attempt restarts them"), "{hitcount:#?}");
    let hashlimit = locked_out("hashlimit-new", "nft");
    assert!(has(&hashlimit, "note: new connections to port 22", "after 100 in a row"), "{hashlimit:#?}");
    assert!(has(&hashlimit, "note: ", "accepts 6/min"), "{hashlimit:#?}");
}

#[test]
fn the_slowest_of_all_limits_on_the_way_is_the_wait() {
    for (rules, opened, rate) in
        [("limit-and-hashlimit", "after 12 in a row", "1/hour"), ("limit-on-jump", "after 4", "2/hour")]
    {
        let facts = locked_out(rules, "nft");
        let row = facts.iter().find(|fact| fact.contains("new connections to port 22 are limited over IPv4"));
        let row = row.unwrap_or_else(|| panic!("{facts:#?}"));
        assert!(row.contains(opened) && row.contains(&format!("accepts {rate}")), "{row}");
    }
}

#[test]
fn each_new_connection_meets_fresh_limits_whatever_was_opened_before() {
    for (rules, flavour, opened) in [
        ("hitcount-two-ports", "nft", "after 2 in a row"),
        ("limit-two-ports", "legacy", "a second one right after the first"),
    ] {
        let facts = locked_out_of(rules, flavour, "two-ports.toml");
        for port in [22, 2222] {
            assert!(has(&facts, &format!("good: a new SSH connection to port {port} opens"), "IPv4"), "{facts:#?}");
            let limited = format!("new connections to port {port} are limited over IPv4: {opened}");
            assert!(has(&facts, "", &limited), "{limited}: {facts:#?}");
        }
        assert!(!facts.iter().any(|fact| fact.contains("machine has printed something")), "{facts:#?}");
    }
}

#[test]
fn a_session_through_synproxy_depends_on_its_sysctl_only() {
    for flavour in ["nft", "legacy"] {
        let of = |loose: &str| {
            let sysctl = format!("net.netfilter.nf_conntrack_tcp_loose={loose}");
            let input = ["check", "--sensor", "sensor.toml", "--rules", "synproxy.v4", "--iptables", flavour];
            let ended = scanlab("sessions", &[&input[..], &["--format", "json", "--sysctl", &sysctl]].concat());
            (facts(&ended.report(), "locked-out"), ended.report().to_string())
        };
        let (strict, report) = of("0");
        assert!(has(&strict, "good: an SSH session of 300 segments each way", "IPv4"), "{flavour}: {strict:#?}");
        assert!(!has(&strict, "bad: ", "freezes after"), "{flavour}: {strict:#?}");
        assert!(!strict.iter().any(|fact| fact.contains("accepts established connections")), "{flavour}: {strict:#?}");
        assert!(report.contains("was kept by line 11: ") && !report.contains("was dropped by line 11: "), "{report}");
        let (loose, _) = of("1");
        let refused = "bad: a new SSH connection to port 22 cannot complete its handshake, over IPv4";
        assert!(has(&loose, refused, "synproxy.v4:12: "), "{flavour}: {loose:#?}");
    }
}
