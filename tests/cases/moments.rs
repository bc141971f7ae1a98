//! Rules that depend on the time: a finding for another time is reported once, and the time is given as its cause.

use std::fs;
use std::path::Path;

use super::{facts, scanlab};

#[test]
fn a_rule_of_the_moment_that_cuts_sessions_is_reported_once_and_with_its_cause() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.v4");
    let text = fs::read_to_string(Path::new("tests/cases/sessions/healthy.v4")).expect("rules");
    let rule = "-A INPUT -p tcp --dport 22 -m time --timestart 03:00 --timestop 03:05 -j DROP";
    let lo = "-A INPUT -i lo -j ACCEPT\n";
    fs::write(&file, text.replacen(lo, &format!("{lo}{rule}\n"), 1)).expect("write the rules");
    let rules = file.to_str().expect("a name");
    let words = ["check", "--sensor", "sensor.toml", "--rules", rules, "--rules6", "healthy.v6", "--format", "json"];
    let ended = scanlab("sessions", &words);
    let facts = facts(&ended.report(), "locked-out");
    assert_eq!(ended.status, Some(1), "{facts:#?}");
    assert!(!facts.iter().any(|fact| fact.starts_with("unknown: ")), "{facts:#?}");
    let dies = facts.iter().find(|fact| fact.contains("that is open while the rules are loaded dies"));
    let dies = dies.unwrap_or_else(|| panic!("{facts:#?}"));
    assert!(dies.contains("rules.v4:6 applies: -m time)") && !dies.contains("has to be let through"), "{dies}");
}
