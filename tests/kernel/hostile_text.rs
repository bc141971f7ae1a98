//! No text of a ruleset, a file name or iptables itself can control the reader's terminal. Needs root.

use std::fs;
use std::process::Command;

use crate::support::binary::{Ended, ended, share_the_machine};
use scanlab::text::escape::is_terminal_control;

/// Clears the screen in two ways, changes the direction of writing, and forges a line.
const HOSTILE: &str = "a\u{9b}2Jb\u{1b}[2Jc\u{202e}d\re";

fn scan(rules: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("{HOSTILE}.v4");
    fs::write(folder.path().join(&name), rules).expect("write the rules");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["scan", "--trace", "-p", "79-80", "--rules", &name]).current_dir(folder.path());
    ended(command.output().expect("the program starts"))
}

fn assert_harmless(text: &str) {
    let harmful: Vec<&str> = text.lines().filter(|line| line.contains(is_terminal_control)).collect();
    assert!(harmful.is_empty(), "{harmful:?}");
}

#[test]
fn a_report_shows_hostile_text_as_escapes() {
    let _machine = share_the_machine();
    let log = format!("-A INPUT -p tcp --dport 80 -j LOG --log-prefix \"{HOSTILE} \"");
    let ended = scan(&format!("*filter\n:INPUT ACCEPT [0:0]\n{log}\n-A INPUT -p tcp -j DROP\nCOMMIT\n"));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let shown = r"a\u{9b}2Jb\u{1b}[2Jc\u{202e}d\re";
    // The prefix in the table and in the path; the file's name in the findings.
    assert!(ended.stdout.matches(shown).count() >= 3, "{}", ended.stdout);
    assert_harmless(&ended.stdout);
    assert_harmless(&ended.stderr);
}

#[test]
fn an_error_shows_hostile_text_as_escapes() {
    let _machine = share_the_machine();
    let ended = scan(&format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j \"{HOSTILE}\"\nCOMMIT\n"));
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    assert_harmless(&ended.stderr);
}
