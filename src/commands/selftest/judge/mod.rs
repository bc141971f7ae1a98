//! Judges the result of an injected fault. Pure.

use super::FaultOutcome;
use super::fault_lab::WrongVerdict;
use crate::error::CannotMeasure;
use crate::lab::{Fault, Sabotage};

/// The required end of a run with an injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The lab reports a blind instrument.
    Blind,
    /// The lab reports that the program which loads rules has failed.
    NotLoaded,
    /// The lab reports a loss.
    Loss,
    /// The fault has no effect: every verdict is correct.
    Right,
}

impl Ending {
    /// The required end for a fault.
    pub fn expected(fault: Fault) -> Ending {
        match fault {
            Fault::BlindLog => Ending::Blind,
            Fault::NothingLoaded => Ending::NotLoaded,
            Fault::LostTrace | Fault::LostRouting | Fault::LogOverrun | Fault::FullConntrack => Ending::Loss,
            Fault::StaleReply | Fault::WrongFence | Fault::ResetOfAStranger | Fault::ResetOutOfWindow => Ending::Right,
        }
    }
}

/// Judges a run with a planted fault by how it ended: the mistakes in its verdicts, or the lab's own error.
///
/// 1. A fault that could not be injected did not run.
/// 2. A correct end proves nothing if the instrument never met the fault.
/// 3. A blind or lossy instrument must be noticed, even if the verdicts happen to be right.
pub fn judge(sabotage: &Sabotage, found: &Result<Vec<WrongVerdict>, CannotMeasure>) -> (FaultOutcome, String) {
    if let Some(reason) = sabotage.declined() {
        return (FaultOutcome::NotRun, reason.to_owned());
    }
    let (outcome, happened) = ended(Ending::expected(sabotage.fault), found);
    match outcome {
        FaultOutcome::Caught | FaultOutcome::Right if sabotage.met() == 0 => {
            (FaultOutcome::NotPlanted, format!("the lab never met it; {happened}"))
        }
        outcome => (outcome, happened),
    }
}

/// Judges verdicts: all correct, or fooled, with the wrong ones.
pub fn verdicts(mistakes: &[WrongVerdict]) -> (FaultOutcome, String) {
    match mistakes {
        [] => (FaultOutcome::Right, "every verdict is right".to_owned()),
        [only] => (FaultOutcome::Fooled, format!("a wrong verdict: {only}")),
        [first, ..] => (FaultOutcome::Fooled, format!("{} wrong verdicts, such as {first}", mistakes.len())),
    }
}

fn ended(ending: Ending, found: &Result<Vec<WrongVerdict>, CannotMeasure>) -> (FaultOutcome, String) {
    match (ending, found) {
        (Ending::Blind, Err(error @ CannotMeasure::Blind { .. }))
        | (Ending::NotLoaded, Err(error @ CannotMeasure::ProgramFailed { .. }))
        | (Ending::Loss, Err(error @ CannotMeasure::Loss { .. })) => (FaultOutcome::Caught, without_hint(error)),
        (_, Err(error)) => (FaultOutcome::Fooled, format!("another error: {}", without_hint(error))),
        (Ending::Right, Ok(mistakes)) => verdicts(mistakes),
        (Ending::Blind | Ending::NotLoaded | Ending::Loss, Ok(mistakes)) => {
            (FaultOutcome::Fooled, format!("no one noticed; {}", verdicts(mistakes).1))
        }
    }
}

/// The message without its hint, which does not apply to an injected fault.
fn without_hint(error: &CannotMeasure) -> String {
    let text = error.to_string();
    text.split(" (hint: ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
