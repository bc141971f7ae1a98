//! Decides whether a rule that no packet reached is dead, or unproven.

use super::evidence::{RulesetEvidence, Witnessed, as_seen_in};
use super::reason;
use super::{DeadRule, FindingPlace, NotProvable, RulesetFindings, Severity, ShadowingRule};
use crate::net::conntrack::ConntrackState;
use crate::probe::path::{Step, StepVerdict};
use crate::rules::iptables_save::{Clause, HOOKS, Match, MatchResult, PlacedRule, Rule};
use crate::text::group::merged;
use crate::wire::frame::Direction;

/// The conclusion on a rule.
#[derive(Debug)]
pub(super) enum ProverResult {
    /// A packet matched it.
    Reached,
    /// No packet can match it.
    Dead { in_front: Vec<ShadowingRule>, reason: String },
    /// No packet matched it, without a proof.
    NotProvable(String),
}

impl RulesetFindings {
    /// The conclusions from the evidence of each family.
    pub fn from_evidence(evidence: &[RulesetEvidence]) -> RulesetFindings {
        let mut findings = RulesetFindings::default();
        evidence.iter().for_each(|evidence| findings.add(evidence));
        findings.unreachable.sort_by_key(|unreachable| unreachable.severity);
        findings.not_provable.sort_by_key(|not_provable| !not_provable.place.text.contains("-j LOG"));
        findings
    }

    fn add(&mut self, evidence: &RulesetEvidence) {
        let prover = ReachabilityProver { evidence };
        for at in evidence.listing.placed_rules() {
            let place = prover.place(at);
            match prover.conclude(at, DEPTH) {
                ProverResult::Reached => {}
                ProverResult::Dead { in_front, reason } => {
                    self.unreachable.push(DeadRule { severity: severity(at.rule), place, in_front, reason });
                }
                ProverResult::NotProvable(reason) => self.not_provable.push(NotProvable { place, reason }),
            }
        }
    }
}

/// The maximum depth of jumps; the kernel permits 16 (`NFT_JUMP_STACK_SIZE`).
const DEPTH: usize = 16;

fn severity(rule: &Rule) -> Severity {
    match rule.target.as_ref().map(|target| target.name.as_str()) {
        Some("LOG" | "NFLOG") => Severity::DeadLog,
        Some("DROP" | "REJECT") => Severity::DeadDrop,
        _ => Severity::Dead,
    }
}

struct ReachabilityProver<'a> {
    evidence: &'a RulesetEvidence<'a>,
}

impl<'a> ReachabilityProver<'a> {
    fn place(&self, at: PlacedRule) -> FindingPlace {
        FindingPlace {
            family: self.evidence.listing.family,
            file: self.evidence.listing.source.name.to_string_lossy().into_owned(),
            line: at.rule.line,
            table: at.table.to_owned(),
            chain: at.chain.to_owned(),
            rule: at.number,
            text: at.rule.text.clone(),
        }
    }

    /// Concludes in this order: (1) a packet matched it, (2) its chain is unreachable, (3) the sweep is incomplete, (4)
    /// the packets that it matches were not sent, (5) or cannot exist, (6) nat does not see them, (7) other rules match
    /// them first. A conclusion from the packets that were sent is used only if it is proved for all others, too.
    fn conclude(&self, at: PlacedRule<'a>, depth: usize) -> ProverResult {
        if self.evidence.has_matched(at.table, at.chain, at.number) {
            return ProverResult::Reached;
        }
        let conclusion = self.by_chain(at, depth);
        let conclusion = conclusion.or_else(|| self.by_completeness()).or_else(|| self.by_clauses(at));
        match conclusion.unwrap_or_else(|| self.by_packets(at)) {
            ProverResult::Dead { in_front, reason } => match self.evidence.why_unproven(at, &reason) {
                Some(why) => not_provable(why),
                None => ProverResult::Dead { in_front, reason },
            },
            conclusion => conclusion,
        }
    }

    /// A chain is dead if all rules that jump to it are.
    fn by_chain(&self, at: PlacedRule<'a>, depth: usize) -> Option<ProverResult> {
        if at.chain == "FORWARD" {
            return Some(not_provable("nothing is forwarded in the lab"));
        }
        if HOOKS.contains(&at.chain) || depth == 0 {
            return None;
        }
        let jumps: Vec<PlacedRule> = self.evidence.listing.jumps_to(at.table, at.chain).collect();
        if jumps.is_empty() {
            return Some(dead(Vec::new(), format!("no rule jumps to chain {}", at.chain)));
        }
        let mut dead_jump = None;
        for jump in &jumps {
            match self.conclude(*jump, depth - 1) {
                ProverResult::Reached if is_of_more(jump.rule) => {
                    return Some(not_provable(reason::depends_on(jump.rule)));
                }
                ProverResult::Reached => {}
                ProverResult::NotProvable(why) => return Some(not_provable(reason::through(jump.rule, &why))),
                ProverResult::Dead { in_front, reason } => dead_jump = dead_jump.or(Some((jump, in_front, reason))),
            }
        }
        let some_reached = jumps.iter().any(|jump| self.evidence.has_matched(jump.table, jump.chain, jump.number));
        let (jump, in_front, reason) = dead_jump.filter(|_| !some_reached)?;
        Some(dead(in_front, reason::through_dead(at.chain, jump.rule, &reason)))
    }

    fn by_completeness(&self) -> Option<ProverResult> {
        let incomplete = || not_provable("the ruleset distinguishes more packets than a sweep sends");
        (!self.evidence.is_complete).then(incomplete)
    }

    /// Each clause must have matched some packet.
    fn by_clauses(&self, at: PlacedRule) -> Option<ProverResult> {
        let all: Vec<&Witnessed> = self.of_hook(at).collect();
        let unmet = at.rule.clauses.iter().filter(|clause| is_counted(clause)).find(|clause| {
            let fulfils = |one: &&Witnessed| clause.answer(&as_seen_in(at.table, one)) == MatchResult::Yes;
            !all.iter().any(fulfils)
        })?;
        Some(match unmet.ask {
            Match::TcpFlags { .. } => dead(Vec::new(), reason::no_such_flags()),
            Match::State(_) if all.iter().all(|one| one.packet.conntrack.is_none()) => {
                not_provable("this kernel does not report conntrack states in its traces")
            }
            _ => not_provable(reason::not_sent(at.rule, unmet)),
        })
    }

    fn by_packets(&self, at: PlacedRule) -> ProverResult {
        let fitting: Vec<&Witnessed> = self.of_hook(at).filter(|one| fits(at, one, |c| !is_state(c))).collect();
        if fitting.is_empty() {
            return by_contradiction(at.rule);
        }
        let packets: Vec<&Witnessed> = fitting.iter().copied().filter(|one| fits(at, one, is_state)).collect();
        if packets.is_empty() && at.table == "raw" {
            return dead(Vec::new(), reason::no_state_in_raw());
        }
        if packets.is_empty() {
            return by_state(at.rule, &fitting);
        }
        let seen: Vec<&Witnessed> = packets.iter().copied().filter(|one| at.table != "nat" || nat_sees(one)).collect();
        if seen.is_empty() {
            return dead(Vec::new(), reason::nat_does_not_see(at.rule, &packets));
        }
        self.by_deciding_steps(at, &seen)
    }

    /// Finds the rules that matched its packets first.
    fn by_deciding_steps(&self, at: PlacedRule, packets: &[&Witnessed]) -> ProverResult {
        let chains = self.chains_around(at);
        let taken: Vec<Option<&Step>> = packets.iter().map(|one| deciding_step(at, &chains, &one.path.steps)).collect();
        let untaken = taken.contains(&None);
        let deciding_steps = counted(taken.into_iter().flatten());
        let in_front: Vec<ShadowingRule> =
            deciding_steps.iter().map(|(packets, step)| in_front(step, *packets)).collect();
        let rules: Vec<(&Step, Option<&Rule>)> =
            deciding_steps.iter().map(|(_, step)| (*step, self.evidence.listing.rule_of(step))).collect();
        if let Some((_, Some(rule))) = rules.iter().find(|(_, rule)| rule.is_some_and(is_of_more)) {
            return not_provable(reason::depends_on(rule));
        }
        if untaken && HOOKS.contains(&at.chain) {
            return not_provable("packets that it should match reached it, and did not match");
        }
        if in_front.is_empty() {
            return dead(in_front, reason::never_in_chain(at.rule, at.chain));
        }
        let enough = rules.iter().find(|(step, rule)| takes_all(step, *rule, packets));
        let named = enough.map_or(rules.as_slice(), std::slice::from_ref);
        dead(in_front, reason::taken(at.rule, packets, named))
    }

    /// The packets that pass the hooks that lead to its chain.
    fn of_hook(&self, at: PlacedRule) -> impl Iterator<Item = &'a Witnessed> {
        let bases = self.bases(at.table, at.chain, DEPTH);
        let received = bases.iter().any(|base| matches!(*base, "PREROUTING" | "INPUT"));
        let sent = bases.iter().any(|base| matches!(*base, "OUTPUT" | "POSTROUTING"));
        self.evidence.packets.iter().filter(move |one| match one.direction {
            Direction::In => received,
            Direction::Out => sent,
        })
    }

    /// The built-in chains that lead to a chain.
    fn bases(&self, table: &'a str, chain: &'a str, depth: usize) -> Vec<&'a str> {
        if HOOKS.contains(&chain) || depth == 0 {
            return vec![chain];
        }
        self.evidence.listing.jumps_to(table, chain).flat_map(|jump| self.bases(table, jump.chain, depth - 1)).collect()
    }

    /// The chains of the same table that packets of the same hooks pass.
    fn chains_around(&self, at: PlacedRule<'a>) -> Vec<&'a str> {
        let bases = self.bases(at.table, at.chain, DEPTH);
        let tables = self.evidence.listing.tables.iter().filter(|table| table.name == at.table);
        let chains = tables.flat_map(|table| table.chains.iter().map(|chain| chain.name.as_str()));
        chains.filter(|chain| self.bases(at.table, chain, DEPTH).iter().any(|base| bases.contains(base))).collect()
    }
}

fn dead(in_front: Vec<ShadowingRule>, reason: impl Into<String>) -> ProverResult {
    ProverResult::Dead { in_front, reason: reason.into() }
}

fn not_provable(reason: impl Into<String>) -> ProverResult {
    ProverResult::NotProvable(reason.into())
}

/// False for limits and comments, which do not select packets.
fn is_counted(clause: &Clause) -> bool {
    !matches!(clause.ask, Match::Limit { .. } | Match::LimitBurst(_) | Match::Comment(_))
}

fn is_state(clause: &Clause) -> bool {
    matches!(clause.ask, Match::State(_))
}

/// True if a match of it depends on more than a sweep varies: it may match at another time.
fn is_of_more(rule: &Rule) -> bool {
    rule.clauses.iter().any(|clause| matches!(clause.ask, Match::Other(_)))
}

/// True if the packet matches the clauses that are `wanted`. An unknown state counts as a match.
fn fits(at: PlacedRule, one: &Witnessed, wanted: impl Fn(&Clause) -> bool) -> bool {
    let packet = as_seen_in(at.table, one);
    let mut clauses = at.rule.clauses.iter().filter(|clause| is_counted(clause) && wanted(clause));
    clauses.all(|clause| match clause.answer(&packet) {
        MatchResult::Yes => true,
        MatchResult::Unknown => is_state(clause),
        MatchResult::No => false,
    })
}

/// True if nat sees the packet: it handles the first packet of a connection that conntrack tracks (`nf_nat_inet_fn` in
/// net/netfilter/nf_nat_core.c).
fn nat_sees(one: &Witnessed) -> bool {
    matches!(one.packet.conntrack, Some(ConntrackState::New | ConntrackState::Related))
}

/// The conclusion if each clause matched a packet, but no packet matched all of them: dead only if none can.
fn by_contradiction(rule: &Rule) -> ProverResult {
    let masks: Vec<(u8, u8, bool)> = rule.clauses.iter().filter_map(flags).collect();
    let fulfils = |octet: u8| masks.iter().all(|(mask, comp, negated)| (octet & mask == *comp) != *negated);
    if !(0..64).any(fulfils) {
        return dead(Vec::new(), reason::no_such_flags());
    }
    not_provable("no packet of the sweep fulfils all its matches at once")
}

fn flags(clause: &Clause) -> Option<(u8, u8, bool)> {
    match clause.ask {
        Match::TcpFlags { mask, comp } => Some((mask, comp, clause.negated)),
        _ => None,
    }
}

/// The conclusion if its packets are never in the states that it matches. The lab has no conntrack helpers, which make
/// TCP and UDP RELATED, and of other protocols only ICMP errors and echo replies are sent as part of a connection.
fn by_state(rule: &Rule, fitting: &[&Witnessed]) -> ProverResult {
    let asks = |state| rule.clauses.iter().any(|clause| matches_state(clause, state));
    let is_icmp = |one: &&Witnessed| matches!(one.packet.protocol, 1 | 58);
    if asks(ConntrackState::Related) && !fitting.iter().any(is_icmp) {
        return not_provable("no connection of the lab is RELATED to another one, as a helper would make it");
    }
    let is_connected = |one: &&Witnessed| matches!(one.packet.protocol, 6 | 17);
    if asks(ConntrackState::Established) && !fitting.iter().any(is_connected) {
        return not_provable("no such packet is ESTABLISHED in the sweep, where connections are of tcp and udp");
    }
    dead(Vec::new(), reason::never_in_state(rule, fitting))
}

fn matches_state(clause: &Clause, state: ConntrackState) -> bool {
    matches!(&clause.ask, Match::State(states) if states.contains(&state) != clause.negated)
}

/// The step that ended a packet's path before the rule; `None` if the packet reached it.
fn deciding_step<'s>(at: PlacedRule, chains: &[&str], steps: &'s [Step]) -> Option<&'s Step> {
    let around = |step: &&&Step| step.table == at.table && chains.contains(&step.chain.as_str());
    let passed: Vec<&Step> = steps.iter().collect();
    let inside: Vec<&&Step> = passed.iter().filter(around).collect();
    match inside.last() {
        None => steps.last().filter(|step| is_end(&step.verdict)),
        Some(last) if last.rule.is_some() && (is_end(&last.verdict) || last.verdict == StepVerdict::Accept) => {
            Some(last)
        }
        Some(_) => {
            let leaves = |step: &&&&Step| matches!(step.verdict, StepVerdict::Return | StepVerdict::Goto(_));
            let before = |step: &&&&Step| step.chain == at.chain && step.rule.is_some_and(|number| number < at.number);
            inside.iter().filter(before).find(leaves).map(|step| **step)
        }
    }
}

/// Each deciding step once, with its number of packets; most packets first.
fn counted<'s>(taken: impl Iterator<Item = &'s Step>) -> Vec<(usize, &'s Step)> {
    let place = |step: &'s Step| (step.line, &step.table, &step.chain, step.rule);
    let same = |(_, one): &(usize, &'s Step), (_, other): &(usize, &'s Step)| place(one) == place(other);
    let mut deciding_steps = merged(taken.map(|step| (1, step)), same, |known, _| known.0 += 1);
    deciding_steps.sort_by_key(|(packets, step)| (std::cmp::Reverse(*packets), step.line));
    deciding_steps
}

/// True if the rule of `step` alone matches all of the packets.
fn takes_all(step: &Step, rule: Option<&Rule>, packets: &[&Witnessed]) -> bool {
    let Some(rule) = rule else { return false };
    let at = PlacedRule { table: &step.table, chain: &step.chain, number: 0, rule };
    packets.iter().all(|one| fits(at, one, |_| true))
}

fn is_end(verdict: &StepVerdict) -> bool {
    matches!(verdict, StepVerdict::Drop | StepVerdict::Reject | StepVerdict::Stolen)
}

fn in_front(step: &Step, packets: usize) -> ShadowingRule {
    ShadowingRule {
        table: step.table.clone(),
        chain: step.chain.clone(),
        rule: step.rule,
        line: step.line,
        text: step.text.clone(),
        packets,
    }
}
