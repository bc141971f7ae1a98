//! The packets that can distinguish a mutant from the original: those that match a rule in which the two differ. Every
//! other packet is evaluated by the same rules, so that sending it again would show nothing.
//!
//! Rules are evaluated here (`iptables_save::judge`), and a match that does not certainly fail counts as a match; a
//! test compares the result with that of whole sweeps.

use std::collections::BTreeSet;

use crate::probe::packet::Journey;
use crate::probe::path::{Path, Step};
use crate::rules::iptables_save::{Chain, Listing, MatchResult, Packet, Rule};

/// The packets that two rulesets may treat differently.
pub struct AffectedPackets<'a> {
    rules: Vec<(&'a str, &'a Rule)>,
    policies: BTreeSet<(&'a str, &'a str)>,
    /// True if one of them tracks connections and the other does not: then every packet may be affected.
    everything: bool,
}

impl<'a> AffectedPackets<'a> {
    /// The rules in which `original` and `mutant` differ, chain by chain; in a chain, all between the first and the
    /// last difference.
    pub fn between(original: &'a Listing, mutant: &'a Listing) -> AffectedPackets<'a> {
        let tracks = |listing: &Listing| listing.rules().any(Rule::uses_conntrack);
        let mut differences = AffectedPackets {
            rules: Vec::new(),
            policies: BTreeSet::new(),
            everything: tracks(original) != tracks(mutant),
        };
        for (one, other) in [(original, mutant), (mutant, original)] {
            for table in &one.tables {
                for chain in &table.chains {
                    differences.add(&table.name, chain, other.chain(&table.name, &chain.name));
                }
            }
        }
        differences
    }

    fn add(&mut self, table: &'a str, chain: &'a Chain, other: Option<&Chain>) {
        let others = other.map(|other| other.rules.as_slice()).unwrap_or_default();
        self.rules.extend(differing(&chain.rules, others).iter().map(|rule| (table, rule)));
        if other.is_none_or(|other| other.policy != chain.policy) {
            self.policies.insert((table, &chain.name));
        }
    }

    /// True if one of `journeys` may be affected.
    pub fn concern<'j>(
        &self,
        mut journeys: impl Iterator<Item = &'j Journey>,
        packet: impl Fn(&Journey) -> Packet,
    ) -> bool {
        self.everything || journeys.any(|journey| self.concerns(&packet(journey)) || self.decided(&journey.path))
    }

    /// True if a rule may match the packet in one of the two rulesets only.
    pub fn concerns(&self, packet: &Packet) -> bool {
        // In the raw table conntrack has not yet seen the packet.
        let unseen = Packet { conntrack: None, ..packet.clone() };
        let seen_by = |table: &str| if table == "raw" { &unseen } else { packet };
        self.everything || self.rules.iter().any(|(table, rule)| rule.answer(seen_by(table)) != MatchResult::No)
    }

    /// True if a policy that differs decided.
    fn decided(&self, path: &Path) -> bool {
        let is_policy = |step: &&Step| step.rule.is_none();
        let mut policies = path.steps.iter().filter(is_policy);
        policies.any(|step| self.policies.contains(&(step.table.as_str(), step.chain.as_str())))
    }
}

/// The rules of `one` without those at the start and the end that both share.
fn differing<'r>(one: &'r [Rule], other: &[Rule]) -> &'r [Rule] {
    let same = |(one, other): &(&Rule, &Rule)| one.text == other.text;
    let start = one.iter().zip(other).take_while(same).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(same).count();
    &one[..one.len() - end]
}
