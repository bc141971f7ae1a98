//! Verified patches: a change of one rule is loaded, every check is repeated, and it is reported only if the mismatch
//! is gone, no other check has changed, and the change does no harm (see `harm`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ScenarioReport;
use super::checks::CheckInputs;
use super::harm::is_harmless;
use super::job::Job;
use super::lab_pool::LabPool;
use crate::error::{Error, Result, Source};
use crate::intent::check::{Check, Outcome};
use crate::intent::explanation::{Cause, Explanation, Patch, RuleRef};
use crate::net::Family;
use crate::net::port::Port;
use crate::rules::iptables_save::{apply, unified};
use crate::verdict::explain::patch::PatchCandidate;

/// The key of mismatches that one patch fixes. Without an intended rule, each port needs a rule of its own.
type MismatchKey = (Family, Cause, Option<usize>, Option<usize>, Option<Port>);

/// The maximum number of mismatches: a ruleset with more is not fixed rule by rule.
const AILMENTS: usize = 24;

/// The maximum number of candidates that are tried after the first that resolves something, to find one that resolves
/// more.
const SEARCH: usize = 40;

/// Proposes a patch for every mismatch that one change of the ruleset fixes.
pub async fn propose(
    job: &Job,
    report: &mut ScenarioReport,
    evidence: &CheckInputs,
    workforce: &LabPool,
) -> Result<()> {
    let mut ailments: BTreeMap<MismatchKey, usize> = BTreeMap::new();
    for (index, check) in report.checks.iter().enumerate() {
        if let Some(ailment) = ailment(check) {
            ailments.entry(ailment).or_insert(index);
        }
    }
    let (mut tries, mut search) = (0, SEARCH);
    for (ailment, index) in ailments {
        if tries == AILMENTS || is_fixed(&report.checks[index]) {
            continue;
        }
        tries += 1;
        let (family, ..) = ailment;
        let candidates = job.candidates(&report.checks[index], evidence);
        let trial = PatchSearch { job, family, before: &report.checks, index, workforce };
        if let Some(cure) = trial.best(candidates, &mut search).await? {
            let resolves_all = cure.patch.resolves == report.checks.iter().filter(|check| still_fails(check)).count();
            if resolves_all {
                cure.hand_out_to_all(&mut report.checks);
                break;
            }
            cure.hand_out(&mut report.checks, &ailment);
        }
    }
    Ok(())
}

fn ailment(check: &Check) -> Option<MismatchKey> {
    let explanation = check.explanation.as_ref().filter(|_| check.outcome == Outcome::Mismatched)?;
    let line = |place: &Option<RuleRef>| place.as_ref().and_then(|place| place.line);
    let port = check.destination().filter(|_| explanation.meant.is_none());
    Some((check.family?, explanation.cause, line(&explanation.took), line(&explanation.meant), port))
}

/// True if a patch for a check of the same cause fixes this one, too.
fn is_fixed(check: &Check) -> bool {
    check.explanation.as_ref().is_some_and(|explanation| explanation.patch.is_some())
}

/// A change that fixes a mismatch, and for each check whether it matches with it.
struct VerifiedPatch {
    patch: Patch,
    well: Vec<bool>,
}

impl VerifiedPatch {
    /// Adds the patch to all checks, if one resolves everything.
    fn hand_out_to_all(&self, checks: &mut [Check]) {
        for check in checks.iter_mut().filter(|check| still_fails(check)) {
            if let Some(explanation) = &mut check.explanation {
                explanation.patch = Some(self.patch.clone());
            }
        }
    }

    /// Adds the patch to every check of the same family and cause that matches with it, whichever rule decided on its
    /// packets.
    fn hand_out(&self, checks: &mut [Check], (family, cause, ..): &MismatchKey) {
        for (check, well) in checks.iter_mut().zip(&self.well) {
            let same = ailment(check).is_some_and(|(of, by, ..)| (of, by) == (*family, *cause));
            if *well && same && !is_fixed(check) {
                let explanation = check.explanation.take();
                check.explanation = explanation.map(|found| Explanation { patch: Some(self.patch.clone()), ..found });
            }
        }
    }
}

/// The search for a fix of check number `index`.
struct PatchSearch<'a> {
    job: &'a Job,
    family: Family,
    before: &'a [Check],
    index: usize,
    workforce: &'a LabPool,
}

impl PatchSearch<'_> {
    /// The first candidate that resolves all mismatches of the family, or else the one that resolves most.
    async fn best(&self, candidates: Vec<PatchCandidate>, search: &mut usize) -> Result<Option<VerifiedPatch>> {
        let ill = self.before.iter().filter(|check| still_fails(check) && check.family == Some(self.family)).count();
        let mut best: Option<VerifiedPatch> = None;
        for candidate in candidates {
            let resolved = best.as_ref().map_or(0, |cure| cure.patch.resolves);
            if resolved == ill || (best.is_some() && *search == 0) {
                break;
            }
            *search -= usize::from(best.is_some());
            let found = self.cure(candidate).await?;
            best = found.filter(|cure| cure.patch.resolves > resolved).or(best);
        }
        Ok(best)
    }

    /// The candidate, if it resolves the check and does no harm.
    async fn cure(&self, candidate: PatchCandidate) -> Result<Option<VerifiedPatch>> {
        let (job, family, before) = (self.job, self.family, self.before);
        let Some(ruleset) = job.ruleset(family) else { return Ok(None) };
        let patched = apply(ruleset, &candidate.edits);
        let Some(after) = run_checks(job, family, &patched, self.workforce).await? else { return Ok(None) };
        let Some(well) = fixed_checks(before, &after, self.index) else { return Ok(None) };
        let resolved =
            before.iter().zip(&well).filter(|(check, well)| **well && still_fails(check)).map(|(check, _)| check);
        let resolved: Vec<&Check> = resolved.collect();
        if !is_harmless(job, family, [ruleset, &patched], &resolved) {
            return Ok(None);
        }
        let (resolves, checked, diff) = (resolved.len(), before.len(), unified(ruleset, &candidate.edits));
        Ok(Some(VerifiedPatch { patch: Patch { words: candidate.words, resolves, checked, diff }, well }))
    }
}

/// All checks with the patched ruleset; `None` if iptables refuses it, or the lab cannot measure it.
async fn run_checks(job: &Job, family: Family, patched: &Source, workforce: &LabPool) -> Result<Option<Vec<Check>>> {
    let patched = Arc::new(job.with_ruleset(family, patched));
    match workforce.perform_one(&patched).await {
        Ok(found) => patched.checks(&CheckInputs::new(found)).map(Some),
        Err(Error::Input(_) | Error::CannotMeasure(_)) => Ok(None),
    }
}

/// For each check true if it matches with the change; `None` unless the change fixes check `index` and every other
/// check either matches or has the same observation as before.
fn fixed_checks(before: &[Check], after: &[Check], index: usize) -> Option<Vec<bool>> {
    let well: Vec<bool> = after.iter().map(|check| check.outcome == Outcome::Matched).collect();
    let harmless = |(before, after): (&Check, &Check)| {
        let was_ill = still_fails(before) || before.outcome == Outcome::NotRun;
        before.observed == after.observed || (was_ill && after.outcome == Outcome::Matched)
    };
    (before.len() == after.len() && well[index] && before.iter().zip(after).all(harmless)).then_some(well)
}

fn still_fails(check: &Check) -> bool {
    check.outcome == Outcome::Mismatched
}
