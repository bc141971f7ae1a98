//! Why is a check not as expected? Which rule took the packet, which was meant to, and why that one did not.
//!
//! What happened is measured: the path that the kernel told. Only what did *not* happen is worked out here, by reading the
//! rule that was meant against the packet, clause by clause. A change that would fix it is proposed by [`patch`], and
//! shown only after it has been tried on the kernel (`run` does that).

mod expected_effect;
mod intended;
mod packet_view;
pub(crate) mod patch;
mod why;
mod words;

use crate::intent::check::Check;
use crate::intent::explanation::{Cause, Explanation, RuleRef};
use crate::net::conntrack::ConntrackState;
use crate::net::{Family, InterfaceName, Protocol};
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::path::{Path, Step};
use crate::rules::iptables_save::{Clause, Listing, Match, Packet, PlacedRule, Rule};
use crate::wire::headers::Content;

use self::expected_effect::ExpectedEffect;
use self::packet_view::{NatChange, PacketView};

/// Where the packets met the rules.
#[derive(Debug, Clone, Copy)]
pub struct MismatchContext<'a> {
    /// The rules of the family.
    pub listing: &'a Listing,
    /// Those of the other family, where there are any.
    pub twin: Option<&'a Listing>,
    /// The interface that the rules speak of.
    pub interface: &'a InterfaceName,
}

/// What is found of a mismatch, before it is put into words.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis<'a> {
    /// The kind of mistake.
    pub cause: Cause,
    /// What took the packet.
    pub took: Option<&'a Step>,
    /// The rule that was meant to.
    pub(crate) meant: Option<PlacedRule<'a>>,
    /// The jump to the chain of that rule that does not fit the packet.
    jump: Option<PlacedRule<'a>>,
    /// The clause that does not fit, of the jump if there is one, else of the rule that was meant; by its place.
    clause: Option<usize>,
    /// The packet, as the rule that was meant meets it, or else the one that took it.
    packet: Packet,
    /// What NAT had changed of it before.
    change: Option<NatChange>,
    /// The rule that answered the packet in the place of the host.
    answered: Option<&'a Step>,
    /// A rule that does what was meant, in a hook that the packet does not pass.
    elsewhere: Option<PlacedRule<'a>>,
    /// What it was meant to do.
    goal: ExpectedEffect,
}

/// Explains a check that is not as expected; `probes` are those of the check, in the order in which they were sent. None
/// when nothing of it is the ruleset's doing, or when no paths are known.
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

/// Explains the check of a packet that is no scan: what rules saw of it, and its way, as `observation` has it.
pub fn explain_packet<'a>(
    check: &Check,
    packet: Packet,
    observation: &'a Observation,
    scene: MismatchContext<'a>,
) -> Option<Diagnosis<'a>> {
    let goal = ExpectedEffect::from_check(check).filter(|_| observation.path.is_some())?;
    Some(why::find(goal, packet, observation, &[], scene))
}

/// Why a scan is not as expected of a family that has no ruleset; `None` for what is no scan.
pub fn without_ruleset(check: &Check) -> Option<Explanation> {
    check.subject.technique()?;
    let words =
        format!("no ruleset is given for {}: whatever listens is open to all, and nothing is logged", check.family?);
    Some(Explanation { cause: Cause::NoRuleset, took: None, meant: None, words, patch: None })
}

impl<'a> Diagnosis<'a> {
    /// The clause that does not fit, and the rule that it stands in.
    fn refusal(&self) -> Option<(PlacedRule<'a>, &'a Clause)> {
        let stand = self.jump.or(self.meant)?;
        Some((stand, stand.rule.clauses.get(self.clause?)?))
    }

    /// In words, without a patch.
    pub fn explanation(&self, scene: MismatchContext) -> Explanation {
        Explanation {
            cause: self.cause,
            took: self.took.map(|step| place_of_step(step, scene.listing)),
            meant: self.meant.map(|stand| place_of_rule(stand, scene.listing)),
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

/// Whether the rule asks for a destination port.
fn names_a_port(rule: &Rule) -> bool {
    rule.clauses.iter().any(|clause| matches!(clause.ask, Match::DestinationPorts(_)) && !clause.negated)
}

/// Whether the rule takes what is in `state` to conntrack.
fn matches_state(rule: &Rule, state: ConntrackState) -> bool {
    let asks = |ask: &Match| matches!(ask, Match::State(states) if states.contains(&state));
    rule.clauses.iter().any(|clause| asks(&clause.ask) && !clause.negated)
}

/// What conntrack makes of a probe, which is the first packet of its flow: its path tells. Kernels before 6.16 put no state
/// in the trace; there, where the ruleset makes the kernel track connections, it is worked out: `tcp_new` begins a connection with a SYN, and picks one up
/// with an ACK while `nf_conntrack_tcp_loose` is 1, as it is in the lab; all else is INVALID. PSH and URG do not count.
fn conntrack(probe: &Probe, path: &Path, listing: &Listing) -> Option<ConntrackState> {
    const COUNTED: u8 = 0x17; // FIN, SYN, RST and ACK
    let tracked = listing.rules().any(Rule::uses_conntrack);
    let first = match probe.flags() & COUNTED {
        _ if probe.flow.protocol != Protocol::Tcp => ConntrackState::New,
        0x02 | 0x10 => ConntrackState::New,
        _ => ConntrackState::Invalid,
    };
    path.conntrack.or(tracked.then_some(first))
}

/// The probe, as a rule sees it when it comes in.
fn packet(probe: &Probe, path: &Path, scene: MismatchContext) -> Packet {
    let (protocol, content) = content(probe);
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

/// The protocol's number (IANA), and what rules look at behind the IP header.
fn content(probe: &Probe) -> (u8, Content) {
    let (source, destination) = (probe.flow.prober_port, probe.flow.port);
    match (probe.flow.protocol, probe.family()) {
        (Protocol::Tcp, _) => (6, Content::Tcp { source, destination, flags: probe.flags() }),
        (Protocol::Udp, _) => (17, Content::Udp { source, destination }),
        (Protocol::Icmp, Family::Ipv4) => (1, Content::Icmp { kind: 8, code: 0 }),
        (Protocol::Icmp, Family::Ipv6) => (58, Content::Icmp { kind: 128, code: 0 }),
    }
}
