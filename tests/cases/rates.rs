//! The rate at which a rule logs: it follows from the limits on the path to the rule, or the check did not run.

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
    let ended = scanlab("rates", &["run", "hashlimit-other-burst.toml"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stdout);
    let right = "+-A INPUT -m hashlimit --hashlimit-name scan --hashlimit-mode srcip --hashlimit-upto 5/min \
                 --hashlimit-burst 5 -j LOG";
    assert!(ended.stdout.contains(right), "{}", ended.stdout);
    assert!(!ended.stdout.contains("-m limit"), "{}", ended.stdout);
}
