//! The intended effect of the ruleset on a probe with a mismatch.

use crate::intent::check::{Check, CheckFacts};
use crate::net::rate::Rate;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::scan::{FilterVerdict, PortState};

/// The intended effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedEffect {
    /// A line with this prefix is missing.
    Line {
        /// The prefix.
        prefix: String,
        /// The prefixes of the other expected lines: the rules that log them are correct.
        others: Vec<String>,
    },
    /// No line, or not this one.
    NoLine(String),
    /// One line with this prefix, and not several.
    OneLine(String),
    /// The same lines in another order.
    Order {
        /// The prefix of the line that was expected first.
        first: String,
        /// The prefix of the line that came instead.
        instead: String,
    },
    /// A number of lines of a burst, with this prefix.
    Lines {
        /// The prefix.
        prefix: String,
        /// The expected number.
        expected: u32,
        /// The observed number.
        observed: u32,
        /// The expected rate, if the observed one differs.
        rate: Option<Rate>,
    },
    /// Accept the packet.
    LetIn(PortState),
    /// Keep the packet out.
    KeepOut(PortState),
    /// Pass the connection to the service, and its greeting back.
    Conversation,
}

impl ExpectedEffect {
    /// The most telling difference: a missing line, an additional line, the state, the rate, later packets.
    pub fn from_check(check: &Check) -> Option<ExpectedEffect> {
        let (expected, observed) = (&check.expected, check.observed.as_ref()?);
        line(expected, observed)
            .or_else(|| state(expected, observed))
            .or_else(|| verdict(expected, observed))
            .or_else(|| lines(expected, observed))
            .or_else(|| no_line(expected, observed))
            .or_else(|| order(expected, observed))
            .or_else(|| conversation(expected, observed))
    }

    /// The probe that shows the mismatch: the first whose state or line differs, or the first of all.
    pub fn decisive<'a>(&self, probes: &'a [(Probe, Observation)]) -> Option<&'a (Probe, Observation)> {
        let differs = |(_, observation): &&(Probe, Observation)| match self {
            ExpectedEffect::LetIn(state) | ExpectedEffect::KeepOut(state) => observation.verdict.state != *state,
            ExpectedEffect::NoLine(prefix) => observation.log.iter().any(|record| record.prefix == *prefix),
            ExpectedEffect::Line { .. } | ExpectedEffect::OneLine(_) | ExpectedEffect::Order { .. } => true,
            ExpectedEffect::Lines { .. } | ExpectedEffect::Conversation => true,
        };
        probes.iter().find(differs).or_else(|| probes.first())
    }
}

fn line(expected: &CheckFacts, observed: &CheckFacts) -> Option<ExpectedEffect> {
    let (wanted, seen) = (expected.log.as_deref()?, observed.log.as_deref().unwrap_or_default());
    let place = *beyond(wanted, seen).first()?;
    let mut others = wanted.to_vec();
    let prefix = others.remove(place);
    Some(ExpectedEffect::Line { prefix, others })
}

fn no_line(expected: &CheckFacts, observed: &CheckFacts) -> Option<ExpectedEffect> {
    let (wanted, seen) = (expected.log.as_deref()?, observed.log.as_deref()?);
    let too_much: Vec<&String> = beyond(seen, wanted).into_iter().map(|place| &seen[place]).collect();
    let unknown = too_much.iter().find(|prefix| !wanted.contains(prefix));
    let again = || too_much.last().map(|prefix| ExpectedEffect::OneLine((*prefix).clone()));
    unknown.map(|prefix| ExpectedEffect::NoLine((*prefix).clone())).or_else(again)
}

fn order(expected: &CheckFacts, observed: &CheckFacts) -> Option<ExpectedEffect> {
    let mut lines = expected.log.iter().flatten().zip(observed.log.iter().flatten());
    let (first, instead) = lines.find(|(wanted, seen)| wanted != seen)?;
    Some(ExpectedEffect::Order { first: first.clone(), instead: instead.clone() })
}

/// The indices of those elements of `these` that `those` lacks, or has less often.
fn beyond(these: &[String], those: &[String]) -> Vec<usize> {
    let mut rest = those.to_vec();
    let is_missing = |place: &usize| match rest.iter().position(|other| *other == these[*place]) {
        Some(other) => {
            rest.remove(other);
            false
        }
        None => true,
    };
    (0..these.len()).filter(is_missing).collect()
}

fn state(expected: &CheckFacts, observed: &CheckFacts) -> Option<ExpectedEffect> {
    let (wanted, found) = (expected.state?, observed.state?);
    (wanted != found)
        .then(|| if is_silence(wanted) { ExpectedEffect::KeepOut(wanted) } else { ExpectedEffect::LetIn(wanted) })
}

fn verdict(expected: &CheckFacts, observed: &CheckFacts) -> Option<ExpectedEffect> {
    let (wanted, found) = (expected.verdict?, observed.verdict?);
    let state = observed.state.unwrap_or(PortState::Filtered);
    (wanted != found).then_some(match wanted {
        FilterVerdict::Accept => ExpectedEffect::LetIn(state),
        FilterVerdict::Drop | FilterVerdict::Reject => ExpectedEffect::KeepOut(state),
    })
}

fn lines(expected: &CheckFacts, observed: &CheckFacts) -> Option<ExpectedEffect> {
    let (wanted, found) = (expected.lines?, observed.lines?);
    if no_line(expected, observed).is_some() {
        return None;
    }
    let prefix = expected.log.iter().flatten().next()?.clone();
    let rate = expected.rate.filter(|_| expected.rate != observed.rate);
    (wanted != found || rate.is_some()).then_some(ExpectedEffect::Lines {
        prefix,
        expected: wanted,
        observed: found,
        rate,
    })
}

fn conversation(expected: &CheckFacts, observed: &CheckFacts) -> Option<ExpectedEffect> {
    let differs = expected.accepted != observed.accepted || expected.greeting != observed.greeting;
    differs.then_some(ExpectedEffect::Conversation)
}

/// True for a state that a scanner derives from no reply.
fn is_silence(state: PortState) -> bool {
    match state {
        PortState::Filtered | PortState::OpenFiltered => true,
        PortState::Open
        | PortState::Closed
        | PortState::Unfiltered
        | PortState::ClosedFiltered
        | PortState::Unknown => false,
    }
}
