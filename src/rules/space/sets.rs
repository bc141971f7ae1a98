//! A ruleset with the packets that match each of its rules: made once, for all walks through it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::blocks::Blocks;
use super::region::Region;
use super::rule_sets::{MemoryMatch, RuleSets};
use super::universe::Space;
use crate::rules::iptables_save::HOOKS;
use crate::rules::iptables_save::{self as text, Listing, Policy};

/// A ruleset, the packets that match its rules, and the number of steps that walks through it may still make.
#[derive(Debug)]
pub struct Sets<'a> {
    /// The space of fields that its rules match.
    pub space: Space,
    /// Its text.
    pub listing: &'a Listing,
    pub(super) left: Cell<usize>,
    pub(super) arrivals: RefCell<HashMap<[usize; 3], Rc<Arrivals>>>,
    tables: HashMap<&'a str, TableSets<'a>>,
}

/// The packets that match a rule and none of the rules before it.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// The packets, each with the chain at which its path begins.
    pub found: Vec<(&'static str, Region)>,
    /// True if these are all: the sets did not split into too many parts.
    pub is_all: bool,
}

impl Arrivals {
    /// True if some of them may be `wanted`, a function of the chain at which their path begins and the set; also if
    /// the sets split into too many parts.
    pub fn may_be(&self, wanted: impl Fn(&str, &Region) -> bool) -> bool {
        !self.is_all || self.found.iter().any(|(hook, region)| wanted(hook, region))
    }
}

/// The maximum number of steps of all walks together: less than twenty seconds. A ruleset of a few hundred rules needs
/// some thousands, and one of ten thousand rules some millions.
const STEPS: usize = 200_000_000;

impl<'a> Sets<'a> {
    /// The sets of `listing`, which is one of the rulesets of `space`.
    pub fn new(space: Space, listing: &'a Listing) -> Sets<'a> {
        let tables = listing.tables.iter().map(|table| (table.name.as_str(), TableSets::new(&space, table))).collect();
        Sets { space, listing, left: Cell::new(STEPS), arrivals: RefCell::default(), tables }
    }

    pub(super) fn table(&self, name: &str) -> Option<&TableSets<'a>> {
        self.tables.get(name)
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct TableSets<'a> {
    pub chains: Vec<ChainSets<'a>>,
    /// The rules that lead to each chain.
    callers: Vec<Vec<RulePosition>>,
    entries: RefCell<HashMap<(usize, &'static str), Entries>>,
    /// The chains that packets reach from the chain of each hook.
    reached: [HashSet<usize>; HOOKS.len()],
    /// The chains and targets of rules with a limit.
    limited: HashSet<(&'a str, Arc<str>)>,
}

/// Disjoint sets that have all packets which come to a chain; `None` for all packets.
type Entries = Option<Rc<[Region]>>;

/// The index of a chain, and of a rule in it.
pub(super) type RulePosition = (usize, usize);

/// A chain.
#[derive(Debug)]
pub(super) struct ChainSets<'a> {
    pub name: &'a str,
    pub line: Option<usize>,
    pub drops: bool,
    pub rules: Vec<RuleSets<'a>>,
    blocks: OnceCell<Blocks>,
}

impl<'a> TableSets<'a> {
    fn new(space: &Space, table: &'a text::Table) -> TableSets<'a> {
        let numbers: HashMap<&str, usize> =
            table.chains.iter().enumerate().map(|(number, chain)| (chain.name.as_str(), number)).collect();
        let chains: Vec<ChainSets> = table.chains.iter().map(|chain| ChainSets::new(space, chain, &numbers)).collect();
        let limited = table.chains.iter().zip(&chains).flat_map(|(text, chain)| {
            let rules = text.rules.iter().zip(&chain.rules).filter(|(text, _)| text.limit().is_some());
            rules.map(|(_, rule)| (chain.name, Arc::clone(&rule.does)))
        });
        let (limited, callers) = (limited.collect(), callers(&chains));
        let entries = RefCell::default();
        TableSets { limited, callers, entries, reached: HOOKS.map(|hook| reached_from(&chains, hook)), chains }
    }

    /// The packets that come to `chain` from the chain `hook`.
    pub fn entries(&self, chain: usize, hook: &'static str, depth: usize) -> Entries {
        if self.chains[chain].name == hook || depth == 0 {
            return None;
        }
        if let Some(known) = self.entries.borrow().get(&(chain, hook)) {
            return known.clone();
        }
        // Chains that jump to each other come to an end here; the kernel refuses them.
        self.entries.borrow_mut().insert((chain, hook), None);
        let found = self.find_entries(chain, hook, depth).map(Rc::from);
        self.entries.borrow_mut().insert((chain, hook), found.clone());
        found
    }

    fn find_entries(&self, chain: usize, hook: &'static str, depth: usize) -> Option<Vec<Region>> {
        let mut disjoint: Vec<Region> = Vec::new();
        for (from, index) in &self.callers[chain] {
            let Some(jump) = &self.chains[*from].rules[*index].region else { continue };
            let before = self.entries(*from, hook, depth - 1).unwrap_or_else(|| Rc::from([jump.clone()]));
            for entry in before.iter().filter_map(|before| before.intersection(jump)) {
                let fresh = disjoint.iter().fold(vec![entry], Region::without);
                disjoint.extend(fresh);
            }
            if disjoint.len() > ENTRIES {
                return None;
            }
        }
        Some(disjoint)
    }

    pub fn chain(&self, name: &str) -> Option<&ChainSets<'a>> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// True if a rule with a limit has the chain and the target of `question`.
    pub fn limits_like(&self, question: &MemoryMatch) -> bool {
        self.limited.contains(&(question.chain, Arc::clone(&question.does)))
    }

    /// The hooks from which packets reach a chain.
    pub fn hooks_of(&self, chain: usize) -> impl Iterator<Item = &'static str> {
        HOOKS.into_iter().zip(&self.reached).filter(move |(_, reached)| reached.contains(&chain)).map(|(hook, _)| hook)
    }
}

/// The maximum number of sets that lead to a chain.
const ENTRIES: usize = 16;

fn callers(chains: &[ChainSets]) -> Vec<Vec<RulePosition>> {
    let mut callers = vec![Vec::new(); chains.len()];
    for (from, chain) in chains.iter().enumerate() {
        for (index, to) in chain.rules.iter().enumerate().filter_map(|(index, rule)| Some((index, rule.act.chain()?))) {
            callers[to].push((from, index));
        }
    }
    callers
}

fn reached_from(chains: &[ChainSets], hook: &str) -> HashSet<usize> {
    let mut pending: Vec<usize> = chains.iter().position(|chain| chain.name == hook).into_iter().collect();
    let mut reached = HashSet::new();
    while let Some(number) = pending.pop() {
        if reached.insert(number) {
            pending.extend(chains[number].rules.iter().filter_map(|rule| rule.act.chain()));
        }
    }
    reached
}

impl<'a> ChainSets<'a> {
    fn new(space: &Space, chain: &'a text::Chain, numbers: &HashMap<&str, usize>) -> ChainSets<'a> {
        let mut alike: HashMap<(String, Arc<str>), usize> = HashMap::new();
        let rules =
            chain.rules.iter().map(|rule| RuleSets::new(space, &chain.name, rule, numbers, &mut alike)).collect();
        let (drops, blocks) = (chain.policy == Some(Policy::Drop), OnceCell::new());
        ChainSets { name: &chain.name, line: chain.line, drops, rules, blocks }
    }

    /// Its blocks of rules.
    pub fn blocks(&self, space: &Space) -> &Blocks {
        self.blocks.get_or_init(|| Blocks::new(space, &self.rules))
    }
}
