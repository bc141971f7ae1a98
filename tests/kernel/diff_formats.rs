//! `diff` in the formats for CI. Needs root.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::support::binary::{Ended, ended, share_the_machine};

const BEFORE: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 80 -j LOG --log-prefix \"a|b\"\nCOMMIT\n";
const AFTER: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 80 -j LOG --log-prefix \"a|c\"\n\
                     -A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";

fn scanlab(folder: &TempDir, words: &[&str]) -> Ended {
    let _shared = share_the_machine();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    ended(command.args(words).current_dir(folder.path()).output().expect("it starts"))
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("before.v4", BEFORE), ("after.v4", AFTER)] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

#[test]
fn changes_of_ports_are_named_in_every_format() {
    let folder = folder();
    let [table, markdown, github, json] = ["table", "markdown", "github", "json"].map(|format| {
        let ended = scanlab(&folder, &["diff", "before.v4", "after.v4", "--format", format]);
        assert_eq!(ended.status, Some(1), "{format}: {}", ended.stderr);
        ended.stdout
    });
    assert!(table.contains("\n  22/tcp from filtered to open (ipv4: syn, connect)\n"), "{table}");
    assert!(github.starts_with("::warning file=after.v4,line=4,title=22/tcp from filtered to open::"), "{github}");
    assert!(json.contains("    \"22/tcp from filtered to open (ipv4: syn, connect)\",\n"), "{json}");
    insta::assert_snapshot!(markdown + "\n" + &github);
}

#[test]
fn equal_rulesets_have_no_annotation() {
    let folder = folder();
    let ended = scanlab(&folder, &["diff", "after.v4", "after.v4", "--format", "github"]);
    assert_eq!((ended.status, &*ended.stdout), (Some(0), ""), "{}", ended.stderr);
    let ended = scanlab(&folder, &["diff", "after.v4", "after.v4", "--format", "markdown"]);
    assert!(ended.stdout.starts_with("# From after.v4 to after.v4\n\nno difference: "), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 3, "{}", ended.stdout);
}
