//! Selects a probe for each limit. A rate is that of one line, so its prefix must be one that the probe causes once.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{DecidingRuleText, ProbeKey, RateFact, RowEffect, effect_of};
use crate::net::Family;
use crate::net::rate::Rate;
use crate::probe::observation::Observation;
use crate::probe::path::Step;
use crate::rules::iptables_save::{Listing, RuleLimit};

/// The limits that were observed, by the lines of their rules.
#[derive(Default)]
pub struct MeasuredLimits(BTreeMap<(Family, usize), LimitedLog>);

/// A rule that logs within a limit.
struct LimitedLog {
    limit: RuleLimit,
    rule: DecidingRuleText,
    /// The first probe that can measure it, the prefix, and the probe's other effects.
    asker: Option<(RateKey, RowEffect)>,
}

/// A probe, and the prefix of its line.
pub type RateKey = (ProbeKey, String);

/// The rates of rows.
pub type Rates = BTreeMap<RateKey, RateFact>;

/// Limits that no row can express, with the reason.
pub type Unsayable = BTreeSet<(Family, DecidingRuleText, String)>;

impl MeasuredLimits {
    /// Adds those of the rules that logged the probe of `key`.
    pub fn meet(&mut self, listing: &Listing, key: ProbeKey, effect: &RowEffect, observation: &Observation) {
        for step in observation.path.iter().flat_map(|path| &path.steps) {
            let Some((prefix, rule, limit)) = limited(listing, step) else { continue };
            let is_rated = effect.log.iter().filter(|other| **other == prefix).count() == 1;
            let none = LimitedLog { limit, rule: rule.clone(), asker: None };
            let of_rule = self.0.entry((listing.family, rule.0)).or_insert(none);
            if of_rule.asker.is_none() && is_rated {
                let effect = RowEffect { log: vec![prefix.clone()], ..effect.clone() };
                of_rule.asker = Some(((key, prefix), effect));
            }
        }
    }

    /// The rates that rows can express, and those that none can.
    pub fn into_rates(self) -> (Rates, Unsayable) {
        let (mut rates, mut unsayable) = (Rates::new(), Unsayable::new());
        for ((family, _), LimitedLog { limit, rule, asker }) in self.0 {
            match (why_unsayable(limit), asker) {
                (None, Some((key, effect))) => drop(rates.insert(key, RateFact { effect, limit, rule })),
                (Some(why), _) => drop(unsayable.insert((family, rule, why))),
                (None, None) => drop(unsayable.insert((family, rule, TOLD_TWICE.to_owned()))),
            }
        }
        (rates, unsayable)
    }
}

const TOLD_TWICE: &str = "its packets are logged again with the same prefix";

/// The prefix of a step's line, its rule, and its limit.
fn limited(listing: &Listing, step: &Step) -> Option<(String, DecidingRuleText, RuleLimit)> {
    let prefix = step.log_prefix.clone()?;
    Some((prefix, effect_of(step)?, listing.rule_of(step)?.limit()?))
}

/// The reason why no row can express the limit: a burst must be short, and over before the limit has recovered.
fn why_unsayable(limit: RuleLimit) -> Option<String> {
    const A_DAY: u64 = 86_400;
    let RuleLimit { count, seconds, burst } = limit;
    let lasts = u64::from(burst) * u64::from(seconds) / u64::from(count.max(1));
    if burst + 1 > crate::intent::plan::BURST_MAX {
        Some(format!(
            "a burst of {burst} is more than the {} probes that one check sends",
            crate::intent::plan::BURST_MAX
        ))
    } else if count > seconds {
        Some("it recovers while a burst is being sent".to_owned())
    } else if lasts > A_DAY || Rate::new(count.into(), seconds.into()).is_none() {
        Some("it is more than iptables-legacy can count".to_owned())
    } else {
        None
    }
}
