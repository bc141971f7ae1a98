//! The time that one packet may spend in the rules: jumps multiply, and the kernel counts nobody's.

use std::collections::HashMap;

use super::{Limits, RAISE};
use crate::error::InputError;
use crate::iptables_save::{Chain, Listing, Rule, Table};

/// Refuses a ruleset in which one packet and its answer may spend more than `limits.nanoseconds`, and jumps in a circle,
/// which iptables would refuse after it has followed them.
///
/// Every rule counts as one that may match or not. A packet passes each hook once, so the built-in chains of all tables are
/// summed.
pub fn admit(limits: Limits, listing: &Listing, repeats: &Repeats) -> Result<(), InputError> {
    let once = total(listing, repeats, Prices::of(listing, 0))?;
    // A copy that TEE makes passes OUTPUT and POSTROUTING, where TEE does nothing more (`nf_skb_duplicated`).
    let total = if names(listing, "TEE") { total(listing, repeats, Prices::of(listing, once))? } else { once };
    if total <= limits.nanoseconds { Ok(()) } else { Err(too_long(listing, repeats, limits, total)) }
}

/// How many rules a line makes for each that is listed, where that is more than one.
pub type Repeats = HashMap<usize, usize>;

fn total(listing: &Listing, repeats: &Repeats, prices: Prices) -> Result<u64, InputError> {
    let mut total = 0_u64;
    for table in &listing.tables {
        let mut graph = Graph::new(table, repeats, prices);
        graph.walk().map_err(|rule| circle(listing, rule))?;
        let built_in = table.chains.iter().zip(&graph.spent).filter(|(chain, _)| chain.is_built_in());
        total = built_in.map(|(_, spent)| spent.map_or(0, |spent| spent.all)).fold(total, u64::saturating_add);
    }
    Ok(total)
}

/// Nanoseconds that a rule takes, measured on a packet of 400 bytes with 2,000 rules on Linux 6.18: 2 to 30 for most, 100
/// for recent, addrtype and u32, 500 for string; more is taken for packets of 1,500 bytes and slower machines. A line of
/// LOG takes some microseconds, but it counts less: thousands of ports with a LOG rule each exclude one another.
#[derive(Clone, Copy)]
struct Prices {
    rule: u64,
    copy: u64,
}

impl Prices {
    fn of(listing: &Listing, copy: u64) -> Prices {
        // With TRACE, each rule that a packet meets sends a message.
        Prices { rule: if names(listing, "TRACE") { 2_000 } else { 25 }, copy: copy.saturating_add(2_000) }
    }

    fn of_rule(self, rule: &Rule) -> u64 {
        let of_match = |name: &str| match name {
            "string" => 2_000,
            "bpf" | "u32" => 200,
            "recent" | "addrtype" | "hashlimit" | "connlimit" | "socket" | "rpfilter" => 100,
            _ => 15,
        };
        let matches = rule.modules.iter().map(|module| of_match(&module.name)).fold(self.rule, u64::saturating_add);
        let target = match rule.target.as_ref().map_or("", |target| target.name.as_str()) {
            "LOG" | "NFLOG" => 500,
            "TEE" => self.copy,
            _ => 0,
        };
        matches.saturating_add(target)
    }
}

fn names(listing: &Listing, target: &str) -> bool {
    listing.rules().any(|(_, _, _, rule)| rule.target.as_ref().is_some_and(|named| named.name == target))
}

/// What a packet that enters a chain may spend there, in nanoseconds.
#[derive(Clone, Copy)]
struct Spent {
    /// Whatever becomes of it.
    all: u64,
    /// If it comes back to the rule after the jump; `None` if no packet does.
    back: Option<u64>,
}

struct Graph<'a> {
    table: &'a Table,
    repeats: &'a Repeats,
    prices: Prices,
    by_name: HashMap<&'a str, usize>,
    /// Of each chain, once it is known.
    spent: Vec<Option<Spent>>,
    /// Chains from the last one that is jumped to, to the first that jumps.
    order: Vec<usize>,
    /// Whether rules are only appended: otherwise a rule that ends a chain may have been deleted.
    is_plain: bool,
}

impl<'a> Graph<'a> {
    fn new(table: &'a Table, repeats: &'a Repeats, prices: Prices) -> Graph<'a> {
        let by_name = table.chains.iter().enumerate().map(|(at, chain)| (chain.name.as_str(), at)).collect();
        let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let is_plain = rules.all(|rule| rule.text.starts_with("-A "));
        Graph { table, repeats, prices, by_name, spent: vec![None; table.chains.len()], order: Vec::new(), is_plain }
    }

    /// Visits each chain after those that it jumps to, without recursion: a ruleset may nest as deep as it is long. The
    /// error is a rule that closes a circle.
    fn walk(&mut self) -> Result<(), &'a Rule> {
        let mut is_open = vec![false; self.table.chains.len()];
        for root in 0..self.table.chains.len() {
            let mut path = vec![(root, 0)];
            while let Some((chain, rule)) = path.pop() {
                if self.spent[chain].is_some() {
                    continue;
                }
                is_open[chain] = true;
                let rules = &self.table.chains[chain].rules;
                let jump = (rule..rules.len()).find_map(|at| Some((at, self.jump(&rules[at])?)));
                match jump {
                    Some((at, to)) if is_open[to] => return Err(&rules[at]),
                    Some((at, to)) => path.extend([(chain, at + 1), (to, 0)]),
                    None => {
                        self.spent[chain] = Some(self.spent(rules));
                        self.order.push(chain);
                        is_open[chain] = false;
                    }
                }
            }
        }
        Ok(())
    }

    fn jump(&self, rule: &Rule) -> Option<usize> {
        self.by_name.get(rule.target.as_ref()?.name.as_str()).copied()
    }

    fn spent(&self, rules: &[Rule]) -> Spent {
        let end = Spent { all: 0, back: Some(0) };
        let repeated = |after, rule| (0..self.times(rule)).fold(after, |after, _| self.with(rule, after));
        rules.iter().rev().fold(end, repeated)
    }

    fn times(&self, rule: &Rule) -> usize {
        self.repeats.get(&rule.line).copied().unwrap_or(1)
    }

    /// What a packet spends from `rule` on, if it spends `after` from the next one on.
    fn with(&self, rule: &Rule, after: Spent) -> Spent {
        let price = self.prices.of_rule(rule);
        let goto = rule.target.as_ref().is_some_and(|target| target.goto);
        let taken = match (self.jump(rule).and_then(|to| self.spent[to]), target(rule)) {
            (Some(to), _) if goto => to,
            (Some(to), _) => {
                let back = to
                    .back
                    .map(|back| (back.saturating_add(after.all), after.back.map(|rest| rest.saturating_add(back))));
                Spent { all: back.map_or(to.all, |(all, _)| all.max(to.all)), back: back.and_then(|(_, back)| back) }
            }
            (None, "ACCEPT" | "DROP" | "REJECT") => Spent { all: 0, back: None },
            (None, "RETURN") => Spent { all: 0, back: Some(0) },
            (None, _) => after,
        };
        let always = self.is_plain && rule.clauses.is_empty() && rule.modules.is_empty();
        let all = if always { taken.all } else { taken.all.max(after.all) };
        let back = if always { taken.back } else { taken.back.max(after.back) };
        Spent { all: price.saturating_add(all), back: back.map(|back| price.saturating_add(back)) }
    }

    /// How often one packet may enter each chain.
    fn entries(&self) -> Vec<u64> {
        let built_in = |chain: &Chain| u64::from(chain.is_built_in());
        let mut entries: Vec<u64> = self.table.chains.iter().map(built_in).collect();
        for chain in self.order.iter().rev() {
            for rule in &self.table.chains[*chain].rules {
                let Some(to) = self.jump(rule) else { continue };
                let times = entries[*chain].saturating_mul(self.times(rule) as u64);
                entries[to] = entries[to].saturating_add(times);
            }
        }
        entries
    }
}

fn target(rule: &Rule) -> &str {
    rule.target.as_ref().map_or("", |target| target.name.as_str())
}

fn circle(listing: &Listing, rule: &Rule) -> InputError {
    let problem = format!("this jump leads back to its own chain: {} is entered again and again", target(rule));
    listing.source.error(rule.span.clone(), problem, "chains may not jump in a circle")
}

/// Points at the chain that is entered most often, or else at the one that takes longest.
fn too_long(listing: &Listing, repeats: &Repeats, limits: Limits, total: u64) -> InputError {
    let mut worst: Option<(u64, u64, &Table, &Chain)> = None;
    for table in &listing.tables {
        let mut graph = Graph::new(table, repeats, Prices::of(listing, 0));
        let _ = graph.walk();
        let times = table.chains.iter().zip(graph.entries()).zip(&graph.spent);
        for ((chain, entries), spent) in times {
            let share = (entries, spent.map_or(0, |spent| spent.all), table, chain);
            worst = worst.filter(|worst| (worst.0, worst.1) >= (share.0, share.1)).or(Some(share));
        }
    }
    let most = limits.nanoseconds / 1_000_000;
    let spent = format!("{} ms in these rules, more than {most} ms", total / 1_000_000);
    let Some((entries, _, table, chain)) = worst else {
        return InputError::new(format!("one packet may spend {spent}"), RAISE);
    };
    let problem = match entries {
        0 | 1 => format!("one packet may spend {spent}; chain {} of {} takes most", chain.name, table.name),
        entries => format!(
            "chain {} of {} is entered up to {entries} times by one packet, which may spend {spent}",
            chain.name, table.name
        ),
    };
    let line = chain.line.or(chain.rules.first().map(|rule| rule.line)).unwrap_or(table.line);
    listing.source.error(listing.source.span_of_line(line), problem, RAISE)
}
