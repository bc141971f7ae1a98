//! What the ruleset was meant to do with a probe, where it did something else.

use crate::intent::check::{Check, CheckFacts};
use crate::net::rate::Rate;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::scan::{FilterVerdict, PortState};

/// What was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedEffect {
    /// A line with this prefix.
    Line {
        /// The prefix.
        prefix: String,
        /// The prefixes of the other lines that were meant: the rules that log with them are not to blame.
        others: Vec<String>,
    },
    /// No line, or not this one.
    NoLine(String),
    /// One line with this prefix, not several; or not so many.
    OneLine(String),
    /// The lines that there are, in another order.
    Order {
        /// The prefix of the line that was meant to come first.
        first: String,
        /// That of the one which came in its place.
        instead: String,
    },
    /// So many lines of a burst, with this prefix.
    Lines {
        /// The prefix.
        prefix: String,
        /// How many.
        expected: u32,
        /// How many there were.
        observed: u32,
        /// At which rate, when that is another.
        rate: Option<Rate>,
    },
    /// To let it in.
    LetIn(PortState),
    /// To keep it out.
    KeepOut(PortState),
    /// To carry the connection on to the service, and its greeting back.
    Conversation,
}

impl ExpectedEffect {
    /// What differs most tellingly: a line that is missing, a line that is too much, the state, the rate, what follows.
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

    /// The probe that shows it: the first whose state or line is not as meant, or the first of all.
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

/// The places of those of `these` that `those` do not have, or not as often.
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

/// States that a scanner tells by silence.
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
