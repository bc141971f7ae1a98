//! Sends one of the packets that the rules before an unreached rule do not match; if there are others that cannot be
//! sent, the rule is not called dead.

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

/// The maximum number of sets that are tried for one rule.
const TRIED: usize = 8;

impl RulesetEvidence<'_> {
    /// Sends packets to the rules that no packet has reached.
    pub(super) fn is_tried(&mut self, subject: &FindingsSubject) -> Result<()> {
        for (interface, stimuli) in self.untried(subject) {
            let Ok(interface) = interface.parse::<InterfaceName>() else { continue };
            let host = subject.addresses.host(self.listing.family);
            for limits in limits(self.listing).iter().copied() {
                let send = |lab: &mut Lab| lab.sweep(&stimuli, &foreign_addresses(&stimuli, subject.addresses), limits);
                let responses = Lab::run(&subject.spec(&interface), send)?;
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

    /// The reason why it is not proved that no packet reaches a rule, which none did because of `reason`; `None` if it
    /// is proved.
    pub(super) fn why_unproven(&self, at: PlacedRule, reason: &str) -> Option<String> {
        let arrivals = self.sets.arrivals(at.table, at.chain, at.number);
        match arrivals.found.first() {
            Some((_, region)) => Some(why(&self.sets.space, self.listing, region, reason)),
            None if arrivals.is_all => None,
            None => Some("the rules before it distinguish more kinds of packets than are tried".to_owned()),
        }
    }
}

/// The match that no sweep varies, with its line; else a description of the packet.
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
