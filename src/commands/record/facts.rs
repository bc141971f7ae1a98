//! The measurements in the terms of a scenario, with the responsible rules.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{DecidingRuleText, ProbeKey, RowEffect, effect_of};
use super::rates::{MeasuredLimits, Rates, Unsayable};
use crate::commands::run::job::JobResults;
use crate::net::Family;
use crate::probe::hidden::Hidden;
use crate::probe::note::{Copied, Note, copies};
use crate::probe::observation::Observation;
use crate::probe::packet::{Packet, Response};
use crate::probe::path::Path;
use crate::probe::scan::{FilterVerdict, PortState, Technique};
use crate::rules::iptables_save::Listing;

/// All measurements.
#[derive(Debug, Default)]
pub struct RecordedFacts {
    /// Every probe of a scan.
    pub cells: BTreeMap<ProbeKey, (RowEffect, BTreeSet<DecidingRuleText>)>,
    /// Every other packet.
    pub packets: BTreeMap<(Family, Packet), (RowEffect, BTreeSet<DecidingRuleText>)>,
    /// A probe and a line of it for every limit of a rule that logs.
    pub rates: Rates,
    /// Limits that no row can express, with the reason.
    pub unsayable: Unsayable,
    /// Packets that left the modelled world, with their destination: no row can expect them.
    pub beyond: BTreeSet<String>,
}

impl RecordedFacts {
    /// The facts of `found`, with rulesets in `listings`.
    pub fn new(found: JobResults, listings: &[Listing]) -> RecordedFacts {
        let mut facts = RecordedFacts::default();
        let hidden = found.0.values().find_map(|of| of.neighbourhood.as_ref()?.hidden.clone());
        facts.beyond.extend(hidden.as_ref().map(|hidden| without_scans(hidden, listings)));
        let mut limits = MeasuredLimits::default();
        let (probes, packets): (Vec<_>, Vec<_>) = found.0.into_values().map(|of| (of.probes, of.packets)).unzip();
        let mut probes: Vec<_> = probes.into_iter().flatten().collect();
        probes.sort_by_key(|(probe, _)| (probe.technique, probe.flow.port, probe.family()));
        for (probe, observation) in &probes {
            let (family, key) = (probe.family(), (probe.technique, probe.family(), probe.flow.port));
            if hidden.is_some() && family == Family::Ipv6 {
                continue;
            }
            if let Some(left) = observation.verdict.left() {
                facts.beyond.insert(format!("{family} {} {}: {left}", probe.technique, probe.flow.port));
                continue;
            }
            let copied = observation.notes.iter().filter(|note| matches!(note, Note::Copied { .. }));
            facts.beyond.extend(copied.map(|note| format!("{family} {} {}: {note}", probe.technique, probe.flow.port)));
            let effect = effect_of_probe(probe.technique, observation);
            let doings = observation.path.iter().flat_map(|path| effects_of(path)).collect();
            if let Some(listing) = listings.iter().find(|listing| listing.family == family) {
                limits.meet(listing, key, &effect, observation);
            }
            facts.cells.insert(key, (effect, doings));
        }
        for (cell, response) in packets.iter().flatten() {
            if let Some(left) = response.own.last().and_then(|own| own.path.fate.left()) {
                facts.beyond.insert(format!("{} {}: {left}", cell.family, cell.packet));
                continue;
            }
            for copy in response.own.iter().flat_map(|own| copies(&own.path)) {
                let note = Note::Copied { what: Copied::Probe, copy };
                facts.beyond.insert(format!("{} {}: {note}", cell.family, cell.packet));
            }
            let doings = response.own.iter().flat_map(|own| effects_of(&own.path)).collect();
            facts.packets.insert((cell.family, cell.packet), (effect_of_packet(response), doings));
        }
        (facts.rates, facts.unsayable) = limits.into_rates();
        facts
    }
}

/// The reason why there is no scan over IPv6.
fn without_scans(hidden: &Hidden, listings: &[Listing]) -> String {
    let listing = listings.iter().find(|listing| listing.family == Family::Ipv6);
    let reason = hidden.reason(listing.map(|listing| listing.source.name.as_path()));
    format!("ipv6 scans: no neighbour finds the host: {reason}")
}

fn effect_of_probe(technique: Technique, observation: &Observation) -> RowEffect {
    let heard = observation.connection.as_ref().is_some_and(|connection| connection.accepted);
    let state = observation.verdict.state;
    // A row that expects *open* of a connect also expects that the service gets the connection.
    let is_half_open = technique == Technique::Connect && state == PortState::Open && !heard;
    let log = observation.log.iter().map(|record| record.prefix.clone()).collect();
    RowEffect { verdict: observation.filter, state: Some(state).filter(|_| !is_half_open), log }
}

fn effect_of_packet(response: &Response) -> RowEffect {
    let verdict = response.own.last().and_then(|own| FilterVerdict::from_fate(own.path.fate));
    let log = response.own.iter().flat_map(|own| own.path.log_prefixes()).map(str::to_owned).collect();
    RowEffect { verdict, state: None, log }
}

/// The rules that logged, and the one that decided.
fn effects_of(path: &Path) -> impl Iterator<Item = DecidingRuleText> {
    let logged = path.steps.iter().filter(|step| step.log_prefix.is_some());
    logged.chain(path.deciding()).filter_map(effect_of)
}
