//! The rate of a line: that of the rule that logs it, and of the rules that jump to its chain.

use crate::intent::plan::Burst;
use crate::net::rate::Rate;
use crate::probe::observation::Observation;
use crate::probe::path::{Path, Step, StepVerdict};

/// The rate of a line, as far as it is known.
pub enum LineRate<'a> {
    /// No rule logged such a line.
    NoLine,
    /// No rule on the path to the line has a limit.
    Unlimited,
    /// The slowest of the limits on the path to the line.
    Limited(Rate),
    /// A match whose rate is not known, and its rule.
    Unread(&'a str, &'a Step),
}

/// The rate of the line with one of `prefixes`, or of any line.
pub fn of_line<'a>(observations: &'a [Observation], prefixes: Option<&[String]>) -> LineRate<'a> {
    let wanted = |prefix: &String| prefixes.is_none_or(|prefixes| prefixes.contains(prefix));
    let is_it = |step: &Step| step.log_prefix.as_ref().is_some_and(wanted);
    let paths = observations.iter().filter_map(|observation| observation.path.as_deref());
    let Some(way) = paths.filter_map(|path| way_to(path, path.steps.iter().position(is_it)?)).next() else {
        return LineRate::NoLine;
    };
    match way.iter().find_map(|step| Some((step.unread.first()?, *step))) {
        Some((name, step)) => LineRate::Unread(name, step),
        None => way.iter().filter_map(|step| step.rate).max().map_or(LineRate::Unlimited, LineRate::Limited),
    }
}

/// The step at `place`, and the jumps that led to its chain.
fn way_to(path: &Path, place: usize) -> Option<Vec<&Step>> {
    let mut way = vec![path.steps.get(place)?];
    for step in path.steps[..place].iter().rev() {
        let last = way.last()?;
        let leads = match &step.verdict {
            StepVerdict::Jump(chain) | StepVerdict::Goto(chain) => *chain == last.chain && step.table == last.table,
            _ => false,
        };
        if leads {
            way.push(step);
        }
    }
    Some(way)
}

impl LineRate<'_> {
    /// The rate, if it is known.
    pub fn known(&self) -> Option<Rate> {
        match self {
            LineRate::Limited(rate) => Some(*rate),
            LineRate::NoLine | LineRate::Unlimited | LineRate::Unread(..) => None,
        }
    }

    /// The reason why the rate is not known although a match limits the `lines` of a burst; `None` if it is known.
    pub fn unread(&self, lines: u32, burst: &Burst) -> Option<String> {
        let is_limited = (1..u32::from(burst.probes)).contains(&lines);
        let rate = burst.expected.rate?;
        match self {
            LineRate::Unread(name, step) => {
                let line = step.line.map(|line| format!(" (line {line})")).unwrap_or_default();
                Some(format!("how fast the lines recover is not known: `-m {name}`{line} is not compared with {rate}"))
            }
            LineRate::Unlimited if is_limited => Some(format!(
                "how fast the lines recover is not known: what limits them is a rule before the one that logs, and it is \
                 not compared with {rate}"
            )),
            LineRate::NoLine | LineRate::Unlimited | LineRate::Limited(_) => None,
        }
    }
}
