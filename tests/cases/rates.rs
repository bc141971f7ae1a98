//! The rate at which a rule logs: it follows from the limits on the path to the rule, or the check did not run.

use std::fs;

use super::scanlab;

/// The exit status, and the outcome of each burst, the same with nf_tables and x_tables.
fn bursts(scenario: &str) -> (Option<i32>, Vec<String>) {
    let [nft, legacy] = ["nft", "legacy"].map(|flavour| {
        let ended = scanlab("rates", &["run", scenario, "--iptables", flavour, "--format", "json"]);
        let report = ended.report();
        let checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
        let of_bursts = checks.filter(|check| !check["burst_of"].is_null());
        (ended.status, of_bursts.map(|check| check["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(nft, legacy, "{scenario}");
    nft
}

#[track_caller]
fn assert_all(scenario: &str, status: i32, outcome: &str) {
    // The lists are empty at the beginning of each burst, so all four have the same outcome.
    assert_eq!(bursts(scenario), (Some(status), vec![outcome.to_owned(); 4]), "{scenario}");
}

#[test]
fn a_hashlimit_of_that_rate_is_as_expected_in_every_burst() {
    assert_all("hashlimit.toml", 0, "matched");
}

#[test]
fn a_hashlimit_of_another_rate_is_a_mismatch() {
    assert_all("hashlimit-other-rate.toml", 1, "mismatched");
}

#[test]
fn a_hashlimit_for_each_source_port_is_a_mismatch() {
    assert_all("hashlimit-per-flow.toml", 1, "mismatched");
}

#[test]
fn a_limit_on_the_jump_to_the_log_rule_is_that_of_the_line() {
    assert_all("jump.toml", 0, "matched");
}

#[test]
fn rate_of_a_match_that_is_not_understood_is_not_run() {
    for scenario in ["recent.toml", "recent-on-log.toml", "quota.toml", "hashlimit-above.toml"] {
        assert_all(scenario, 3, "not-run");
    }
}

#[test]
fn a_log_rule_without_any_limit_is_a_mismatch() {
    assert_all("none.toml", 1, "mismatched");
}

#[test]
fn a_hashlimit_of_another_burst_gets_the_right_burst_and_no_second_limit() {
    let ended = scanlab("rates", &["run", "hashlimit-other-burst.toml", "--verbose"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stdout);
    let right = "+-A INPUT -m hashlimit --hashlimit-name scan --hashlimit-mode srcip --hashlimit-upto 5/min \
                 --hashlimit-burst 5 -j LOG";
    assert!(ended.stdout.contains(right), "{}", ended.stdout);
    assert!(!ended.stdout.contains("-m limit"), "{}", ended.stdout);
}

/// Exit status, outcome, reason and explanation of 20 SYNs that these rules should log with 5 lines, and then 5/min.
fn five_a_minute(flavour: &str, rules: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("write a file");
    let chains = ":INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:SUB - [0:0]";
    write("rules.v4", format!("*filter\n{chains}\n{rules}\nCOMMIT\n"));
    let row = "scan = \"syn\"\nports = 80\nfamily = \"ipv4\"\nlog = \"x \"\nrate = \"5/min\"";
    write("want.toml", format!("title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n[[expect]]\n{row}\n"));
    let scenario = folder.path().join("want.toml");
    let scenario = scenario.to_str().expect("a name");
    let ended = scanlab("rates", &["run", scenario, "--iptables", flavour, "--format", "json"]);
    let report = ended.report();
    let mut checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
    let burst = checks.find(|check| !check["burst_of"].is_null()).expect("a burst");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let why = format!("{}; {}", word(&burst["why"]), word(&burst["explanation"]["words"]));
    (ended.status, word(&burst["outcome"]), why)
}

const HASH: &str = "-m hashlimit --hashlimit-mode srcip --hashlimit-burst 5 --hashlimit-name";

/// Runs both flavours, which must agree, and checks outcome and words.
#[track_caller]
fn assert_judged(rules: &str, outcome: &str, words: &[&str]) {
    let status = match outcome {
        "matched" => 0,
        "mismatched" => 1,
        _ => 3,
    };
    for flavour in ["nft", "legacy"] {
        let (found, observed, why) = five_a_minute(flavour, rules);
        assert_eq!((found, observed.as_str()), (Some(status), outcome), "{flavour}\n{rules}\n{why}");
        for words in words {
            assert!(why.contains(words), "{flavour}\n{rules}\n{why}");
        }
    }
}

#[test]
fn slowest_of_all_limits_of_a_rule_decides() {
    let syn = "-A INPUT -p tcp --syn";
    let log = "-j LOG --log-prefix \"x \"";
    for (limits, decides) in [
        ("-m limit --limit 5/min --limit-burst 8 -m limit --limit 2/min --limit-burst 5", "2 per minute, burst 5"),
        ("-m limit --limit 5/min --limit-burst 5 -m limit --limit 1/hour --limit-burst 5", "1 per hour, burst 5"),
        (&format!("{HASH} a --hashlimit-upto 5/min {HASH} b --hashlimit-upto 1/hour"), "1 per hour, burst 5"),
        (&format!("-m limit --limit 5/min {HASH} b --hashlimit-upto 1/hour"), "1 per hour, burst 5"),
    ] {
        assert_judged(&format!("{syn} {limits} {log}"), "mismatched", &["at another rate", decides]);
    }
    let faster = "-m limit --limit 9/min --limit-burst 8 -m limit --limit 5/min --limit-burst 5";
    assert_judged(&format!("{syn} {faster} {log}"), "matched", &[]);
}

#[test]
fn slower_limit_on_the_jump_is_named() {
    let rules = "-A INPUT -p tcp --syn -m limit --limit 2/min -j SUB\n\
                 -A SUB -m limit --limit 5/min -j LOG --log-prefix \"x \"";
    assert_judged(rules, "mismatched", &["rules.v4:6, which jumps there, is 2 per minute, burst 5"]);
}

#[test]
fn rate_of_several_rules_or_jumps_with_one_prefix_is_not_run() {
    let limit = |burst: u32| format!("-A INPUT -p tcp --syn -m limit --limit 5/min --limit-burst {burst} -j");
    let log = "LOG --log-prefix \"x \"";
    let rules = format!("{} {log}\n{} {log}", limit(3), limit(2));
    assert_judged(&rules, "not-run", &["line 6 and line 7"]);
    let jumps = format!("{} SUB\n{} SUB\n-A SUB -j {log}", limit(3), limit(2));
    assert_judged(&jumps, "not-run", &["line 6 and line 7"]);
    let one_limit = format!("-A INPUT -p tcp -j SUB\n-A INPUT -p tcp -j SUB\n-A SUB -m limit --limit 5/min -j {log}");
    assert_judged(&one_limit, "matched", &[]);
}

#[test]
fn lines_of_two_rules_are_counted_for_each_of_them() {
    let rules = "-A INPUT -p tcp --syn -m limit --limit 5/min -j LOG --log-prefix \"x \"\n\
                 -A INPUT -p tcp --syn -m limit --limit 3/min --limit-burst 20 -j LOG --log-prefix \"x \"";
    let words = ["rules.v4:6 logs 5 packets of the burst", "rules.v4:7 logs 20: 5 lines were expected"];
    assert_judged(rules, "mismatched", &words);
}

#[test]
fn rate_is_not_run_if_an_earlier_rule_that_remembers_decides() {
    let log = "-m limit --limit 5/min -j LOG --log-prefix \"x \"";
    let flood = format!("-A INPUT -p tcp --syn -j SUB\n-A INPUT -p tcp --syn {log}");
    for (rules, line) in [
        (format!("-A INPUT -m limit --limit 1/min -j MARK --set-mark 1\n-A INPUT -m mark --mark 1 {log}"), "line 6"),
        (format!("{flood}\n-A SUB {HASH} f --hashlimit-above 1/hour -j DROP"), "line 8"),
        (format!("{flood}\n-A SUB -m limit --limit 1/hour -j RETURN\n-A SUB -j DROP"), "line 8"),
        (format!("-A INPUT -p tcp -m limit --limit 1/min --limit-burst 15 -j ACCEPT\n-A INPUT -p tcp {log}"), "line 6"),
    ] {
        assert_judged(&rules, "not-run", &[line, "before the rule that logs"]);
    }
}

#[test]
fn earlier_rules_that_treat_all_packets_alike_do_not_decide() {
    let log = "-m limit --limit 5/min -j LOG --log-prefix \"x \"";
    let flood = format!("-A INPUT -p tcp --syn -j SUB\n-A INPUT -p tcp --syn {log}");
    let returns = "-A SUB -m limit --limit 100/s --limit-burst 100 -j RETURN\n-A SUB -j DROP";
    assert_judged(&format!("{flood}\n{returns}"), "matched", &[]);
    assert_judged(&format!("-A INPUT -p tcp -j MARK --set-mark 1\n-A INPUT -m mark --mark 1 {log}"), "matched", &[]);
}

#[test]
fn rate_of_a_rule_that_logs_the_answer_is_read() {
    let answers =
        |rate: &str| format!("-A INPUT -j ACCEPT\n-A OUTPUT -p tcp -m limit --limit {rate} -j LOG --log-prefix \"x \"");
    assert_judged(&answers("5/min"), "matched", &[]);
    assert_judged(&answers("2/min"), "mismatched", &["rules.v4:7 should log at 5/min: its limit is 2 per minute"]);
}
