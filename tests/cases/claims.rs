//! Claims that something never happens, each withdrawn where a packet shows that it does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::binary::{Ended, ended, share_the_machine};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/claims").join(name)
}

fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder(name)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|one| one == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has cases");
    files
}

fn scanlab(arguments: &[&str]) -> Ended {
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    ended(Command::new(env!("CARGO_BIN_EXE_scanlab")).args(arguments).output().expect("the program starts"))
}

fn findings(rules: &Path) -> Value {
    let rules = rules.to_str().expect("a name");
    scanlab(&["scan", "--rules", rules, "-sS", "-p", "22", "--trace", "--format", "json"]).report()["findings"].clone()
}

fn dead(findings: &Value) -> Vec<u64> {
    findings["unreachable"].as_array().expect("a list").iter().filter_map(|one| one["line"].as_u64()).collect()
}

#[test]
fn a_rule_that_a_packet_reaches_is_never_called_dead() {
    let _machine = share_the_machine();
    for rules in files("alive", "v4") {
        let findings = findings(&rules);
        assert_eq!(dead(&findings), [0; 0], "{}: {findings:#}", rules.display());
    }
}

/// Planted: what is before a dead rule gets a match that no sweep varies, and the claim is withdrawn with its name.
#[test]
fn dead_is_withdrawn_where_a_rule_before_asks_for_what_no_sweep_varies() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let told = |before: &str| {
        let rules = folder.path().join("rules.v4");
        let text =
            format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp {before}-j DROP\n-A INPUT -p tcp -j LOG\nCOMMIT\n");
        fs::write(&rules, text).expect("write the rules");
        findings(&rules)
    };
    assert_eq!(dead(&told("")), [4]);
    for asked in ["-m ttl --ttl-gt 10", "-m length --length 0:200", "-m u32 --u32 0>>28=4", "-m tos ! --tos 8"] {
        let findings = told(&format!("{asked} "));
        assert_eq!(dead(&findings), [0; 0], "{asked}");
        let reasons = findings["not_provable"].to_string();
        let module = asked.split(' ').nth(1).expect("a module");
        assert!(reasons.contains(&format!("-m {module}")) && reasons.contains("line 3"), "{asked}: {reasons}");
    }
}
