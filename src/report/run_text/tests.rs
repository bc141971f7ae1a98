//! Runs of every outcome at 60, 80 and 120 columns.

use std::path::PathBuf;

use super::*;
use crate::intent::check::CheckFacts;
use crate::intent::explanation::{Cause, Explanation, Patch, RuleRef};
use crate::intent::scenario::CheckSubject;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::{PortState, Technique};
use crate::report::{CheckCounts, Environment, FlavourDifference, FlavourReport, Flavours, HostSummary, ReportedError};
use crate::rules::coverage::{Coverage, RuleHits};
use crate::text::escape::is_terminal_control;
use crate::verdict::compare;

const LOG: &str =
    "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -m limit --limit 5/min -j LOG --log-prefix \"Xmas scan: \"";
const DROP: &str = "-A INPUT -m state --state INVALID -j DROP";

fn check(technique: Technique, port: u16, outcome: Outcome) -> Check {
    let facts = |prefix| CheckFacts {
        state: Some(PortState::OpenFiltered),
        log: CheckFacts::one_line(prefix),
        ..CheckFacts::default()
    };
    let observed = match outcome {
        Outcome::Matched => Some(facts(Some("Xmas scan: "))),
        Outcome::Mismatched | Outcome::Known => Some(facts(None)),
        Outcome::NotRun => None,
    };
    Check {
        subject: CheckSubject::Scan(technique),
        port: Some(Port(port)),
        family: Some(Family::Ipv4),
        burst_of: None,
        expected: facts(Some("Xmas scan: ")),
        observed,
        outcome,
        line: None,
        why: if outcome == Outcome::Matched { String::new() } else { "the log line differs".to_owned() },
        explanation: None,
    }
}

fn matched(ports: std::ops::Range<u16>) -> Vec<Check> {
    ports.map(|port| check(Technique::Xmas, port, Outcome::Matched)).collect()
}

/// A mismatch whose rules and patch are wider than 80 columns.
fn explained(port: u16) -> Check {
    let rule = |line, text: &str| RuleRef {
        file: PathBuf::from("firewall/rules.v4"),
        line: Some(line),
        table: "filter".to_owned(),
        chain: "INPUT".to_owned(),
        rule: Some(line - 2),
        text: text.to_owned(),
    };
    let patch = Patch {
        words: "move line 3 after line 4".to_owned(),
        resolves: 2,
        checked: 9,
        diff: format!(
            "--- firewall/rules.v4\n+++ firewall/rules.v4\n@@ -1,6 +1,6 @@\n *filter\n :INPUT DROP [0:0]\n-{DROP}\n {LOG}\n+{DROP}\n COMMIT\n"
        ),
    };
    let words = "firewall/rules.v4:3 drops the Xmas probe before firewall/rules.v4:4 can see it, since it matches every \
                 packet that conntrack calls INVALID, such as every Xmas probe";
    let explanation = Explanation {
        cause: Cause::EarlierRule,
        took: Some(rule(3, DROP)),
        meant: Some(rule(4, LOG)),
        words: words.to_owned(),
        patch: Some(patch),
    };
    Check { explanation: Some(explanation), ..check(Technique::Xmas, port, Outcome::Mismatched) }
}

fn not_run(port: u16) -> Check {
    Check {
        why: "the probe leaves to 192.0.2.1, which is not modelled (firewall/rules.v4:7)".to_owned(),
        ..check(Technique::Syn, port, Outcome::NotRun)
    }
}

fn scenario(file: &str, name: &str, checks: Vec<Check>) -> ReportedScenario {
    let rule = |line, hits| RuleHits {
        table: "filter".to_owned(),
        chain: "INPUT".to_owned(),
        rule: line - 2,
        line,
        text: DROP.to_owned(),
        hits,
    };
    ReportedScenario {
        name: name.to_owned(),
        file: file.to_owned(),
        outcome: compare::worst(&checks),
        host: HostSummary { mac: None, vendor: None, interface: "eth0".to_owned(), addresses: Vec::new() },
        rulesets: Vec::new(),
        checks,
        coverage: vec![Coverage {
            file: PathBuf::from("firewall/rules.v4"),
            family: Family::Ipv4,
            rules: vec![rule(3, 1), rule(4, 0), rule(5, 7)],
        }],
        time: Duration::from_millis(54),
    }
}

fn report(scenarios: Vec<ReportedScenario>) -> Report {
    let summary = Some(CheckCounts::count(&scenarios));
    Report { summary, scenarios: Some(scenarios), ..Report::empty(Environment::unmeasured()) }
}

fn green() -> ReportedScenario {
    scenario(
        "firewall/web.toml",
        "the web server is open, and every scan of another port leaves its line",
        matched(1..80),
    )
}

fn red() -> ReportedScenario {
    let checks = vec![explained(22), explained(80), check(Technique::Xmas, 443, Outcome::Matched)];
    scenario("firewall/blind.toml", "an Xmas scan leaves a line", checks)
}

fn known() -> ReportedScenario {
    let known = Check { why: "nobody watches".to_owned(), ..check(Technique::Null, 80, Outcome::Known) };
    let checks = matched(1..9).into_iter().chain([known]).collect();
    scenario("firewall/known.toml", "a NULL scan goes unnoticed", checks)
}

fn half_run() -> ReportedScenario {
    let checks = matched(1..9).into_iter().chain([not_run(80), not_run(443)]).collect();
    scenario("firewall/gateway.toml", "the gateway forwards the web server's ports", checks)
}

fn not_started(file: &str) -> ReportedScenario {
    let check = Check { why: "not started: --fail-fast".to_owned(), ..not_run(22) };
    ReportedScenario { time: Duration::ZERO, coverage: Vec::new(), ..scenario(file, "SSH is open", vec![check]) }
}

/// The text without colours at each width.
fn at_widths(report: &Report) -> String {
    let text = |width: u16| format!("{}\n{}", "-".repeat(width.into()), plain(report, width));
    [60, 80, 120].map(text).join("\n")
}

fn plain(report: &Report, width: u16) -> String {
    let text = run_text(report, Duration::from_millis(120), width);
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn a_run_that_is_all_green_is_one_line_for_each_scenario() {
    insta::assert_snapshot!(at_widths(&report(vec![green(), known(), green()])));
}

#[test]
fn a_mismatch_has_its_cause_and_fix() {
    insta::assert_snapshot!(at_widths(&report(vec![green(), red()])));
}

#[test]
fn a_check_that_did_not_run_has_its_reason() {
    insta::assert_snapshot!(at_widths(&report(vec![half_run(), not_started("a.toml"), not_started("b.toml")])));
}

#[test]
fn a_known_mismatch_is_a_count() {
    insta::assert_snapshot!(at_widths(&report(vec![known()])));
}

#[test]
fn a_scenario_with_bad_input_is_no_success() {
    let error = ReportedError {
        file: Some("firewall/broken.toml".to_owned()),
        line: Some(3),
        column: Some(1),
        message: "unknown key `titel`".to_owned(),
        hint: None,
        status: 2,
    };
    let report = Report { errors: vec![error], ..report(vec![green()]) };
    insta::assert_snapshot!(at_widths(&report));
}

/// A mismatch without an explanation, remarks on checks, and the notes of the environment and of two flavours.
#[test]
fn what_qualifies_a_verdict_is_shown() {
    let mut scenario = scenario("firewall/notes.toml", "two probes are noted", matched(1..4));
    let aside = "NFLOG rules, which no row expects, log \"nflog:2 web: \"";
    scenario.checks[0].why = aside.to_owned();
    scenario.checks[1] = Check { why: format!("the log line differs; {aside}"), ..explained(2) };
    scenario.checks[2] = check(Technique::Xmas, 3, Outcome::Mismatched);
    scenario.outcome = Outcome::Mismatched;
    let flavour = |backend| FlavourReport { backend, iptables: "1.8.9".to_owned() };
    let difference = FlavourDifference {
        scenario: Some("firewall/notes.toml".to_owned()),
        subject: "ipv4 xmas 2".to_owned(),
        fact: "state",
        first: Some("open".to_owned()),
        second: None,
    };
    let compared = [flavour(crate::lab::Backend::Nft), flavour(crate::lab::Backend::Legacy)];
    let mut report = report(vec![scenario]);
    report.flavours = Some(Flavours { compared, differences: vec![difference] });
    report.environment.capture = crate::lab::Capture::Nflog;
    report.not_applicable = Some("vendor and neighbour checks: not applicable on a TUN link");
    insta::assert_snapshot!(plain(&report, 80));
}

#[test]
fn no_line_but_one_with_a_longer_word_exceeds_the_width() {
    let report = report(vec![green(), red(), known(), half_run(), not_started("a.toml")]);
    for width in 60..=200 {
        let text = plain(&report, width);
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > width.into()).collect();
        assert!(wide.is_empty(), "{width}: {wide:#?}");
    }
}

/// The words of a rule are whole at every width: a line breaks at a blank, and never between quotes.
#[test]
fn rules_are_broken_between_words_only() {
    let report = report(vec![red()]);
    for width in 60..=200 {
        let text = plain(&report, width);
        assert!(text.contains("--log-prefix \"Xmas scan: \"") || text.contains("\"Xmas scan: \"\n"), "{text}");
        for word in LOG.split(' ').filter(|word| !word.contains('"') && *word != "scan:") {
            let is_there = text.lines().any(|line| line.split_whitespace().any(|found| found.ends_with(word)));
            assert!(is_there, "{width}: {word}: {text}");
        }
    }
}

#[test]
fn a_failure_and_the_changes_of_its_fix_are_coloured() {
    let text = run_text(&report(vec![green(), red()]), Duration::ZERO, 120);
    let with =
        |words: &str| text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {text}"));
    assert!(with("FAIL").starts_with("\u{1b}[1m\u{1b}[31mFAIL"), "{:?}", with("FAIL"));
    assert!(with("PASS").starts_with("\u{1b}[1m\u{1b}[32mPASS\u{1b}[0m  "), "{:?}", with("PASS"));
    assert!(with(&format!("-{DROP}")).starts_with("\u{1b}[31m "), "{text:?}");
    assert!(with(&format!("+{DROP}")).starts_with("\u{1b}[32m "), "{text:?}");
    assert!(!with(":INPUT DROP").contains('\u{1b}'), "{text:?}");
}

#[test]
fn text_of_files_does_not_steer_the_terminal() {
    const HOSTILE: &str = "a\u{1b}[2Jb\u{9b}2Jc\u{202e}d\r\u{2028}e";
    let mut scenario = red();
    (scenario.name, scenario.file) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    scenario.checks[2].why = HOSTILE.to_owned();
    for check in &mut scenario.checks {
        check.expected.log = Some(vec![HOSTILE.to_owned()]);
        if let Some(explanation) = &mut check.explanation {
            explanation.words = HOSTILE.to_owned();
            explanation.took.iter_mut().for_each(|took| took.file = PathBuf::from(HOSTILE));
            explanation.patch.iter_mut().for_each(|patch| patch.diff = format!("--- {HOSTILE}\n"));
        }
    }
    let text = plain(&report(vec![scenario, half_run()]), 80);
    assert!(text.lines().all(|line| !line.contains(is_terminal_control)), "{text:?}");
}

#[test]
fn quiet_output_has_the_failures_only() {
    assert_eq!(failures(&report(vec![green(), known()]), 80), "");
    let text = failures(&report(vec![green(), red()]), 80);
    assert!(text.contains("blind.toml") && !text.contains("web.toml") && !text.contains("scenarios"), "{text}");
}
