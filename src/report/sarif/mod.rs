//! SARIF 2.1.0, for code scanning: each mismatch at the line of the ruleset that causes it and at the row that expects
//! it, with the verified patch as a fix; known mismatches, suppressed with their reason; checks that did not run; rules
//! that no packet reaches; lint.
//!
//! Checks with one explanation share one result, as they share one annotation of [`super::github()`]. The file contains
//! no facts of the machine, so equal runs give equal files on every machine.

mod fix;
mod model;
mod rules;
mod uri;

use std::collections::BTreeSet;
use std::path::Path;

use super::verdicts::{About, CheckWords, Suite, messages, suites};
use super::{Report, ReportedError, to_json};
use crate::intent::check::Outcome;
use crate::rules::lint::LintFinding as Lint;
use crate::verdict::findings::{Disparity, RulesetFindings};

use self::model::{
    ArtifactChange, ArtifactLocation, Driver, Fix, Invocation, Level, Location, LogicalLocation, Notification,
    PhysicalLocation, SarifLog, SarifRegion, SarifResult, SarifRun, SarifTool, Suppression,
};
use self::rules::ResultKind;

/// The report as SARIF.
pub fn sarif(report: &Report) -> String {
    let mut results = Results { home: home(report), found: Vec::new() };
    // Errors are notifications.
    let suites = suites(report);
    suites.iter().filter(|suite| suite.about != About::Failure).for_each(|suite| results.of_suite(suite));
    report.findings.iter().for_each(|findings| results.of_findings(findings));
    report.lint.iter().flatten().for_each(|lint| results.of_lint(lint));
    to_json(&SarifLog {
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        version: "2.1.0",
        runs: [results.into_run(invocations(report))],
    })
}

/// The source of a generated ruleset: the sensor or the scenario.
fn home(report: &Report) -> String {
    let first = report.scenarios.iter().flatten().next();
    first.map(|scenario| scenario.file.clone()).unwrap_or_default()
}

struct Results {
    home: String,
    found: Vec<(ResultKind, SarifResult)>,
}

impl Results {
    fn of_suite(&mut self, suite: &Suite) {
        for cases in suite.alike(|case| case.outcome != Outcome::Matched) {
            self.of_cases(suite, &cases);
        }
    }

    fn of_cases(&mut self, suite: &Suite, cases: &[&CheckWords]) {
        let first = cases[0];
        let kind = match (first.outcome, suite.about) {
            (Outcome::Known, _) => ResultKind::Known,
            (Outcome::NotRun, _) => ResultKind::NotRun,
            (Outcome::Mismatched | Outcome::Matched, About::Flavours) => ResultKind::Flavours,
            (Outcome::Mismatched | Outcome::Matched, About::Deployment) => ResultKind::Deployment,
            (Outcome::Mismatched | Outcome::Matched, About::Scenario | About::Failure) => {
                let explanation = first.check.and_then(|check| check.explanation.as_ref());
                ResultKind::Mismatch(explanation.map(|explanation| explanation.cause))
            }
        };
        let (path, line) = suite.origin(first);
        let mut found = at(path, line);
        let why = if first.outcome == Outcome::NotRun { "" } else { first.why };
        found.message = format!("{}\n{why}", messages(cases)).trim_end().to_owned().into();
        found.related_locations = locations(suite, cases);
        if first.outcome == Outcome::Known {
            let justification = first.why.to_owned();
            found.suppressions = vec![Suppression { kind: "external", status: "accepted", justification }];
        }
        found.fixes = fix(first).into_iter().collect();
        self.take(kind, found);
    }

    fn of_findings(&mut self, findings: &RulesetFindings) {
        for one in &findings.unreachable {
            let words = format!("{}: {}\n{}", one.severity.as_str(), one.place.text, one.reason);
            self.in_ruleset(ResultKind::Unreachable(one.severity), &one.place.file, one.place.line, words);
        }
        for one in &findings.not_provable {
            let words = format!("not provable: {}\n{}", one.place.text, one.reason);
            self.in_ruleset(ResultKind::NotProvable, &one.place.file, one.place.line, words);
        }
        for one in &findings.not_tried {
            let words = format!("not tried: this machine has no {}", one.family.title());
            self.in_ruleset(ResultKind::NotProvable, &one.file, 1, words);
        }
        findings.parity.iter().for_each(|one| self.of_disparity(one));
    }

    /// A family gap, at the rule that decided in the family that accepts the packets.
    fn of_disparity(&mut self, one: &Disparity) {
        let (open, closed) = one.lets_in.pick((&one.ipv4, &one.ipv6), (&one.ipv6, &one.ipv4));
        let ports = if one.ports.is_empty() { String::new() } else { format!(" to {}", one.ports.replace(',', ", ")) };
        let packets = one.packets.join(", ");
        let words = format!(
            "{} accepts packets that the other family denies: {packets}{ports}\nlets it in: {}\nkeeps it out: {}",
            one.lets_in, open.text, closed.text
        );
        let file = open.file.as_deref().unwrap_or("<none>/");
        self.in_ruleset(ResultKind::Parity, file, open.line.unwrap_or(1), words);
    }

    fn of_lint(&mut self, one: &Lint) {
        let fix = one.fix.as_ref().map(|fix| format!("\nfix: {fix}")).unwrap_or_default();
        let words = format!("{}{fix}", one.message);
        self.in_ruleset(ResultKind::Lint(one.rule), &one.file.to_string_lossy(), one.line, words);
    }

    fn in_ruleset(&mut self, kind: ResultKind, file: &str, line: usize, words: String) {
        let mut found = match super::verdicts::is_a_file(Path::new(file)) {
            true => at(Path::new(file), Some(line)),
            false => at(Path::new(&self.home), None),
        };
        found.message = words.into();
        self.take(kind, found);
    }

    fn take(&mut self, kind: ResultKind, found: SarifResult) {
        self.found.push((kind, SarifResult { rule_id: kind.id(), level: kind.level(), ..found }));
    }

    /// The run; it lists only rules that have a result, sorted by name.
    fn into_run(self, invocations: Vec<Invocation>) -> SarifRun {
        let mut rules: Vec<_> = self.found.iter().map(|(kind, _)| kind.rule()).collect();
        rules.sort_by(|one, other| one.id.cmp(&other.id));
        rules.dedup();
        let index = |id: &str| rules.iter().position(|rule| rule.id == id).expect("its rule is there");
        let results =
            self.found.into_iter().map(|(_, found)| SarifResult { rule_index: index(&found.rule_id), ..found });
        let results = results.collect();
        let (semantic_version, information_uri) = (env!("CARGO_PKG_VERSION"), rules::INFORMATION);
        let driver = Driver { name: "scanlab", semantic_version, information_uri, rules };
        SarifRun { tool: SarifTool { driver }, column_kind: "unicodeCodePoints", invocations, results }
    }
}

/// The errors as notifications of the one invocation; empty if there are none.
fn invocations(report: &Report) -> Vec<Invocation> {
    let notification = |error: &ReportedError| {
        let file = error.file.as_deref().map(Path::new).filter(|file| super::verdicts::is_a_file(file));
        let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        Notification {
            level: Level::Error,
            message: format!("{}{hint}", error.message).into(),
            locations: file.map(|file| location(file, error.line)).into_iter().collect(),
        }
    };
    let notifications: Vec<Notification> = report.errors.iter().map(notification).collect();
    let failed = Invocation { execution_successful: false, tool_execution_notifications: notifications };
    [failed].into_iter().filter(|_| !report.errors.is_empty()).collect()
}

/// The places where these cases are expected, without the place at which they are shown. GitHub limits the locations of
/// a result (<https://docs.github.com/en/code-security/reference/code-scanning/sarif-support-for-code-scanning>).
fn locations(suite: &Suite, cases: &[&CheckWords]) -> Vec<Location> {
    const LOCATIONS: usize = 100;
    let (path, line) = suite.origin(cases[0]);
    let places = cases.iter().filter_map(|case| suite.requested_at(case));
    let places: BTreeSet<_> = places.filter(|place| *place != (path, line.unwrap_or(1))).collect();
    let expectation = |(path, line): (&Path, usize)| Location {
        message: Some("expected here".to_owned().into()),
        ..location(path, Some(line))
    };
    places.into_iter().take(LOCATIONS).map(expectation).collect()
}

fn location(path: &Path, line: Option<usize>) -> Location {
    let region = SarifRegion { start_line: line.unwrap_or(1), start_column: None, end_line: None, end_column: None };
    let name = path.display().to_string();
    let (mut physical_location, mut logical_locations) = (None, Vec::new());
    if super::verdicts::is_a_file(path) {
        let artifact_location = ArtifactLocation { uri: uri::uri(path) };
        physical_location = Some(PhysicalLocation { artifact_location, region });
    } else {
        // A built-in ruleset is in no file.
        let fully_qualified_name = if name.is_empty() { "iptables".to_owned() } else { name };
        logical_locations.push(LogicalLocation { fully_qualified_name });
    }
    Location { physical_location, logical_locations, message: None }
}

/// A result at this place, still without rule and message.
fn at(path: &Path, line: Option<usize>) -> SarifResult {
    SarifResult {
        rule_id: String::new(),
        rule_index: 0,
        level: model::Level::Error,
        message: String::new().into(),
        locations: vec![location(path, line)],
        related_locations: Vec::new(),
        suppressions: Vec::new(),
        fixes: Vec::new(),
    }
}

/// The verified patch, if the ruleset is in a file.
fn fix(case: &CheckWords) -> Option<Fix> {
    let (patch, place) = (case.patch?, case.place?);
    let file = super::verdicts::is_a_file(place.file).then_some(place.file)?;
    let replacements = fix::replacements(&patch.diff)?;
    let artifact_location = ArtifactLocation { uri: uri::uri(file) };
    let description = format!("{} (tried)", patch.words).into();
    Some(Fix { description, artifact_changes: [ArtifactChange { artifact_location, replacements }] })
}
