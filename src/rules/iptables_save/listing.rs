//! Finding one's way in a ruleset that has been read.

use std::net::IpAddr;

use super::{Chain, Listing, Policy, Rule, Table};

impl Listing {
    /// Whether a rule has one of these targets.
    pub fn has_target(&self, names: &[&str]) -> bool {
        self.rules().any(|(.., rule)| rule.target.as_ref().is_some_and(|target| names.contains(&&*target.name)))
    }

    /// A rule of it, as `FILE:LINE: TEXT`.
    pub fn quoted(&self, rule: &Rule) -> String {
        format!("{}:{}: {}", self.source.name.display(), rule.line, rule.text)
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

    /// The senders that SNAT may give to packets which the host receives, the first of each range: the host answers them.
    /// Only nat INPUT does so; a user-defined chain may be reached from there.
    pub fn new_senders(&self) -> impl Iterator<Item = IpAddr> {
        let received = self.rules().filter(|(table, chain, ..)| table.name == "nat" && chain.name != "POSTROUTING");
        received.filter_map(|(.., rule)| {
            let target = rule.target.as_ref().filter(|target| target.name == "SNAT")?;
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
