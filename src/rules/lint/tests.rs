use super::*;
use crate::error::Source;
use crate::net::Family;

fn listing(family: Family, rules: &str) -> Listing {
    let name = if family == Family::Ipv4 { "rules.v4" } else { "rules.v6" };
    Listing::parse(family, &Source { name: name.into(), text: format!("*filter\n{rules}\nCOMMIT\n").into() })
}

fn shown(findings: &[LintFinding]) -> String {
    let line = |finding: &LintFinding| {
        let fix = finding.fix.as_ref().map_or(String::new(), |fix| format!("\n  = {fix}"));
        format!("{}:{}: {}: {}{fix}", finding.file.display(), finding.line, finding.rule, finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// All findings in IPv4 rules, except rules that IPv6 lacks and LOG rules without a limit.
fn v4(rules: &str) -> String {
    let v4 = listing(Family::Ipv4, rules);
    let mut findings = lint(Some(&v4), None);
    findings.retain(|finding| finding.rule != FindingKind::NoIpv6 && finding.rule != FindingKind::UnlimitedLog);
    shown(&findings)
}

/// Findings, except LOG rules without a limit.
fn with_limits(mut findings: Vec<LintFinding>) -> String {
    findings.retain(|finding| finding.rule != FindingKind::UnlimitedLog);
    shown(&findings)
}

/// The LOG rules without a limit in IPv4 rules.
fn unlimited(rules: &str) -> String {
    let mut findings = lint(Some(&listing(Family::Ipv4, rules)), None);
    findings.retain(|finding| finding.rule == FindingKind::UnlimitedLog);
    shown(&findings)
}

fn v6(rules: &str) -> String {
    shown(&lint(None, Some(&listing(Family::Ipv6, rules))))
}

#[test]
fn log_prefixes_are_kept_short_and_end_in_a_blank() {
    insta::assert_snapshot!(v4(r#"-A INPUT -p tcp -j LOG --log-prefix "PORTSCAN DETECTED FROM OUTSIDE: " --log-level 7
-A INPUT -j LOG --log-prefix SCAN:
-A INPUT -j LOG --log-prefix "good: "
-A INPUT -j LOG"#), @r#"
    rules.v4:2: prefix-too-long: this log prefix is 32 bytes long, and the kernel keeps 29: `PORTSCAN DETECTED FROM OUTSID`
      = -A INPUT -p tcp -j LOG --log-prefix "PORTSCAN DETECTED FROM OUTSI " --log-level 7
    rules.v4:3: prefix-without-blank: this log prefix has no space at its end: the line begins with `SCAN:IN=`
      = -A INPUT -j LOG --log-prefix "SCAN: "
    "#);
}

#[test]
fn typography_is_found_outside_of_quotes() {
    insta::assert_snapshot!(v4("-A INPUT -p tcp \u{2013}dport\u{a0}22 \u{2014}j ACCEPT
-A INPUT -j LOG --log-prefix \u{201c}x\u{201d}
-A INPUT -j LOG --log-prefix \"\u{201c}x\u{201d} \u{2013} \"
# \u{2013}dport
-A INPUT -ieth0 -j DROP"), @r#"
    rules.v4:2: typography: `–` (U+2013) has no meaning for iptables: it is part of the word
      = -A INPUT -p tcp --dport 22 -j ACCEPT
    rules.v4:3: prefix-without-blank: this log prefix has no space at its end: the line begins with `“x”IN=`
      = -A INPUT -j LOG --log-prefix "“x” "
    rules.v4:3: typography: `“` (U+201C) has no meaning for iptables: it is part of the word
      = -A INPUT -j LOG --log-prefix "x"
    rules.v4:6: glued-interface: iptables reads `-ieth0` as the name of the interface: no packet arrives on it
      = -A INPUT -i eth0 -j DROP
    "#);
}

#[test]
fn chain_declared_twice_after_a_blank_is_reported() {
    insta::assert_snapshot!(v4(": \u{e9}t\u{e9} - [0:0]\n:\u{e9}t\u{e9} -"), @r"
    rules.v4:3: chain-twice: chain été is declared a second time, after line 2: the last policy counts, and a user-defined chain loses its earlier rules
      = delete this line
    ");
}

#[test]
fn interface_names_that_no_interface_has_are_reported() {
    insta::assert_snapshot!(v4("-A INPUT -i eth0:1 -j ACCEPT
-A INPUT ! -i eth0:1 -j ACCEPT
-A OUTPUT -o eth0:1 -j DROP
-A INPUT -i eth* -j DROP
-A OUTPUT ! -o * -j DROP"), @r"
    rules.v4:2: interface-alias: `eth0:1` is an address of `eth0`, not an interface: no packet arrives on it
      = write `-i eth0`, and `-d` with the address of `eth0:1`
    rules.v4:3: interface-alias: `eth0:1` is an address of `eth0`, not an interface: no packet arrives on it
    rules.v4:4: interface-alias: `eth0:1` is an address of `eth0`, not an interface: no packet leaves on it
      = write `-o eth0`, and `-s` with the address of `eth0:1`
    rules.v4:5: interface-wildcard: the `*` of `eth*` is a character to iptables, whose wildcard is `+`: no packet arrives on it
      = -A INPUT -i eth+ -j DROP
    rules.v4:6: interface-wildcard: the `*` of `*` is a character to iptables, whose wildcard is `+`: no packet leaves on it
      = -A OUTPUT ! -o + -j DROP
    ");
    for name in ["eth0", "eth+", "eth0.1", "e*0"] {
        assert_eq!(v4(&format!("-A INPUT -i {name} -j ACCEPT")), "", "{name}");
    }
}

#[test]
fn what_the_moment_decides_is_told() {
    insta::assert_snapshot!(v4("-A INPUT -p tcp --dport 22 -m time --timestart 08:00 -m time --timestop 20:00 -j ACCEPT
-A INPUT -s 192.0.2.1,192.0.2.2 -m quota --quota 1000 -j ACCEPT
-A INPUT -m statistic --mode random --probability 0.5 -j LOG
-A INPUT -m connbytes --connbytes 1000: --connbytes-mode bytes --connbytes-dir both -j DROP
-A INPUT -m limit -j ACCEPT"), @r"
    rules.v4:2: of-the-moment: `-m time`: this rule applies at some times only; the results of a run hold for its moment
    rules.v4:3: of-the-moment: `-m quota`: this rule applies until a number of bytes have passed; the results of a run hold for its moment
    rules.v4:4: of-the-moment: `-m statistic`: chance, or the number of earlier packets, decides whether this rule applies; the results of a run hold for its moment
    rules.v4:5: of-the-moment: `-m connbytes`: the amount of data in the connection so far decides whether this rule applies; the results of a run hold for its moment
    ");
}

#[test]
fn limits_belong_on_log_only_and_behind_all_else() {
    insta::assert_snapshot!(v4("-A INPUT -p tcp -m tcp --dport 22 -m limit --limit 5/min --limit-burst 9 -j DROP
-A INPUT -m limit -j REJECT
-A INPUT -p tcp -m limit --limit 5/min --dport 22 -j LOG
-A INPUT -p tcp --dport 22 -m limit --limit 5/min --sport 1 -m comment --comment x -j LOG"), @r"
    rules.v4:2: limit-on-deny: packet 10 is over the limit and passes this DROP
      = -A INPUT -p tcp -m tcp --dport 22 -j DROP
    rules.v4:3: limit-on-deny: packet 6 is over the limit and passes this REJECT
      = remove `-m limit`
    rules.v4:4: limit-before-match: the limit comes before `--dport 22`: packets that do not match that also use it up
      = write `-m limit` and its options after `--dport 22`, right before `-j`
    ");
}

#[test]
fn xmas_is_three_flags_and_a_syn_opens_every_connection() {
    insta::assert_snapshot!(v4(r#"-A INPUT -p tcp --tcp-flags ALL ALL -j LOG --log-prefix "XMAS: "
-A INPUT -p tcp --syn -m comment --comment "SYN scan" -j DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp --dport 22 -m state --state NEW -j ACCEPT"#), @r#"
    rules.v4:2: xmas-all-flags: `ALL ALL` never matches an Xmas scan: nmap -sX sets FIN, PSH and URG only
      = -A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j LOG --log-prefix "XMAS: "
    rules.v4:3: syn-before-accept: every connection begins with such a packet: this rule denies it before line 5 accepts it
      = move it after line 5, and after all other rules that accept connections
    rules.v4:3: no-loopback: this denies packets from `lo`: the host cannot reach itself
      = -A INPUT -i lo -j ACCEPT, as the first rule
    "#);
}

#[test]
fn all_flags_are_a_fair_rule_beside_one_for_xmas() {
    assert_eq!(
        v4("-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j DROP\n-A INPUT -p tcp --tcp-flags ALL ALL -j DROP"),
        ""
    );
}

#[test]
fn impossible_packets_are_invalid_to_conntrack() {
    insta::assert_snapshot!(v4(r#"-A INPUT -m state --state INVALID -j DROP
-A INPUT -p tcp --tcp-flags ALL NONE -j LOG --log-prefix "NULL: "
-A INPUT -p tcp --tcp-flags ALL FIN -m state --state NEW -j LOG --log-prefix "FIN: ""#), @r#"
    rules.v4:3: scan-after-invalid: this rule never matches: conntrack calls packets with such flags INVALID, and line 2 matches them first
      = move it before line 2
    rules.v4:4: scan-in-other-state: this rule never matches: conntrack calls packets with such flags INVALID, and the rule requires `--state NEW`
      = -A INPUT -p tcp --tcp-flags ALL FIN -j LOG --log-prefix "FIN: "
    "#);
    for rule in [
        // Possible within a connection.
        "-A INPUT -m state --state INVALID -j DROP\n-A INPUT -p tcp --tcp-flags ALL FIN,ACK -j DROP",
        "-A INPUT -p tcp --tcp-flags ALL ACK -m state --state NEW -j DROP",
        // Other packets than those that the first rule decides on.
        "-A INPUT -m state --state INVALID -i wlan0 -j DROP\n-A INPUT -p tcp --tcp-flags ALL NONE -j DROP",
        "-A INPUT -m state --state INVALID -m recent --rcheck -j DROP\n-A INPUT -p tcp --tcp-flags ALL NONE -j DROP",
        "-A INPUT -m state --state INVALID -j LOG\n-A INPUT -p tcp --tcp-flags ALL NONE -j DROP",
        // Exempt from tracking.
        "-A INPUT -p tcp --tcp-flags ALL NONE -m state --state NEW -j DROP\nCOMMIT\n*raw\n-A PREROUTING -j CT --notrack",
    ] {
        assert_eq!(v4(rule), "", "{rule}");
    }
}

#[test]
fn a_log_behind_a_verdict_on_the_same_packets_is_dead() {
    insta::assert_snapshot!(v4(r#"-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -p tcp --dport 22 -m limit --limit 5/min -j LOG --log-prefix "SSH: ""#), @r"
    rules.v4:3: log-after-verdict: no packet reaches this rule: ACCEPT in line 2 comes first for all packets that it could match
      = move it before line 2
    ");
    for rule in [
        "-A INPUT -p tcp --dport 22 -m limit --limit 5/min -j ACCEPT\n-A INPUT -p tcp --dport 22 -j LOG",
        "-A INPUT -m recent --update --seconds 60 -j DROP\n-A INPUT -m recent --update --seconds 60 -j LOG",
        "-A INPUT -p tcp --dport 22 -j scans\n-A INPUT -p tcp --dport 22 -j LOG",
        "-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -p udp --dport 22 -j LOG",
    ] {
        assert!(!v4(rule).contains("log-after-verdict"), "{rule}");
    }
}

#[test]
fn a_default_deny_leaves_loopback_and_established_connections_alone() {
    insta::assert_snapshot!(v4(":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -m state --state NEW -j ACCEPT"), @r"
    rules.v4:2: no-loopback: this denies packets from `lo`: the host cannot reach itself
      = -A INPUT -i lo -j ACCEPT, as the first rule
    rules.v4:2: no-established: this denies answers to the host's own requests, and all but the first packet of each connection
      = -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT, before the rules that deny
    ");
    for rules in [
        // Accepted in a user-defined chain, and denied at the end of it.
        ":INPUT DROP\n:own -\n-A INPUT -j own\n-A own -i lo -j ACCEPT\n-A own -m state --state ESTABLISHED -j ACCEPT\n-A own -j DROP",
        // Cases of doubt.
        ":INPUT DROP\n-A INPUT -m mark --mark 1 -j ACCEPT",
        ":INPUT DROP\n-A INPUT -j elsewhere",
        // Established connections are accepted without conntrack, or over another interface.
        ":INPUT DROP\n-A INPUT -s 127.0.0.0/8 -j ACCEPT\n-A INPUT -p tcp ! --syn -j ACCEPT",
        ":INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -i wlan0 -j ACCEPT",
        ":INPUT ACCEPT\n-A INPUT -i eth0 -j RETURN\n-A INPUT -i lo -j RETURN\n-A INPUT -j DROP",
    ] {
        assert_eq!(v4(rules), "", "{rules}");
    }
}

#[test]
fn a_default_deny_leaves_neighbour_discovery_alone() {
    let rules = ":INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m state --state ESTABLISHED -j ACCEPT";
    insta::assert_snapshot!(v6(&format!("{rules}\n-A INPUT -p icmpv6 --icmpv6-type 135 -j ACCEPT")), @r"
    rules.v6:2: no-neighbours: this denies ICMPv6 133 (router solicitation), 134 (router advertisement), 136 (neighbour advertisement): without neighbour discovery even an accepted port cannot be reached
      = before the rules that deny: -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 133 -j ACCEPT; -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 134 -j ACCEPT; -A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 136 -j ACCEPT
    ");
    assert_eq!(v6(&format!("{rules}\n-A INPUT -p ipv6-icmp -j ACCEPT")), "");
    assert_eq!(v6(&format!("{rules}\n-A INPUT -p ipv6-icmp -m hl --hl-eq 255 -j ACCEPT")), "");
}

#[test]
fn ipv4_alone_leaves_ipv6_open() {
    let v4 = listing(Family::Ipv4, "-A INPUT -p tcp --dport 22 -j DROP");
    insta::assert_snapshot!(shown(&lint(Some(&v4), None)), @r"
    rules.v4:1: no-ipv6: these rules are for IPv4 only, and there are none for IPv6: everything that they deny is accepted over IPv6
      = write the same rules for ip6tables-restore
    ");
    assert_eq!(lint(Some(&listing(Family::Ipv4, ":INPUT ACCEPT")), None), []);
}

#[test]
fn each_rule_has_its_twin() {
    let accept = "-A INPUT -i lo -j ACCEPT\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT";
    let more =
        "-A INPUT -p tcp --dport 80 -j ACCEPT\n-A INPUT -p icmp --icmp-type 8 -j ACCEPT\n-A INPUT -s 10/8 -j ACCEPT";
    let v4 = listing(Family::Ipv4, &format!(":INPUT DROP\n{accept}\n{more}\n-A INPUT -j LOG --log-prefix \"all: \""));
    let v6 = |rules: &str| listing(Family::Ipv6, rules);
    insta::assert_snapshot!(with_limits(lint(Some(&v4), Some(&v6(accept)))), @r#"
    rules.v4:2: no-ipv6-twin: the policy of INPUT is DROP here, and IPv6 has no default deny there
      = :INPUT DROP [0:0], in the ruleset for IPv6
    rules.v4:6: no-ipv6-twin: IPv6 has no such rule
      = -A INPUT -p tcp --dport 80 -j ACCEPT, in the ruleset for IPv6
    rules.v4:7: no-ipv6-twin: IPv6 has no such rule
      = write it for ICMPv6 in the ruleset for IPv6
    rules.v4:9: no-ipv6-twin: IPv6 has no such rule
      = -A INPUT -j LOG --log-prefix "all: ", in the ruleset for IPv6
    "#);
    let wider = v6(&format!(
        "{accept}\n-A INPUT -p tcp -m multiport --dports 80 -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -j LOG --log-prefix \"v6: \"\n-A INPUT -j DROP"
    ));
    assert_eq!(with_limits(lint(Some(&v4), Some(&wider))), "");
}

/// The rulesets of `scenarios/sensor-hardened.toml` with another default deny and another order.
fn generated(deny: &str, order: &str) -> (Listing, Listing) {
    let scenario = include_str!("../../../scenarios/sensor-hardened.toml");
    let keys: String =
        scenario.lines().filter(|line| !line.starts_with("title")).map(|line| format!("{line}\n")).collect();
    let text = keys.replace("\"tcp\"", &format!("{deny:?}")).replace("\"hardened\"", &format!("{order:?}"));
    let source = Source { name: "sensor.toml".into(), text: text.into() };
    let generated = crate::rules::generate::generate(&crate::sensor::SensorFile::parse(source).unwrap().sensor);
    let read =
        |family, name: &str, text: String| Listing::parse(family, &Source { name: name.into(), text: text.into() });
    (read(Family::Ipv4, "rules.v4", generated.v4), read(Family::Ipv6, "rules.v6", generated.v6))
}

#[test]
fn the_hardened_order_is_clean() {
    for deny in ["tcp", "all"] {
        let (v4, v6) = generated(deny, "hardened");
        assert_eq!(shown(&lint(Some(&v4), Some(&v6))), "", "{deny}");
    }
}

#[test]
fn the_articles_order_is_what_the_findings_were_made_from() {
    let (v4, _) = generated("tcp", "article");
    let kinds: std::collections::BTreeSet<String> =
        lint(Some(&v4), None).iter().map(|finding| finding.rule.to_string()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["limit-before-match", "no-ipv6", "no-loopback"]);
}

#[test]
fn a_ruleset_that_works_is_clean() {
    let read =
        |family, name: &str, text: &str| Listing::parse(family, &Source { name: name.into(), text: text.into() });
    let v4 = read(Family::Ipv4, "own.v4", include_str!("../../../scenarios/own-ruleset.v4"));
    let v6 = read(Family::Ipv6, "own.v6", include_str!("../../../scenarios/own-ruleset.v6"));
    assert_eq!(shown(&lint(Some(&v4), Some(&v6))), "");
}

#[test]
fn a_finding_has_one_name_in_text_and_in_json() {
    let v4 = listing(Family::Ipv4, "-A INPUT -j LOG --log-prefix x");
    let findings = lint(Some(&v4), None);
    insta::assert_json_snapshot!(findings.iter().rfind(|finding| finding.rule == FindingKind::PrefixWithoutBlank).unwrap(), @r#"
    {
      "rule": "prefix-without-blank",
      "file": "rules.v4",
      "line": 2,
      "message": "this log prefix has no space at its end: the line begins with `xIN=`",
      "fix": "-A INPUT -j LOG --log-prefix \"x \""
    }
    "#);
}

#[test]
fn chains_that_jump_to_each_other_end() {
    let jumps = |from: usize| format!("-A c{from} -m mark --mark 1 -j c{}\n", from + 1).repeat(20);
    let chains: String = (0..20).map(jumps).collect();
    assert_eq!(v4(&format!(":INPUT DROP\n-A INPUT -j c0\n{chains}")), "");
    assert_eq!(v4(":INPUT DROP\n-A INPUT -j loop\n-A loop -j loop"), "");
}

proptest::proptest! {
    #[test]
    fn no_ruleset_makes_a_check_panic(
        text in "(-A INPUT|-p tcp|-m limit|--limit 5/min|-j LOG|-j DROP|--log-prefix|--tcp-flags ALL (ALL|NONE)|--dport 22|-i(lo| lo)|-s|[\"\u{2013}\u{201c}é\\\\!\n ]|:INPUT DROP\n){0,60}"
    ) {
        let (v4, v6) = (listing(Family::Ipv4, &text), listing(Family::Ipv6, &text));
        let _ = shown(&lint(Some(&v4), Some(&v6)));
    }
}

#[test]
fn a_log_that_nothing_limits_is_found() {
    insta::assert_snapshot!(unlimited("-A INPUT -p tcp --dport 22 -m limit --limit 5/min -j LOG --log-prefix \"SSH: \"\n-A INPUT -p tcp -j LOGS\n-A INPUT -j LOG --log-prefix \"all: \"\n:LOGS -\n-A LOGS -p tcp --dport 80 -j LOG --log-prefix \"web: \""), @r#"
    rules.v4:4: unlimited-log: these lines have no limit: one scan of 1,000 ports writes 1,000 lines
      = -A INPUT -m limit --limit 5/min --limit-burst 5 -j LOG --log-prefix "all: "
    rules.v4:6: unlimited-log: these lines have no limit: 1,000 packets to these ports write 1,000 lines
      = -A LOGS -p tcp --dport 80 -m limit --limit 5/min --limit-burst 5 -j LOG --log-prefix "web: "
    "#);
    for rules in [
        // A jump, or a rule before it, limits the lines.
        ":own -\n-A INPUT -m limit --limit 5/min -j own\n-A own -j LOG",
        "-A INPUT -m recent --name x --update --seconds 60 -j DROP\n-A INPUT -m recent --name x --set -j LOG",
        "-A INPUT -m hashlimit --hashlimit-name x --hashlimit-above 5/min -j DROP\n-A INPUT -j LOG",
        // No scan triggers it.
        "-A INPUT -m state --state INVALID -j DROP\n-A INPUT -p tcp --tcp-flags ALL NONE -j LOG",
        "-A OUTPUT -j LOG",
        "-A INPUT -i lo -j LOG",
        ":own -\n-A own -j LOG",
    ] {
        assert_eq!(unlimited(rules), "", "{rules}");
    }
    for rules in [
        // The limit is on another port.
        "-A INPUT -p tcp --dport 22 -m limit --limit 5/min -j ACCEPT\n-A INPUT -j LOG",
        ":own -\n-A INPUT -m limit --limit 5/min -j own\n-A INPUT -p tcp -j own\n-A own -j LOG",
    ] {
        assert_ne!(unlimited(rules), "", "{rules}");
    }
}
