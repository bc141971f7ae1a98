//! One mutant, tried: it is loaded as any ruleset, and the checks of the scenario are done one by one, those first whose
//! probes met the broken rule, until one is not as it was. If none is, everything is sent that a sweep has.

use std::ops::ControlFlow;

use super::Fate;
use super::baseline::{Baseline, Swept};
use super::effect::{Difference, Effects, Sweep};
use crate::check::{Check, Outcome};
use crate::compare;
use crate::error::{Error, Result, Source};
use crate::iptables_save::Listing;
use crate::lab::{Lab, Limits};
use crate::mutant::Mutant;
use crate::path;
use crate::plan::{Burst, Cell, Key};
use crate::run::checks::Evidence;
use crate::run::job::{Job, Phases, send_burst};
use crate::sweep::Plan;

/// What becomes of `mutant`.
pub fn of(job: &Job, baseline: &Baseline, mutant: &Mutant) -> Result<Fate> {
    if let Some(because) = mutant.equivalent {
        return Ok(Fate::Equivalent { because: because.to_owned() });
    }
    let (Some(original), Some(swept)) = (job.ruleset(mutant.family), baseline.sweeps.get(&mutant.family)) else {
        return Ok(Fate::Equivalent { because: "this machine does not have the family".to_owned() });
    };
    let source = mutant.apply(original);
    let trial = Trial { job, baseline, mutant, swept, listing: Listing::parse(mutant.family, &source) };
    let rulesets = [(mutant.family, &source)];
    let outcome =
        if job.plan.keeps_lists { trial.in_many_labs(&source) } else { job.in_lab(&rulesets, |lab| trial.run(lab)) };
    match outcome {
        Err(Error::Input(_)) => Ok(Fate::Refused),
        outcome => outcome,
    }
}

struct Trial<'a> {
    job: &'a Job,
    baseline: &'a Baseline,
    mutant: &'a Mutant,
    swept: &'a Swept,
    listing: Listing,
}

impl Trial<'_> {
    fn run(&self, lab: &mut Lab) -> Result<Fate> {
        let killer = self.cells(lab)?;
        let killer = killer.map_or_else(|| self.neighbours(lab), |killer| Ok(Some(killer)))?;
        let killer = killer.map_or_else(|| self.bursts(lab), |killer| Ok(Some(killer)))?;
        match killer {
            Some(killer) => Ok(Fate::Killed { by: killer.name() }),
            None => self.survived(lab),
        }
    }

    /// The cells of the mutant's family, those first whose probes met the broken line.
    fn cells(&self, lab: &mut Lab) -> Result<Option<Check>> {
        let mut cells: Vec<&Cell> =
            self.job.plan.rounds.iter().flatten().filter(|cell| self.is_here(cell.family)).collect();
        cells.sort_by_key(|cell| !self.met_the_line(cell.key()));
        let mut phases = Phases::new(&self.job.scenario);
        let probes: Vec<_> =
            cells.iter().map(|cell| phases.of(cell.technique, cell.family).probe(cell.port, 0)).collect();
        let mut killer = None;
        lab.send_each_afresh_while(&probes, |index, observation| {
            killer = self.if_killed(compare::cell(cells[index], observation));
            if killer.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(killer)
    }

    fn neighbours(&self, lab: &mut Lab) -> Result<Option<Check>> {
        let found = lab.neighbourhood()?;
        let families = [self.mutant.family];
        let job = self.job;
        let checks =
            compare::neighbours(&job.scenario, job.mac(), &families, &found, &Default::default(), &job.vendors);
        let of_family = |check: &Check| check.family == Some(self.mutant.family);
        Ok(checks.into_iter().filter(of_family).find_map(|check| self.if_killed(check)))
    }

    /// Each burst with fresh limits; then all that are to have a limit of their own, one after the other.
    fn bursts(&self, lab: &mut Lab) -> Result<Option<Check>> {
        let mut bursts: Vec<&Burst> = self.job.plan.bursts.iter().filter(|burst| self.is_here(burst.family)).collect();
        bursts.sort_by_key(|burst| !self.met_the_line(burst.key()));
        let mut phases = Phases::new(&self.job.scenario);
        for burst in &bursts {
            lab.renew_limits()?;
            let observed: Vec<_> = send_burst(lab, &mut phases, burst)?.into_iter().map(|(_, one)| one).collect();
            if let Some(killer) = self.if_killed(compare::burst(burst, &observed, &[])) {
                return Ok(Some(killer));
            }
        }
        lab.renew_limits()?;
        for burst in self.job.plan.bursts.iter().filter(|burst| self.is_here(burst.family) && burst.own_limit) {
            let observed: Vec<_> = send_burst(lab, &mut phases, burst)?.into_iter().map(|(_, one)| one).collect();
            if let Some(killer) = self.if_killed(compare::burst(burst, &observed, &[])) {
                return Ok(Some(killer));
            }
        }
        Ok(None)
    }

    /// Lists of what was seen outlive their rules: then every check has a lab of its own, as in a run, and no sweep can
    /// tell.
    fn in_many_labs(&self, source: &Source) -> Result<Fate> {
        let job = self.job.with_ruleset(self.mutant.family, source);
        let found = job.tasks().into_iter().map(|task| Ok((task, job.perform(task)?))).collect::<Result<_>>()?;
        let checks = job.checks(&Evidence::of(crate::run::job::Found(found)))?;
        Ok(match checks.into_iter().find_map(|check| self.if_killed(check)) {
            Some(killer) => Fate::Killed { by: killer.name() },
            None => {
                let differs = "the ruleset keeps lists of what it saw: no sweep can tell".to_owned();
                Fate::Survived { row: None, differs }
            }
        })
    }

    /// No check noticed: would any packet?
    fn survived(&self, lab: &mut Lab) -> Result<Fate> {
        for (limits, original) in [(Limits::Wide, &self.swept.wide), (Limits::Dry, &self.swept.dry)] {
            let sweep = Sweep { listing: &self.listing, limits };
            let effects = sweep.all(lab, &mut self.swept.plan.clone())?;
            if let Some(difference) = original.difference(&effects) {
                return Ok(self.told_by(&difference, limits));
            }
        }
        match self.beyond(lab)? {
            Some(difference) => Ok(self.told_by(&difference, Limits::Wide)),
            None => {
                let sent = self.swept.wide.len();
                Ok(Fate::Equivalent { because: format!("none of {sent} packets tells it from the original") })
            }
        }
    }

    /// The mutant draws boundaries of its own: what its own sweep has and the original's has not is sent to both.
    fn beyond(&self, lab: &mut Lab) -> Result<Option<Difference>> {
        let plan = Plan::of(&self.listing, &self.job.scenario.host.addresses);
        let known: std::collections::HashSet<_> = self.swept.plan.stimuli().into_iter().collect();
        let more: Vec<_> = plan.stimuli().into_iter().filter(|stimulus| !known.contains(stimulus)).collect();
        if more.is_empty() {
            return Ok(None);
        }
        let strangers = plan.strangers();
        let mutant = Sweep { listing: &self.listing, limits: Limits::Wide };
        let mutant: Effects = mutant.these(lab, more.clone(), &strangers)?;
        let original = self.job.ruleset(self.mutant.family).expect("the family has a ruleset");
        let original = self.job.in_lab(&[(self.mutant.family, original)], |lab| {
            Sweep { listing: &self.swept.listing, limits: Limits::Wide }.these(lab, more, &strangers)
        })?;
        Ok(original.difference(&mutant))
    }

    fn told_by(&self, difference: &Difference, limits: Limits) -> Fate {
        let Difference { stimulus, original, mutant } = difference;
        let when = if limits == Limits::Dry { ", once its limit is used up," } else { "" };
        if original.same_verdict_and_lines(mutant) {
            let differs = format!("{stimulus:?}{when} is answered or limited in another way");
            return Fate::Survived { row: None, differs };
        }
        let verdict = original.fate().map_or("drop", verdict_word);
        let log = original.lines().first().map(|prefix| (*prefix).to_owned()).unwrap_or_default();
        let row = format!(
            "[[expect]]\npacket  = \"{stimulus:?}\"\nfamily  = \"{}\"\nverdict = \"{verdict}\"\nlog     = {log:?}\n",
            self.mutant.family
        );
        let now = mutant.fate().map_or("drop", verdict_word);
        let differs =
            format!("{stimulus:?}{when}: {verdict} {:?} becomes {now} {:?}", original.lines(), mutant.lines());
        Fate::Survived { row: Some(row), differs }
    }

    fn is_here(&self, family: crate::net::Family) -> bool {
        family == self.mutant.family
    }

    fn met_the_line(&self, key: Key) -> bool {
        self.baseline.lines.get(&key).is_some_and(|lines| lines.contains(&self.mutant.line))
    }

    /// A check that does not find what it found with the ruleset as it is.
    fn if_killed(&self, check: Check) -> Option<Check> {
        let before = self.baseline.checks.iter().find(|before| before.is_same_question(&check))?;
        let same = match before.outcome {
            Outcome::Known => before.observed == check.observed,
            Outcome::Matched | Outcome::Mismatched | Outcome::NotRun => check.outcome == Outcome::Matched,
        };
        (!same).then_some(check)
    }
}

fn verdict_word(fate: path::Fate) -> &'static str {
    match fate {
        path::Fate::Accepted => "accept",
        path::Fate::Rejected => "reject",
        path::Fate::Dropped | path::Fate::Stolen | path::Fate::Vanished => "drop",
    }
}
