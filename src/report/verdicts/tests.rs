//! One check of every outcome in the formats for CI, with text that has a special meaning in each format.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::commands::predeploy::{Fact, PredeployQuestion};
use crate::intent::check::CheckFacts;
use crate::intent::explanation::{Cause, Explanation, Patch, RuleRef};
use crate::intent::scenario::CheckSubject;
use crate::lab::Backend;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::{PortState, Technique};
use crate::report::{
    CheckCounts, Environment, FlavourDifference, FlavourReport, Flavours, HostSummary, github, junit, markdown, sarif,
    tap, to_json,
};
use crate::text::escape::is_terminal_control;

fn check(port: u16, outcome: Outcome, why: &str) -> Check {
    let state = |state| CheckFacts { state: Some(state), ..CheckFacts::default() };
    let observed = match outcome {
        Outcome::Matched => Some(state(PortState::Open)),
        Outcome::Mismatched | Outcome::Known => Some(state(PortState::OpenFiltered)),
        Outcome::NotRun => None,
    };
    Check {
        subject: CheckSubject::Scan(Technique::Xmas),
        port: Some(Port(port)),
        family: Some(Family::Ipv4),
        burst_of: None,
        expected: state(PortState::Open),
        observed,
        outcome,
        line: None,
        why: why.to_owned(),
        explanation: None,
    }
}

/// A mismatch whose words would end a CDATA section, a table cell, an annotation and a TAP description.
fn explained(port: u16) -> Check {
    let text = "-A INPUT -j LOG --log-prefix \"<script>]]>|# `%`: \"".to_owned();
    let took = RuleRef {
        file: PathBuf::from("a,b:rules.v4"),
        line: Some(5),
        table: "filter".to_owned(),
        chain: "INPUT".to_owned(),
        rule: Some(2),
        text: text.clone(),
    };
    let patch =
        Patch { words: "delete line 5".to_owned(), resolves: 2, checked: 9, diff: format!("--- a\n+++ b\n-{text}\n") };
    let words = format!("line 5 takes it:\n{text}");
    let explanation =
        Explanation { cause: Cause::EarlierRule, took: Some(took), meant: None, words, patch: Some(patch) };
    Check { explanation: Some(explanation), ..check(port, Outcome::Mismatched, "states differ") }
}

/// No control character of a terminal or of writing direction gets through unescaped.
#[test]
fn no_format_for_ci_steers_its_reader() {
    const HOSTILE: &str = "a\u{1b}[2Jb\u{9b}2Jc\u{202e}d\r\u{2028}e";
    let mut report = report();
    let scenario = &mut report.scenarios.as_mut().expect("scenarios")[0];
    (scenario.name, scenario.file) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    for check in &mut scenario.checks {
        check.why = HOSTILE.to_owned();
        if let Some(explanation) = &mut check.explanation {
            explanation.words = HOSTILE.to_owned();
            explanation.took.iter_mut().for_each(|took| took.file = PathBuf::from(HOSTILE));
            explanation.patch.iter_mut().for_each(|patch| patch.diff = format!("--- {HOSTILE}\n"));
        }
    }
    type Format = fn(&Report) -> String;
    let formats: [(&str, Format); 6] = [
        ("github", github),
        ("junit", junit),
        ("markdown", markdown),
        ("sarif", sarif),
        ("tap", tap),
        ("json", to_json),
    ];
    for (name, format) in formats {
        let text = format(&report);
        let steering: Vec<&str> = text.lines().filter(|line| line.contains(is_terminal_control)).collect();
        assert!(steering.is_empty(), "{name}: {steering:?}");
    }
    let read: serde_json::Value = serde_json::from_str(&to_json(&report)).expect("JSON");
    assert_eq!(read["scenarios"][0]["name"], HOSTILE, "a program gets it as it is");
}

fn report() -> Report {
    let checks = vec![
        check(22, Outcome::Matched, ""),
        explained(80),
        explained(81),
        check(443, Outcome::Known, "nobody #minds"),
        check(8080, Outcome::NotRun, "no IPv6 here"),
    ];
    let scenario = ReportedScenario {
        name: "nothing <gets> in | at all".to_owned(),
        file: "in.toml".to_owned(),
        outcome: Outcome::Mismatched,
        host: HostSummary { mac: None, vendor: None, interface: "eth0".to_owned(), addresses: Vec::new() },
        rulesets: Vec::new(),
        checks,
        coverage: Vec::new(),
        time: Duration::ZERO,
    };
    let flavour = |backend| FlavourReport { backend, iptables: "1.8.9".to_owned() };
    let difference = FlavourDifference {
        scenario: Some("in.toml".to_owned()),
        subject: "ipv4 xmas 80".to_owned(),
        fact: "state",
        first: Some("open".to_owned()),
        second: None,
    };
    let flavours =
        Flavours { compared: [flavour(Backend::Nft), flavour(Backend::Legacy)], differences: vec![difference] };
    let scenarios = vec![scenario];
    let summary = Some(CheckCounts::count(&scenarios));
    Report { summary, scenarios: Some(scenarios), flavours: Some(flavours), ..Report::empty(Environment::unmeasured()) }
}

/// Ports 22, 80 and 81 are of one row.
#[test]
fn junit_has_a_case_for_every_row() {
    let mut report = report();
    let scenario = &mut report.scenarios.as_mut().expect("scenarios")[0];
    scenario.time = Duration::from_millis(500);
    for (check, line) in scenario.checks.iter_mut().zip([3, 3, 3, 9, 12]) {
        check.line = Some(line);
    }
    insta::assert_snapshot!(junit(&report));
}

/// A name identifies a case from run to run, so no two rows of a suite may share it.
#[test]
fn rows_of_one_name_differ_by_their_line() {
    let mut report = report();
    report.scenarios.as_mut().expect("scenarios")[0].checks =
        [3, 9].map(|line| Check { line: Some(line), ..check(22, Outcome::Matched, "") }).to_vec();
    let names: Vec<String> = suites(&report)[0].rows().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["ipv4 xmas 22: open (line 3)", "ipv4 xmas 22: open (line 9)"]);
}

#[test]
fn tap_has_a_point_for_every_check() {
    insta::assert_snapshot!(tap(&report()));
}

#[test]
fn one_explanation_is_one_annotation() {
    let text = github(&report());
    assert_eq!(text.lines().count(), 3, "two mismatches share one, one check did not run, and flavours differ: {text}");
    insta::assert_snapshot!(text);
}

#[test]
fn markdown_shows_what_is_not_as_expected() {
    insta::assert_snapshot!(markdown(&report()));
}

#[test]
fn a_rule_of_a_generated_file_is_annotated_at_the_scenario() {
    let mut report = report();
    let generated =
        RuleRef { file: PathBuf::from("<generated>/rules.v4"), ..explained(80).explanation.unwrap().took.unwrap() };
    let scenario = &mut report.scenarios.as_mut().expect("scenarios")[0];
    for check in &mut scenario.checks {
        check.explanation =
            check.explanation.take().map(|found| Explanation { took: Some(generated.clone()), ..found });
    }
    let (github, sarif) = (github(&report), sarif(&report));
    assert!(github.starts_with("::error file=in.toml,line=1,") && !github.contains("file=<generated>"), "{github}");
    assert!(sarif.contains("\"uri\": \"in.toml\"") && !sarif.contains("\"fixes\""), "{sarif}");
}

/// Each check of a group keeps its own facts and its own row.
#[test]
fn grouped_annotations_keep_the_facts_of_each_check() {
    let mut report = report();
    let other = CheckFacts { state: Some(PortState::Filtered), ..CheckFacts::default() };
    let checks = &mut report.scenarios.as_mut().expect("scenarios")[0].checks;
    checks[2].observed = Some(other);
    let explanation = checks[2].explanation.as_mut().expect("explained");
    explanation.words = "line 5 takes this other probe".to_owned();
    for text in [github(&report), sarif(&report)] {
        for words in
            ["xmas at 80: expected open, observed open|filtered", "xmas at 81: expected open, observed filtered"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    assert_eq!(github(&report).lines().count(), 3, "still one explanation, one annotation");
}

#[test]
fn without_a_ruleset_of_ones_own_each_row_has_its_line() {
    let mut report = report();
    let checks = &mut report.scenarios.as_mut().expect("scenarios")[0].checks;
    for (number, check) in checks.iter_mut().enumerate() {
        check.explanation = None;
        check.line = Some(10 + number);
    }
    let (github, sarif) = (github(&report), sarif(&report));
    for line in [11, 12, 14] {
        assert!(github.contains(&format!("::error file=in.toml,line={line},")), "{line}: {github}");
    }
    assert!(sarif.contains("\"startLine\": 13"), "what is known, at its row: {sarif}");
}

/// A reason not to deploy is shown at its entry in the sensor file, and is no difference of flavours.
#[test]
fn a_reason_not_to_deploy_stands_at_the_entry_of_the_sensor() {
    let fact = Fact::new(Assessment::Bad, "nobody gets in");
    let question = PredeployQuestion::LockedOut;
    let answer = QuestionAnswer {
        question,
        asks: question.text(),
        tone: Assessment::Bad,
        answer: "Yes.",
        line: Some(7),
        facts: vec![fact],
    };
    let report = Report { answers: Some(Answers(vec![answer])), flavours: None, ..report() };
    let (github, tap, sarif) = (github(&report), tap(&report), sarif(&report));
    let at = "::error file=in.toml,line=7,title=mismatch%3A before deployment::Will I be locked out?: ";
    assert!(github.starts_with(at), "{github}");
    assert!(tap.contains("- Will I be locked out?\n") && tap.contains("  at: \"in.toml:7\""), "{tap}");
    assert!(sarif.contains("\"ruleId\": \"deployment\"") && sarif.contains("\"startLine\": 7"), "{sarif}");
    assert!(!sarif.contains("mismatch/flavours"), "{sarif}");
}

#[test]
fn the_name_of_a_file_is_percent_encoded() {
    let sarif = sarif(&report());
    assert!(sarif.contains("\"uri\": \"a%2Cb%3Arules.v4\""), "{sarif}");
}
