//! The number of times that a packet meets a limit.

use std::collections::HashMap;

use super::{HOOKS, Listing, Rule, Table};

/// Targets that make more packets of one: a copy passes OUTPUT, a proxy opens a second connection.
const MULTIPLYING: [&str; 2] = ["TEE", "SYNPROXY"];

impl Listing {
    /// True if `limit` is the only match that remembers packets, and a packet meets each limit once at most at each
    /// hook.
    pub fn meets_each_limit_once(&self) -> bool {
        let remembers_more = |rule: &Rule| rule.remembers().count() > usize::from(rule.limit().is_some());
        !self.keeps_lists() && !self.rules().any(remembers_more) && self.limit_visits() <= 1
    }

    /// The largest number of times that a packet, with the packets that the rules make of it, can meet one and the same
    /// match that remembers packets: the number of ways from a hook to the chain of its rule.
    pub fn limit_visits(&self) -> u32 {
        let copies = 1 + u32::from(self.has_target(&MULTIPLYING));
        self.tables.iter().map(limit_visits).max().unwrap_or(0).saturating_mul(copies)
    }
}

fn limit_visits(table: &Table) -> u32 {
    let mut sources: HashMap<&str, Vec<&str>> = HashMap::new();
    for chain in &table.chains {
        for target in chain.rules.iter().filter_map(|rule| rule.target.as_ref()) {
            sources.entry(&target.name).or_default().push(&chain.name);
        }
    }
    let mut ways = HashMap::from(HOOKS.map(|hook| (hook, 1)));
    let remembers = |rule: &Rule| rule.remembers().next().is_some();
    let limited = table.chains.iter().filter(|chain| chain.rules.iter().any(remembers));
    limited.map(|chain| ways_to(&chain.name, &sources, &mut ways)).max().unwrap_or(0)
}

/// The number of ways to a chain, which is added to `ways` with those of all chains before it. No recursion, since a file
/// may have thousands of chains in a row; jumps in a circle, which the kernel refuses, do not count.
fn ways_to<'a>(chain: &'a str, sources: &HashMap<&'a str, Vec<&'a str>>, ways: &mut HashMap<&'a str, u32>) -> u32 {
    let mut open = vec![chain];
    while let Some(&last) = open.last() {
        let before = sources.get(last).map_or(&[][..], Vec::as_slice);
        let unknown = before.iter().find(|source| !ways.contains_key(*source) && !open.contains(source));
        match unknown {
            Some(source) if !ways.contains_key(last) => open.push(source),
            _ => {
                let sum =
                    before.iter().filter_map(|source| ways.get(source)).fold(0, |sum: u32, n| sum.saturating_add(*n));
                ways.entry(last).or_insert(sum);
                open.pop();
            }
        }
    }
    ways[chain]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::Family;

    const LIMIT: &str = "-m limit --limit 5/min";

    fn listing(rules: &str) -> Listing {
        let text = format!("*filter\n:a - [0:0]\n:b - [0:0]\n{}COMMIT\n", rules.replace("LIMIT", LIMIT));
        Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() })
    }

    fn meets_once(rules: &str) -> bool {
        listing(rules).meets_each_limit_once()
    }

    #[test]
    fn limits_in_chains_that_are_entered_once_are_met_once() {
        for rules in [
            "-A INPUT LIMIT -j LOG\n-A INPUT LIMIT -j ACCEPT\n",
            "-A INPUT -j a\n-A a -j b\n-A b LIMIT -j LOG\n",
            "-A INPUT -j a\n-A INPUT -j a\n-A a -j DROP\n-A INPUT LIMIT -j LOG\n",
            "-A a LIMIT -j LOG\n",
        ] {
            assert!(meets_once(rules), "{rules}");
        }
    }

    #[test]
    fn limits_in_chains_that_are_entered_twice_are_met_twice() {
        for rules in [
            "-A INPUT -j a\n-A INPUT -j a\n-A a LIMIT -j LOG\n",
            "-A INPUT -j a\n-A OUTPUT -g a\n-A a LIMIT -j LOG\n",
            "-A INPUT -j a\n-A INPUT -j a\n-A a -j b\n-A b LIMIT -j LOG\n",
            "-A INPUT -s 10.0.0.0/8,10.1.0.0/16 -j a\n-A a LIMIT -j LOG\n",
        ] {
            assert!(!meets_once(rules), "{rules}");
        }
    }

    #[test]
    fn ways_to_a_limit_are_multiplied_from_chain_to_chain() {
        let visits = |rules: &str| listing(rules).limit_visits();
        assert_eq!(visits("-A INPUT -j a\n-A INPUT -j a\n-A a -j b\n-A a -j b\n-A a -j b\n-A b LIMIT -j LOG\n"), 6);
        assert_eq!(visits("-A INPUT -j a\n-A INPUT -j TEE --gateway 192.0.2.9\n-A a LIMIT -j LOG\n"), 2);
        assert_eq!(visits("-A INPUT -j a\n-A a -j DROP\n"), 0);
    }

    #[test]
    fn circle_of_jumps_ends() {
        assert!(meets_once("-A a -j b\n-A b LIMIT -j a\n"));
    }

    #[test]
    fn limit_beside_other_memory_is_not_met_once() {
        for more in [
            "-m quota --quota 9 -j DROP",
            "LIMIT -m statistic --mode nth --every 2 -j DROP",
            "LIMIT -m limit --limit-burst 1 -j DROP",
            "-m connlimit --connlimit-above 2 -j DROP",
            "-m connbytes --connbytes 9 --connbytes-dir both --connbytes-mode packets -j DROP",
            "-m recent --set",
            "-m hashlimit --hashlimit-name x --hashlimit-upto 5/min -j LOG",
            "-j SET --add-set x src",
            "-j TEE --gateway 192.0.2.9",
        ] {
            assert!(!meets_once(&format!("-A INPUT LIMIT -j LOG\n-A INPUT {more}\n")), "{more}");
        }
    }
}
