//! The formats for CI, from the built binary: a run that is not green is red in each of them, by the same numbers.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[path = "support/binary.rs"]
mod binary;

const RULES: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

/// Port 22 is as expected, port 23 is not, and port 24 is known not to be.
const SCENARIO: &str = r#"title = "SSH and telnet are open"
[ruleset]
v4 = "rules.v4"
[host]
listen = [22]
[[expect]]
scan = "syn"
ports = [22, 23, 24]
family = "ipv4"
state = "open"
[[known]]
scan = "syn"
ports = 24
family = "ipv4"
state = "filtered"
because = "nobody minds"
"#;

fn scanlab(folder: &Path, arguments: &[&str]) -> Output {
    fs::write(folder.join("rules.v4"), RULES).expect("write");
    fs::write(folder.join("ssh.toml"), SCENARIO).expect("write");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["run", "ssh.toml"]).args(arguments).current_dir(folder).output().expect("run scanlab")
}

#[test]
fn every_format_says_what_the_json_says() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let formats = ["json", "junit", "tap", "github", "markdown", "table"];
    let reports = formats.map(|format| format!("--report={format}={format}.out"));
    let output = scanlab(folder.path(), &reports.each_ref().map(String::as_str));
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let [json, junit, tap, github, markdown, table] =
        formats.map(|format| fs::read_to_string(folder.path().join(format!("{format}.out"))).expect("a report"));
    assert_eq!(table.as_bytes(), output.stdout, "what is on the terminal");

    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let count = |what: &str| report["summary"][what].as_u64().expect("a number");
    let (checks, mismatched, known) = (count("checks"), count("mismatched"), count("known"));
    assert_eq!((mismatched, known, count("not_run")), (1, 1, 0), "{json}");
    assert!(
        junit.contains(&format!("tests=\"{checks}\" skipped=\"{known}\" failures=\"{mismatched}\" errors=\"0\"")),
        "{junit}"
    );
    assert!(tap.contains(&format!("1..{checks}\n")), "{tap}");
    let points = |start: &str| tap.lines().filter(|line| line.starts_with(start)).count() as u64;
    assert_eq!((points("ok "), points("not ok ")), (checks - mismatched - known, mismatched + known), "{tap}");
    assert_eq!(tap.matches("# TODO known: nobody minds").count() as u64, known, "{tap}");
    assert!(github.starts_with("::error file=rules.v4,line=2,") && github.lines().count() == 1, "{github}");
    assert!(markdown.contains("| mismatched | ipv4 syn 23 |"), "{markdown}");
}

#[test]
fn equal_runs_give_equal_files() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    for format in ["junit", "tap", "github", "markdown"] {
        let [one, other] = [0, 1].map(|_| scanlab(folder.path(), &["--format", format]).stdout);
        assert!(!one.is_empty() && one == other, "{format}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    for wrong in ["--report=junit=no/such/folder", "--report=junit", "--report=pdf=x", "--report=tap=."] {
        let output = scanlab(folder.path(), &[wrong]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong}");
    }
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 2, "nothing but the ruleset and the scenario");
}
