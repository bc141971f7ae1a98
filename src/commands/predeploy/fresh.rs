//! Labs for questions that must not share limits and lists: the result of one would depend on those before it.

use super::PredeploySubject;
use crate::error::{Result, Source};
use crate::lab::{Lab, LabSpec};
use crate::net::Family;
use crate::rules::iptables_save::Rule;

/// The results for `questions`, in their order: in one lab if no rule counts packets, and each in its own lab
/// otherwise.
///
/// # Errors
///
/// Those of a lab, and of `ask`.
pub fn answers<Q: Sync, A: Send>(
    subject: &PredeploySubject,
    spec: &LabSpec,
    questions: &[Q],
    ask: impl Fn(&mut Lab, &[Q]) -> Result<Vec<A>> + Sync,
) -> Result<Vec<A>> {
    let size = if counts(subject, &subject.rules()) { 1 } else { questions.len().max(1) };
    let answers = questions.chunks(size).map(|some| Lab::run(spec, |lab| ask(lab, some)));
    Ok(answers.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// True if a result with `rulesets` may depend on earlier packets.
pub fn counts(subject: &PredeploySubject, rulesets: &[(Family, &Source)]) -> bool {
    let mut listings = rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    listings.any(|listing| listing.keeps_lists() || listing.rules().any(counts_what_passes))
}

/// True if the rule counts packets. The limit of a LOG rule affects lines only, and not the packet.
fn counts_what_passes(rule: &Rule) -> bool {
    let is_log = rule.target.as_ref().is_some_and(|target| matches!(target.name.as_str(), "LOG" | "NFLOG"));
    !is_log && rule.remembers().next().is_some()
}
