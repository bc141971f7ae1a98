//! `diff` of rulesets with limits: each probe meets fresh limits, whether they are renewed for it or made larger once for
//! all probes. Needs root.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::binary::{ended, share_the_machine};

/// The differences that scans see between two lists of rules.
fn scans(rules: [&str; 2], flavour: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, rules) in ["before", "after"].into_iter().zip(rules) {
        let text = format!("*filter\n:INPUT DROP [0:0]\n:shared - [0:0]\n{rules}COMMIT\n");
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["diff", "before", "after", "--iptables", flavour, "--format", "json"]).current_dir(folder.path());
    let ended = ended(command.output().expect("it starts"));
    assert_eq!(ended.status, Some(1), "{flavour}: {}", ended.stderr);
    ended.report()["diff"]["scans"].clone()
}

/// One rule logs, one accepts; the other side has another prefix and another port.
fn limited(burst: u32, prefix: &str, port: u16, more: &str) -> String {
    let rule = |port: u16, target: &str| {
        format!("-A INPUT -p tcp --dport {port} -m limit --limit 1/hour --limit-burst {burst} -j {target}\n")
    };
    rule(22, &format!("LOG --log-prefix \"{prefix} \"")) + &rule(22, "ACCEPT") + &rule(port, "ACCEPT") + more
}

/// Limits of one packet are used up by a handshake, and a quota cannot be made larger: both are renewed.
#[test]
fn scans_with_renewed_and_with_larger_limits_see_the_same_differences() {
    let _shared = share_the_machine();
    let with = |flavour: &str, burst: u32, more: &str| {
        let sides = [limited(burst, "a", 23, more), limited(burst, "b", 24, more)];
        scans(sides.each_ref().map(String::as_str), flavour).to_string().replace("--limit-burst 1 ", "--limit-burst 5 ")
    };
    let larger = with("nft", 5, "");
    assert_eq!(larger.matches("\"scans\":").count(), 12, "{larger}");
    assert_eq!(with("nft", 5, "-A FORWARD -m quota --quota 1000 -j DROP\n"), larger, "quota");
    assert_eq!(with("legacy", 5, ""), larger, "legacy");
    assert_eq!(with("legacy", 1, ""), larger, "a burst of 1");
}

/// A limit that is larger than the packets of a probe, which meet it five times each.
#[test]
fn limit_that_one_packet_uses_up_is_seen_by_scans() {
    let _shared = share_the_machine();
    let shared = |burst: u32| {
        let limit = format!("-A shared -m limit --limit 1/hour --limit-burst {burst} -j RETURN\n-A shared -j DROP\n");
        "-A INPUT -p tcp --dport 22 -j shared\n".repeat(5) + "-A INPUT -p tcp --dport 22 -j ACCEPT\n" + &limit
    };
    let sides = [5, 4].map(shared);
    let found = scans(sides.each_ref().map(String::as_str), "nft");
    let scan = found.as_array().expect("scans").iter().find(|one| one["scans"][0] == "syn").expect("a difference");
    assert_eq!([&scan["before"]["state"], &scan["after"]["state"]], ["open", "filtered"], "{found}");
}

/// One packet meets a limit twice: what the probe before used of it must not be seen.
#[test]
fn limit_that_each_packet_meets_twice_is_fresh_for_each_probe() {
    let _shared = share_the_machine();
    let shared = |burst: u32| {
        let limit = format!("-A shared -m limit --limit 1/hour --limit-burst {burst} -j RETURN\n-A shared -j DROP\n");
        let known = "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n";
        known.to_owned() + &"-A INPUT -p tcp -j shared\n".repeat(2) + "-A INPUT -p tcp --dport 22 -j ACCEPT\n" + &limit
    };
    let sides = [8, 4].map(shared);
    assert_eq!(scans(sides.each_ref().map(String::as_str), "nft"), serde_json::json!([]));
}
