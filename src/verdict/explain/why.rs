//! The reason why the intended rule did not match, derived from two facts: the end of the packet's path, which is
//! measured, and the clause of the rule that refuses the packet.

use super::expected_effect::ExpectedEffect;
use super::{Diagnosis, MismatchContext, PacketView, PlacedRule, intended, matches_state, names_a_port};
use crate::intent::explanation::Cause;
use crate::net::conntrack::ConntrackState;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::path::{Fate, Path, Step, StepVerdict};
use crate::probe::scan::PortState;
use crate::rules::iptables_save::{Clause, HOOKS, Match, MatchResult, Packet, Rule};

/// Finds the reason why `goal` was missed by the probe of `observation`, one of `probes`.
pub fn find<'a>(
    goal: ExpectedEffect,
    packet: Packet,
    observation: &'a Observation,
    probes: &'a [(Probe, Observation)],
    scene: MismatchContext<'a>,
) -> Diagnosis<'a> {
    let path = observation.path.as_deref().expect("`explain` asks only about probes with a path");
    let sight = PacketView::new(&packet, path, scene);
    let case = Diagnoser { sight: &sight, path, observation, probes, scene };
    let Judgement { cause, took, meant, jump, clause } = case.judge(&goal);
    let met = jump.or(meant).map(|placed| (placed.table, placed.chain));
    let (table, chain) =
        met.or(took.map(|step| (step.table.as_str(), step.chain.as_str()))).unwrap_or((FILTER, "INPUT"));
    let elsewhere = if meant.is_none() { intended::elsewhere(&goal, &sight, scene) } else { None };
    let (mut packet, change) = (sight.packet_in(table, chain).clone(), sight.change(table, chain));
    if cause == Cause::FollowupTaken {
        let is_it = |path: &&std::sync::Arc<Path>| path.last() == took;
        packet.conntrack = observation.followup_paths.iter().find(is_it).and_then(|path| path.conntrack);
    }
    let answered = path.last().filter(|_| path.fate == Fate::Stolen);
    let (writers, limited) = (case.writers(&goal), case.limited(&goal));
    Diagnosis { cause, took, meant, jump, clause, packet, change, answered, elsewhere, goal, writers, limited }
}

/// The table whose chains decide on acceptance. Those of nat and security never accept a packet that filter drops, and
/// an ACCEPT in raw or mangle ends their own chain only.
const FILTER: &str = "filter";

struct Diagnoser<'a, 'p> {
    sight: &'p PacketView<'a>,
    path: &'a Path,
    observation: &'a Observation,
    probes: &'a [(Probe, Observation)],
    scene: MismatchContext<'a>,
}

struct Judgement<'a> {
    cause: Cause,
    took: Option<&'a Step>,
    meant: Option<PlacedRule<'a>>,
    jump: Option<PlacedRule<'a>>,
    clause: Option<usize>,
}

impl<'a> Diagnoser<'a, '_> {
    fn judge(&self, goal: &ExpectedEffect) -> Judgement<'a> {
        match goal {
            ExpectedEffect::Line { prefix, others } => self.line(goal, prefix, others),
            ExpectedEffect::NoLine(prefix) => self.no_line(prefix),
            ExpectedEffect::OneLine(prefix) => self.one_line(goal, prefix),
            ExpectedEffect::Order { instead, .. } => self.order(goal, instead),
            ExpectedEffect::Lines { expected, observed, .. } => self.lines(goal, *expected, *observed),
            ExpectedEffect::LetIn(state) => self.let_in(goal, *state),
            ExpectedEffect::KeepOut(_) => self.keep_out(goal),
            ExpectedEffect::Conversation => self.conversation(),
        }
    }

    fn meant(&self, goal: &ExpectedEffect) -> Option<PlacedRule<'a>> {
        intended::find(goal, self.sight, self.path, self.decider(FILTER))
    }

    fn line(&self, goal: &ExpectedEffect, prefix: &str, others: &[String]) -> Judgement<'a> {
        let misspelt = intended::misspelt(prefix, others, self.sight);
        match (self.meant(goal), misspelt) {
            (meant, Some(misspelt)) if misspelt.is_on(self.path) && !meant.is_some_and(|meant| self.fits(meant)) => {
                let took = self.path.steps.iter().find(|step| misspelt.is(step));
                Judgement { took, ..self.judgement(Cause::OtherPrefix).meant(misspelt) }
            }
            (Some(meant), _) | (None, Some(meant)) => self.why_not(meant),
            (None, None) => self.judgement(Cause::NoRule),
        }
    }

    /// True if none of its clauses refuses the packet.
    fn fits(&self, placed: PlacedRule<'a>) -> bool {
        placed.rule.answer(self.sight.packet(&placed)) != MatchResult::No
    }

    fn no_line(&self, prefix: &str) -> Judgement<'a> {
        match self.exhausted_limit() {
            Some(limited) => self.judgement(Cause::LimitOnVerdict).meant(limited),
            None => Judgement { took: self.logging(prefix), ..self.judgement(Cause::TooBroad) },
        }
    }

    /// The step that logged the packet, or the host's answer, with this prefix.
    fn logging(&self, prefix: &str) -> Option<&'a Step> {
        let logs = |step: &&Step| step.log_prefix.as_deref() == Some(prefix);
        let ways = [Some(self.path), self.observation.answer_path.as_deref()];
        ways.into_iter().flatten().flat_map(|path| &path.steps).find(logs)
    }

    fn one_line(&self, goal: &ExpectedEffect, prefix: &str) -> Judgement<'a> {
        let logs = |step: &&Step| step.log_prefix.as_deref() == Some(prefix);
        let took = self.path.steps.iter().rfind(logs);
        let cause = if took.is_some() { Cause::LoggedTwice } else { Cause::TooBroad };
        Judgement { took, meant: self.meant(goal), ..self.judgement(cause) }
    }

    fn order(&self, goal: &ExpectedEffect, instead: &str) -> Judgement<'a> {
        let (took, meant) = (self.logging(instead), self.meant(goal));
        Judgement { took, meant, ..self.judgement(Cause::OtherOrder) }
    }

    /// The cause of a wrong rate: several rules log, the LOG rule has another limit, or packets that it does not log use
    /// up its limit.
    fn lines(&self, goal: &ExpectedEffect, expected: u32, observed: u32) -> Judgement<'a> {
        let writers = self.writing(goal);
        let first = writers.first().and_then(|step| self.scene.listing.placed(step));
        let second = writers.iter().find(|step| !writers[0].is_same_rule(step));
        if let (Some(meant), Some(took)) = (first, second) {
            return Judgement { took: Some(took), ..self.judgement(Cause::LoggedTwice).meant(meant) };
        }
        let Some(meant) = first.or_else(|| self.meant(goal)) else { return self.judgement(Cause::NoRule) };
        if !meant.is_on(self.path) && observed == 0 {
            return self.why_not(meant);
        }
        let cause =
            if limit_is_first(meant.rule) && expected != observed { Cause::LimitFirst } else { Cause::OtherRate };
        self.judgement(cause).meant(meant)
    }

    /// Every step that logged a line of the burst.
    fn writing(&self, goal: &ExpectedEffect) -> Vec<&'a Step> {
        self.ways_to_lines(goal).into_iter().map(|way| way[0]).collect()
    }

    /// The ways to the steps that logged a line of the burst; empty unless a burst is explained.
    fn ways_to_lines(&self, goal: &ExpectedEffect) -> Vec<Vec<&'a Step>> {
        let ExpectedEffect::Lines { prefix, .. } = goal else { return Vec::new() };
        let of = |(_, observation): &'a (Probe, Observation)| [&observation.path, &observation.answer_path];
        let paths = self.probes.iter().flat_map(of).flatten();
        let logs = |step: &Step| step.log_prefix.as_ref() == Some(prefix);
        let places = |path: &'a Path| (0..path.steps.len()).filter(move |place| logs(&path.steps[*place]));
        paths.flat_map(|path| places(path).map(|place| path.way_to(place))).collect()
    }

    fn writers(&self, goal: &ExpectedEffect) -> Vec<(PlacedRule<'a>, usize)> {
        let steps = self.writing(goal);
        let lines = |rule: &PlacedRule| steps.iter().filter(|step| rule.is(step)).count();
        self.each_rule(&steps).into_iter().map(|rule| (rule, lines(&rule))).collect()
    }

    fn limited(&self, goal: &ExpectedEffect) -> Vec<PlacedRule<'a>> {
        let mut rules = self.each_rule(&self.ways_to_lines(goal).concat());
        rules.retain(|placed| placed.rule.limit().is_some() || placed.rule.hash_limit().is_some());
        rules
    }

    /// The rules of `steps`, each once, in the order of their lines.
    fn each_rule(&self, steps: &[&Step]) -> Vec<PlacedRule<'a>> {
        self.scene.listing.placed_rules().filter(|placed| steps.iter().any(|step| placed.is(step))).collect()
    }

    fn let_in(&self, goal: &ExpectedEffect, state: PortState) -> Judgement<'a> {
        let taken = |path: &&'a Path| matches!(path.fate, Fate::Dropped | Fate::Rejected);
        if let Some(answer) = self.observation.answer_path.as_deref().filter(taken) {
            return Judgement { took: answer.last(), ..self.judgement(Cause::AnswerTaken) };
        }
        let was_led = self.sight.change("filter", "INPUT").is_some();
        let nat = |meant| intended::leads_from_similar_port(self.sight, meant, self.scene.listen).filter(|_| !was_led);
        match self.path.fate {
            Fate::Accepted if state == PortState::Open => {
                nat(None).map_or_else(|| self.judgement(Cause::NotListening), |nat| self.why_not(nat))
            }
            Fate::Accepted if state == PortState::Closed => self.judgement(Cause::Listening),
            Fate::Vanished => self.judgement(Cause::Vanished),
            _ => {
                let meant = self.meant(goal);
                match nat(meant).or(meant) {
                    Some(meant) => self.why_not(meant),
                    None => self.judgement(self.unless_policy(self.unforeseen())),
                }
            }
        }
    }

    /// The cause without an intended rule: a rule for this port keeps it out, or one for all packets does.
    fn unforeseen(&self) -> Cause {
        let deciding = self.decider(FILTER).and_then(|step| self.scene.listing.placed(step));
        if deciding.is_some_and(|deciding| names_a_port(deciding.rule)) { Cause::TooBroad } else { Cause::NoRule }
    }

    fn keep_out(&self, goal: &ExpectedEffect) -> Judgement<'a> {
        if let Some(limited) = self.exhausted_limit() {
            return self.judgement(Cause::LimitOnVerdict).meant(limited);
        }
        if self.path.fate == Fate::Rejected {
            return self.judgement(Cause::Reject);
        }
        match self.meant(goal) {
            Some(meant) => self.why_not(meant),
            None => self.judgement(self.unless_policy(Cause::TooBroad)),
        }
    }

    /// The rule with a limit that decided on an earlier probe of the same check and did not match this one.
    fn exhausted_limit(&self) -> Option<PlacedRule<'a>> {
        let first = self.probes.first()?.1.path.as_deref()?;
        let ended = self.scene.listing.placed(first.last()?)?;
        (ended.rule.limit().is_some() && ended.rule.is_terminal() && !ended.is_on(self.path)).then_some(ended)
    }

    fn conversation(&self) -> Judgement<'a> {
        let taken = |path: &&&'a Path| matches!(path.fate, Fate::Dropped | Fate::Rejected);
        let ways: Vec<&'a Path> = self.observation.followup_paths.iter().map(AsRef::as_ref).collect();
        match ways.iter().find(taken) {
            Some(path) => Judgement {
                took: path.last(),
                meant: self.scene.listing.placed_rules().find(|placed| carries_on(placed, path)),
                ..self.judgement(Cause::FollowupTaken)
            },
            None => self.judgement(Cause::NotListening),
        }
    }

    /// The reason why `meant` is not on the path.
    fn why_not(&self, meant: PlacedRule<'a>) -> Judgement<'a> {
        let refuses = |placed: PlacedRule| placed.rule.clauses.iter().position(|clause| self.refuses(&placed, clause));
        let clause = refuses(meant);
        if let Some(jump) = self.refusing_jump(meant) {
            let clause = refuses(jump);
            return Judgement { jump: Some(jump), clause, ..self.missed(Cause::ChainNotReached, meant) };
        }
        let cause = match clause.map(|index| &meant.rule.clauses[index].ask) {
            _ if meant.table == "nat" && self.sight.sent().conntrack == Some(ConntrackState::Invalid) => {
                Cause::NatTable
            }
            Some(Match::State(_)) => Cause::ConntrackState,
            Some(Match::TcpFlags { .. }) => Cause::TcpFlags,
            Some(_) => Cause::OtherMatch,
            None => self.not_reached(meant),
        };
        Judgement { clause, ..self.missed(cause, meant) }
    }

    /// The cause if no clause refuses the packet: it did not reach the rule, or the rule's limit is used up.
    fn not_reached(&self, meant: PlacedRule<'a>) -> Cause {
        if self.went_past(meant) {
            return match (meant.rule.limit(), limit_is_first(meant.rule)) {
                (Some(_), true) => Cause::LimitFirst,
                (Some(_), false) => Cause::LimitSpent,
                (None, _) => Cause::OtherMatch,
            };
        }
        if self.is_user_chain(meant) && self.jumps_to(meant).next().is_none() {
            return Cause::ChainNotReached;
        }
        let deciding = self.decider(meant.table).and_then(|step| self.scene.listing.placed(step));
        match deciding {
            Some(deciding) if same_matches(deciding.rule, meant.rule) => Cause::LogAfterVerdict,
            Some(_) => Cause::EarlierRule,
            None => Cause::Policy,
        }
    }

    /// True if the packet reached a later rule of the chain, or its end.
    fn went_past(&self, meant: PlacedRule) -> bool {
        let same_chain = |step: &&Step| step.is_in(meant.table, meant.chain);
        let past = |step: &Step| step.rule.is_none_or(|number| number > meant.number);
        self.path.steps.iter().filter(same_chain).any(past)
    }

    fn is_user_chain(&self, placed: PlacedRule) -> bool {
        !HOOKS.contains(&placed.chain)
    }

    /// The jump to the chain of `meant`, if the packet fits `meant` and none of the jumps.
    fn refusing_jump(&self, meant: PlacedRule<'a>) -> Option<PlacedRule<'a>> {
        let is_reached = self.entered(meant) || self.jumps_to(meant).any(|jump| self.fits(jump));
        self.jumps_to(meant).next().filter(|_| !is_reached && self.fits(meant))
    }

    fn refuses(&self, placed: &PlacedRule, clause: &Clause) -> bool {
        clause.answer(self.sight.packet(placed)) == MatchResult::No
    }

    fn entered(&self, meant: PlacedRule) -> bool {
        let enters = |step: &Step| match &step.verdict {
            StepVerdict::Jump(to) | StepVerdict::Goto(to) => {
                (step.table.as_str(), to.as_str()) == (meant.table, meant.chain)
            }
            _ => false,
        };
        self.path.steps.iter().any(enters)
    }

    /// The jumps to the chain of `meant` that the packet can reach.
    fn jumps_to(&self, meant: PlacedRule<'a>) -> impl Iterator<Item = PlacedRule<'a>> {
        let leads =
            move |placed: &PlacedRule| placed.rule.target.as_ref().is_some_and(|target| target.name == meant.chain);
        self.sight.rules().filter(move |placed| placed.table == meant.table && leads(placed))
    }

    /// `by_rule`, unless a policy decided.
    fn unless_policy(&self, by_rule: Cause) -> Cause {
        match self.decider(FILTER) {
            Some(step) if step.rule.is_some() => by_rule,
            _ => Cause::Policy,
        }
    }

    /// `meant` was not reached, or did not match, since another rule decided first in its table.
    fn missed(&self, cause: Cause, meant: PlacedRule<'a>) -> Judgement<'a> {
        let took = self.decider(meant.table).or(self.decider(FILTER));
        Judgement { took, ..self.judgement(cause).meant(meant) }
    }

    fn judgement(&self, cause: Cause) -> Judgement<'a> {
        Judgement { cause, took: self.decider(FILTER), meant: None, jump: None, clause: None }
    }

    /// The step that decided: the rule or policy at the end of the path, or else the one that accepted in `table`.
    fn decider(&self, table: &str) -> Option<&'a Step> {
        let accepts = |step: &&Step| step.table == table && step.verdict == StepVerdict::Accept;
        match self.path.fate {
            Fate::Accepted => self.path.steps.iter().rfind(accepts),
            _ => self.path.last(),
        }
    }
}

impl<'a> Judgement<'a> {
    fn meant(self, meant: PlacedRule<'a>) -> Judgement<'a> {
        Judgement { meant: Some(meant), ..self }
    }
}

/// True if the rule accepts packets of a connection, in the chain where the packet of `path` was decided.
fn carries_on(placed: &PlacedRule, path: &Path) -> bool {
    let is_tracked = path.conntrack != Some(ConntrackState::Untracked);
    let same_chain = path.last().is_some_and(|step| step.is_in(placed.table, placed.chain));
    is_tracked && same_chain && placed.rule.accepts() && matches_state(placed.rule, ConntrackState::Established)
}

/// True if the limit comes before a clause that distinguishes packets.
fn limit_is_first(rule: &Rule) -> bool {
    let limit = rule.clauses.iter().position(|clause| matches!(clause.ask, Match::Limit { .. }));
    let distinguishes =
        |clause: &Clause| !matches!(clause.ask, Match::Limit { .. } | Match::LimitBurst(_) | Match::Comment(_));
    limit.is_some_and(|limit| rule.clauses[limit..].iter().any(distinguishes))
}

/// True if both rules have the same matches, without limits and comments.
pub(super) fn same_matches(one: &Rule, other: &Rule) -> bool {
    narrowing_matches(one) == narrowing_matches(other)
}

fn narrowing_matches(rule: &Rule) -> Vec<(&Match, bool)> {
    let aside = |ask: &Match| matches!(ask, Match::Limit { .. } | Match::LimitBurst(_) | Match::Comment(_));
    rule.clauses.iter().filter(|clause| !aside(&clause.ask)).map(|clause| (&clause.ask, clause.negated)).collect()
}
