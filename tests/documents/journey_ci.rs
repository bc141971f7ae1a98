//! The work of a user who validates a ruleset in CI: a push that breaks it fails, every report says where and why, the
//! proposed fix repairs it, and the next push succeeds. Needs root.

use crate::support::binary;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The rule of the port matches the Xmas probe before the rule for Xmas scans can log it.
const RULES: &str = r#"*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j DROP
-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN,PSH,URG -j LOG --log-prefix "Xmas: "
-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN,PSH,URG -j DROP
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
COMMIT
"#;

const SCENARIO: &str = r#"title = "every Xmas scan is logged, and SSH is served"
[ruleset]
v4 = "rules v4"
[host]
listen = 22
[[expect]]
scan = "xmas"
ports = [22, 80]
family = "ipv4"
log = "Xmas: "
[[expect]]
scan = "connect"
ports = 22
family = "ipv4"
state = "open"
"#;

const FILES: [&str; 5] = ["junit=o.xml", "sarif=o.sarif", "markdown=o.md", "tap=o.tap", "json=o.json"];

fn push(repository: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["run", "firewall", "--format", "github"]).args(FILES.map(|file| format!("--report={file}")));
    command.current_dir(repository).output().expect("scanlab runs")
}

#[test]
fn a_broken_ruleset_is_red_and_the_fix_that_is_offered_makes_it_green() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let repository = folder.path();
    fs::create_dir(repository.join("firewall")).expect("a folder");
    fs::write(repository.join("firewall/rules v4"), RULES).expect("write");
    fs::write(repository.join("firewall/scans.toml"), SCENARIO).expect("write");
    let report = |name: &str| fs::read_to_string(repository.join(name)).expect("a report");

    let red = push(repository);
    let annotations = String::from_utf8(red.stdout).expect("UTF-8");
    assert_eq!(red.status.code(), Some(1), "{}", String::from_utf8_lossy(&red.stderr));
    assert!(annotations.starts_with("::error file=firewall/rules v4,line=6,title=mismatch%3A "), "{annotations}");
    assert_eq!(annotations.lines().count(), 1, "one mistake, one annotation: {annotations}");
    for (file, words) in [
        ("o.xml", "firewall/rules v4:6 drops the Xmas probe"),
        ("o.md", "| mismatched | ipv4 xmas 80 |"),
        ("o.tap", "  at: \"firewall/rules v4:6\""),
        ("o.json", "\"outcome\": \"mismatched\""),
    ] {
        assert!(report(file).contains(words), "{file}: {}", report(file));
    }

    let sarif: Value = serde_json::from_str(&report("o.sarif")).expect("JSON");
    let result = &sarif["runs"][0]["results"][0];
    let location = &result["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "firewall/rules%20v4");
    assert_eq!(location["region"]["startLine"], 6);
    let fixed = with_fix(RULES, &result["fixes"][0]["artifactChanges"][0]);
    assert_ne!(fixed, RULES);
    fs::write(repository.join("firewall/rules v4"), fixed).expect("write");

    let green = push(repository);
    assert_eq!((green.status.code(), &*green.stdout), (Some(0), &b""[..]), "nothing to annotate");
    let sarif: Value = serde_json::from_str(&report("o.sarif")).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"], Value::Array(Vec::new()));
}

/// Applies a fix as an editor does (SARIF 2.1.0, section 3.57): the last replacement first, so that lines keep their
/// numbers.
fn with_fix(text: &str, change: &Value) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for one in change["replacements"].as_array().expect("replacements").iter().rev() {
        let line = |key: &str| one["deletedRegion"][key].as_u64().expect("a line") as usize - 1;
        let new = one["insertedContent"]["text"].as_str().map(str::to_owned);
        lines.splice(line("startLine")..line("endLine"), new);
    }
    lines.concat()
}
