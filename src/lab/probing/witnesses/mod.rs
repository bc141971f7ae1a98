//! Three witnesses of one probe: the rule trace, the log and the replies. Each is read on its own; if two of them
//! contradict each other, the result is unknown, and the run ends.

use std::collections::VecDeque;

use crate::error::{CannotMeasure, Error, Result};
use crate::lab::trace::lost;
use crate::log_line::NFLOG_NAME;
use crate::probe::Probe;
use crate::probe::observation::{LogRecord, Observation};
use crate::probe::path::{Fate, Path};
use crate::text::escape::listed;

/// Compares the witnesses of `probe`, and returns its fate; `answered` is true if any reply to it came.
///
/// 1. The probe was traced at all.
/// 2. Every LOG rule on its path, and on that of its answer, left its line, in order, and no other line is there.
/// 3. The same for later packets of the exchange, in any order.
/// 4. An answer came if and only if the host sent one that no rule dropped.
/// 5. A dropped probe was not answered.
/// 6. It ended where its path ends: between two hooks, only a rule of another table than filter redirects a probe.
pub fn check_consistency(probe: &Probe, observation: &Observation, answered: bool) -> Result<Fate> {
    let Some(path) = &observation.path else {
        return Err(lost(format!("{} was not traced", name(probe))));
    };
    let answer = observation.answer_path.as_deref();
    let own: Vec<&Path> = [Some(path.as_ref()), answer].into_iter().flatten().collect();
    same_lines(probe, &prefixes(&own), &observation.log)?;
    let followup: Vec<&Path> = observation.followup_paths.iter().map(AsRef::as_ref).collect();
    same_lines_in_any_order(probe, &prefixes(&followup), &observation.followup)?;
    let sent = answer.is_some_and(|answer| answer.fate == Fate::Accepted);
    match (sent, answered, path.fate) {
        (true, false, _) => Err(disagree(probe, "the trace shows an answer on its way out, but none arrived")),
        (false, true, _) => Err(disagree(probe, "an answer arrived that the trace does not show")),
        (_, _, Fate::Vanished) if path.steps.iter().all(|step| step.table == "filter") => {
            Err(disagree(probe, "the trace ends between two hooks, and no rule has touched it"))
        }
        (true, true, Fate::Dropped) => Err(disagree(probe, "the trace shows it dropped, but it was answered")),
        (_, _, fate) => Ok(fate),
    }
}

/// Sorts the lines of a probe into the order of its trace.
pub fn put_in_order(observation: &mut Observation) {
    let own: Vec<&Path> =
        [&observation.path, &observation.answer_path].into_iter().flatten().map(AsRef::as_ref).collect();
    let logged = std::mem::take(&mut observation.log);
    observation.log = in_order_of(&prefixes(&own), logged, |record| &record.line);
}

/// Sorts the lines of LOG and NFLOG rules into the order of the trace: they may come from two sources, each of which
/// keeps its own order. Lines without a rule in the trace stay at the end.
pub fn in_order_of<T>(traced: &[&str], logged: Vec<T>, text: impl Fn(&T) -> &str) -> Vec<T> {
    let is_of_nflog = |text: &str| text.starts_with(NFLOG_NAME);
    let (nflog, log): (VecDeque<T>, VecDeque<T>) = logged.into_iter().partition(|one| is_of_nflog(text(one)));
    let mut queues = [log, nflog];
    let mut ordered: Vec<T> =
        traced.iter().filter_map(|prefix| queues[usize::from(is_of_nflog(prefix))].pop_front()).collect();
    ordered.extend(queues.into_iter().flatten());
    ordered
}

/// The prefixes of the LOG rules on the paths, in order.
fn prefixes<'a>(paths: &[&'a Path]) -> Vec<&'a str> {
    paths.iter().flat_map(|path| path.log_prefixes()).collect()
}

fn same_lines(probe: &Probe, traced: &[&str], logged: &[LogRecord]) -> Result<()> {
    let same = traced.len() == logged.len() && traced.iter().zip(logged).all(|(prefix, record)| is_of(prefix, record));
    if same { Ok(()) } else { Err(other_lines(probe, traced, logged)) }
}

fn same_lines_in_any_order(probe: &Probe, traced: &[&str], logged: &[LogRecord]) -> Result<()> {
    let mut left: Vec<&LogRecord> = logged.iter().collect();
    for prefix in traced {
        let Some(place) = left.iter().position(|record| is_of(prefix, record)) else {
            return Err(other_lines(probe, traced, logged));
        };
        left.remove(place);
    }
    if left.is_empty() { Ok(()) } else { Err(other_lines(probe, traced, logged)) }
}

/// True if the line is the prefix, followed directly by `IN=`.
fn is_of(prefix: &str, record: &LogRecord) -> bool {
    record.line.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("IN="))
}

fn other_lines(probe: &Probe, traced: &[&str], logged: &[LogRecord]) -> Error {
    let logged: Vec<&str> = logged.iter().map(|record| record.prefix.as_str()).collect();
    let (traced, logged) = (listed(traced), listed(&logged));
    disagree(probe, &format!("the trace shows LOG rules with the prefixes {traced}, the log has {logged}"))
}

fn disagree(probe: &Probe, how: &str) -> Error {
    CannotMeasure::Disagreement(format!("{}: {how}", name(probe))).into()
}

fn name(probe: &Probe) -> String {
    let of_port = match probe.technique.has_ports() {
        true => format!(" of port {}", probe.flow.port),
        false => String::new(),
    };
    format!("{} {} probe{of_port}", probe.family(), probe.technique)
}

#[cfg(test)]
mod tests;
