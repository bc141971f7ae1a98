//! `diff --git REV`: files as they are, and at a revision of their repository. Needs root and git.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::binary::{Ended, ended, share_the_machine};

const BEFORE: &str = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
const AFTER: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
const SCANLAB: &str = env!("CARGO_BIN_EXE_scanlab");

fn git(folder: &Path, words: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]);
    // The files of the user who runs the tests play no part.
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = git.args(words).current_dir(folder).output().expect("git (hint: .ci/setup tests installs it)");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with these files, committed as [`BEFORE`] and then changed to [`AFTER`].
fn repository(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    git(folder.path(), &["init", "--quiet"]);
    let write = |text: &str| {
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
    };
    write(BEFORE);
    git(folder.path(), &["add", "--all"]);
    git(folder.path(), &["commit", "--quiet", "--message=before"]);
    write(AFTER);
    folder
}

fn diff(folder: &Path, words: &[&str]) -> Ended {
    let _shared = share_the_machine();
    let mut command = Command::new(SCANLAB);
    ended(command.arg("diff").args(words).current_dir(folder).output().expect("it starts"))
}

#[test]
fn files_and_folders_are_compared_with_their_revision() {
    let folder = repository(&["firewall/rules.v4", "firewall/rules.v6"]);
    let both = ["ipv4", "ipv6"].map(|family| format!("22/tcp from filtered to open ({family}: syn, connect)"));
    for (from, words, families) in [
        ("", &["--git", "HEAD", "firewall"][..], 2),
        ("", &["--git=main", "firewall/rules.v4", "firewall/rules.v6"], 2),
        ("firewall", &["--git", "HEAD~0", "rules.v4"], 1),
    ] {
        let ended = diff(&folder.path().join(from), words);
        assert_eq!(ended.status, Some(1), "{words:?}: {}", ended.stderr);
        for (number, change) in both.iter().enumerate() {
            assert_eq!(ended.stdout.contains(change), number < families, "{words:?} {change}: {}", ended.stdout);
        }
    }
    let same = diff(folder.path(), &["--git", "HEAD", "firewall/rules.v4"]).stdout;
    assert!(same.contains("dropped by HEAD:firewall/rules.v4:2 -> accepted by firewall/rules.v4:3"), "{same}");
    git(folder.path(), &["commit", "--quiet", "--all", "--message=after"]);
    assert_eq!(diff(folder.path(), &["--git", "HEAD", "firewall"]).status, Some(0));
    assert_eq!(diff(folder.path(), &["--git", "HEAD~1", "firewall"]).status, Some(1));
}

/// Names that are options, patterns or several lines to a program that is careless.
#[test]
fn hostile_names_of_files_are_names() {
    let names = ["--output=x.v4", ":(glob)*.v4", "a\nb.v4", "*.v4", "HEAD:c.v4"];
    let folder = repository(&names);
    for name in names {
        let ended = diff(folder.path(), &["--git", "HEAD", &format!("./{name}"), "--format", "json"]);
        assert_eq!(ended.status, Some(1), "{name:?}: {}", ended.stderr);
        assert_eq!(ended.report()["diff"]["sides"][0], format!("HEAD:./{name}"));
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), names.len() + 1, "nothing was written");
}

#[test]
fn what_cannot_be_compared_is_bad_input_with_a_hint() {
    let folder = repository(&["rules.v4"]);
    let (alone, inside) = (tempfile::tempdir().expect("a folder"), folder.path());
    fs::write(alone.path().join("rules.v4"), AFTER).expect("a file");
    symlink("rules.v4", inside.join("link.v4")).expect("a link");
    git(inside, &["add", "link.v4"]);
    git(inside, &["commit", "--quiet", "--message=link"]);
    fs::write(inside.join("new.v4"), AFTER).expect("a file");
    fs::create_dir(inside.join("empty")).expect("a folder");
    let mut all = String::new();
    for (folder, words) in [
        (alone.path(), &["--git", "HEAD", "rules.v4"][..]),
        (inside, &["--git", "nope", "rules.v4"]),
        (inside, &["--git=--output=x", "rules.v4"]),
        (inside, &["--git", "", "rules.v4"]),
        (inside, &["--git", "HEAD:rules.v4", "rules.v4"]),
        (inside, &["--git", "HEAD..HEAD", "rules.v4"]),
        (inside, &["--git", "HEAD", "new.v4"]),
        (inside, &["--git", "HEAD", "link.v4"]),
        (inside, &["--git", "HEAD", "empty"]),
        (inside, &["--git", "HEAD", "rules.v4", "./rules.v4"]),
        (inside, &["--git", "HEAD", "gone.v4"]),
        (inside, &["--git", "HEAD", "rules.v4", "--v6", "a", "b"]),
        (inside, &["rules.v4"]),
    ] {
        let ended = diff(folder, words);
        assert_eq!((ended.status, &*ended.stdout), (Some(2), ""), "{words:?}: {}", ended.stderr);
        all += &format!("$ scanlab diff {}\n{}\n", words.join(" "), ended.stderr);
    }
    insta::assert_snapshot!(all);
}

#[test]
fn missing_git_is_reported_and_nothing_else_needs_it() {
    let folder = repository(&["rules.v4"]);
    let without_git = |words: &str| {
        let _shared = share_the_machine();
        // In a mount namespace of its own; iptables is in /usr/sbin.
        let script = format!(
            "mount -t tmpfs none /usr/local/bin && mount -t tmpfs none /usr/bin && exec \"$0\" diff {words} rules.v4"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "/bin/sh", "-c", &script, SCANLAB]).current_dir(folder.path());
        ended(command.output().expect("unshare"))
    };
    let missing = without_git("--git HEAD");
    assert_eq!(missing.status, Some(3), "{}", missing.stderr);
    assert!(missing.stderr.contains("git is not installed (hint: `apt-get install git`)"), "{}", missing.stderr);
    assert_eq!(without_git("rules.v4").status, Some(0));
}

/// The repository of another user, whose configuration makes git run programs in the name of whoever asks.
#[test]
fn programs_that_a_repository_names_do_not_run() {
    let folder = repository(&["rules.v4"]);
    let trap = |name: &str| format!("touch {}/{name}-ran; cat \"$1\" #", folder.path().display());
    for (key, name) in [("diff.trap.textconv", "textconv"), ("core.fsmonitor", "fsmonitor"), ("core.pager", "pager")] {
        git(folder.path(), &["config", key, &trap(name)]);
    }
    fs::write(folder.path().join(".gitattributes"), "*.v4 diff=trap\n").expect("a file");
    let owner = |user: &str| {
        let changed = Command::new("chown").args(["--recursive", user]).arg(folder.path()).status();
        assert!(changed.expect("chown").success());
    };
    let ran = || folder.path().join("textconv-ran").exists() || folder.path().join("fsmonitor-ran").exists();
    owner("65534:65534");
    let ended = diff(folder.path(), &["--git", "HEAD", "rules.v4"]);
    assert_eq!((ended.status, ran()), (Some(1), false), "{}", ended.stderr);
    // A planted fault: other commands run them.
    owner("0:0");
    git(folder.path(), &["show", "--textconv", "HEAD:rules.v4"]);
    assert!(ran());
}
