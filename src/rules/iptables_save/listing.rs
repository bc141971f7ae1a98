//! Finding one's way in a ruleset that has been read.

use super::{Chain, Listing, Policy, Rule, Table};

impl Listing {
    /// Whether a rule has one of these targets.
    pub fn has_target(&self, names: &[&str]) -> bool {
        self.rules().any(|(.., rule)| rule.target.as_ref().is_some_and(|target| names.contains(&&*target.name)))
    }

    /// Every rule with its table, its chain and its number there (1 is the first, as in `iptables -L --line-numbers`).
    pub fn rules(&self) -> impl Iterator<Item = (&Table, &Chain, usize, &Rule)> {
        let chains = self.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
        chains
            .flat_map(|(table, chain)| (1..).zip(&chain.rules).map(move |(number, rule)| (table, chain, number, rule)))
    }

    /// Whether it holds nothing that could hold a packet back: no rule, and no chain with a policy of DROP.
    pub fn lets_everything_through(&self) -> bool {
        let denies = |chain: &Chain| chain.policy == Some(Policy::Drop) || !chain.rules.is_empty();
        !self.tables.iter().any(|table| table.chains.iter().any(denies))
    }

    /// Whether a rule with a rate limit does more than log or count: what it has no room for fares differently.
    pub fn limits_more_than_lines(&self) -> bool {
        let logs =
            |rule: &Rule| rule.target.as_ref().is_none_or(|target| matches!(target.name.as_str(), "LOG" | "NFLOG"));
        self.rules().any(|(.., rule)| rule.limit().is_some() && !logs(rule))
    }

    /// The chain `name` of `table`.
    pub fn chain(&self, table: &str, name: &str) -> Option<&Chain> {
        let table = self.tables.iter().find(|one| one.name == table)?;
        table.chains.iter().find(|chain| chain.name == name)
    }
}
