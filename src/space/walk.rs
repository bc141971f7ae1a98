//! Sets of packets on their way through the chains of one table.

use std::collections::HashMap;

use super::TooMany;
use super::asked::Asked;
use super::region::Region;
use super::universe::{HOOKS, Space};
use crate::iptables_save::{Chain, Listing, Policy, Rule, Table};

/// Packets that meet the same rules, and what becomes of them in this table.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The packets.
    pub region: Region,
    /// What is done to them and asked of them on their way, in order.
    pub(super) trail: Vec<String>,
    /// The target that ends their way.
    pub end: String,
    /// The line of the rule or the policy that ends it, if the text has it.
    pub line: Option<usize>,
}

/// So many steps are followed; a ruleset of a few hundred rules needs some thousands.
const STEPS: usize = 60_000;

/// The packets with which rule `number` of `chain` is reached from the chain `hook`.
///
/// # Errors
/// Sets that split into too many parts.
pub fn arrivals(
    space: &Space,
    listing: &Listing,
    (table, hook): (&str, &str),
    (chain, number): (&str, usize),
) -> Result<Vec<Region>, TooMany> {
    let Some(mut walk) = Walk::new(space, listing, table) else { return Ok(Vec::new()) };
    let Some(asked) = walk.asked.get(&(chain, number - 1)).cloned() else { return Ok(Vec::new()) };
    walk.wanted = Some((chain, number - 1));
    let Some(own) = asked.region else { return Ok(Vec::new()) };
    for part in space.universe(table, hook) {
        walk.begin(hook, part.intersection(&own));
    }
    walk.done().map(|walk| walk.arrivals)
}

/// What becomes of the packets of `start` in the chain `hook`.
///
/// # Errors
/// Likewise.
pub fn leaves(
    space: &Space,
    listing: &Listing,
    (table, hook): (&str, &str),
    start: &Region,
) -> Result<Vec<Leaf>, TooMany> {
    let Some(mut walk) = Walk::new(space, listing, table) else {
        return Ok(vec![Leaf { region: start.clone(), trail: Vec::new(), end: "ACCEPT".to_owned(), line: None }]);
    };
    walk.begin(hook, Some(start.clone()));
    walk.done().map(|walk| walk.leaves)
}

struct Walk<'a> {
    space: &'a Space,
    table: &'a Table,
    asked: HashMap<(&'a str, usize), Asked>,
    wanted: Option<(&'a str, usize)>,
    left: usize,
    /// What is still to be followed, the next at the end. Rulesets are longer than a stack of calls is deep.
    pending: Vec<Step<'a>>,
    arrivals: Vec<Region>,
    leaves: Vec<Leaf>,
}

/// Packets that are followed from here on.
enum Step<'a> {
    /// They are at a rule.
    At(Here<'a>),
    /// They have what this rule asks for, but for its memory.
    Matched(Here<'a>, Place<'a>),
    /// The rule matches them.
    Acted(Here<'a>, Place<'a>),
}

/// A chain, and the index of a rule in it.
type Place<'a> = (&'a str, usize);

/// Packets at a rule.
#[derive(Clone)]
struct Here<'a> {
    region: Region,
    hook: &'a str,
    chain: &'a Chain,
    index: usize,
    callers: Vec<(&'a Chain, usize)>,
    trail: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(space: &'a Space, listing: &'a Listing, table: &str) -> Option<Walk<'a>> {
        let table = listing.tables.iter().find(|one| one.name == table)?;
        let rules = table.chains.iter().flat_map(|chain| {
            let rules = chain.rules.iter().enumerate();
            rules.map(move |(index, rule)| ((chain.name.as_str(), index), space.asked(rule)))
        });
        let asked = rules.collect();
        Some(Walk {
            space,
            table,
            asked,
            wanted: None,
            left: STEPS,
            pending: Vec::new(),
            arrivals: Vec::new(),
            leaves: Vec::new(),
        })
    }

    fn done(self) -> Result<Walk<'a>, TooMany> {
        if self.left == 0 { Err(TooMany) } else { Ok(self) }
    }

    fn chain(&self, name: &str) -> Option<&'a Chain> {
        self.table.chains.iter().find(|chain| chain.name == name)
    }

    fn begin(&mut self, hook: &str, start: Option<Region>) {
        let (Some(region), Some(name)) = (start, HOOKS.iter().find(|name| **name == hook)) else { return };
        let Some(chain) = self.chain(hook) else {
            self.leaves.push(Leaf { region, trail: Vec::new(), end: "ACCEPT".to_owned(), line: None });
            return;
        };
        self.pending.push(Step::At(Here {
            region,
            hook: name,
            chain,
            index: 0,
            callers: Vec::new(),
            trail: Vec::new(),
        }));
        while let Some(step) = self.pending.pop() {
            match step {
                Step::At(here) => self.go(here),
                Step::Matched(here, place) => self.matched(here, place),
                Step::Acted(here, place) => self.act(here, place),
            }
        }
    }

    /// To the first rule that asks for any of them.
    fn go(&mut self, mut here: Here<'a>) {
        loop {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 || here.callers.len() > 32 {
                self.left = 0;
                self.pending.clear();
                return;
            }
            let Some(rule) = here.chain.rules.get(here.index) else {
                match self.back(here) {
                    Some(caller) => here = caller,
                    None => return,
                }
                continue;
            };
            let place = (here.chain.name.as_str(), here.index);
            here.index += 1;
            let asked = self.asked[&place].clone();
            let Some(inside) = asked.region.as_ref().and_then(|asked| here.region.intersection(asked)) else {
                continue;
            };
            if self.wanted == Some(place) {
                self.arrivals.push(inside);
                return;
            }
            if self.wanted.is_some() && !rule.is_terminal() && !rule.is_jump() {
                continue;
            }
            let outside: Vec<Region> = asked.region.iter().flat_map(|asked| here.region.difference(asked)).collect();
            self.pending.push(Step::Matched(Here { region: inside, ..here.clone() }, place));
            let at = |region| Step::At(Here { region, ..here.clone() });
            self.pending.extend(outside.into_iter().rev().map(at));
            return;
        }
    }

    /// A match with a memory may say yes or no: the packets to which it says no go on. It is known by its chain, its target
    /// and its place among those that are written like it.
    fn matched(&mut self, here: Here<'a>, place: Place<'a>) {
        let (chain, index) = place;
        let memory = self.asked[&place].memory.clone();
        if memory.is_empty() {
            self.pending.push(Step::Acted(here, place));
            return;
        }
        let rules = self.chain(chain).map(|chain| chain.rules.as_slice()).unwrap_or_default();
        let does =
            |rule: &Rule| rule.target.as_ref().map(|target| target.canonical(self.space.family)).unwrap_or_default();
        let does_here = does(&rules[index]);
        let is_alike =
            |before: &usize| self.asked[&(chain, *before)].memory == memory && does(&rules[*before]) == does_here;
        let alike = (0..index).filter(is_alike).count();
        let times = here.trail.iter().filter(|one| one.starts_with("asks ")).count();
        let key = format!("{memory} [{chain} {does_here} {alike} {times}]");
        let trail = [here.trail.clone(), vec![format!("asks {key}")]].concat();
        let answered = |answer| here.region.answered(&key, answer);
        let with = |region| Here { region, trail: trail.clone(), ..here.clone() };
        let yes = answered(true).map(|region| Step::Acted(with(region), place));
        let no = answered(false).map(|region| Step::At(with(region)));
        self.pending.extend(yes.into_iter().chain(no));
    }

    /// What the target of the rule does.
    fn act(&mut self, mut here: Here<'a>, (chain, index): Place<'a>) {
        let Some(rule) = self.chain(chain).and_then(|chain| chain.rules.get(index)) else { return };
        let Some(target) = &rule.target else { return self.pending.push(Step::At(here)) };
        if target.name == "RETURN" {
            let caller = self.back(here);
            self.pending.extend(caller.map(Step::At));
            return;
        }
        if let Some(chain) = self.chain(&target.name) {
            if !target.goto {
                here.callers.push((here.chain, here.index));
            }
            return self.pending.push(Step::At(Here { chain, index: 0, ..here }));
        }
        let text = target.canonical(self.space.family);
        if rule.is_terminal() {
            return self.end(here, text, Some(rule.line));
        }
        here.trail.push(text);
        self.pending.push(Step::At(here));
    }

    /// To the rule after the jump; from a chain of the kernel's own, to its policy.
    fn back(&mut self, mut here: Here<'a>) -> Option<Here<'a>> {
        if let Some((chain, index)) = here.callers.pop() {
            return Some(Here { chain, index, ..here });
        }
        let chain = self.chain(here.hook);
        let drops = chain.and_then(|chain| chain.policy) == Some(Policy::Drop);
        let line = chain.and_then(|chain| chain.line);
        self.end(here, if drops { "DROP" } else { "ACCEPT" }.to_owned(), line);
        None
    }

    fn end(&mut self, here: Here<'a>, end: String, line: Option<usize>) {
        self.leaves.push(Leaf { region: here.region, trail: here.trail, end, line });
    }
}
