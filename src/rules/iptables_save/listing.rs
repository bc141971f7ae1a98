//! Queries on a parsed ruleset.

use std::net::IpAddr;

use super::{Chain, Listing, Policy, Rule, Table};
use crate::probe::path::{Path, Step};

/// The built-in chains, one for each hook (`enum nf_inet_hooks`).
pub const HOOKS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// A rule, and its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlacedRule<'a> {
    /// Its table.
    pub table: &'a str,
    /// Its chain.
    pub chain: &'a str,
    /// Its number in its chain (1 is the first, as in `iptables -L --line-numbers`).
    pub number: usize,
    /// The rule.
    pub rule: &'a Rule,
}

impl PlacedRule<'_> {
    /// True if `step` is a match of this rule.
    pub fn is(&self, step: &Step) -> bool {
        step.rule == Some(self.number) && step.is_in(self.table, self.chain)
    }

    /// True if the rule matched a packet on this path.
    pub fn is_on(&self, path: &Path) -> bool {
        path.steps.iter().any(|step| self.is(step))
    }
}

impl Listing {
    /// True if a rule has one of these targets.
    pub fn has_target(&self, names: &[&str]) -> bool {
        self.rules().any(|rule| rule.target.as_ref().is_some_and(|target| names.contains(&&*target.name)))
    }

    /// A rule of it, as `FILE:LINE: TEXT`.
    pub fn quoted(&self, rule: &Rule) -> String {
        format!("{}:{}: {}", self.source.name.display(), rule.line, rule.text)
    }

    /// Every rule, in the order of its tables and chains.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules)
    }

    /// Every rule, with its place.
    pub fn placed_rules(&self) -> impl Iterator<Item = PlacedRule<'_>> {
        let chains = self.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        chains.flat_map(|(Table { name: table, .. }, chain)| {
            let numbered = (1..).zip(&chain.rules);
            numbered.map(move |(number, rule)| PlacedRule { table, chain: &chain.name, number, rule })
        })
    }

    /// The jumps to a chain.
    pub fn jumps_to<'a>(&'a self, table: &'a str, chain: &'a str) -> impl Iterator<Item = PlacedRule<'a>> {
        let is_jump = move |at: &PlacedRule| at.rule.target.as_ref().is_some_and(|target| target.name == chain);
        self.placed_rules().filter(move |at| at.table == table && is_jump(at))
    }

    /// The rule of a step, with its place; `None` for a policy.
    pub fn placed(&self, step: &Step) -> Option<PlacedRule<'_>> {
        self.placed_rules().find(|at| at.is(step))
    }

    /// The rule of a step; `None` for a policy.
    pub fn rule_of(&self, step: &Step) -> Option<&Rule> {
        self.chain(&step.table, &step.chain)?.rules.get(step.rule?.checked_sub(1)?)
    }

    /// True if it cannot stop a packet: it has no rule, and no chain with a policy of DROP.
    pub fn lets_everything_through(&self) -> bool {
        let denies = |chain: &Chain| chain.policy == Some(Policy::Drop) || !chain.rules.is_empty();
        !self.tables.iter().any(|table| table.chains.iter().any(denies))
    }

    /// True if a rule with a rate limit does more than log or count: packets over its limit have another result.
    pub fn limits_more_than_lines(&self) -> bool {
        let logs =
            |rule: &Rule| rule.target.as_ref().is_none_or(|target| matches!(target.name.as_str(), "LOG" | "NFLOG"));
        self.rules().any(|rule| rule.limit().is_some() && !logs(rule))
    }

    /// The sources that SNAT may set on received packets, the first of each range: the host answers to them. Only nat
    /// INPUT does so; a user-defined chain may be reached from there.
    pub fn new_senders(&self) -> impl Iterator<Item = IpAddr> {
        let received = self.placed_rules().filter(|at| at.table == "nat" && at.chain != "POSTROUTING");
        received.filter_map(|at| {
            let target = at.rule.target.as_ref().filter(|target| target.name == "SNAT")?;
            first_address(target.option("--to-source")?)
        })
    }

    /// The chain `name` of `table`.
    pub fn chain(&self, table: &str, name: &str) -> Option<&Chain> {
        let table = self.tables.iter().find(|one| one.name == table)?;
        table.chains.iter().find(|chain| chain.name == name)
    }
}

/// `192.0.2.1`, `192.0.2.1-192.0.2.9:1024-2047`, `[2001:db8::1]:80` (libxt_NAT.c).
fn first_address(text: &str) -> Option<IpAddr> {
    let first = text.trim_start_matches('[').split([']', '-']).next()?;
    first.parse().ok().or_else(|| first.split(':').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::first_address;

    #[test]
    fn first_address_is_read_from_every_form_of_to_source() {
        for text in ["192.0.2.1", "192.0.2.1-192.0.2.9", "192.0.2.1:1024-2047", "192.0.2.1-192.0.2.9:1024-2047"] {
            assert_eq!(first_address(text), "192.0.2.1".parse().ok(), "{text}");
        }
        for text in ["2001:db8::1", "2001:db8::1-2001:db8::9", "[2001:db8::1]:80"] {
            assert_eq!(first_address(text), "2001:db8::1".parse().ok(), "{text}");
        }
        assert_eq!(first_address(":1024-2047"), None);
    }
}
