//! The commands of a line, and their execution.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::base::Base;
use super::open_rules::OpenRules;
use super::{Chain, HOOKS, Policy, Rule, Table};

/// A table while its lines are executed.
#[derive(Debug)]
pub(super) struct OpenTable {
    pub name: String,
    pub line: usize,
    /// In the order of creation, each by its number.
    chains: BTreeMap<usize, OpenChain>,
    numbers: HashMap<String, usize>,
    made: usize,
    /// The chains with rules, so that a bare `-F` need not visit the others.
    filled: BTreeSet<usize>,
    /// The user-defined chains without rules, so that a bare `-X` need not visit the others.
    empty: BTreeSet<usize>,
}

/// A chain that lines still add to.
#[derive(Debug)]
struct OpenChain {
    name: String,
    line: Option<usize>,
    policy: Option<Policy>,
    rules: OpenRules,
}

impl From<OpenTable> for Table {
    fn from(OpenTable { name, line, chains, .. }: OpenTable) -> Self {
        let chain = |OpenChain { name, line, policy, rules }| Chain { name, line, policy, rules: rules.into() };
        Table { name, line, chains: chains.into_values().map(chain).collect() }
    }
}

/// A command that changes rules or chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChainCommand {
    /// `-A chain`
    Append(String),
    /// `-I chain [number]`
    Insert(String, usize),
    /// `-R chain number`
    Replace(String, usize),
    /// `-D chain number`; the number is `None` for `-D chain rule`.
    Delete(String, Option<usize>),
    /// `-F [chain]`
    Flush(Option<String>),
    /// `-N chain`
    NewChain(String),
    /// `-X [chain]`
    DeleteChain(Option<String>),
    /// `-E old new`
    RenameChain(String, String),
    /// `-P chain policy`
    Policy(String, Policy),
}

impl ChainCommand {
    /// The command `base` with its arguments; `None` if it changes nothing, or lacks an argument.
    pub fn new(base: Base, first: Option<String>, second: Option<String>) -> Option<ChainCommand> {
        let number = || second.as_ref().map(|number| number.parse().unwrap_or(usize::MAX));
        Some(match base {
            Base::Append => ChainCommand::Append(first?),
            Base::Insert => ChainCommand::Insert(first?, number().unwrap_or(1)),
            Base::Replace => ChainCommand::Replace(first?, number()?),
            Base::Delete => ChainCommand::Delete(first?, number()),
            Base::Flush => ChainCommand::Flush(first),
            Base::NewChain => ChainCommand::NewChain(first?),
            Base::DeleteChain => ChainCommand::DeleteChain(first),
            Base::RenameChain => ChainCommand::RenameChain(first?, second?),
            Base::Policy => ChainCommand::Policy(first?, Policy::parse(second.as_deref()?)?),
            _ => return None,
        })
    }

    /// Executes the command in `table`, with the rules of its line (number `line`).
    pub fn apply(self, table: &mut OpenTable, line: usize, rules: Vec<Rule>) {
        match self {
            ChainCommand::Append(chain) => table.change(&chain, |chain| append(chain, rules)),
            ChainCommand::Insert(chain, number) => table.change(&chain, |chain| insert(chain, number, rules)),
            ChainCommand::Replace(chain, number) => table.change(&chain, |chain| replace(chain, number, rules)),
            ChainCommand::Delete(chain, Some(number)) => table.change(&chain, |chain| delete(chain, number)),
            ChainCommand::Delete(chain, None) => {
                table.change(&chain, |chain| rules.iter().for_each(|rule| delete_equal(chain, rule)));
            }
            ChainCommand::Flush(chain) => table.flush(chain.as_deref()),
            ChainCommand::NewChain(chain) => table.declare(&chain, line, None),
            ChainCommand::DeleteChain(chain) => table.delete_chains(chain.as_deref()),
            ChainCommand::RenameChain(old, new) => table.rename(&old, new),
            ChainCommand::Policy(chain, policy) => table.change(&chain, |chain| chain.policy = Some(policy)),
        }
    }
}

fn append(chain: &mut OpenChain, rules: Vec<Rule>) {
    rules.into_iter().for_each(|rule| chain.rules.push(rule));
}

/// iptables 1.8.9 inserts the rules of a list of addresses one after the other at the same position, which reverses
/// their order; a number that is one too high appends, and a higher one is refused.
fn insert(chain: &mut OpenChain, number: usize, rules: Vec<Rule>) {
    let at = number.saturating_sub(1).min(chain.rules.len());
    rules.into_iter().for_each(|rule| chain.rules.insert(at, rule));
}

/// iptables 1.8.9 refuses a replacement with several addresses: then nothing is changed.
fn replace(chain: &mut OpenChain, number: usize, rules: Vec<Rule>) {
    if let [rule] = rules.as_slice()
        && (1..=chain.rules.len()).contains(&number)
    {
        chain.rules.remove(number - 1);
        chain.rules.insert(number - 1, rule.clone());
    }
}

fn delete(chain: &mut OpenChain, number: usize) {
    if (1..=chain.rules.len()).contains(&number) {
        chain.rules.remove(number - 1);
    }
}

/// Deletes the first equivalent rule.
fn delete_equal(chain: &mut OpenChain, rule: &Rule) {
    if let Some(at) = chain.rules.position(rule) {
        chain.rules.remove(at);
    }
}

impl OpenTable {
    /// A table without chains.
    pub fn new(name: String, line: usize) -> OpenTable {
        let (chains, numbers) = (BTreeMap::new(), HashMap::new());
        OpenTable { name, line, chains, numbers, made: 0, filled: BTreeSet::new(), empty: BTreeSet::new() }
    }

    /// Gives the built-in chains the policies that they have in `earlier`.
    pub fn keep_policies(&mut self, earlier: OpenTable) {
        let built_in = |chain: &OpenChain| chain.policy.is_some() && HOOKS.contains(&&*chain.name);
        for OpenChain { name, line, policy, .. } in earlier.chains.into_values().filter(built_in) {
            self.change(&name, |chain| (chain.line, chain.policy) = (line, policy));
        }
    }

    /// Changes the chain `name`, which is created if it does not exist.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut OpenChain)) {
        let number = self.numbers.get(name).copied().unwrap_or(self.made);
        if number == self.made {
            self.made += 1;
            self.numbers.insert(name.to_owned(), number);
        }
        let made = || OpenChain { name: name.to_owned(), line: None, policy: None, rules: OpenRules::default() };
        change(self.chains.entry(number).or_insert_with(made));
        self.note(number);
    }

    /// Updates `filled` and `empty` for a changed chain.
    fn note(&mut self, number: usize) {
        self.filled.remove(&number);
        self.empty.remove(&number);
        match self.chains.get(&number) {
            Some(chain) if !chain.rules.is_empty() => drop(self.filled.insert(number)),
            Some(chain) if !HOOKS.contains(&&*chain.name) => drop(self.empty.insert(number)),
            _ => {}
        }
    }

    /// Removes the rules of one chain, or of all.
    fn flush(&mut self, name: Option<&str>) {
        let flushed = match name {
            Some(name) => self.numbers.get(name).copied().into_iter().collect(),
            None => self.filled.clone(),
        };
        for number in flushed {
            self.chains.get_mut(&number).map(|chain| chain.rules.clear()).unwrap_or_default();
            self.note(number);
        }
    }

    /// iptables refuses an existing name: then nothing is changed.
    fn rename(&mut self, old: &str, new: String) {
        if self.numbers.contains_key(&new) {
            return;
        }
        self.change(old, |chain| chain.name.clone_from(&new));
        self.numbers.remove(old).map(|number| self.numbers.insert(new, number));
    }

    /// `:CHAIN POLICY`. A user-defined chain that is declared again loses its rules, a built-in chain keeps them. A
    /// user-defined chain has no policy (iptables-nft 1.8.9 ignores it; legacy refuses both).
    pub fn declare(&mut self, name: &str, line: usize, policy: Option<Policy>) {
        let is_built_in = HOOKS.contains(&name);
        self.change(name, |chain| {
            if !is_built_in && chain.line.is_some() {
                chain.rules.clear();
            }
            // `:INPUT -` keeps the policy, so the line that set it stays its line.
            if policy.is_some() || chain.policy.is_none() {
                chain.line = Some(line);
            }
            chain.policy = policy.filter(|_| is_built_in).or(chain.policy);
        });
    }

    /// Deletes one chain, or all user-defined chains without rules. Built-in chains are recognized by their names in
    /// capitals.
    fn delete_chains(&mut self, name: Option<&str>) {
        let deleted = match name {
            Some(name) => self.numbers.get(name).copied().into_iter().collect(),
            None => self.empty.clone(),
        };
        for number in deleted {
            self.chains.remove(&number).map(|chain| self.numbers.remove(&chain.name)).unwrap_or_default();
            self.note(number);
        }
    }
}

impl Chain {
    /// True for a built-in chain; all others are user-defined.
    pub fn is_built_in(&self) -> bool {
        HOOKS.contains(&&*self.name)
    }
}

impl Policy {
    /// `None` for `-`, and for a text that is no policy.
    pub(super) fn parse(text: &str) -> Option<Policy> {
        match text {
            "ACCEPT" => Some(Policy::Accept),
            "DROP" => Some(Policy::Drop),
            _ => None,
        }
    }
}
