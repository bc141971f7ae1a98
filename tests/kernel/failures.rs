//! Bad input of one scenario: the others run, and every report has the error at its place.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::binary::{Ended, ended, share_the_machine};

const RULES: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
const GOOD: &str = "title = \"22 only\"\n[ruleset]\nv4 = \"good.v4\"\n[[expect]]\nscan = \"syn\"\nports = 23\n\
                    family = \"ipv4\"\nstate = \"filtered\"\n";
const FORMATS: [&str; 7] = ["json", "junit", "sarif", "github", "markdown", "tap", "html"];

/// A folder with a good scenario, one whose rules iptables refuses, one whose rules are missing, and one with a bad key.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    write("good.v4", RULES);
    write("good.toml", GOOD);
    write("refused.v4", &RULES.replace("--dport 22", "--dport ssssh"));
    write("refused.toml", &GOOD.replace("good.v4", "refused.v4"));
    write("missing.toml", &GOOD.replace("good.v4", "missing.v4"));
    write("key.toml", &GOOD.replace("title", "titel"));
    folder
}

fn scanlab(folder: &Path, words: &[&str]) -> Ended {
    let _shared = share_the_machine();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    let files = FORMATS.map(|format| format!("--report={format}={format}.out"));
    ended(command.args(words).args(files).current_dir(folder).output().expect("it starts"))
}

fn report(folder: &Path, format: &str) -> String {
    fs::read_to_string(folder.join(format!("{format}.out"))).expect("every format has its file")
}

#[test]
fn bad_input_of_scenarios_leaves_the_others_running_and_is_in_every_report() {
    let folder = folder();
    let ended = scanlab(folder.path(), &["run", "."]);
    assert_eq!(ended.status, Some(2), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&report(folder.path(), "json")).expect("JSON");
    let scenarios = found["scenarios"].as_array().expect("scenarios").iter();
    let outcomes: Vec<_> = scenarios.map(|one| (one["file"].as_str(), one["outcome"].as_str())).collect();
    assert_eq!(outcomes, [(Some("./good.toml"), Some("matched"))]);
    let errors = found["errors"].as_array().expect("errors");
    let places: Vec<_> = errors.iter().map(|error| (error["file"].as_str(), error["line"].as_u64())).collect();
    assert_eq!(
        places,
        [(Some("./key.toml"), Some(1)), (Some("./missing.toml"), Some(3)), (Some("./refused.v4"), Some(3))],
        "{errors:#?}"
    );
    for error in errors {
        let message = error["message"].as_str().expect("a message");
        assert!(ended.stderr.contains(message), "{message}: {}", ended.stderr);
        assert_in_every_report(folder.path(), message);
    }
    assert!(
        report(folder.path(), "github").contains("file=./refused.v4,line=3,"),
        "{}",
        report(folder.path(), "github")
    );
    assert!(report(folder.path(), "junit").contains("errors=\"3\""), "{}", report(folder.path(), "junit"));
    let sarif: Value = serde_json::from_str(&report(folder.path(), "sarif")).expect("JSON");
    let notifications = &sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"];
    assert_eq!(notifications.as_array().map(Vec::len), Some(3), "{sarif:#}");
}

/// Checks that every report has the start of the message, which no format escapes.
fn assert_in_every_report(folder: &Path, message: &str) {
    let start = message.split(['`', '_', '"', '\'', '/', '.']).next().expect("a start");
    for format in FORMATS {
        assert!(report(folder, format).contains(start), "{format}: {start}: {}", report(folder, format));
    }
}

#[test]
fn error_that_ends_a_command_is_in_every_report() {
    let folder = folder();
    fs::write(folder.path().join("sensor.toml"), "[sensor]\nssh = 0\n").expect("a file");
    for words in [
        &["run", "nothing.toml"][..],
        &["run", "good.toml", "--filter", "nothing"],
        &["check", "--sensor", "sensor.toml"],
        &["check", "--sensor", "nothing.toml"],
    ] {
        FORMATS.iter().for_each(|format| drop(fs::remove_file(folder.path().join(format!("{format}.out")))));
        let ended = scanlab(folder.path(), words);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{words:?}: {}", ended.stderr);
        let found: Value = serde_json::from_str(&report(folder.path(), "json")).expect("JSON");
        let message = found["errors"][0]["message"].as_str().expect("a message");
        assert!(ended.stderr.contains(message), "{message}: {}", ended.stderr);
        assert_in_every_report(folder.path(), message);
    }
    let sensor = ended_of(folder.path(), &["check", "--sensor", "sensor.toml", "--format", "github"]);
    assert!(sensor.contains("file=sensor.toml,line=2,"), "{sensor}");
}

fn ended_of(folder: &Path, words: &[&str]) -> String {
    scanlab(folder, words).stdout
}

#[test]
fn error_report_never_replaces_an_input() {
    let folder = folder();
    let _shared = share_the_machine();
    for (words, file) in [
        (&["run", "key.toml"][..], "key.toml"),
        (&["run", "key.toml"], "good.v4"),
        (&["run", "refused.toml"], "refused.v4"),
        (&["check", "--sensor", "key.toml"], "key.toml"),
    ] {
        let before = fs::read_to_string(folder.path().join(file)).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.args(words).arg(format!("--report=json={file}")).current_dir(folder.path());
        assert_eq!(command.output().expect("it starts").status.code(), Some(2), "{words:?}");
        assert_eq!(fs::read_to_string(folder.path().join(file)).expect("a file"), before, "{words:?}");
    }
}
