//! The effects of a ruleset on every packet of a sweep, so that two rulesets can be compared: the verdict, the log
//! lines, and the type of a REJECT. Two rulesets with the same effects on every packet are equivalent, whichever rules
//! cause them.

use std::net::IpAddr;

use crate::error::Result;
use crate::lab::{Lab, LimitOverride};
use crate::probe::note;
use crate::probe::packet::{Journey, Response, Stimulus};
use crate::probe::path::{Fate, Path, Step};
use crate::rules::iptables_save::{Listing, Rule, RuleLimit};
use crate::rules::sweep::SweepPlan;
use crate::wire::frame::Direction;

/// The packets of a sweep with their effects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    stimuli: Vec<Stimulus>,
    effects: Vec<PacketEffect>,
}

/// The effect of a ruleset on one packet, and on the host's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketEffect {
    own: Vec<PathEffect>,
    answer: Option<PathEffect>,
    /// True if the packets of its lead got through: only then can a row expect it.
    is_led: bool,
}

/// The effect on one path through the rules.
#[derive(Debug, Clone, PartialEq)]
struct PathEffect {
    direction: Direction,
    fate: Fate,
    lines: Vec<(String, Option<RuleLimit>)>,
    /// Additional fields of the lines, if they differ from the default.
    styles: Vec<Option<String>>,
    /// The destinations of copies.
    copies: Vec<IpAddr>,
    /// The type of a REJECT.
    words: Option<String>,
}

/// A sweep of one ruleset, with an override of its limits.
pub struct Sweep<'a> {
    /// The rules that are loaded.
    pub listing: &'a Listing,
    /// The override of the limits.
    pub limits: LimitOverride,
}

impl Sweep<'_> {
    /// Sends all packets of `plan`: first the fresh ones, then those within the connections that they opened. Also
    /// returns every path that each stimulus caused.
    pub fn all(&self, lab: &mut Lab, plan: &mut SweepPlan) -> Result<(Effects, Vec<Vec<Journey>>)> {
        let (stimuli, responses) = lab.sweep_all(plan, self.limits)?;
        let journeys = responses.iter().map(|response| response.journeys().cloned().collect()).collect();
        Ok((self.effects(stimuli, &responses), journeys))
    }

    /// Sends these packets.
    pub fn these(&self, lab: &mut Lab, stimuli: Vec<Stimulus>, strangers: &[IpAddr]) -> Result<Effects> {
        let responses = lab.sweep(&stimuli, strangers, self.limits)?;
        Ok(self.effects(stimuli, &responses))
    }

    fn effects(&self, stimuli: Vec<Stimulus>, responses: &[Response]) -> Effects {
        let both = stimuli.iter().zip(responses);
        let effects = both.map(|(stimulus, response)| self.effect(stimulus, response)).collect();
        Effects { stimuli, effects }
    }

    fn effect(&self, stimulus: &Stimulus, response: &Response) -> PacketEffect {
        PacketEffect {
            is_led: response.failed_lead(stimulus.lead).is_none(),
            own: response.own.iter().map(|journey| self.way(journey)).collect(),
            answer: response.answer.as_ref().map(|journey| self.way(journey)),
        }
    }

    fn way(&self, journey: &Journey) -> PathEffect {
        let path: &Path = &journey.path;
        // As the file has it: in a sweep the kernel's limits are others.
        let limit = |step| self.listing.rule_of(step).and_then(Rule::limit);
        let logs = path.steps.iter().filter_map(|step| Some((step.log_prefix.clone()?, limit(step))));
        let styles = path.steps.iter().filter(|step| step.log_prefix.is_some()).map(|step| self.style(step)).collect();
        let copies = note::copies(path).map(|copy| copy.to).collect();
        let (direction, fate, words) = (journey.direction, path.fate, self.words(path));
        PathEffect { direction, fate, lines: logs.collect(), styles, copies, words }
    }

    fn style(&self, step: &Step) -> Option<String> {
        self.listing.rule_of(step)?.target.as_ref()?.log_style()
    }

    fn words(&self, path: &Path) -> Option<String> {
        let step = path.steps.last().filter(|_| path.fate == Fate::Rejected)?;
        Some(self.listing.rule_of(step)?.target.as_ref()?.reject_with(self.listing.family).to_owned())
    }
}

/// A difference of two rulesets: the packet, and the effect of each.
pub struct EffectDifference {
    /// The packet.
    pub stimulus: Stimulus,
    /// The effect of the original.
    pub original: PacketEffect,
    /// The effect of the mutant.
    pub mutant: PacketEffect,
}

impl Effects {
    /// The packets that were sent.
    pub fn stimuli(&self) -> &[Stimulus] {
        &self.stimuli
    }

    /// The effects on the packets with these indices.
    pub fn only(&self, places: &[usize]) -> Effects {
        Effects {
            stimuli: places.iter().map(|place| self.stimuli[*place]).collect(),
            effects: places.iter().map(|place| self.effects[*place].clone()).collect(),
        }
    }

    /// The first packet with different effects, if possible one that a row can expect; only packets that were sent to
    /// both are compared.
    pub fn difference(&self, mutant: &Effects) -> Option<EffectDifference> {
        let original = self.stimuli.iter().zip(&self.effects);
        let differs =
            |((stimulus, original), (other, mutant)): &((&Stimulus, &PacketEffect), (&Stimulus, &PacketEffect))| {
                stimulus == other && (&original.own, &original.answer) != (&mutant.own, &mutant.answer)
            };
        let mut all = original.zip(mutant.stimuli.iter().zip(&mutant.effects)).filter(differs).peekable();
        let first = all.peek().copied()?;
        let ((stimulus, original), (_, mutant)) = all.find(|((_, original), _)| original.is_led).unwrap_or(first);
        Some(EffectDifference { stimulus: *stimulus, original: original.clone(), mutant: mutant.clone() })
    }
}

impl PacketEffect {
    /// The verdict of the last hook that the packet itself reached.
    pub fn fate(&self) -> Option<Fate> {
        self.own.last().map(|way| way.fate)
    }

    /// The prefixes of the lines that the packet itself causes.
    pub fn lines(&self) -> Vec<&str> {
        self.own.iter().flat_map(|way| &way.lines).map(|(prefix, _)| prefix.as_str()).collect()
    }

    /// The lines with a limit, and the limit.
    pub fn limited_lines(&self) -> impl Iterator<Item = (&str, RuleLimit)> {
        self.own.iter().flat_map(|way| &way.lines).filter_map(|(prefix, limit)| Some((prefix.as_str(), (*limit)?)))
    }

    /// True if a row can expect it.
    pub fn is_led(&self) -> bool {
        self.is_led
    }

    /// True if copies of the packet and of the answer go to the same machines as those of `other`.
    pub fn same_copies(&self, other: &PacketEffect) -> bool {
        let copies = |one: &PacketEffect| {
            one.own.iter().chain(&one.answer).flat_map(|way| way.copies.clone()).collect::<Vec<_>>()
        };
        copies(self) == copies(other)
    }

    /// True if only the limits of the lines, the type of a REJECT, or the answer may differ from `other`.
    pub fn same_verdict_and_lines(&self, other: &PacketEffect) -> bool {
        self.fate() == other.fate() && self.lines() == other.lines()
    }
}
