//! Two reports of the same run, made with two flavours of iptables, compared. They share a kernel, and every rule has
//! the same text, so each difference is a mismatch, whether a scenario expects anything or not.

use std::collections::BTreeMap;
use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::{ProbeRecord, Report};
use crate::lab::Backend;
use crate::probe::observation::ConnectProgress;
use crate::probe::path::Path;
use crate::text::escape::visible;
use crate::text::wrap::hanging;

/// The comparison of two flavours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Flavours {
    /// The flavours that were compared; the surrounding report is that of the first.
    pub compared: [FlavourReport; 2],
    /// Their differences.
    pub differences: Vec<FlavourDifference>,
}

/// A flavour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Flavour")]
pub struct FlavourReport {
    /// The backend that it writes to.
    pub backend: Backend,
    /// Its version.
    pub iptables: String,
}

/// A fact that differs between two flavours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Difference")]
pub struct FlavourDifference {
    /// The scenario's file, in a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The probe, the check or the rule.
    pub subject: String,
    /// The name of the fact: `state`, `path`, ...
    pub fact: &'static str,
    /// Its value with the first flavour; `None` if it has none.
    pub first: Option<String>,
    /// Its value with the second flavour; `None` if it has none.
    pub second: Option<String>,
}

impl Report {
    /// The report of one flavour; of two, the report of the first with its differences from the second.
    ///
    /// # Panics
    /// If there is no report.
    pub fn of_flavours(reports: Vec<Report>) -> Report {
        let mut reports = reports.into_iter();
        let first = reports.next().expect("a report of one flavour at least");
        let flavours = reports.next().map(|second| Flavours {
            compared: [&first, &second].map(flavour),
            differences: differences(&first, &second),
        });
        Report { flavours, ..first }
    }

    /// True if the flavours were compared and differ.
    pub fn flavours_differ(&self) -> bool {
        self.flavours.as_ref().is_some_and(|flavours| !flavours.differences.is_empty())
    }
}

/// The flavours that were compared, and every difference; empty if there was one flavour only.
pub fn flavours_block(report: &Report, width: u16) -> String {
    let Some(Flavours { compared, differences }) = &report.flavours else { return String::new() };
    let names = compared.each_ref().map(|flavour| format!("{} {}", backend_name(flavour.backend), flavour.iptables));
    let mut text = String::from("Flavours\n");
    let count = match differences.len() {
        0 => "no difference".to_owned(),
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    let _ = writeln!(text, " {} and {}: {count}", names[0], names[1]);
    for one in differences {
        let scenario = one.scenario.as_ref().map(|file| format!(" ({})", visible(file))).unwrap_or_default();
        let _ = writeln!(text, " {}: {}{scenario}", visible(&one.subject), one.fact);
        for (flavour, value) in compared.iter().zip([&one.first, &one.second]) {
            let value = value.as_ref().map_or_else(|| "nothing".into(), |value| visible(value));
            let words = format!("{:<7} {value}", backend_name(flavour.backend));
            text += &hanging("   ", 3, &words, width.into());
        }
    }
    text
}

/// The name of the backend in `--iptables`.
pub fn backend_name(backend: Backend) -> &'static str {
    match backend {
        Backend::Nft => "nft",
        Backend::Legacy => "legacy",
    }
}

fn flavour(report: &Report) -> FlavourReport {
    FlavourReport { backend: report.environment.backend, iptables: report.environment.iptables.clone() }
}

/// Facts of probes, checks and rules, by scenario, subject and name of the fact.
type FlavourFacts = BTreeMap<(Option<String>, String, &'static str), String>;

fn differences(first: &Report, second: &Report) -> Vec<FlavourDifference> {
    let (first, second) = (facts(first), facts(second));
    let others = second.keys().filter(|key| !first.contains_key(key));
    let differ = first.keys().chain(others).filter(|key| first.get(key) != second.get(key));
    let difference = |key: &(Option<String>, String, &'static str)| FlavourDifference {
        scenario: key.0.clone(),
        subject: key.1.clone(),
        fact: key.2,
        first: first.get(key).cloned(),
        second: second.get(key).cloned(),
    };
    differ.map(difference).collect()
}

fn facts(report: &Report) -> FlavourFacts {
    let mut facts = FlavourFacts::new();
    report.probes.iter().for_each(|probe| add_probe(&mut facts, probe));
    for scenario in report.scenarios.iter().flatten() {
        let mut add = |subject: String, fact, value| {
            facts.insert((Some(scenario.file.clone()), subject, fact), value);
        };
        for check in &scenario.checks {
            add(check.name(), "outcome", check.outcome.to_string());
            add(check.name(), "observed", check.observed.as_ref().map(ToString::to_string).unwrap_or_default());
        }
        for coverage in &scenario.coverage {
            for rule in &coverage.rules {
                let subject = format!("{}:{} {}", coverage.file.display(), rule.line, rule.text);
                add(subject, "packets", rule.hits.to_string());
            }
        }
    }
    for one in report.findings.iter().flat_map(|findings| &findings.unreachable) {
        let subject = format!("{}:{} {}", one.place.file, one.place.line, one.place.text);
        facts.insert((None, subject, "finding"), format!("{}: {}", one.severity.as_str(), one.reason));
    }
    for one in report.findings.iter().flat_map(|findings| &findings.not_provable) {
        let subject = format!("{}:{} {}", one.place.file, one.place.line, one.place.text);
        facts.insert((None, subject, "finding"), format!("not provable: {}", one.reason));
    }
    if let Some(hidden) = &report.hidden {
        facts.insert((None, hidden.address.to_string(), "hidden"), hidden.why.clone());
    }
    facts
}

/// Adds the facts of a probe: of log lines the prefix only, since the rest has numbers that the kernel chooses.
fn add_probe(facts: &mut FlavourFacts, probe: &ProbeRecord) {
    let prefixes = |records: &[crate::probe::observation::LogRecord]| {
        records.iter().map(|record| format!("{:?}", record.prefix)).collect::<Vec<_>>().join(" + ")
    };
    let reason = [probe.reason_ttl.map(|ttl| format!("ttl {ttl}")), probe.reason_ip.map(|ip| format!("from {ip}"))];
    let reason = [Some(probe.reason.to_string())].into_iter().chain(reason).flatten().collect::<Vec<_>>().join(" ");
    let known = [
        ("state", Some(probe.state.to_string())),
        ("reason", Some(reason)),
        ("verdict", probe.verdict.map(|verdict| verdict.to_string())),
        ("log", Some(prefixes(&probe.log))),
        ("log of what followed", Some(prefixes(&probe.followup))),
        ("connection", probe.connection.as_ref().map(connection_words)),
        ("path", probe.path.as_deref().map(way)),
        ("path of the answer", probe.answer_path.as_deref().map(way)),
        ("conntrack", probe.conntrack.map(|state| state.to_string())),
    ];
    for port in probe.ports().iter() {
        let subject = format!("{} {} {port}", probe.family, probe.scan);
        for (fact, value) in &known {
            let key = (probe.scenario.clone(), subject.clone(), *fact);
            value.iter().for_each(|value| drop(facts.insert(key.clone(), value.clone())));
        }
    }
}

/// `line 7: jump scans, line 12: drop`, with the rate of a `limit`, which no other fact shows.
fn way(path: &Path) -> String {
    let step = |step: &crate::probe::path::Step| {
        let place = step.line.map_or_else(|| format!("{} {}", step.table, step.chain), |line| format!("line {line}"));
        let rate = step.rate.map(|rate| format!(" (at {rate})")).unwrap_or_default();
        format!("{place}: {}{rate}", step.verdict)
    };
    path.steps.iter().map(step).collect::<Vec<_>>().join(", ")
}

/// A connection in words: accepted by the service or not, and the greeting that it sent.
fn connection_words(connection: &ConnectProgress) -> String {
    let end = if connection.accepted { "accepted" } else { "not accepted" };
    format!("{end}, greeting {:?}", connection.greeting)
}
