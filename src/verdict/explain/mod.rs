//! The explanation of a mismatch: the rule that matched the packet, the intended rule, and the reason why it did not
//! match.
//!
//! Events are measured: the path is from the kernel's trace. Only the reason why an intended rule did *not* match is
//! derived, by evaluating it for the packet, clause by clause. [`patch`] proposes a fix, which is shown only after it
//! has been tested on the kernel (`run` does that).

mod expected_effect;
mod intended;
mod packet_view;
pub(crate) mod patch;
mod why;
mod words;

use crate::intent::check::Check;
use crate::intent::explanation::{Cause, Explanation, RuleRef};
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::net::{InterfaceName, Protocol};
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::path::{Path, Step};
use crate::rules::iptables_save::{Clause, Listing, Match, Packet, PlacedRule, Rule};
use crate::sensor::SshFrom;
use crate::wire::tcp_flags::TcpFlags;

use self::expected_effect::ExpectedEffect;
use self::packet_view::{NatChange, PacketView};

/// The rules that the packets met.
#[derive(Debug, Clone, Copy)]
pub struct MismatchContext<'a> {
    /// The rules of the family.
    pub listing: &'a Listing,
    /// The rules of the other family, if it has any.
    pub twin: Option<&'a Listing>,
    /// The interface that the rules name.
    pub interface: &'a InterfaceName,
    /// The ports on which the host listens.
    pub listen: &'a [Port],
    /// The networks that may use SSH; `None` if every address may.
    pub ssh_from: Option<&'a SshFrom>,
}

/// The facts about a mismatch, before they are put into words.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis<'a> {
    /// The kind of mistake.
    pub cause: Cause,
    /// The rule or policy that decided on the packet.
    pub took: Option<&'a Step>,
    /// The intended rule.
    pub(crate) meant: Option<PlacedRule<'a>>,
    /// The jump to the chain of that rule that does not fit the packet.
    jump: Option<PlacedRule<'a>>,
    /// The clause that does not fit, of the jump if there is one, else of the intended rule; by its index.
    clause: Option<usize>,
    /// The packet as the intended rule sees it, or else as the deciding rule does.
    packet: Packet,
    /// The change that NAT had made to it before.
    change: Option<NatChange>,
    /// The rule that answered the packet in place of the host.
    answered: Option<&'a Step>,
    /// A rule with the intended effect, in a hook that the packet does not pass.
    elsewhere: Option<PlacedRule<'a>>,
    /// The intended effect.
    goal: ExpectedEffect,
    /// The rules that logged the lines of a burst, each with the number of its lines.
    writers: Vec<(PlacedRule<'a>, usize)>,
    /// The intended rule of a burst and the jumps to its chain, those of them that have a limit.
    limited: Vec<PlacedRule<'a>>,
}

/// Explains a mismatch; `probes` are those of the check, in the order in which they were sent. `None` if the ruleset is
/// not the cause, or no paths are known.
pub fn explain<'a>(
    check: &Check,
    probes: &'a [(Probe, Observation)],
    scene: MismatchContext<'a>,
) -> Option<Diagnosis<'a>> {
    let goal = ExpectedEffect::from_check(check)?;
    let (probe, observation) = goal.decisive(probes)?;
    let path = observation.path.as_deref()?;
    let packet = packet(probe, path, scene);
    Some(why::find(goal, packet, observation, probes, scene))
}

/// Explains the mismatch of a packet that is no scan: `packet` has the fields that rules match, `observation` the path.
pub fn explain_packet<'a>(
    check: &Check,
    packet: Packet,
    observation: &'a Observation,
    scene: MismatchContext<'a>,
) -> Option<Diagnosis<'a>> {
    let goal = ExpectedEffect::from_check(check).filter(|_| observation.path.is_some())?;
    Some(why::find(goal, packet, observation, &[], scene))
}

/// The explanation for a scan in a family without a ruleset; `None` for a check that is no scan.
pub fn without_ruleset(check: &Check) -> Option<Explanation> {
    check.subject.technique()?;
    let words = format!(
        "no ruleset is given for {}: every listening port is open to all, and nothing is logged",
        check.family?
    );
    Some(Explanation { cause: Cause::NoRuleset, took: None, meant: None, words, patch: None })
}

impl<'a> Diagnosis<'a> {
    /// The clause that does not fit, and its rule.
    fn refusal(&self) -> Option<(PlacedRule<'a>, &'a Clause)> {
        let placed = self.jump.or(self.meant)?;
        Some((placed, placed.rule.clauses.get(self.clause?)?))
    }

    /// The explanation in words, without a patch.
    pub fn explanation(&self, scene: MismatchContext) -> Explanation {
        Explanation {
            cause: self.cause,
            took: self.took.map(|step| place_of_step(step, scene.listing)),
            meant: self.meant.map(|placed| place_of_rule(placed, scene.listing)),
            words: words::describe(self, scene),
            patch: None,
        }
    }
}

fn place_of_rule(at: PlacedRule, listing: &Listing) -> RuleRef {
    RuleRef {
        file: listing.source.name.clone(),
        line: Some(at.rule.line),
        table: at.table.to_owned(),
        chain: at.chain.to_owned(),
        rule: Some(at.number),
        text: at.rule.text.clone(),
    }
}

fn place_of_step(step: &Step, listing: &Listing) -> RuleRef {
    RuleRef {
        file: listing.source.name.clone(),
        line: step.line,
        table: step.table.clone(),
        chain: step.chain.clone(),
        rule: step.rule,
        text: step.text.clone(),
    }
}

/// True if the rule matches a destination port.
fn names_a_port(rule: &Rule) -> bool {
    rule.clauses.iter().any(|clause| matches!(clause.ask, Match::DestinationPorts(_)) && !clause.negated)
}

/// True if the rule matches packets in this conntrack state.
fn matches_state(rule: &Rule, state: ConntrackState) -> bool {
    let asks = |ask: &Match| matches!(ask, Match::State(states) if states.contains(&state));
    rule.clauses.iter().any(|clause| asks(&clause.ask) && !clause.negated)
}

/// The conntrack state of a probe, which is the first packet of its flow: that of its path. Kernels before 6.16 do not
/// trace the state; there, if the ruleset makes the kernel track connections, it is derived: `tcp_new` begins a
/// connection with a SYN, and picks one up with an ACK while `nf_conntrack_tcp_loose` is 1, as in the lab; all other
/// packets are INVALID. PSH and URG do not count.
fn conntrack(probe: &Probe, path: &Path, listing: &Listing) -> Option<ConntrackState> {
    let tracked = listing.rules().any(Rule::uses_conntrack);
    let first = match probe.flags() & TcpFlags::FIN_SYN_RST_ACK {
        _ if probe.flow.protocol != Protocol::Tcp => ConntrackState::New,
        TcpFlags::SYN | TcpFlags::ACK => ConntrackState::New,
        _ => ConntrackState::Invalid,
    };
    path.conntrack.or(tracked.then_some(first))
}

/// The probe as a rule sees it on arrival.
fn packet(probe: &Probe, path: &Path, scene: MismatchContext) -> Packet {
    let (protocol, content) = probe.content();
    Packet {
        family: probe.family(),
        in_interface: Some(scene.interface.to_string()),
        out_interface: None,
        source: probe.flow.prober,
        destination: probe.flow.host,
        protocol,
        content,
        conntrack: conntrack(probe, path, scene.listing),
    }
}
