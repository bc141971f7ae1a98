//! Reports: facts are produced once and formatted many times. A report knows outcomes, not the lab.

mod answers;
mod check_location;
mod check_rows;
mod columns;
mod coverage_text;
mod diff;
mod exec;
mod exec_text;
mod exercise_text;
mod explained;
mod failure;
mod findings;
mod flavours;
pub(crate) mod frame_comments;
mod github;
mod json;
mod junit;
mod layout;
mod lesson_text;
mod lint;
mod markdown;
mod message_template;
mod mutation;
pub(crate) mod nmap;
mod notes;
mod page;
mod paths;
mod pcapng;
mod probe_record;
mod problems;
mod run_text;
mod sarif;
mod schema;
mod selftest;
mod sequence;
mod syslog;
mod table;
mod tap;
mod verdicts;

use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use self::probe_record::{probe_records, record};
use self::table::environment_words;
use crate::commands::predeploy::{Answers, Assessment};
pub use crate::commands::run::HostSummary;
use crate::commands::run::{RunReport, ScenarioReport};
use crate::error::Source;
use crate::intent::check::{Check, Outcome};
use crate::lab::{Backend, Capture, LinkMode, PinnedSysctls};
use crate::net::Family;
use crate::net::sysctl::SetSysctl;
use crate::probe::hidden::Hidden;
use crate::probe::probe_group::ProbeGroup;
use crate::rules::coverage::{self, Coverage};
use crate::rules::lint::LintFinding as Lint;
use crate::verdict::findings::RulesetFindings;

pub use answers::{Detail, answers_text};
pub use diff::{DiffReport, diff_github, diff_markdown, diff_text};
pub use exec::{Exec, FrameDirection, FrameGroup};
pub use exec_text::{captured as captured_of_tool, exec_text};
pub use exercise_text::{exercise_answer, exercise_menu, exercise_question};
pub use failure::ReportedError;
pub use findings::findings_table;
pub use flavours::{FlavourDifference, FlavourReport, Flavours, backend_name, flavours_block};
pub use github::github;
pub use json::to_json;
pub use junit::junit;
pub use lesson_text::{lesson_menu, lesson_pages};
pub use lint::lint_table;
pub use markdown::markdown;
pub use mutation::{Mutation, mutation_table};
pub use page::{lesson_page, page};
pub use pcapng::{CaptureInterface, CaptureWriter, CapturedFrame};
pub use probe_record::ProbeRecord;
pub use run_text::{failures, run_text};
pub use sarif::sarif;
pub use schema::{result_schema, scenario_schema, sensor_schema};
pub use selftest::{SelfTestReport, SelfTestSummary, selftest_table};
pub use syslog::{SyslogStamp, syslog};
pub use table::{run_table, scan_table, set_sysctls};

pub use tap::tap;

/// The version of the JSON report; changes are additive within one.
pub const SCHEMA: u32 = 1;

/// A report of `run` or `scan`, as the JSON shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `scanlab X.Y.Z`.
    pub tool: String,
    /// The environment of the measurement; left out if there was none.
    #[serde(skip_serializing_if = "Environment::is_unmeasured")]
    pub environment: Environment,
    /// The errors that kept scenarios from running, or the one that ended the command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ReportedError>,
    /// The host; the first scenario's in a run.
    pub host: Option<HostSummary>,
    /// The probes.
    pub probes: Vec<ProbeRecord>,
    /// The host, if it is hidden from its neighbours: it does not answer a neighbour solicitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HiddenHost>,
    /// The scenarios of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenarios: Option<Vec<ReportedScenario>>,
    /// Lint findings on the text of the rulesets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lint: Option<Vec<Lint>>,
    /// The checks of a run that do not apply to this kind of link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<&'static str>,
    /// The summary of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<CheckCounts>,
    /// Rules that no packet can reach; only of a scan with paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<RulesetFindings>,
    /// The comparison with a second flavour of iptables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flavours: Option<Flavours>,
    /// The answers of `check`, worst first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
}

/// The environment of a measurement.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Environment {
    /// `uname -r`.
    pub kernel: String,
    /// The version of iptables.
    pub iptables: String,
    /// The backend that iptables writes to.
    pub backend: Backend,
    /// The way log lines are read.
    pub capture: Capture,
    /// The kind of interface.
    pub link: LinkMode,
    /// The sysctls that the lab pins.
    pub sysctls: PinnedSysctls,
    /// Sysctls that were set to another value than a lab's usual one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_sysctls: Vec<SetSysctl>,
}

impl Environment {
    /// The environment of a command that measured nothing.
    fn unmeasured() -> Environment {
        Environment {
            kernel: String::new(),
            iptables: String::new(),
            backend: Backend::Nft,
            capture: Capture::Kmsg,
            link: LinkMode::Tap,
            sysctls: PinnedSysctls::default(),
            set_sysctls: Vec::new(),
        }
    }

    /// True if nothing was measured.
    pub fn is_unmeasured(&self) -> bool {
        self.kernel.is_empty()
    }
}

/// A host that no neighbour finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HiddenHost {
    /// Its address.
    pub address: IpAddr,
    /// nmap's verdict on the host.
    pub status: HostStatus,
    /// The rule that drops each message, in words.
    pub why: String,
    /// The same as data.
    #[serde(flatten)]
    pub hidden: Hidden,
}

/// nmap's verdict on whether a host is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostStatus {
    /// Up: nmap did not ping the host.
    Up,
    /// Down: nmap scans no port.
    Down,
}

/// A scenario of a run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Scenario")]
pub struct ReportedScenario {
    /// The claim that the scenario proves.
    pub name: String,
    /// Its file.
    pub file: String,
    /// The worst outcome of its checks.
    pub outcome: Outcome,
    /// Its host.
    pub host: HostSummary,
    /// Its rulesets, as they were loaded.
    #[serde(skip)]
    pub rulesets: Vec<(Family, Source)>,
    /// Its checks.
    pub checks: Vec<Check>,
    /// The rules that its probes exercised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Coverage>,
    /// The time that it took. No part of the JSON: equal runs give equal reports.
    #[serde(skip)]
    pub time: Duration,
}

/// The verdict on a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    /// Safe: all questions have good answers.
    Safe,
    /// The effect of the ruleset depends on the flavour of iptables that loads it.
    FlavoursDiffer,
    /// No problem was found, but some question has no answer.
    Unknown {
        /// The number of facts that are not known.
        unknown: usize,
    },
    /// There are reasons not to deploy.
    Unsafe {
        /// Their number: facts and mismatches with the same cause are one reason.
        reasons: usize,
    },
}

/// The number of checks for each outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Summary")]
pub struct CheckCounts {
    /// Scenarios.
    pub scenarios: usize,
    /// Checks.
    pub checks: usize,
    /// As expected.
    pub matched: usize,
    /// Not as expected.
    pub mismatched: usize,
    /// Not as expected, and known.
    pub known: usize,
    /// Not run.
    pub not_run: usize,
    /// The share of all rules that were exercised, in percent; `None` if the paths of probes are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
}

impl Report {
    /// The report of a run.
    pub fn of_run(run: &RunReport, environment: Environment) -> Report {
        let scenarios: Vec<ReportedScenario> = run.scenarios.iter().map(scenario).collect();
        let probes = run.scenarios.iter().flat_map(|scenario| {
            let file = Some(scenario.file.display().to_string());
            probe_records(&scenario.probes, file.as_deref())
        });
        Report {
            host: scenarios.first().map(|scenario| scenario.host.clone()),
            probes: probes.collect(),
            summary: Some(CheckCounts::count(&scenarios)),
            scenarios: Some(scenarios),
            not_applicable: not_applicable(environment.link),
            ..Report::empty(environment)
        }
    }

    /// The report of a scan.
    pub fn of_scan(host: HostSummary, groups: &[ProbeGroup], environment: Environment) -> Report {
        let probes = groups.iter().map(|group| record(group, None)).collect();
        Report { host: Some(host), probes, ..Report::empty(environment) }
    }

    /// The notes on its probes, each with its scans and ports.
    pub fn notes(&self) -> Vec<String> {
        notes::in_words(&self.probes, &self.environment)
    }

    /// The verdict of the answers.
    pub fn deployment(&self) -> Deployment {
        let unknown = self.answers.as_ref().map_or(0, |answers| answers.facts(Assessment::Unknown).len());
        match (problems::problems(self).len(), unknown) {
            (0, _) if self.flavours_differ() => Deployment::FlavoursDiffer,
            (0, 0) => Deployment::Safe,
            (0, unknown) => Deployment::Unknown { unknown },
            (reasons, _) => Deployment::Unsafe { reasons },
        }
    }

    fn empty(environment: Environment) -> Report {
        let tool = format!("scanlab {}", env!("CARGO_PKG_VERSION"));
        let (scenarios, summary, findings, lint, not_applicable) = (None, None, None, None, None);
        let (schema, host, probes, flavours, answers) = (SCHEMA, None, Vec::new(), None, None);
        Report {
            schema,
            tool,
            environment,
            errors: Vec::new(),
            host,
            probes,
            hidden: None,
            scenarios,
            not_applicable,
            summary,
            findings,
            lint,
            flavours,
            answers,
        }
    }
}

/// The checks that do not apply to this kind of link, in one line.
fn not_applicable(link: LinkMode) -> Option<&'static str> {
    (!link.has_macs())
        .then_some("vendor and neighbour checks: not applicable on a TUN link, which has no MAC addresses")
}

fn scenario(report: &ScenarioReport) -> ReportedScenario {
    ReportedScenario {
        name: report.title.clone(),
        file: report.file.display().to_string(),
        outcome: report.outcome,
        host: report.host.clone(),
        rulesets: report.rulesets.clone(),
        checks: report.checks.clone(),
        coverage: report.coverage.clone(),
        time: report.time,
    }
}

impl CheckCounts {
    fn count(scenarios: &[ReportedScenario]) -> CheckCounts {
        let checks = || scenarios.iter().flat_map(|scenario| &scenario.checks);
        let count = |outcome| checks().filter(|check| check.outcome == outcome).count();
        CheckCounts {
            scenarios: scenarios.len(),
            checks: checks().count(),
            matched: count(Outcome::Matched),
            mismatched: count(Outcome::Mismatched),
            known: count(Outcome::Known),
            not_run: count(Outcome::NotRun),
            coverage: coverage::of_all(scenarios.iter().flat_map(|scenario| &scenario.coverage)),
        }
    }
}
