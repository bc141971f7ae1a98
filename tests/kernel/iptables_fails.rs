//! Failures of iptables: if programs in its place die, lie or hang, the exit status is 3, and no ruleset is blamed.
//! Needs root, see `.ci/setup tests`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::binary::{Ended, ended, share_the_machine};

const RULES: &str = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 80 -j DROP\nCOMMIT\n";

/// The version that a working iptables prints.
const VERSION: &str = "case $1 in --version) echo 'iptables-restore v1.8.9 (nf_tables)'; exit;; esac";

/// Runs `scanlab` with `body` in place of iptables-restore.
fn with_fake(folder: &Path, body: &str, arguments: &[&str]) -> Command {
    for name in ["iptables-restore", "ip6tables-restore"] {
        let program = folder.join(name);
        fs::write(&program, format!("#!/bin/sh\n{body}\n")).expect("write the program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("make it a program");
    }
    fs::write(folder.join("rules.v4"), RULES).expect("write the rules");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(arguments).env("PATH", folder).current_dir(folder);
    command
}

fn scan(body: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["scan", "-p", "80", "--rules", "rules.v4"];
    ended(with_fake(folder.path(), body, &arguments).output().expect("the program starts"))
}

fn assert_not_measured(body: &str, why: &str) {
    let ended = scan(body);
    assert_eq!(ended.status, Some(3), "{body}: {}", ended.stderr);
    assert!(ended.stderr.contains(why), "{body}: {}", ended.stderr);
    assert!(!ended.stderr.contains("refuses this ruleset"), "{body}: {}", ended.stderr);
}

#[test]
fn iptables_that_is_killed_blames_no_ruleset() {
    let _machine = share_the_machine();
    assert_not_measured(&format!("{VERSION}\nulimit -t 1; while :; do :; done"), "it was killed by SIG");
}

#[test]
fn iptables_that_prints_garbage_blames_no_ruleset() {
    let _machine = share_the_machine();
    for body in
        ["echo garbage >&2; exit 1", "exit 2", "echo 'Another app is currently holding the xtables lock.' >&2; exit 4"]
    {
        assert_not_measured(&format!("{VERSION}\n{body}"), "failed, whatever the ruleset says");
    }
}

#[test]
fn iptables_that_loads_nothing_is_noticed() {
    let _machine = share_the_machine();
    for body in ["exit 0", "while read line; do :; done; exit 0"] {
        assert_not_measured(&format!("{VERSION}\n{body}"), "the kernel has no rule in chain INPUT of table filter");
    }
}

#[test]
fn iptables_without_a_version_is_an_error() {
    let _machine = share_the_machine();
    for body in
        ["exit 1", "exit 0", "echo 'usage: iptables-restore'", "echo 'iptables-restore v1.8.9 (legacy)'; exit 1"]
    {
        assert_not_measured(body, "names no version");
    }
}

#[test]
fn a_line_that_is_refused_is_the_rulesets_fault() {
    let _machine = share_the_machine();
    let ended = scan(&format!("{VERSION}\necho 'iptables-restore: line 3 failed' >&2; exit 1"));
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("rules.v4:3"), "{}", ended.stderr);
}

#[test]
fn mutants_are_not_killed_by_a_failing_iptables() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let output = with_fake(folder.path(), &format!("{VERSION}\nexit 9"), &["mutate"]).output().expect("it starts");
    let ended = ended(output);
    assert_ne!(ended.status, Some(0), "{}", ended.stdout);
    assert!(!ended.stdout.contains("killed"), "{}", ended.stdout);
}

/// Processes that run the program in `folder`.
fn running(folder: &Path) -> usize {
    let processes = fs::read_dir("/proc").expect("procfs").filter_map(Result::ok);
    let of_folder = processes.filter(|process| {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(&folder.join("iptables-restore").display().to_string())
    });
    of_folder.count()
}

#[test]
fn a_kill_of_scanlab_leaves_no_iptables() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let body = format!("{VERSION}\nwhile :; do :; done");
    let mut command = with_fake(folder.path(), &body, &["scan", "-p", "80", "--rules", "rules.v4"]);
    let mut scanlab = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    wait_until(|| running(folder.path()) > 0, "iptables-restore runs");
    scanlab.kill().expect("kill -9");
    scanlab.wait().expect("it is gone");
    wait_until(|| running(folder.path()) == 0, "iptables-restore is gone");
}

fn wait_until(condition: impl Fn() -> bool, what: &str) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(5), "not so: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
