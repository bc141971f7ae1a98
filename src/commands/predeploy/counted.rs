//! The rules that count packets of SSH sessions, with their limits: a session must send more packets than that.

use super::PredeploySubject;
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::rules::iptables_save::{Listing, PlacedRule, Rule, RuleLimit};
use crate::rules::space::{PacketField, Region, Sets, Space, Values, state_places};

/// The packets that a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Packets that open a connection.
    Openings,
    /// All other packets.
    Session,
}

/// A rule that counts packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The rule, as `FILE:LINE: TEXT`.
    pub place: String,
    /// The number of packets after which it behaves differently; `None` if its text does not have one.
    pub limit: Option<RuleLimit>,
}

impl Counter {
    /// True if `packets` in `seconds` exceed its limit; false if the limit is unknown.
    pub fn is_exceeded(&self, packets: usize, seconds: f64) -> bool {
        self.limit.is_some_and(|limit| {
            let refilled = f64::from(limit.count) / f64::from(limit.seconds.max(1)) * seconds;
            packets as f64 > f64::from(limit.burst) + refilled
        })
    }
}

/// The rules that count `packets` of clients of `port`.
pub fn counters(subject: &PredeploySubject, family: Family, port: Port, packets: Counted) -> Vec<Counter> {
    met(subject, family, port, packets, |listing, at| {
        let is_it = at.table != "nat" && counts(at.rule);
        is_it.then(|| Counter { place: listing.quoted(at.rule), limit: limit(at.rule) })
    })
}

/// The results of `of` for the rules that `packets` of clients of `port` may meet.
pub(super) fn met<T>(
    subject: &PredeploySubject,
    family: Family,
    port: Port,
    packets: Counted,
    of: impl Fn(&Listing, &PlacedRule) -> Option<T>,
) -> Vec<T> {
    let Some((_, source)) = subject.rulesets.iter().find(|(of, _)| *of == family) else { return Vec::new() };
    let listing = subject.equipment.listing(family, source);
    let space = Space::new(&[&listing], &subject.scenario.host.interface);
    let sets = Sets::new(space, &listing);
    let is_met = |at: &PlacedRule| {
        let arrivals = sets.arrivals(at.table, at.chain, at.number);
        arrivals.may_be(|hook, region| is_of(region, hook, port, packets))
    };
    let found = listing.placed_rules().filter_map(|at| Some((of(&listing, &at)?, at)));
    found.filter(|(_, at)| is_met(at)).map(|(found, _)| found).collect()
}

/// True if packets of SSH sessions to `port` are in `region`, at the chain `hook`.
pub(super) fn is_of(region: &Region, hook: &str, port: Port, packets: Counted) -> bool {
    const SYN: u128 = 2;
    const ACK: u128 = 16;
    let end =
        if ["OUTPUT", "POSTROUTING"].contains(&hook) { PacketField::SourcePort } else { PacketField::DestinationPort };
    let (flags, state) = match packets {
        Counted::Openings => (SYN, ConntrackState::New),
        Counted::Session => (ACK, ConntrackState::Established),
    };
    let wanted = [
        (PacketField::Protocol, Values::these([6])),
        (PacketField::Whole, Values::these([1])),
        (PacketField::Flags, Values::these([flags])),
        (PacketField::State, state_places(&[state])),
        (end, Values::these([port.0.into()])),
    ];
    wanted.iter().try_fold(region.clone(), |region, (field, values)| region.with(*field, values)).is_some()
}

/// True if the rule behaves differently after a number of packets. Time-dependent rules are measured in both states
/// (`time_dependent`); `connlimit` counts connections; a rule that logs, or writes a list, passes every packet on.
fn counts(rule: &Rule) -> bool {
    let goes_on = rule.target.as_ref().is_none_or(|target| matches!(target.name.as_str(), "LOG" | "NFLOG"));
    !goes_on && rule.remembers().any(|name| ["limit", "hashlimit", "recent", "rateest", "nfacct"].contains(&name))
}

fn limit(rule: &Rule) -> Option<RuleLimit> {
    if rule.modules.iter().any(|module| module.name == "recent") {
        let hits = rule.argument("recent", "--hitcount").map_or(Some(1), |hits| hits.parse().ok());
        return hits.map(|burst| RuleLimit { count: 0, seconds: 1, burst });
    }
    rule.packet_limit().or_else(|| rule.hash_above())
}
