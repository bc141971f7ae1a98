//! Lines of NFLOG rules: an expectation that names one is about all lines, any other about the kernel's log alone.
//! Lines that are not compared are reported in the check.

use crate::intent::check::{Check, CheckFacts};
use crate::log_line::NFLOG_NAME;

/// Removes the lines of NFLOG rules from `observed`, unless `expected` names one.
pub fn set_aside(expected: &CheckFacts, observed: &mut CheckFacts) -> Vec<String> {
    let is_nflog = |prefix: &String| prefix.starts_with(NFLOG_NAME);
    let is_named = expected.log.iter().flatten().any(is_nflog);
    let Some(log) = observed.log.as_mut().filter(|_| !is_named && expected.log.is_some()) else { return Vec::new() };
    let (aside, rest) = std::mem::take(log).into_iter().partition(is_nflog);
    *log = rest;
    aside
}

/// The check, with the lines that were set aside.
pub fn report(check: Check, aside: &[String]) -> Check {
    if aside.is_empty() {
        return check;
    }
    let aside: Vec<String> = aside.iter().map(|prefix| format!("{prefix:?}")).collect();
    let besides = format!("NFLOG rules, which no row expects, log {}", aside.join(" + "));
    let why = [check.why.as_str(), &besides].into_iter().filter(|why| !why.is_empty()).collect::<Vec<_>>().join("; ");
    Check { why, ..check }
}
