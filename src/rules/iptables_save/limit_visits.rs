//! The number of times that a packet meets a limit.

use std::collections::{HashMap, HashSet};

use super::{Listing, Rule, Table};

/// Targets that make more packets of one: a copy passes OUTPUT, a proxy opens a second connection.
const MULTIPLYING: [&str; 2] = ["TEE", "SYNPROXY"];

impl Listing {
    /// True if `limit` is the only match that remembers packets, and a packet meets each limit once at most at each
    /// hook.
    pub fn meets_each_limit_once(&self) -> bool {
        let remembers_more = |rule: &Rule| rule.remembers().count() > usize::from(rule.limit().is_some());
        let remembers_more = self.keeps_lists() || self.rules().any(remembers_more);
        !remembers_more && !self.has_target(&MULTIPLYING) && self.tables.iter().all(enters_each_limit_once)
    }
}

/// True if at most one rule leads to each chain with a limit, and at most one to the chain of that rule, and so on.
fn enters_each_limit_once(table: &Table) -> bool {
    let mut sources: HashMap<&str, Vec<&str>> = HashMap::new();
    for chain in &table.chains {
        for target in chain.rules.iter().filter_map(|rule| rule.target.as_ref()) {
            sources.entry(&target.name).or_default().push(&chain.name);
        }
    }
    let limited = table.chains.iter().filter(|chain| chain.rules.iter().any(|rule| rule.limit().is_some()));
    let mut open: Vec<&str> = limited.map(|chain| chain.name.as_str()).collect();
    let mut known = HashSet::new();
    while let Some(chain) = open.pop() {
        if !known.insert(chain) {
            continue;
        }
        match sources.get(chain).map_or(&[][..], Vec::as_slice) {
            [] => {}
            [source] => open.push(source),
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::Family;

    const LIMIT: &str = "-m limit --limit 5/min";

    fn meets_once(rules: &str) -> bool {
        let text = format!("*filter\n:a - [0:0]\n:b - [0:0]\n{}COMMIT\n", rules.replace("LIMIT", LIMIT));
        Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() }).meets_each_limit_once()
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
