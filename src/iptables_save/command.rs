//! The commands of a line, and how they are carried out.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::base::Base;
use super::{Chain, Policy, Rule, Table};

/// A table while its lines are carried out.
#[derive(Debug)]
pub(super) struct OpenTable {
    pub name: String,
    pub line: usize,
    /// In the order in which they were made, each by its number.
    chains: BTreeMap<usize, OpenChain>,
    numbers: HashMap<String, usize>,
    made: usize,
}

/// A chain to which lines still add; long lists are often written with `-I`, hence a queue with two ends.
#[derive(Debug)]
struct OpenChain {
    name: String,
    line: Option<usize>,
    policy: Option<Policy>,
    rules: VecDeque<Rule>,
}

impl From<OpenTable> for Table {
    fn from(OpenTable { name, line, chains, .. }: OpenTable) -> Self {
        let chain = |OpenChain { name, line, policy, rules }| Chain { name, line, policy, rules: rules.into() };
        Table { name, line, chains: chains.into_values().map(chain).collect() }
    }
}

/// A command that changes rules or chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// `-A chain`
    Append(String),
    /// `-I chain [number]`
    Insert(String, usize),
    /// `-R chain number`
    Replace(String, usize),
    /// `-D chain number`; none for `-D chain rule`.
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

impl Command {
    /// The command `base` with its arguments; none for what changes nothing, or lacks an argument.
    pub fn new(base: Base, first: Option<String>, second: Option<String>) -> Option<Command> {
        let number = || second.as_ref().map(|number| number.parse().unwrap_or(usize::MAX));
        Some(match base {
            Base::Append => Command::Append(first?),
            Base::Insert => Command::Insert(first?, number().unwrap_or(1)),
            Base::Replace => Command::Replace(first?, number()?),
            Base::Delete => Command::Delete(first?, number()),
            Base::Flush => Command::Flush(first),
            Base::NewChain => Command::NewChain(first?),
            Base::DeleteChain => Command::DeleteChain(first),
            Base::RenameChain => Command::RenameChain(first?, second?),
            Base::Policy => Command::Policy(first?, Policy::parse(second.as_deref()?)?),
            _ => return None,
        })
    }

    /// Carries it out in `table`, with the rules that its line (number `line`) makes.
    pub fn carry_out(self, table: &mut OpenTable, line: usize, rules: Vec<Rule>) {
        match self {
            Command::Append(chain) => table.chain_mut(&chain).rules.extend(rules),
            Command::Insert(chain, number) => insert(table.chain_mut(&chain), number, rules),
            Command::Replace(chain, number) => replace(table.chain_mut(&chain), number, rules),
            Command::Delete(chain, Some(number)) => delete(table.chain_mut(&chain), number),
            Command::Delete(chain, None) => rules.iter().for_each(|rule| delete_equal(table.chain_mut(&chain), rule)),
            Command::Flush(chain) => table.flush(chain.as_deref()),
            Command::NewChain(chain) => table.declare(&chain, line, None),
            Command::DeleteChain(chain) => table.delete_chains(chain.as_deref()),
            Command::RenameChain(old, new) => table.rename(&old, new),
            Command::Policy(chain, policy) => table.chain_mut(&chain).policy = Some(policy),
        }
    }
}

/// iptables 1.8.9 inserts the rules of a list of addresses one after the other at the same place, so that they stand
/// there in reverse; a number that is one too high appends, and a higher one is refused.
fn insert(chain: &mut OpenChain, number: usize, rules: Vec<Rule>) {
    let at = number.saturating_sub(1).min(chain.rules.len());
    rules.into_iter().for_each(|rule| chain.rules.insert(at, rule));
}

/// iptables 1.8.9 refuses a replacement with several addresses: nothing happens here then.
fn replace(chain: &mut OpenChain, number: usize, rules: Vec<Rule>) {
    let place = number.checked_sub(1).and_then(|at| chain.rules.get_mut(at));
    if let (Some(place), [rule]) = (place, rules.as_slice()) {
        *place = rule.clone();
    }
}

fn delete(chain: &mut OpenChain, number: usize) {
    if (1..=chain.rules.len()).contains(&number) {
        chain.rules.remove(number - 1);
    }
}

/// Deletes the first rule that says the same.
fn delete_equal(chain: &mut OpenChain, rule: &Rule) {
    if let Some(at) = chain.rules.iter().position(|other| other.says_the_same(rule)) {
        chain.rules.remove(at);
    }
}

impl OpenTable {
    /// A table without chains.
    pub fn new(name: String, line: usize) -> OpenTable {
        OpenTable { name, line, chains: BTreeMap::new(), numbers: HashMap::new(), made: 0 }
    }

    /// The chain `name`, which is made if it is not there.
    fn chain_mut(&mut self, name: &str) -> &mut OpenChain {
        let number = self.numbers.get(name).copied().unwrap_or(self.made);
        if number == self.made {
            self.made += 1;
            self.numbers.insert(name.to_owned(), number);
        }
        let made = || OpenChain { name: name.to_owned(), line: None, policy: None, rules: VecDeque::new() };
        self.chains.entry(number).or_insert_with(made)
    }

    /// One chain, or all of them.
    fn flush(&mut self, name: Option<&str>) {
        match name {
            Some(name) => self.numbered(name).map(|chain| chain.rules.clear()).unwrap_or_default(),
            None => self.chains.values_mut().for_each(|chain| chain.rules.clear()),
        }
    }

    fn numbered(&mut self, name: &str) -> Option<&mut OpenChain> {
        self.chains.get_mut(self.numbers.get(name)?)
    }

    /// iptables refuses a name that is taken: nothing happens here then.
    fn rename(&mut self, old: &str, new: String) {
        if self.numbers.contains_key(&new) {
            return;
        }
        self.chain_mut(old).name.clone_from(&new);
        self.numbers.remove(old).map(|number| self.numbers.insert(new, number));
    }

    /// `:CHAIN POLICY`. A chain of one's own that is declared again loses its rules, a built-in chain keeps them
    /// (iptables-nft 1.8.9; legacy refuses the former).
    pub fn declare(&mut self, name: &str, line: usize, policy: Option<Policy>) {
        let chain = self.chain_mut(name);
        if policy.is_none() && chain.line.is_some() {
            chain.rules.clear();
        }
        chain.line = Some(line);
        chain.policy = policy.or(chain.policy);
    }

    /// One chain, or all of one's own that hold no rules. Built-in chains are told by their capital letters.
    fn delete_chains(&mut self, name: Option<&str>) {
        match name {
            Some(name) => drop(self.numbers.remove(name).map(|number| self.chains.remove(&number))),
            None => {
                self.chains.retain(|_, chain| is_built_in(&chain.name) || !chain.rules.is_empty());
                self.numbers.retain(|_, number| self.chains.contains_key(number));
            }
        }
    }
}

/// Whether the kernel made it: these five names are taken (`nf_inet_hooks`).
fn is_built_in(chain: &str) -> bool {
    ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].contains(&chain)
}

impl Chain {
    /// Whether the kernel made it; all others are one's own.
    pub fn is_built_in(&self) -> bool {
        is_built_in(&self.name)
    }
}

impl Policy {
    /// None for `-`, and for what is no policy.
    pub(super) fn parse(text: &str) -> Option<Policy> {
        match text {
            "ACCEPT" => Some(Policy::Accept),
            "DROP" => Some(Policy::Drop),
            _ => None,
        }
    }
}
