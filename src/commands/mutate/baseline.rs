//! The original ruleset: the result of every check, the rules that each probe met, and the effect on every packet of a
//! sweep. Mutants are compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::effect::{Effects, Sweep};
use crate::commands::run::checks::CheckInputs;
use crate::commands::run::job::Job;
use crate::commands::run::lab_pool::LabPool;
use crate::error::{InputError, Result};
use crate::intent::check::{Check, Outcome};
use crate::intent::plan::CellKey;
use crate::lab::{Lab, LimitOverride, PinnedSysctls};
use crate::net::Family;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::packet::Journey;
use crate::rules::iptables_save::Listing;
use crate::rules::sweep::SweepPlan;

/// The facts about the original ruleset.
pub struct Baseline {
    /// Every check; none is mismatched.
    pub checks: Vec<Check>,
    /// The lines of the rules that matched the probe of a cell, its answer and later packets.
    pub lines: BTreeMap<CellKey, BTreeSet<usize>>,
    /// The sweep of each ruleset.
    pub sweeps: BTreeMap<Family, BaselineSweep>,
    /// The pinned sysctls of its labs.
    pub pinned_sysctls: PinnedSysctls,
}

/// The sweep of one ruleset.
pub struct BaselineSweep {
    /// Its rules.
    pub listing: Listing,
    /// The packets of the sweep.
    pub plan: SweepPlan,
    /// The effects, with limits that are never used up.
    pub effects: Effects,
    /// Every path that each stimulus caused.
    pub journeys: Vec<Vec<Journey>>,
}

/// Measures the original ruleset.
///
/// # Errors
///
/// If a check is not as the scenario expects.
pub async fn measure(job: &Arc<Job>, workforce: &LabPool) -> Result<Baseline> {
    let found = workforce.perform_one(job).await?;
    let pinned_sysctls = found.pinned_sysctls().unwrap_or_default();
    let evidence = CheckInputs::new(found);
    let checks = job.checks(&evidence)?;
    all_pass(job, &checks)?;
    let families: Vec<Family> = job.rulesets.iter().map(|(family, _)| *family).collect();
    let families = families.into_iter().filter(|family| Lab::families().contains(family)).collect();
    let of_job = Arc::clone(job);
    let sweeps = workforce.map(families, move |family| Ok((family, sweep(&of_job, family)?))).await?;
    Ok(Baseline { checks, lines: lines(&evidence), sweeps: sweeps.into_iter().collect(), pinned_sysctls })
}

fn all_pass(job: &Job, checks: &[Check]) -> Result<()> {
    let fails = |check: &&Check| matches!(check.outcome, Outcome::Mismatched | Outcome::NotRun);
    let Some(check) = checks.iter().filter(fails).min_by_key(|check| check.outcome) else { return Ok(()) };
    if let (Outcome::NotRun, Some(family)) = (check.outcome, check.family) {
        Lab::must_have(family)?;
    }
    let file = job.scenario.source.name.display();
    let problem = format!("{file} does not pass with its ruleset as it is: {} is {}", check.name(), check.outcome);
    Err(InputError::new(problem, "see `scanlab run`; a scenario that already fails notices nothing").into())
}

fn lines(evidence: &CheckInputs) -> BTreeMap<CellKey, BTreeSet<usize>> {
    let key = |probe: &Probe| (probe.family(), probe.technique, probe.flow.port);
    let mut lines: BTreeMap<CellKey, BTreeSet<usize>> = BTreeMap::new();
    for (probe, observation) in evidence.all() {
        lines.entry(key(probe)).or_default().extend(met(observation));
    }
    lines
}

fn met(observation: &Observation) -> impl Iterator<Item = usize> {
    observation.paths().flat_map(|path| &path.steps).filter_map(|step| step.line)
}

fn sweep(job: &Job, family: Family) -> Result<BaselineSweep> {
    let source = job.ruleset(family).expect("the family has a ruleset");
    let listing = job.listing(family, source);
    let mut plan = SweepPlan::new(&listing, &job.scenario.host.addresses);
    let sweep = Sweep { listing: &listing, limits: LimitOverride::Wide };
    let (effects, journeys) = job.in_lab(&[(family, source)], |lab| sweep.all(lab, &mut plan))?;
    Ok(BaselineSweep { listing, plan, effects, journeys })
}
