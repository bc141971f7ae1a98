//! Sysctls of the host that decide on packets: set in a scenario or on the command line, and reported with their
//! effects.

use super::scanlab;

const LOOSE: &str = "net.netfilter.nf_conntrack_tcp_loose";

#[test]
fn a_scenario_with_a_strict_conntrack_reports_what_it_decides() {
    let ended = scanlab("sysctls", &["run", "strict.toml", "--format", "json"]);
    let report = ended.report();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert_eq!(report["environment"]["sysctls"][LOOSE], "0");
    let set = report["environment"]["set_sysctls"].as_array().unwrap();
    let loose = set.iter().find(|one| one["name"] == LOOSE).unwrap();
    assert_eq!((&loose["usual"], &loose["decides"]), (&"1".into(), &serde_json::json!(["ipv4 ack 22"])));
    let echo = set.iter().find(|one| one["name"] == "net.ipv4.icmp_echo_ignore_all").unwrap();
    assert_eq!(echo["decides"], serde_json::json!([]));
}

#[test]
fn the_command_line_has_the_last_word() {
    let set = format!("{LOOSE}=1");
    let ended = scanlab("sysctls", &["run", "strict.toml", "--format", "json", "--sysctl", &set]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert_eq!(ended.report()["environment"]["sysctls"][LOOSE], "1");
}

#[test]
fn a_sysctl_that_reaches_the_machine_is_refused() {
    for wrong in
        ["net.netfilter.nf_log_all_netns=1", "net.ipv4.conf.all.log_martians=1", "kernel.panic=1", "net.ipv4.tcp_ecn"]
    {
        let ended = scanlab("sysctls", &["scan", "--rules", "rules.v4", "--sysctl", wrong]);
        assert_eq!(ended.status, Some(2), "{wrong}: {}", ended.stderr);
    }
    let missing = scanlab("sysctls", &["scan", "--rules", "rules.v4", "--sysctl", "net.ipv4.conf.wlan7.rp_filter=1"]);
    assert_eq!(missing.status, Some(3), "{}", missing.stderr);
}

#[test]
fn a_syn_proxy_under_its_sysctl_serves_and_without_it_does_not() {
    let connect = |options: &[&str]| {
        let ended = scanlab("synproxy", &[&["run", "w.toml", "--format", "json"], options].concat());
        let report = ended.report();
        let checks = report["scenarios"][0]["checks"].as_array().unwrap().clone();
        let is_it = |check: &&serde_json::Value| check["scan"] == "connect" && check["port"] == 22;
        checks.iter().find(is_it).unwrap()["outcome"].clone()
    };
    assert_eq!(connect(&["--sysctl", "net.netfilter.nf_conntrack_tcp_loose=0"]), "matched");
    assert_ne!(connect(&[]), "matched");
}

#[test]
fn a_sysctl_that_blinds_the_arp_probe_is_refused() {
    let ended = scanlab("sysctls", &["run", "strict.toml", "--sysctl", "net.ipv4.conf.all.arp_ignore=8"]);
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("net.ipv4.conf.all.arp_ignore = 8"), "{}", ended.stderr);
}
