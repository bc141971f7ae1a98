//! The trial of one mutant: it is loaded like any ruleset, and the checks of the scenario are done one by one, those
//! first whose probes met the broken rule, until one has another result than before. If none has, the packets of a
//! sweep are sent.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::ControlFlow;

use super::affected::AffectedPackets;
use super::baseline::{Baseline, BaselineSweep};
use super::effect::{EffectDifference, Effects, PacketEffect, Sweep};
use super::{MutantOutcome, Sweeps};
use crate::commands::run::checks::CheckInputs;
use crate::commands::run::job::{Job, Phases, send_burst};
use crate::error::{Error, Result, Source};
use crate::intent::check::{Check, Outcome};
use crate::intent::plan::{Burst, Cell, CellKey};
use crate::intent::scenario::{quoted, quoted_log};
use crate::lab::{Lab, LimitOverride};
use crate::net::rate::Rate;
use crate::probe::packet::{Journey, Lead, Stimulus, StimulusSender};
use crate::probe::path;
use crate::probe::scan::Technique;
use crate::rules::iptables_save::{Listing, Packet, RuleLimit};
use crate::rules::mutant::Mutant;
use crate::rules::space::{SetDifference, Space, TooMany, compare, witnesses};
use crate::rules::sweep::{SweepPlan, foreign_addresses};
use crate::text::escape::listed;
use crate::verdict::compare;
use crate::wire::frame::Direction;
use crate::wire::headers::Content;

/// The results of a lab with the mutant.
enum MutantResults {
    /// The final outcome.
    Fate(MutantOutcome),
    /// Effects of the mutant on packets that the original has not been sent with these limits.
    Ask(Vec<UnansweredPackets>),
}

/// Packets that have yet to be sent to the original, in a lab of its own.
struct UnansweredPackets {
    limits: LimitOverride,
    strangers: Vec<IpAddr>,
    mutant: Effects,
}

/// The outcome of `mutant`.
pub fn outcome(job: &Job, baseline: &Baseline, mutant: &Mutant, sweeps: Sweeps) -> Result<MutantOutcome> {
    if let Some(because) = mutant.equivalent {
        return Ok(MutantOutcome::Equivalent { because: because.to_owned() });
    }
    let (Some(original), Some(swept)) = (job.ruleset(mutant.family), baseline.sweeps.get(&mutant.family)) else {
        return Ok(MutantOutcome::NotJudged { because: "this machine does not have the family".to_owned() });
    };
    let source = mutant.apply(original);
    let listing = job.listing(mutant.family, &source);
    let space = Space::new(&[&swept.listing, &listing], &job.scenario.host.interface);
    let gaps = compare(&space, [&swept.listing, &listing]);
    if gaps.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(MutantOutcome::Equivalent { because: PROVED.to_owned() });
    }
    let trial = MutantTrial { job, baseline, mutant, swept, listing, sweeps, space, gaps };
    let shown = if job.plan.keeps_lists {
        trial.in_many_labs(&source).map(MutantResults::Fate)
    } else {
        job.in_lab(&[(mutant.family, &source)], |lab| trial.run(lab))
    };
    match shown {
        Ok(MutantResults::Fate(fate)) => Ok(fate),
        Ok(MutantResults::Ask(questions)) => trial.test_original(original, questions),
        Err(Error::Input(_)) => Ok(MutantOutcome::Refused),
        Err(error) => Err(error),
    }
}

struct MutantTrial<'a> {
    job: &'a Job,
    baseline: &'a Baseline,
    mutant: &'a Mutant,
    swept: &'a BaselineSweep,
    listing: Listing,
    sweeps: Sweeps,
    space: Space,
    /// The packets that the mutant may treat differently; not empty.
    gaps: std::result::Result<Vec<SetDifference>, TooMany>,
}

impl MutantTrial<'_> {
    fn run(&self, lab: &mut Lab) -> Result<MutantResults> {
        let killer = self.cells(lab)?;
        let killer = killer.map_or_else(|| self.neighbours(lab), |killer| Ok(Some(killer)))?;
        let killer = killer.map_or_else(|| self.bursts(lab), |killer| Ok(Some(killer)))?;
        let killer = killer.map_or_else(|| self.packets(lab), |killer| Ok(Some(killer)))?;
        match killer {
            Some(killer) => Ok(MutantResults::Fate(MutantOutcome::Killed { by: killer.name() })),
            None => self.survived(lab),
        }
    }

    /// Sends the cells of the mutant's family, those first whose probes met the broken line.
    fn cells(&self, lab: &mut Lab) -> Result<Option<Check>> {
        let mut cells: Vec<&Cell> =
            self.job.plan.rounds.iter().flatten().filter(|cell| self.is_here(cell.family)).collect();
        cells.sort_by_key(|cell| !self.met_the_line(cell.key()));
        let mut phases = Phases::new(&self.job.scenario);
        let probes: Vec<_> =
            cells.iter().map(|cell| phases.pass(cell.technique, cell.family).probe(cell.port, 0)).collect();
        let mut killer = None;
        lab.send_each_afresh_while(&probes, |index, observation| {
            killer = self.if_killed(compare::cell(cells[index], observation));
            if killer.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(killer)
    }

    fn neighbours(&self, lab: &mut Lab) -> Result<Option<Check>> {
        if !self.job.link().has_macs() {
            return Ok(None);
        }
        let found = lab.neighbourhood()?;
        let families = [self.mutant.family];
        let job = self.job;
        let checks =
            compare::neighbours(&job.scenario, job.mac(), &families, &found, &Default::default(), &job.vendors);
        let of_family = |check: &Check| check.family == Some(self.mutant.family);
        Ok(checks.into_iter().filter(of_family).find_map(|check| self.if_killed(check)))
    }

    /// Sends each burst with fresh limits; then all that must have a limit of their own, one after the other.
    fn bursts(&self, lab: &mut Lab) -> Result<Option<Check>> {
        let plan = &self.job.plan;
        let mut bursts: Vec<&Burst> = plan.sent().into_iter().filter(|burst| self.is_here(burst.family)).collect();
        bursts.sort_by_key(|burst| !self.met_the_line(burst.key()));
        let mut phases = Phases::new(&self.job.scenario);
        for burst in &bursts {
            lab.renew_limits()?;
            if let Some(killer) = self.burst(lab, &mut phases, burst, |_| true)? {
                return Ok(Some(killer));
            }
        }
        lab.renew_limits()?;
        for burst in plan.sent_in_a_row().into_iter().filter(|burst| self.is_here(burst.family)) {
            if let Some(killer) = self.burst(lab, &mut phases, burst, |burst| burst.own_limit)? {
                return Ok(Some(killer));
            }
        }
        Ok(None)
    }

    /// Sends one burst, and checks the rates of those that it measures and that are `wanted`.
    fn burst(
        &self,
        lab: &mut Lab,
        phases: &mut Phases,
        burst: &Burst,
        wanted: fn(&Burst) -> bool,
    ) -> Result<Option<Check>> {
        let observed: Vec<_> = send_burst(lab, phases, burst)?.into_iter().map(|(_, one)| one).collect();
        let mut seen = self.job.plan.bursts.iter().filter(|other| other.key() == burst.key() && wanted(other));
        Ok(seen.find_map(|burst| self.if_killed(compare::burst(burst, &observed, &[]))))
    }

    /// Sends the packet rows. Limits are disabled from here on.
    fn packets(&self, lab: &mut Lab) -> Result<Option<Check>> {
        let cells = self.job.plan.packets.iter().flatten().filter(|cell| self.is_here(cell.family)).cloned();
        let found = self.job.packets(lab, &cells.collect::<Vec<_>>())?;
        Ok(found.iter().find_map(|(cell, response)| self.if_killed(compare::packet(cell, response))))
    }

    /// Lists of addresses outlive their rules: then every check has a lab of its own, as in a run, and a sweep could
    /// not show anything.
    fn in_many_labs(&self, source: &Source) -> Result<MutantOutcome> {
        let job = self.job.with_ruleset(self.mutant.family, source);
        let found = job.tasks().into_iter().map(|task| Ok((task, job.perform(task)?))).collect::<Result<_>>()?;
        let checks = job.checks(&CheckInputs::new(crate::commands::run::job::JobResults(found)))?;
        Ok(match checks.into_iter().find_map(|check| self.if_killed(check)) {
            Some(killer) => MutantOutcome::Killed { by: killer.name() },
            None => {
                let because = "the ruleset remembers packets in lists: no sweep can decide this".to_owned();
                MutantOutcome::NotJudged { because }
            }
        })
    }

    /// Sends a sweep, since no check noticed the mutant.
    fn survived(&self, lab: &mut Lab) -> Result<MutantResults> {
        let differences = AffectedPackets::between(&self.swept.listing, &self.listing);
        let original = self.swept.effects.only(&self.affected(&differences));
        let (stimuli, strangers) = (original.stimuli().to_vec(), self.swept.plan.foreign_addresses());
        let mutant = self.sweep(LimitOverride::Wide).these(lab, stimuli.clone(), &strangers)?;
        if let Some(difference) = original.difference(&mutant) {
            return Ok(MutantResults::Fate(self.outcome_from(&difference, LimitOverride::Wide)));
        }
        let mut questions = Vec::new();
        let (more, their_strangers) = self.beyond(&differences);
        if !more.is_empty() {
            let mutant = self.sweep(LimitOverride::Wide).these(lab, more, &their_strangers)?;
            questions.push(UnansweredPackets { limits: LimitOverride::Wide, strangers: their_strangers, mutant });
        }
        if self.listing.limits_more_than_lines() || self.swept.listing.limits_more_than_lines() {
            let mutant = self.sweep(LimitOverride::Dry).these(lab, stimuli, &strangers)?;
            questions.push(UnansweredPackets { limits: LimitOverride::Dry, strangers, mutant });
        }
        Ok(MutantResults::Ask(questions))
    }

    /// Sends the packets of the mutant to the original.
    fn test_original(&self, source: &Source, questions: Vec<UnansweredPackets>) -> Result<MutantOutcome> {
        for UnansweredPackets { limits, strangers, mutant } in questions {
            let sweep = Sweep { listing: &self.swept.listing, limits };
            let stimuli = mutant.stimuli().to_vec();
            let original =
                self.job.in_lab(&[(self.mutant.family, source)], |lab| sweep.these(lab, stimuli, &strangers))?;
            if let Some(difference) = original.difference(&mutant) {
                return Ok(self.outcome_from(&difference, limits));
            }
        }
        self.test_gaps(source)
    }

    /// The outcome if no packet of the sweeps shows a difference: the lab sends those of the sets that it can.
    fn test_gaps(&self, source: &Source) -> Result<MutantOutcome> {
        let Ok(gaps) = &self.gaps else {
            let because = "the rules distinguish more kinds of packets than can be judged".to_owned();
            return Ok(MutantOutcome::NotJudged { because });
        };
        let (space, host) = (&self.space, &self.job.scenario.host);
        let found = gaps.iter().flat_map(|gap| witnesses(space, &gap.region, gap.hook, &host.addresses));
        let here = found.filter(|witness| witness.interface == host.interface.as_str());
        let mut known = HashSet::new();
        let stimuli = here.map(|witness| witness.stimulus).filter(|stimulus| known.insert(*stimulus));
        let stimuli: Vec<Stimulus> = stimuli.collect();
        if !stimuli.is_empty() {
            let strangers = foreign_addresses(&stimuli, &host.addresses);
            let send = |listing, source: &Source| {
                let sweep = Sweep { listing, limits: LimitOverride::Wide };
                self.job.in_lab(&[(self.mutant.family, source)], |lab| sweep.these(lab, stimuli.clone(), &strangers))
            };
            let original = send(&self.swept.listing, source)?;
            let mutant = send(&self.listing, &self.mutant.apply(source))?;
            if let Some(difference) = original.difference(&mutant) {
                return Ok(self.outcome_from(&difference, LimitOverride::Wide));
            }
        }
        let because = gaps.first().map(|gap| not_tried(space, gap)).unwrap_or_default();
        Ok(MutantOutcome::NotJudged { because })
    }

    /// The indices of the original's stimuli that may show a difference.
    fn affected(&self, differences: &AffectedPackets) -> Vec<usize> {
        if self.sweeps == Sweeps::Whole {
            return (0..self.swept.journeys.len()).collect();
        }
        let (interface, host) = (self.job.scenario.host.interface.as_str(), self.host());
        let may_differ = |journeys: &[Journey]| {
            differences.concern(journeys.iter(), |one| Packet::from_journey(one, interface, host))
        };
        let places = self.swept.journeys.iter().enumerate().filter(|(_, journeys)| may_differ(journeys));
        places.map(|(place, _)| place).collect()
    }

    /// The packets of the mutant's own sweep that the original's lacks and that may show a difference: the mutant may
    /// have other boundaries.
    fn beyond(&self, differences: &AffectedPackets) -> (Vec<Stimulus>, Vec<IpAddr>) {
        let plan = SweepPlan::new(&self.listing, &self.job.scenario.host.addresses);
        let known: HashSet<&Stimulus> = self.swept.effects.stimuli().iter().collect();
        let may_differ =
            |stimulus: &Stimulus| stimulus.lead != Lead::None || differences.concerns(&self.fresh(stimulus));
        let more = plan.stimuli().into_iter().filter(|stimulus| !known.contains(stimulus) && may_differ(stimulus));
        (more.collect(), plan.foreign_addresses())
    }

    fn sweep(&self, limits: LimitOverride) -> Sweep<'_> {
        Sweep { listing: &self.listing, limits }
    }

    fn host(&self) -> IpAddr {
        self.job.scenario.host.addresses.host(self.mutant.family)
    }

    /// A stimulus as rules see it when the state of its connection is unknown.
    fn fresh(&self, stimulus: &Stimulus) -> Packet {
        let path = path::Path { steps: Vec::new(), conntrack: None, fate: path::Fate::Accepted };
        let direction = if stimulus.sender == StimulusSender::Host { Direction::Out } else { Direction::In };
        let journey = Journey { headers: stimulus.headers, direction, path: path.into() };
        Packet::from_journey(&journey, self.job.scenario.host.interface.as_str(), self.host())
    }

    fn outcome_from(&self, difference: &EffectDifference, limits: LimitOverride) -> MutantOutcome {
        let EffectDifference { stimulus, original, mutant } = difference;
        let packet = self.swept.plan.packet(stimulus, &self.job.scenario.host.addresses);
        let packet = packet.map_or_else(|_| stimulus.to_string(), |packet| packet.to_string());
        let when = if limits == LimitOverride::Dry { ", once a limit is used up," } else { "" };
        if original.same_verdict_and_lines(mutant) {
            let how = if original.same_copies(mutant) { "answered or limited" } else { "copied" };
            let differs = format!("`{packet}`{when} is {how} differently");
            let is_other = |limited: &(&str, RuleLimit)| !mutant.limited_lines().any(|other| other == *limited);
            let limited = original.limited_lines().find(is_other);
            let limited = limited.filter(|_| original.is_led());
            let row = limited.and_then(|(prefix, limit)| self.rate_row(stimulus, &original.lines(), prefix, limit));
            return MutantOutcome::Survived { row, differs };
        }
        let (then, now) = (verdict_word(original), verdict_word(mutant));
        let (lines, other_lines) = (original.lines(), mutant.lines());
        let differs =
            format!("`{packet}`{when}: {then} with {} becomes {now} with {}", listed(&lines), listed(&other_lines));
        let row = format!(
            "[[expect]]\npacket  = \"{packet}\"\nfamily  = \"{}\"\nverdict = \"{then}\"\nlog     = {}\n",
            self.mutant.family,
            quoted_log(&lines)
        );
        // A row expects limits that are not used up, and connections that open.
        MutantOutcome::Survived {
            row: Some(row).filter(|_| limits == LimitOverride::Wide && original.is_led()),
            differs,
        }
    }

    /// A rate is expected with a burst of scan probes; other lines of each probe need a row of their own.
    fn rate_row(&self, stimulus: &Stimulus, lines: &[&str], prefix: &str, limit: RuleLimit) -> Option<String> {
        let Content::Tcp { destination, flags, .. } = stimulus.headers.content else { return None };
        let of_flags = |technique: &Technique| technique.profile().flags == flags;
        let technique =
            Technique::DERIVED.into_iter().find(of_flags).filter(|_| stimulus.sender == StimulusSender::Prober)?;
        let rate = Rate::new(limit.count.into(), limit.seconds.into())?;
        if lines.iter().filter(|other| **other == prefix).count() > 1 {
            return None;
        }
        let row = |log: &str| {
            let family = self.mutant.family;
            format!(
                "[[expect]]\nscan   = \"{technique}\"\nports  = {destination}\nfamily = \"{family}\"\nlog    = {log}\n"
            )
        };
        let besides = if lines.len() > 1 { row(&quoted_log(lines)) + "\n" } else { String::new() };
        let rate = format!("rate   = {{ rate = \"{rate}\", burst = {} }}\n", limit.burst);
        Some(format!("{besides}{}{rate}", row(&quoted(prefix))))
    }

    fn is_here(&self, family: crate::net::Family) -> bool {
        family == self.mutant.family
    }

    fn met_the_line(&self, key: CellKey) -> bool {
        self.baseline.lines.get(&key).is_some_and(|lines| lines.contains(&self.mutant.line))
    }

    /// The check, if its result differs from that with the original ruleset.
    fn if_killed(&self, check: Check) -> Option<Check> {
        let before = self.baseline.checks.iter().find(|before| before.is_same_question(&check))?;
        let same = match before.outcome {
            Outcome::Known => before.observed == check.observed,
            Outcome::Matched | Outcome::Mismatched | Outcome::NotRun => check.outcome == Outcome::Matched,
        };
        (!same).then_some(check)
    }
}

const PROVED: &str = "no packet that can reach these rules is treated differently";

fn not_tried(space: &Space, gap: &SetDifference) -> String {
    let what = space.describe(&gap.region);
    match (space.opaque(&gap.region), gap.hook) {
        (Some(other_fields), _) => format!("not tried in {}: {what}: no sweep varies {other_fields}", gap.hook),
        (None, "FORWARD") => format!("not tried in FORWARD: {what}: nothing is forwarded in the lab"),
        (None, hook) => format!("not tried in {hook}: {what}: the lab sends no such packet"),
    }
}

fn verdict_word(effect: &PacketEffect) -> &'static str {
    match effect.fate() {
        Some(path::Fate::Accepted) => "accept",
        Some(path::Fate::Rejected) => "reject",
        Some(path::Fate::Dropped | path::Fate::Stolen | path::Fate::Vanished | path::Fate::Left(_)) | None => "drop",
    }
}
