//! Which probe asks about which limit. A rate is that of one line, of a prefix that the probe leaves once; and of one probe
//! one rate can be asked, so that rules which log the same packets share them out.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Doing, Effect, ProbeKey, RateFact, doing};
use crate::iptables_save::{Limit, Listing};
use crate::net::Family;
use crate::observation::Observation;
use crate::path::Step;
use crate::rate::Rate;

/// The limits that were met, by the lines of their rules.
#[derive(Default)]
pub struct Limits(BTreeMap<(Family, usize), Limited>);

/// A rule that logs within a limit.
struct Limited {
    limit: Limit,
    rule: Doing,
    /// The probes that can ask about it, with what else one of them finds.
    askers: Vec<(ProbeKey, Effect)>,
}

/// Rates that rows ask, by the probes that do.
pub type Rates = BTreeMap<ProbeKey, RateFact>;

/// Limits that no row can speak of, with the reason.
pub type Unsayable = BTreeSet<(Family, Doing, String)>;

impl Limits {
    /// Those of the rules that logged the probe of `key`.
    pub fn meet(&mut self, listing: &Listing, key: ProbeKey, effect: &Effect, observation: &Observation) {
        for step in observation.path.iter().flat_map(|path| &path.steps) {
            let Some((prefix, rule, limit)) = limited(listing, step) else { continue };
            let none = Limited { limit, rule: rule.clone(), askers: Vec::new() };
            let of_rule = self.0.entry((listing.family, rule.0)).or_insert(none);
            if effect.log.iter().filter(|other| **other == prefix).count() == 1 {
                of_rule.askers.push((key, Effect { log: vec![prefix], ..effect.clone() }));
            }
        }
    }

    /// A probe for each of them: rules that few probes can ask about have the first choice.
    pub fn share_out(self) -> (Rates, Unsayable) {
        let (mut rates, mut unsayable) = (Rates::new(), Unsayable::new());
        let mut all: Vec<((Family, usize), Limited)> = self.0.into_iter().collect();
        all.sort_by_key(|(_, of_rule)| of_rule.askers.len());
        for ((family, _), Limited { limit, rule, askers }) in all {
            let no_asker = no_asker(askers.len());
            let asker = askers.into_iter().find(|(key, _)| !rates.contains_key(key));
            match (why_unsayable(limit), asker) {
                (Some(why), _) => drop(unsayable.insert((family, rule, why))),
                (None, Some((key, effect))) => drop(rates.insert(key, RateFact { effect, limit, rule })),
                (None, None) => drop(unsayable.insert((family, rule, no_asker.to_owned()))),
            }
        }
        (rates, unsayable)
    }
}

/// What a step logged with, by which rule, and within which limit.
fn limited(listing: &Listing, step: &Step) -> Option<(String, Doing, Limit)> {
    let prefix = step.log_prefix.clone()?;
    let rule = listing.chain(&step.table, &step.chain)?.rules.get(step.rule? - 1)?;
    Some((prefix, doing(step)?, rule.limit()?))
}

fn no_asker(askers: usize) -> &'static str {
    match askers {
        0 => "what it logs is logged once more with the same prefix",
        _ => "every probe that it logs asks about another limit",
    }
}

/// Why no row can ask for the limit: a burst must be short, and over before the limit has recovered.
fn why_unsayable(limit: Limit) -> Option<String> {
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
