//! What was measured, as a scenario can say it; and with whose doing it was.

use std::collections::{BTreeMap, BTreeSet};

use crate::iptables_save::{Limit, Listing};
use crate::net::Family;
use crate::observation::Observation;
use crate::path::{Fate, Path, Step};
use crate::port::Port;
use crate::rate::Rate;
use crate::run::job::Found;
use crate::scan::{FilterVerdict, PortState, Technique};
use crate::sensor::MAX_PREFIX;
use crate::sweep::{Packet, Response};

/// What comes of a probe or a packet, as a row says it; what is none cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// What the filter does.
    pub verdict: Option<FilterVerdict>,
    /// The port state.
    pub state: Option<PortState>,
    /// The line that it leaves; empty for none. Of several lines a row cannot speak.
    pub log: Option<String>,
}

/// A rule, as a comment names it: its line, and its text.
pub type Doing = (usize, String);

/// Whatever was measured.
#[derive(Debug, Default)]
pub struct Facts {
    /// Every probe of a scan.
    pub cells: BTreeMap<(Technique, Family, Port), (Effect, BTreeSet<Doing>)>,
    /// Every other packet.
    pub packets: BTreeMap<(Family, Packet), (Effect, BTreeSet<Doing>)>,
    /// A probe for every limit of a rule that logs.
    pub rates: BTreeMap<(Technique, Family, Port), RateFact>,
    /// Limits that no row can speak of, with the reason.
    pub unsayable: BTreeSet<(Family, Doing, String)>,
}

/// How often a rule logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateFact {
    /// What one probe finds.
    pub effect: Effect,
    /// The limit, as the rule has it.
    pub limit: Limit,
    /// The rule.
    pub rule: Doing,
}

impl Facts {
    /// What `found` says of rulesets that read as `listings`.
    pub fn of(found: Found, listings: &[Listing]) -> Facts {
        let mut facts = Facts::default();
        let mut limited: BTreeSet<(Family, usize)> = BTreeSet::new();
        let (probes, packets): (Vec<_>, Vec<_>) = found.0.into_values().map(|of| (of.probes, of.packets)).unzip();
        let mut probes: Vec<_> = probes.into_iter().flatten().collect();
        probes.sort_by_key(|(probe, _)| (probe.technique, probe.flow.port, probe.family()));
        for (probe, observation) in &probes {
            let (family, key) = (probe.family(), (probe.technique, probe.family(), probe.flow.port));
            let effect = effect_of_probe(probe.technique, observation);
            let doings = observation.path.iter().flat_map(|path| doings(path)).collect();
            let listing = listings.iter().find(|listing| listing.family == family);
            let limit = listing.and_then(|listing| limit(listing, observation));
            if let Some((rule, limit)) = limit.filter(|(rule, _)| limited.insert((family, rule.0))) {
                match unsayable(limit) {
                    Some(why) => drop(facts.unsayable.insert((family, rule, why))),
                    None => drop(facts.rates.insert(key, RateFact { effect: effect.clone(), limit, rule })),
                }
            }
            facts.cells.insert(key, (effect, doings));
        }
        for (cell, response) in packets.iter().flatten() {
            let doings = response.own.iter().flat_map(|own| doings(&own.path)).collect();
            facts.packets.insert((cell.family, cell.packet), (effect_of_packet(response), doings));
        }
        facts
    }
}

fn effect_of_probe(technique: Technique, observation: &Observation) -> Effect {
    let heard = observation.connection.as_ref().is_some_and(|connection| connection.accepted);
    let state = observation.verdict.state;
    // A row that calls a connect *open* asks that the service gets the connection, too.
    let is_half_open = technique == Technique::Connect && state == PortState::Open && !heard;
    let prefixes: Vec<&str> = observation.log.iter().map(|record| record.prefix.as_str()).collect();
    Effect { verdict: observation.filter, state: Some(state).filter(|_| !is_half_open), log: one_line(&prefixes) }
}

fn effect_of_packet(response: &Response) -> Effect {
    let verdict = response.own.last().map(|own| match own.path.fate {
        Fate::Accepted => FilterVerdict::Accept,
        Fate::Rejected => FilterVerdict::Reject,
        Fate::Dropped | Fate::Stolen | Fate::Vanished => FilterVerdict::Drop,
    });
    let prefixes: Vec<&str> = response.own.iter().flat_map(|own| own.path.log_prefixes()).collect();
    Effect { verdict, state: None, log: one_line(&prefixes) }
}

/// A row names the prefix of one line, which is not empty, and not longer than LOG keeps.
fn one_line(prefixes: &[&str]) -> Option<String> {
    match prefixes {
        [] => Some(String::new()),
        [one] if !one.is_empty() && one.chars().count() <= MAX_PREFIX => Some((*one).to_owned()),
        _ => None,
    }
}

/// The rules that logged, and the one that had the last word.
fn doings(path: &Path) -> impl Iterator<Item = Doing> {
    let logged = path.steps.iter().filter(|step| step.log_prefix.is_some());
    logged.chain(path.last()).filter_map(doing)
}

fn doing(step: &Step) -> Option<Doing> {
    Some((step.line?, step.text.clone()))
}

/// The rule that logged the probe's only line, if it has a limit.
fn limit(listing: &Listing, observation: &Observation) -> Option<(Doing, Limit)> {
    let mut logged = observation.path.iter().flat_map(|path| &path.steps).filter(|step| step.log_prefix.is_some());
    let step = logged.next().filter(|_| observation.log.len() == 1)?;
    let rule = listing.chain(&step.table, &step.chain)?.rules.get(step.rule? - 1)?;
    Some((doing(step)?, rule.limit()?))
}

/// Why no row can ask for the limit: a burst must be short, and over before the limit has recovered.
fn unsayable(limit: Limit) -> Option<String> {
    const A_DAY: u64 = 86_400;
    let Limit { count, seconds, burst } = limit;
    let lasts = u64::from(burst) * u64::from(seconds) / u64::from(count.max(1));
    if burst + 1 > crate::plan::BURST_MAX {
        Some(format!("a burst of {burst} is more than the {} probes that one check sends", crate::plan::BURST_MAX))
    } else if count > seconds {
        Some("it recovers while a burst is being sent".to_owned())
    } else if lasts > A_DAY || Rate::of(count.into(), seconds.into()).is_none() {
        Some("it is more than iptables-legacy can count".to_owned())
    } else {
        None
    }
}
