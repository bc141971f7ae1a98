//! The time that one packet may spend in the rules: jumps multiply it, and the kernel has no limit.

use std::collections::HashMap;

use super::load::{CommandLine, Section, sections};
use super::naming::{By, named};
use super::{Limits, RAISE};
use crate::error::{InputError, Source};
use crate::net::Family;
use crate::rules::iptables_save::{Chain, Match, Rule, Table};

/// Refuses a ruleset in which one packet and its answer may spend more than `limits.nanoseconds`, and loops, which
/// iptables would refuse only after following them.
///
/// Every rule counts as one that may match or not. A packet passes each hook once, so the built-in chains of all tables
/// are summed.
pub fn admit(limits: Limits, family: Family, ruleset: &Source, lines: &[CommandLine<'_>]) -> Result<(), InputError> {
    let total = |copy| total(|| sections(family, ruleset, lines), Prices::new(lines, copy));
    let once = total(0)?;
    // A copy by TEE passes OUTPUT and POSTROUTING, where TEE has no further effect (`nf_skb_duplicated`).
    let spent = if names(lines, "TEE") { total(once)? } else { once };
    if spent <= limits.nanoseconds {
        return Ok(());
    }
    Err(too_long(sections(family, ruleset, lines), limits, spent))
}

fn total<'a, S: Iterator<Item = Section<'a>>>(sections: impl Fn() -> S, prices: Prices) -> Result<u64, InputError> {
    sections().try_fold(0, |total, section| Ok(spent_in(&section, prices)?.saturating_add(total)))
}

fn spent_in(section: &Section<'_>, prices: Prices) -> Result<u64, InputError> {
    let mut total = 0_u64;
    for table in &section.listing.tables {
        let mut graph = Graph::new(table, &section.repeats, prices);
        graph.walk().map_err(|rule| circle(section, rule))?;
        let built_in = table.chains.iter().zip(&graph.spent).filter(|(chain, _)| chain.is_built_in());
        total = built_in.map(|(_, spent)| spent.map_or(0, |spent| spent.all)).fold(total, u64::saturating_add);
    }
    Ok(total)
}

/// The time of a rule in nanoseconds, measured with a packet of 400 bytes and 2,000 rules on Linux 6.18: 2 to 40 for
/// most, 100 for recent, addrtype and u32, 500 for string, some microseconds for a line of LOG.
#[derive(Clone, Copy)]
struct Prices {
    rule: u64,
    copy: u64,
}

const PLAIN_RULE: u64 = 16;

impl Prices {
    fn new(lines: &[CommandLine<'_>], copy: u64) -> Prices {
        // With TRACE, each rule on a packet's path sends a message.
        Prices { rule: if names(lines, "TRACE") { 2_000 } else { PLAIN_RULE }, copy: copy.saturating_add(2_000) }
    }

    fn of_rule(self, rule: &Rule) -> u64 {
        let of_match = |name: &str| match name {
            "string" => 1_000,
            "bpf" | "u32" => 200,
            "recent" | "addrtype" | "hashlimit" | "connlimit" | "socket" | "rpfilter" => 100,
            _ => 12,
        };
        rule.modules.iter().map(|module| of_match(&module.name)).fold(self.rule, u64::saturating_add)
    }

    /// The time of a target that lets the packet go on.
    fn of_target(self, rule: &Rule) -> u64 {
        match target(rule) {
            "LOG" | "NFLOG" => 2_000,
            "TEE" => self.copy,
            _ => 0,
        }
    }
}

fn names(lines: &[CommandLine<'_>], target: &str) -> bool {
    lines.iter().flat_map(|line| named(&line.words)).any(|named| named.by == By::Jump && named.name == target)
}

/// The time that a packet which enters a chain may spend there, in nanoseconds.
#[derive(Clone, Copy)]
struct ChainTime {
    /// On any path.
    all: u64,
    /// On a path that returns to the rule after the jump; `None` if there is none.
    back: Option<u64>,
}

struct Graph<'a> {
    table: &'a Table,
    repeats: &'a HashMap<usize, usize>,
    prices: Prices,
    by_name: HashMap<&'a str, usize>,
    /// The time of each chain, once it is known.
    spent: Vec<Option<ChainTime>>,
    /// Chains in topological order: those that are jumped to come first.
    order: Vec<usize>,
    /// True if rules are only appended: otherwise a rule that ends a chain may have been deleted.
    is_plain: bool,
}

impl<'a> Graph<'a> {
    fn new(table: &'a Table, repeats: &'a HashMap<usize, usize>, prices: Prices) -> Graph<'a> {
        let by_name = table.chains.iter().enumerate().map(|(at, chain)| (chain.name.as_str(), at)).collect();
        let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let is_plain = rules.all(|rule| rule.text.starts_with("-A "));
        Graph { table, repeats, prices, by_name, spent: vec![None; table.chains.len()], order: Vec::new(), is_plain }
    }

    /// Visits each chain after those that it jumps to, without recursion: nesting may be as deep as the ruleset is
    /// long. The error is a rule that closes a loop.
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

    fn spent(&self, rules: &[Rule]) -> ChainTime {
        let mut by_port = HashMap::<u16, u64>::new();
        let mut spent = ChainTime { all: 0, back: Some(0) };
        for rule in rules.iter().rev() {
            let ports = ports(rule);
            for _ in 0..self.times(rule) {
                let (with, once) = self.with(rule, spent, ports.is_empty());
                spent = with;
                ports.iter().for_each(|port| add(by_port.entry(*port).or_default(), once));
            }
        }
        let most = by_port.into_values().max().unwrap_or(0);
        ChainTime { all: spent.all.saturating_add(most), back: spent.back.map(|back| back.saturating_add(most)) }
    }

    fn times(&self, rule: &Rule) -> usize {
        self.repeats.get(&rule.line).copied().unwrap_or(1)
    }

    /// The time from `rule` on, if the time from the next rule on is `after`. The time in the rule's target before it
    /// goes on is included if the rule `is_any`; otherwise it is returned separately.
    fn with(&self, rule: &Rule, after: ChainTime, is_any: bool) -> (ChainTime, u64) {
        let goto = rule.target.as_ref().is_some_and(|target| target.goto);
        let (taken, once) = match (self.jump(rule).and_then(|to| self.spent[to]), target(rule)) {
            (Some(to), _) if goto => (to, 0),
            (Some(to), _) => match to.back {
                Some(back) => (ChainTime { all: after.all.max(to.all.saturating_sub(back)), back: after.back }, back),
                None => (to, 0),
            },
            (None, "ACCEPT" | "DROP" | "REJECT") => (ChainTime { all: 0, back: None }, 0),
            (None, "RETURN") => (ChainTime { all: 0, back: Some(0) }, 0),
            (None, _) => (after, self.prices.of_target(rule)),
        };
        let always = self.is_plain && rule.clauses.is_empty() && rule.modules.is_empty();
        let all = if always { taken.all } else { taken.all.max(after.all) };
        let back = if always { taken.back } else { taken.back.max(after.back) };
        let price = self.prices.of_rule(rule).saturating_add(if is_any { once } else { 0 });
        (ChainTime { all: price.saturating_add(all), back: back.map(|back| price.saturating_add(back)) }, once)
    }

    /// The number of times that one packet may enter each chain.
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

/// The ports of a rule for a few ports, at most as many as multiport has: a packet has one port, so it matches only
/// some of several rules for different ports. Empty for any other rule.
fn ports(rule: &Rule) -> Vec<u16> {
    let of_clause = rule.clauses.iter().find_map(|clause| match &clause.ask {
        Match::DestinationPorts(ports) if !clause.negated && ports.len() <= 15 => Some(ports),
        _ => None,
    });
    of_clause.map_or_else(Vec::new, |ports| ports.iter().map(|port| port.0).collect())
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn circle(section: &Section<'_>, rule: &Rule) -> InputError {
    let problem = format!("this jump leads back to its own chain: {} is entered again and again", target(rule));
    section.error(rule.span.clone(), problem, "chains may not jump in a circle")
}

/// The error, at the chain that is entered most often, or else at the slowest one.
fn too_long<'a>(sections: impl Iterator<Item = Section<'a>>, limits: Limits, total: u64) -> InputError {
    let (total, most) = (total.div_ceil(1_000), limits.nanoseconds / 1_000);
    let spent = format!("{total} µs in these rules, more than {most} µs");
    let worst = sections.filter_map(|section| worst_of(&section, &spent)).max_by_key(|(share, _)| *share);
    worst.map_or_else(|| InputError::new(format!("one packet may spend {spent}"), RAISE), |(_, error)| error)
}

/// Entries and time of the worst chain of a section, and the error that names it.
fn worst_of(section: &Section<'_>, spent: &str) -> Option<((u64, u64), InputError)> {
    let mut chains = Vec::new();
    for table in &section.listing.tables {
        let mut graph = Graph::new(table, &section.repeats, Prices { rule: PLAIN_RULE, copy: 0 });
        let _ = graph.walk();
        let times =
            graph.entries().into_iter().zip(&graph.spent).map(|(entries, own)| (entries, own.map_or(0, |own| own.all)));
        chains.extend(times.zip(&table.chains).map(|(share, chain)| (share, table, chain)));
    }
    let (share, table, chain) = chains.into_iter().max_by_key(|(share, ..)| *share)?;
    Some((share, blame(section, table, chain, share.0, spent)))
}

fn blame(section: &Section<'_>, table: &Table, chain: &Chain, entries: u64, spent: &str) -> InputError {
    let problem = match entries {
        0 | 1 => format!("one packet may spend {spent}; chain {} of {} takes most", chain.name, table.name),
        entries => format!(
            "chain {} of {} is entered up to {entries} times by one packet, which may spend {spent}",
            chain.name, table.name
        ),
    };
    let line = chain.line.or(chain.rules.first().map(|rule| rule.line)).unwrap_or(table.line);
    section.error_at_line(line, problem, RAISE)
}
