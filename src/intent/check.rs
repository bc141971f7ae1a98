//! A check: the expected facts, the observed facts, and the outcome. `compare` makes checks and `report` prints them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::intent::explanation::Explanation;
use crate::intent::scenario::CheckSubject;
use crate::net::port::Port;
use crate::net::rate::Rate;
use crate::net::{Family, Mac};
use crate::probe::scan::{FilterVerdict, PortState};

/// The outcome of a check, or of all checks of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The observed facts differ from the expected ones.
    Mismatched,
    /// It did not run: never green.
    NotRun,
    /// A mismatch that the scenario lists as known.
    Known,
    /// The observed facts are the expected ones.
    Matched,
}

impl Outcome {
    /// True if it makes a run fail.
    pub const fn is_red(self) -> bool {
        match self {
            Outcome::Mismatched | Outcome::NotRun => true,
            Outcome::Known | Outcome::Matched => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Matched => "matched",
            Outcome::Mismatched => "mismatched",
            Outcome::Known => "known",
            Outcome::NotRun => "not-run",
        })
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// The subject: `scan`, the name of a technique for a scan; and `packet`, the text of a packet.
    #[serde(flatten, serialize_with = "by_name")]
    #[schemars(with = "SubjectRecord")]
    pub subject: CheckSubject,
    /// The probed port; `None` unless it is a scan.
    pub port: Option<Port>,
    /// The family; `None` for a subject without one.
    pub family: Option<Family>,
    /// The number of probes in the burst, if the rate is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_of: Option<u32>,
    /// The facts that the intent requires.
    pub expected: CheckFacts,
    /// The observed facts, of the same kinds as expected; `None` if the check did not run.
    pub observed: Option<CheckFacts>,
    /// The outcome.
    pub outcome: Outcome,
    /// The line in the scenario's or sensor's file that causes the check: that of the `[[known]]` row, else of the
    /// `[[expect]]` row, else of the entry of `[sensor]` or `[host]`; `None` if the file has none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The difference in words; empty if there is none.
    pub why: String,
    /// The explanation of a mismatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
}

fn by_name<S: Serializer>(subject: &CheckSubject, serializer: S) -> Result<S::Ok, S::Error> {
    let packet = subject.packet().map(|packet| packet.to_string());
    SubjectRecord { scan: subject.name(), packet }.serialize(serializer)
}

/// The subject of a check, as the JSON shows it.
#[derive(Serialize, JsonSchema)]
struct SubjectRecord {
    scan: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<String>,
}

impl Check {
    /// `ipv4 xmas 80`, `ipv6 20 x syn 22`, `arp`: the subject in one line.
    pub fn name(&self) -> String {
        let family = self.family.map(|family| family.to_string());
        let burst = self.burst_of.map(|probes| format!("{probes} x"));
        let words = [family, burst, Some(self.subject.to_string()), self.port.map(|port| port.to_string())];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// The port that a scan probes, or the destination port of a packet.
    pub fn destination(&self) -> Option<Port> {
        self.port.or_else(|| self.subject.packet()?.what().destination())
    }

    /// True if both checks have the same subject, port, family, burst and expected log.
    pub fn is_same_question(&self, other: &Check) -> bool {
        let question = |check: &Check| (check.subject, check.port, check.family, check.burst_of);
        question(self) == question(other) && self.expected.log == other.expected.log
    }
}

/// Facts of either side. A fact that is `None` is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Facts")]
pub struct CheckFacts {
    /// The port state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PortState>,
    /// The prefixes of the log lines that the probe itself caused, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<String>>,
    /// The number of log lines of a burst of probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u32>,
    /// The rate at which the limit of the LOG rule recovers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The verdict of the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<FilterVerdict>,
    /// True if the service got the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<bool>,
    /// The greeting of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// The MAC addresses that the host shows, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macs: Option<Vec<Mac>>,
    /// The vendor of those addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// True if the host resolves a neighbour that it has no entry for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolves: Option<bool>,
}

impl CheckFacts {
    /// The log of one line, or of none.
    pub fn one_line(prefix: Option<&str>) -> Option<Vec<String>> {
        Some(prefix.into_iter().map(str::to_owned).collect())
    }

    /// The facts of `self` that `wanted` contains.
    pub fn only(&self, wanted: &CheckFacts) -> CheckFacts {
        CheckFacts {
            state: self.state.filter(|_| wanted.state.is_some()),
            log: self.log.clone().filter(|_| wanted.log.is_some()),
            lines: self.lines.filter(|_| wanted.lines.is_some()),
            rate: self.rate.filter(|_| wanted.rate.is_some()),
            verdict: self.verdict.filter(|_| wanted.verdict.is_some()),
            accepted: self.accepted.filter(|_| wanted.accepted.is_some()),
            greeting: self.greeting.clone().filter(|_| wanted.greeting.is_some()),
            macs: self.macs.clone().filter(|_| wanted.macs.is_some()),
            vendor: self.vendor.clone().filter(|_| wanted.vendor.is_some()),
            resolves: self.resolves.filter(|_| wanted.resolves.is_some()),
        }
    }
}

/// One line for a table cell: `open|filtered, log "<IPT> Xmas scan: "`.
impl fmt::Display for CheckFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.state.map(|state| state.to_string()),
            self.verdict.map(|verdict| verdict.to_string()),
            self.log.as_deref().map(log_in_words),
            self.lines.map(|lines| format!("{lines} lines")),
            self.rate.map(|rate| rate.to_string()),
            self.accepted.filter(|accepted| !accepted).map(|_| "the service never got the connection".to_owned()),
            self.greeting.as_deref().map(greeting_in_words),
            self.macs.as_deref().map(macs_in_words),
            self.vendor.clone(),
            self.resolves
                .map(|resolves| if resolves { "finds its neighbours" } else { "finds no neighbour" }.to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.pad(&parts.join(", "))
    }
}

fn log_in_words(prefixes: &[String]) -> String {
    match prefixes {
        [] => "no line".to_owned(),
        prefixes => prefixes.iter().map(|prefix| format!("{prefix:?}")).collect::<Vec<_>>().join(" + "),
    }
}

fn greeting_in_words(greeting: &str) -> String {
    if greeting.is_empty() { "no greeting".to_owned() } else { "greets".to_owned() }
}

fn macs_in_words(macs: &[Mac]) -> String {
    match macs {
        [] => "no answer".to_owned(),
        macs => macs.iter().map(Mac::to_string).collect::<Vec<_>>().join(" and "),
    }
}
