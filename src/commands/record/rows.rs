//! Converts facts to rows, merging equal ones. Families with equal facts share a row without `family`, techniques share
//! one with a list, and ports share one with ranges.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{DecidingRuleText, RateFact, RowEffect};
use super::facts::RecordedFacts;
use crate::net::Family;
use crate::net::port::{Port, PortSet};
use crate::probe::packet::{Lead, Packet, Way};
use crate::probe::scan::Technique;
use crate::rules::iptables_save::RuleLimit;
use crate::text::group::merged;

/// A row of scans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRow {
    /// The techniques.
    pub techniques: Vec<Technique>,
    /// The ports; empty for a technique without ports.
    pub ports: PortSet,
    /// The families.
    pub families: Vec<Family>,
    /// The effect.
    pub effect: RowEffect,
    /// The limit, if the row is about the rate.
    pub limit: Option<RuleLimit>,
    /// The responsible rules.
    pub doings: BTreeSet<(Family, DecidingRuleText)>,
}

/// A row of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketRow {
    /// The packets.
    pub packets: Vec<Packet>,
    /// The families.
    pub families: Vec<Family>,
    /// The effect.
    pub effect: RowEffect,
    /// The responsible rules.
    pub doings: BTreeSet<(Family, DecidingRuleText)>,
}

/// The topic of a section of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Without a connection, from the prober.
    ToHost,
    /// From other addresses.
    Strangers,
    /// Within a connection, or as an answer.
    Connections,
    /// From the host.
    FromHost,
    /// From the host to itself.
    Loopback,
}

impl Topic {
    /// All of them, in the order of the file.
    pub const ALL: [Topic; 5] = [Topic::ToHost, Topic::Strangers, Topic::Connections, Topic::FromHost, Topic::Loopback];

    fn from_packet(packet: &Packet) -> Topic {
        match (packet.way(), packet.lead()) {
            (Way::OverLoopback | Way::HostToItself, _) => Topic::Loopback,
            (Way::FromHost | Way::FromHostTo(_), _) => Topic::FromHost,
            (Way::From(_), _) => Topic::Strangers,
            (Way::ToHost, Lead::None) => Topic::ToHost,
            (Way::ToHost, _) => Topic::Connections,
        }
    }
}

/// Ports or packets with the same effect, per family, and the responsible rules.
type ByFamily<'a, T> = BTreeMap<Family, BTreeMap<T, &'a BTreeSet<DecidingRuleText>>>;

/// The rows of scans, accepted ones first.
pub fn of_scans(facts: &RecordedFacts, families: &[Family]) -> Vec<ScanRow> {
    let mut of: BTreeMap<(RowEffect, Technique), ByFamily<Port>> = BTreeMap::new();
    for ((technique, family, port), (effect, doings)) in &facts.cells {
        of.entry((effect.clone(), *technique)).or_default().entry(*family).or_default().insert(*port, doings);
    }
    let mut rows: Vec<ScanRow> = Vec::new();
    for ((effect, technique), cells) in of {
        let ports: BTreeMap<Family, BTreeSet<Port>> =
            cells.iter().map(|(family, ports)| (*family, ports.keys().copied().collect())).collect();
        for (of, ports) in shared(&ports, families) {
            let doings = of.iter().flat_map(|family| {
                let cells = &cells[family];
                ports.iter().flat_map(move |port| cells[port].iter().map(move |doing| (*family, doing.clone())))
            });
            let doings = doings.collect();
            let ports: PortSet = ports.iter().copied().filter(|_| technique.has_ports()).collect();
            let row = ScanRow {
                techniques: vec![technique],
                ports,
                families: of,
                effect: effect.clone(),
                limit: None,
                doings,
            };
            rows.push(row);
        }
    }
    // Techniques with equal facts share a row; one without ports stays separate.
    let is_like = |one: &ScanRow, other: &ScanRow| {
        !other.ports.is_empty()
            && (&one.ports, &one.families, &one.effect) == (&other.ports, &other.families, &other.effect)
    };
    merged(rows, is_like, |one, other| {
        one.techniques.extend(other.techniques);
        one.doings.extend(other.doings);
    })
}

/// The rows of limits: one probe for each rule.
pub fn of_rates(facts: &RecordedFacts, families: &[Family]) -> Vec<ScanRow> {
    let mut rows: Vec<ScanRow> = Vec::new();
    let keys: BTreeSet<(Technique, Port, &String)> =
        facts.rates.keys().map(|((technique, _, port), prefix)| (*technique, *port, prefix)).collect();
    for (technique, port, prefix) in keys {
        for family in families {
            let key = ((technique, *family, port), prefix.clone());
            let Some(RateFact { effect, limit, rule }) = facts.rates.get(&key) else { continue };
            let doings = BTreeSet::from([(*family, rule.clone())]);
            let ports: PortSet = [port].into_iter().filter(|_| technique.has_ports()).collect();
            let (effect, limit) = (effect.clone(), Some(*limit));
            let row = ScanRow { techniques: vec![technique], ports, families: vec![*family], effect, limit, doings };
            rows.push(row);
        }
    }
    // Families with equal facts for a port share a row.
    let same = |row: &ScanRow| (row.techniques.clone(), row.ports.clone(), row.effect.clone(), row.limit);
    merged(
        rows,
        |one, other| same(one) == same(other),
        |one, other| {
            one.families.extend(other.families);
            one.doings.extend(other.doings);
        },
    )
}

/// The rows of packets of one topic.
pub fn of_packets(facts: &RecordedFacts, families: &[Family], topic: Topic) -> Vec<PacketRow> {
    let mut of: BTreeMap<RowEffect, ByFamily<Packet>> = BTreeMap::new();
    for ((family, packet), (effect, doings)) in &facts.packets {
        if Topic::from_packet(packet) == topic {
            of.entry(effect.clone()).or_default().entry(*family).or_default().insert(*packet, doings);
        }
    }
    let mut rows = Vec::new();
    for (effect, cells) in of {
        let packets: BTreeMap<Family, BTreeSet<Packet>> =
            cells.iter().map(|(family, packets)| (*family, packets.keys().copied().collect())).collect();
        for (of, packets) in together(&packets, families) {
            let doings = of.iter().filter_map(|family| Some((family, cells.get(family)?)));
            let doings = doings.flat_map(|(family, cells)| {
                packets
                    .iter()
                    .filter_map(|packet| cells.get(packet))
                    .flat_map(move |doings| doings.iter().map(move |doing| (*family, doing.clone())))
            });
            let doings = doings.collect();
            let packets = packets.into_iter().collect();
            rows.push(PacketRow { packets, families: of, effect: effect.clone(), doings });
        }
    }
    rows
}

/// The values that all families share, then those of each family alone.
fn shared<T: Copy + Ord>(of: &BTreeMap<Family, BTreeSet<T>>, families: &[Family]) -> Vec<(Vec<Family>, BTreeSet<T>)> {
    let nothing = BTreeSet::new();
    let has = |family: &Family| of.get(family).unwrap_or(&nothing);
    let Some(first) = families.first() else { return Vec::new() };
    let common: BTreeSet<T> =
        has(first).iter().filter(|one| families.iter().all(|family| has(family).contains(one))).copied().collect();
    let own = families.iter().map(|family| (vec![*family], has(family).difference(&common).copied().collect()));
    let own: Vec<(Vec<Family>, BTreeSet<T>)> = own.filter(|_| families.len() > 1).collect();
    let all = [(families.to_vec(), common.clone())].into_iter().chain(own);
    all.filter(|(_, some)| !some.is_empty()).collect()
}

/// As [`shared`]; a packet that exists in one family only counts as shared.
fn together(of: &BTreeMap<Family, BTreeSet<Packet>>, families: &[Family]) -> Vec<(Vec<Family>, BTreeSet<Packet>)> {
    let mut of = of.clone();
    let lone: BTreeSet<Packet> = of.values().flatten().filter(|packet| packet.family().is_some()).copied().collect();
    for family in families {
        of.entry(*family).or_default().extend(&lone);
    }
    shared(&of, families)
}
