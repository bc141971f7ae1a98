//! What the rules before a rule leave of its packets: one of them is sent, and the rest keeps the rule from being called
//! dead.

use std::collections::{BTreeMap, HashSet};

use super::FindingsSubject;
use super::evidence::RulesetEvidence;
use super::measure::limits;
use super::reason;
use crate::error::Result;
use crate::lab::Lab;
use crate::net::InterfaceName;
use crate::probe::packet::Stimulus;
use crate::rules::iptables_save::{Listing, PlacedRule};
use crate::rules::space::{Region, Space, WitnessPacket, witnesses};
use crate::rules::sweep::foreign_addresses;

/// So many sets of one rule are tried.
const TRIED: usize = 8;

impl RulesetEvidence<'_> {
    /// Sends packets to the rules that nothing has reached.
    pub(super) fn is_tried(&mut self, subject: &FindingsSubject) -> Result<()> {
        for (interface, stimuli) in self.untried(subject) {
            let Ok(interface) = interface.parse::<InterfaceName>() else { continue };
            let host = subject.addresses.host(self.listing.family);
            for limits in limits(self.listing).iter().copied() {
                let send = |lab: &mut Lab| lab.sweep(&stimuli, &foreign_addresses(&stimuli, subject.addresses), limits);
                let responses = Lab::run(&subject.blueprint(&interface), send)?;
                self.add(&responses, &interface, host);
            }
        }
        Ok(())
    }

    /// The packets to send over each interface.
    fn untried(&self, subject: &FindingsSubject) -> BTreeMap<String, Vec<Stimulus>> {
        let mut all: BTreeMap<String, Vec<Stimulus>> = BTreeMap::new();
        let mut known = HashSet::new();
        for PlacedRule { table, chain, number, .. } in self.listing.placed_rules() {
            if self.has_matched(table, chain, number) {
                continue;
            }
            let left = self.sets.arrivals(table, chain, number);
            let witnesses = |(hook, one): &(&str, Region)| witnesses(&self.sets.space, one, hook, subject.addresses);
            for WitnessPacket { interface, stimulus } in left.found.iter().take(TRIED).flat_map(witnesses) {
                if known.insert((interface.clone(), stimulus)) {
                    all.entry(interface).or_default().push(stimulus);
                }
            }
        }
        all
    }

    /// Why it is not proved that no packet comes to a rule, to which none came because of `reason`; `None` if it is.
    pub(super) fn why_unproven(&self, at: PlacedRule, reason: &str) -> Option<String> {
        let arrivals = self.sets.arrivals(at.table, at.chain, at.number);
        match arrivals.found.first() {
            Some((_, region)) => Some(why(&self.sets.space, self.listing, region, reason)),
            None if arrivals.is_all => None,
            None => Some("the rules before it divide packets into more kinds than are tried".to_owned()),
        }
    }
}

/// The match that no sweep varies, with its line; else what the packet is.
fn why(space: &Space, listing: &Listing, region: &Region, reason: &str) -> String {
    let asks = |key: &str| {
        let words = key.split(" [").next().unwrap_or(key);
        let mut rules = listing.rules();
        let first = words.split(' ').take(2).collect::<Vec<_>>().join(" ");
        rules.find(|rule| rule.text.contains(words)).or_else(|| listing.rules().find(|rule| rule.text.contains(&first)))
    };
    let opaque = region.answers().find_map(|(key, _)| Some((asks(key)?, key)));
    match opaque {
        Some((rule, key)) => reason::depends_on_match(rule, key.split(" [").next().unwrap_or(key)),
        None => format!("{reason}; of all others this is not proved, such as {}", space.describe(region)),
    }
}
