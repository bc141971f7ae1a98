//! What the ruleset was meant to do with a probe, where it did something else.

use crate::check::{Check, Findings};
use crate::observation::Observation;
use crate::probe::Probe;
use crate::rate::Rate;
use crate::scan::{FilterVerdict, PortState};

/// What was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A line with this prefix.
    Line(String),
    /// No line, or not this one.
    NoLine(String),
    /// One line with this prefix, not several.
    OneLine(String),
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

impl Goal {
    /// What differs most tellingly: a line that is missing, a line that is too much, the state, the rate, what follows.
    pub fn of(check: &Check) -> Option<Goal> {
        let (expected, observed) = (&check.expected, check.observed.as_ref()?);
        line(expected, observed)
            .or_else(|| state(expected, observed))
            .or_else(|| verdict(expected, observed))
            .or_else(|| lines(expected, observed))
            .or_else(|| no_line(expected, observed))
            .or_else(|| conversation(expected, observed))
    }

    /// The probe that shows it: the first whose state is not as meant, or the first of all.
    pub fn decisive<'a>(&self, probes: &'a [(Probe, Observation)]) -> Option<&'a (Probe, Observation)> {
        let differs = |(_, observation): &&(Probe, Observation)| match self {
            Goal::LetIn(state) | Goal::KeepOut(state) => observation.verdict.state != *state,
            Goal::Line(_) | Goal::NoLine(_) | Goal::OneLine(_) | Goal::Lines { .. } | Goal::Conversation => true,
        };
        probes.iter().find(differs).or_else(|| probes.first())
    }
}

fn line(expected: &Findings, observed: &Findings) -> Option<Goal> {
    let missing = |prefix: &&String| !observed.log.iter().flatten().any(|other| other == *prefix);
    expected.log.iter().flatten().find(missing).cloned().map(Goal::Line)
}

fn no_line(expected: &Findings, observed: &Findings) -> Option<Goal> {
    let wanted = expected.log.as_ref()?;
    let too_much = |prefix: &&String| !wanted.contains(prefix);
    let seen = observed.log.as_ref()?;
    let again = || seen.last().filter(|_| seen != wanted).cloned().map(Goal::OneLine);
    seen.iter().find(too_much).cloned().map(Goal::NoLine).or_else(again)
}

fn state(expected: &Findings, observed: &Findings) -> Option<Goal> {
    let (wanted, found) = (expected.state?, observed.state?);
    (wanted != found).then(|| if is_silence(wanted) { Goal::KeepOut(wanted) } else { Goal::LetIn(wanted) })
}

fn verdict(expected: &Findings, observed: &Findings) -> Option<Goal> {
    let (wanted, found) = (expected.verdict?, observed.verdict?);
    let state = observed.state.unwrap_or(PortState::Filtered);
    (wanted != found).then_some(match wanted {
        FilterVerdict::Accept => Goal::LetIn(state),
        FilterVerdict::Drop | FilterVerdict::Reject => Goal::KeepOut(state),
    })
}

fn lines(expected: &Findings, observed: &Findings) -> Option<Goal> {
    let (wanted, found) = (expected.lines?, observed.lines?);
    let prefix = expected.log.iter().flatten().next()?.clone();
    let rate = expected.rate.filter(|_| expected.rate != observed.rate);
    (wanted != found || rate.is_some()).then_some(Goal::Lines { prefix, expected: wanted, observed: found, rate })
}

fn conversation(expected: &Findings, observed: &Findings) -> Option<Goal> {
    let differs = expected.accepted != observed.accepted || expected.greeting != observed.greeting;
    differs.then_some(Goal::Conversation)
}

/// States that a scanner tells by silence.
fn is_silence(state: PortState) -> bool {
    match state {
        PortState::Filtered | PortState::OpenFiltered => true,
        PortState::Open | PortState::Closed | PortState::Unfiltered | PortState::ClosedFiltered => false,
    }
}
