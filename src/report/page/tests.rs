use std::sync::Arc;
use std::time::Duration;

use askama::filters::Escaper;
use data_encoding::BASE64;

use super::*;
use crate::commands::predeploy::{Answers, Fact, PredeployQuestion};
use crate::error::Source;
use crate::intent::check::{Check, CheckFacts as Facts};
use crate::intent::explanation::{Cause, Explanation};
use crate::intent::scenario::CheckSubject;
use crate::lab::LinkMode;
use crate::net::port::Port;
use crate::net::{Family, Protocol};
use crate::probe::observation::LogRecord;
use crate::probe::path::{Fate, Path, Step, StepVerdict};
use crate::probe::scan::{PortState, Reason, Technique};
use crate::report::{HostSummary, ProbeRecord};
use crate::rules::coverage::{Coverage, RuleHits};
use crate::rules::lint::{FindingKind, LintFinding};
use crate::verdict::findings::{DeadRule, FindingPlace, NotProvable, RulesetFindings, Severity, ShadowingRule};
use crate::wire::frame::{Direction, Frame, FramePart};

#[test]
fn digests_of_style_and_script_are_those_that_the_policy_names() {
    let digest = |text: &str| format!("sha256-{}", BASE64.encode(&hmac_sha256::Hash::hash(text.as_bytes())));
    assert_eq!([STYLE_DIGEST, SCRIPT_DIGEST], [STYLE, SCRIPT].map(digest), "(named, computed)");
}

/// As many as in the longest scan.
const PROBES: u16 = 10_000;

const RULES: usize = 2_000;

/// A large run in which every port has a rule, a log line, and a mismatch of its own.
fn large() -> Report {
    let environment = Environment {
        kernel: "6.1".to_owned(),
        iptables: "1.8.9".to_owned(),
        link: LinkMode::Tun,
        ..Environment::unmeasured()
    };
    let rules: Vec<RuleHits> = (1..=RULES).map(rule).collect();
    let text: String = rules.iter().map(|rule| format!("{}\n", rule.text)).collect();
    let scenario = ReportedScenario {
        name: "large".to_owned(),
        file: "large.toml".to_owned(),
        outcome: Outcome::Mismatched,
        host: HostSummary { mac: None, vendor: None, interface: "eth0".to_owned(), addresses: vec![] },
        rulesets: vec![(
            Family::Ipv4,
            Source { name: "large.v4".into(), text: format!("*filter\n{text}COMMIT\n").into() },
        )],
        checks: (1..=PROBES).flat_map(|port| [check(port, None), check(port, Some(20))]).collect(),
        coverage: vec![Coverage { file: "large.v4".into(), family: Family::Ipv4, rules }],
        time: Duration::ZERO,
    };
    let scenarios = vec![scenario];
    let summary = Some(CheckCounts::count(&scenarios));
    let probes = (1..=PROBES).map(probe).collect();
    Report { summary, probes, scenarios: Some(scenarios), ..Report::empty(environment) }
}

fn rule(number: usize) -> RuleHits {
    RuleHits {
        table: "filter".to_owned(),
        chain: "INPUT".to_owned(),
        rule: number,
        line: number + 1,
        text: format!("-A INPUT -p tcp -m tcp --dport {number} -j LOG --log-prefix \"{number}: \""),
        hits: 1,
    }
}

fn check(port: u16, burst_of: Option<u32>) -> Check {
    let state = |state| Facts { state: Some(state), ..Facts::default() };
    Check {
        line: None,
        subject: CheckSubject::Scan(Technique::Syn),
        port: Some(Port(port)),
        family: Some(Family::Ipv4),
        burst_of,
        expected: state(PortState::Open),
        observed: Some(state(PortState::Filtered)),
        outcome: Outcome::Mismatched,
        why: format!("{port} is filtered"),
        explanation: None,
    }
}

fn probe(port: u16) -> ProbeRecord {
    let RuleHits { table, chain, rule, line, text, .. } = rule(usize::from(port) % RULES + 1);
    let step = Step::new((&table, &chain), [Some(rule), Some(line)], &text, StepVerdict::Drop);
    let path = Arc::new(Path { steps: vec![step], conntrack: None, fate: Fate::Dropped });
    let frame = Frame { at: Duration::ZERO, direction: Direction::In, bytes: vec![0x45; 60], part: FramePart::Probe };
    ProbeRecord {
        scenario: Some("large.toml".to_owned()),
        family: Family::Ipv4,
        scan: Technique::Syn,
        protocol: Protocol::Tcp,
        port: Some(Port(port)),
        ports: None,
        state: PortState::Filtered,
        reason: Reason::NoResponse,
        reason_ttl: None,
        reason_ip: None,
        log: vec![LogRecord { prefix: format!("{port}: "), line: format!("{port}: IN=eth0 OUT= LEN=44") }],
        followup: vec![],
        connection: None,
        path: Some(path),
        answer_path: None,
        conntrack: None,
        verdict: None,
        notes: vec![],
        frames: vec![frame; 40],
    }
}

/// Every part that grows with the run is bounded, and shows how many items are left out.
#[test]
fn a_large_run_is_a_page_that_a_browser_opens() {
    let page = page(&large());
    assert!(page.len() < 4 << 20, "{} bytes", page.len());
    for words in [
        "9800 more rows are not shown here; --format json has them all.",
        "9800 more of them are not shown here; --format json has them all.",
        "9000 more rows are not shown here; --format json has them all.",
        "2 lines are not shown here: those that caused a mismatch, were matched or are dead come first.",
        "\"more_frames\":28",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

/// A ruleset as long as a block list. One rule is matched, one is blamed, the others are dead; all have lint findings.
fn endless() -> Report {
    const RULES: usize = 20_000;
    const MATCHED: usize = 15_000;
    let mut report = large();
    report.probes = vec![probe(1)];
    let place = |rule: &RuleHits| FindingPlace {
        family: Family::Ipv4,
        file: "large.v4".to_owned(),
        line: rule.line,
        table: rule.table.clone(),
        chain: rule.chain.clone(),
        rule: rule.rule,
        text: rule.text.clone(),
    };
    let rules: Vec<RuleHits> = (1..=RULES).map(|number| RuleHits { hits: 0, ..rule(number) }).collect();
    let text: String = rules.iter().map(|rule| format!("{}\n", rule.text)).collect();
    let scenario = &mut report.scenarios.as_mut().expect("scenarios")[0];
    scenario.rulesets[0].1.text = format!("*filter\n{text}COMMIT\n").into();
    scenario.checks = vec![Check { explanation: Some(blames(19_001)), ..check(1, None) }];
    let in_front = |rule: &RuleHits| ShadowingRule {
        table: rule.table.clone(),
        chain: rule.chain.clone(),
        rule: Some(1),
        line: Some(2),
        text: rule.text.clone(),
        packets: 1,
    };
    let dead = |rule: &RuleHits| DeadRule {
        severity: Severity::Dead,
        place: place(rule),
        in_front: vec![in_front(rule); 30],
        reason: "</script> takes it".to_owned(),
    };
    let open = |rule: &RuleHits| NotProvable { place: place(rule), reason: "nobody knows".to_owned() };
    let lint = |line: usize, rule: FindingKind| LintFinding {
        rule,
        file: "large.v4".into(),
        line,
        message: "it goes wrong".to_owned(),
        fix: None,
    };
    report.findings = Some(RulesetFindings {
        unreachable: rules.iter().filter(|rule| rule.rule != MATCHED).map(dead).collect(),
        not_provable: rules.iter().map(open).collect(),
        ..RulesetFindings::default()
    });
    let last = lint(RULES + 1, FindingKind::LimitOnDeny);
    report.lint = Some((1..=RULES).map(|line| lint(line, FindingKind::NoIpv6Twin)).chain([last]).collect());
    scenario.coverage[0].rules = rules;
    scenario.coverage[0].rules[MATCHED - 1].hits = 1;
    report
}

fn blames(line: usize) -> Explanation {
    let RuleHits { table, chain, rule, text, .. } = rule(line - 1);
    let place = crate::intent::explanation::RuleRef {
        file: "large.v4".into(),
        line: Some(line),
        table,
        chain,
        rule: Some(rule),
        text,
    };
    Explanation { cause: Cause::TooBroad, took: Some(place), meant: None, words: "it does".to_owned(), patch: None }
}

/// Findings are bounded as well, the important ones are kept, and none of the text is markup.
#[test]
fn an_endless_ruleset_is_a_page_that_a_browser_opens() {
    let page = page(&endless());
    assert!(page.len() < 2 << 20, "{} bytes", page.len());
    for words in [
        "19799 more dead rules are not shown here; --format json has them all.",
        "19800 more rules of which nothing is proved are not shown here; --format json has them all.",
        "19960 more of no-ipv6-twin are not shown here; --format json has them all.",
        "<h3>limit-on-deny <span class=\"where\">large.v4:20001</span></h3>",
        "<li>and 22 more</li>",
        "18002 lines are not shown here: those that caused a mismatch, were matched or are dead come first.",
        "data-line=\"1\"",
        "data-line=\"15001\"",
        "data-line=\"19001\"",
        "&lt;/script&gt; takes it",
        "\"lengths\":[[\"filter\",\"INPUT\",20000]]",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(
        page.matches("<p class=\"why\">nobody knows</p>").count(),
        1,
        "what is missing for a proof is said once"
    );
    assert!(!page.contains("data-line=\"15002\"") && !page.contains("data-line=\"19002\""), "only what matters");
}

/// Ports with the same results share a row, whose name is bounded.
#[test]
fn a_row_of_many_ports_has_a_short_name() {
    let mut report = large();
    report.scenarios = None;
    report.probes.retain(|probe| probe.port.is_some_and(|port| port.0 % 2 == 0));
    let path = report.probes[0].path.clone();
    for probe in &mut report.probes {
        probe.path.clone_from(&path);
        probe.log.clear();
    }
    let page = page(&report);
    assert!(page.contains("<th scope=\"row\">2, 4, 6, ") && page.contains("48, and 4976 more</th>"), "the row");
    assert!(page.len() < 64 << 10, "{} bytes", page.len());
}

#[test]
fn a_scan_whose_records_are_of_many_ports_counts_probes() {
    let mut report = large();
    (report.scenarios, report.summary) = (None, None);
    report.probes = vec![probe(1), ProbeRecord { port: None, ports: Some("2-11".to_owned()), ..probe(2) }];
    assert!(page(&report).contains("No expectations: 11 probes."));
}

#[test]
fn a_red_verdict_has_no_green_bar() {
    let mut report = large();
    report.scenarios.as_mut().expect("scenarios")[0]
        .checks
        .iter_mut()
        .for_each(|check| check.outcome = Outcome::Matched);
    report.summary = report.scenarios.as_deref().map(CheckCounts::count);
    assert!(page(&report).contains("<svg class=\"bar\""), "the verdict is green as well");
    let fact = Fact::new(Assessment::Bad, "SSH is not let in");
    let question = PredeployQuestion::LockedOut;
    let asks = question.text();
    let answer =
        QuestionAnswer { question, asks, tone: Assessment::Bad, answer: "Yes.", line: None, facts: vec![fact] };
    report.answers = Some(Answers(vec![answer]));
    let page = page(&report);
    assert!(page.contains("<section class=\"hero v-mismatched\">") && !page.contains("<svg class=\"bar\""));
}

/// The words of [`Fate::as_str`], for probes and for replies.
#[test]
fn every_fate_has_words_in_the_script() {
    let fates = ["accepted", "dropped", "rejected", "stolen", "vanished", "forwarded", "queued", "tproxy"];
    for fate in fates {
        assert!(SCRIPT.contains(&format!("{fate}: \"")), "{fate}");
    }
    assert!(SCRIPT.contains("told.ways[story.answer], story, fatesOfReplies)"));
}

#[test]
fn equal_reports_are_equal_pages() {
    let report = large();
    let (one, mut other) = (page(&report), report.clone());
    assert!(one == page(&report), "the same bytes");
    other.probes[0].reason_ttl = Some(63);
    assert!(one != page(&other), "a hop is noticed");
}

#[test]
fn escaped_text_has_no_markup_and_no_control_characters() {
    let mut text = String::new();
    Escaped.write_escaped_str(&mut text, "<script a='\"&>\u{202e}\u{2028}\u{1b}é").expect("a String takes all");
    assert_eq!(text, "&lt;script a=&#39;&quot;&amp;&gt;\\u{202e}\\u{2028}\\u{1b}é");
}

/// The digest covers the text up to the end tag, so neither file may contain one.
#[test]
fn style_and_script_stay_within_their_elements() {
    assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
}
