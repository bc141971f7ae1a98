//! Walks sets of packets through the chains of one table.

use std::sync::Arc;

use super::TooMany;
use super::blocks::Block;
use super::region::Region;
use super::rule_sets::{Act, MemoryMatch, RuleSets};
use super::sets::{ChainSets, RulePosition, Sets, TableSets};

/// Packets that match the same rules, and their result in this table.
#[derive(Debug, Clone)]
pub struct Leaf<'a> {
    /// The packets.
    pub region: Region,
    /// The targets and stateful matches on their path, in order.
    pub(super) trail: Vec<Deed<'a>>,
    /// The target that ends their path.
    pub end: Arc<str>,
    /// The line of the rule or the policy that ends it, if it is in the text.
    pub line: Option<usize>,
    /// The line of the rule on the path that exempts the packets from conntrack, or sets a zone.
    pub exempted_by: Option<usize>,
}

/// An event on the path of packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed<'a> {
    /// A target after which they go on.
    Does(Arc<str>),
    /// A stateful match, and the number of those before it.
    Asks(Arc<MemoryMatch<'a>>, usize),
}

/// The maximum number of steps of one walk.
const STEPS: usize = 2_000_000;

/// The number of steps that a split counts as, since its parts are copied.
const SPLIT: usize = 8;

/// The number of ranges that are copied in the time of one step.
const RANGES: usize = 32;

/// The number of steps that a set counts as which reaches the wanted rule, since it is kept.
const ARRIVAL: usize = 100;

impl<'a> Sets<'a> {
    /// The results of the packets of `start` in the chain `hook` of `table`.
    ///
    /// # Errors
    ///
    /// If the sets split into too many parts.
    pub fn leaves(&self, (table, hook): (&str, &str), start: &Region) -> Result<Vec<Leaf<'a>>, TooMany> {
        let Some(table) = self.table(table) else { return Ok(vec![Leaf::untouched(start.clone())]) };
        let mut walk = TableWalk::new(self, table);
        walk.begin(hook, start.clone());
        if walk.is_done() { Ok(walk.leaves) } else { Err(TooMany) }
    }
}

impl Leaf<'_> {
    fn untouched(region: Region) -> Self {
        Leaf { region, trail: Vec::new(), end: "ACCEPT".into(), line: None, exempted_by: None }
    }
}

/// A walk through one table.
pub(super) struct TableWalk<'s, 'a> {
    sets: &'s Sets<'a>,
    table: &'s TableSets<'a>,
    /// The chain and the rule whose packets are collected.
    pub wanted: Option<RulePosition>,
    /// The packets that reach that rule.
    pub arrivals: Vec<Region>,
    leaves: Vec<Leaf<'a>>,
    left: usize,
    /// Sets that are still to be followed, the next one last. A stack of calls would not be deep enough for a long
    /// ruleset.
    pending: Vec<PendingSet<'a>>,
}

/// Packets that are followed from here on.
enum PendingSet<'a> {
    /// They are at a rule.
    At(Here<'a>),
    /// They match this rule, apart from its stateful matches.
    Matched(Here<'a>, RulePosition),
    /// The rule matches them.
    Acted(Here<'a>, RulePosition),
}

/// Packets at a rule.
#[derive(Clone)]
struct Here<'a> {
    region: Region,
    hook: usize,
    chain: usize,
    index: usize,
    callers: Vec<RulePosition>,
    trail: Vec<Deed<'a>>,
    exempted_by: Option<usize>,
}

impl<'s, 'a> TableWalk<'s, 'a> {
    pub fn new(sets: &'s Sets<'a>, table: &'s TableSets<'a>) -> TableWalk<'s, 'a> {
        let (arrivals, leaves, pending) = (Vec::new(), Vec::new(), Vec::new());
        TableWalk { sets, table, wanted: None, left: STEPS, pending, arrivals, leaves }
    }

    /// True if all packets were followed to their end.
    pub fn is_done(&self) -> bool {
        self.left > 0
    }

    /// Follows the packets of `start` from the chain `hook`.
    pub fn begin(&mut self, hook: &str, start: Region) {
        let Some(hook) = self.table.chains.iter().position(|chain| chain.name == hook) else {
            return self.leaves.push(Leaf::untouched(start));
        };
        let (callers, trail) = (Vec::new(), Vec::new());
        self.pending.push(PendingSet::At(Here {
            region: start,
            hook,
            chain: hook,
            index: 0,
            callers,
            trail,
            exempted_by: None,
        }));
        while let Some(step) = self.pending.pop() {
            match step {
                PendingSet::At(here) => self.go(here),
                PendingSet::Matched(here, place) => self.matched(here, place),
                PendingSet::Acted(here, place) => self.act(here, place),
            }
        }
    }

    /// Makes a number of steps; returns false if there are not enough left.
    fn may_take(&mut self, steps: usize) -> bool {
        let left = self.sets.left.get().saturating_sub(steps);
        self.sets.left.set(left);
        self.left = self.left.saturating_sub(steps).min(left);
        self.left > 0
    }

    fn give_up(&mut self) {
        self.left = 0;
        self.pending.clear();
    }

    fn chain(&self, number: usize) -> &'s ChainSets<'a> {
        &self.table.chains[number]
    }

    fn rule(&self, (chain, index): RulePosition) -> &'s RuleSets<'a> {
        &self.chain(chain).rules[index]
    }

    /// Follows packets to the first rule that matches any of them.
    fn go(&mut self, mut here: Here<'a>) {
        loop {
            if !self.may_take(1) || here.callers.len() > 32 {
                return self.give_up();
            }
            let Some(rule) = self.chain(here.chain).rules.get(here.index) else {
                match self.back(here) {
                    Some(caller) => here = caller,
                    None => return,
                }
                continue;
            };
            if let Some(block) = self.block(&here) {
                return self.pass(here, block);
            }
            let place = (here.chain, here.index);
            here.index += 1;
            let is_wanted = self.wanted == Some(place);
            if self.wanted.is_some() && !is_wanted && matches!(rule.act, Act::GoesOn) {
                continue;
            }
            let Some(required) = &rule.region else { continue };
            let Some(inside) = here.region.intersection(required) else { continue };
            if is_wanted {
                return if self.may_take(ARRIVAL) { self.arrivals.push(inside) } else { self.give_up() };
            }
            return self.split(here, place, required, inside);
        }
    }

    /// The block of rules that begins here, if the walk goes to a rule after it.
    fn block(&self, here: &Here) -> Option<Block<'s>> {
        let (chain, index) = self.wanted?;
        let rules = self.chain(here.chain);
        let end = if chain == here.chain && index >= here.index { index } else { rules.rules.len() };
        rules.blocks(&self.sets.space).at(here.index, end)
    }

    /// Follows the packets that go on after a block.
    fn pass(&mut self, here: Here<'a>, block: Block) {
        let mut left = vec![here.region.clone()];
        for ended in block.ended {
            let copied = left.iter().filter(|region| !region.is_disjoint(ended));
            let copied: usize = copied.map(|region| SPLIT + (region.ranges() + ended.ranges()) / RANGES).sum();
            if !self.may_take(left.len() + copied) {
                return self.give_up();
            }
            left = Region::without(left, ended);
        }
        let at = |region| PendingSet::At(Here { region, index: block.next, ..here.clone() });
        self.pending.extend(left.into_iter().rev().map(at));
    }

    /// Splits packets: those `inside` match the rule, and the others go on.
    fn split(&mut self, here: Here<'a>, place: RulePosition, required: &Region, inside: Region) {
        if !self.may_take(SPLIT + (here.region.ranges() + required.ranges()) / RANGES) {
            return self.give_up();
        }
        let outside = here.region.difference(required);
        self.pending.push(PendingSet::Matched(Here { region: inside, ..here.clone() }, place));
        let at = |region| PendingSet::At(Here { region, ..here.clone() });
        self.pending.extend(outside.into_iter().rev().map(at));
    }

    /// A stateful match may succeed or fail: the packets for which it fails go on.
    fn matched(&mut self, mut here: Here<'a>, place: RulePosition) {
        let Some(question) = &self.rule(place).question else {
            return self.pending.push(PendingSet::Acted(here, place));
        };
        let times = here.trail.iter().filter(|one| matches!(one, Deed::Asks(..))).count();
        here.trail.push(Deed::Asks(Arc::clone(question), times));
        let key = question.key(times);
        let answered = |answer| Some(Here { region: here.region.answered(&key, answer)?, ..here.clone() });
        let yes = answered(true).map(|here| PendingSet::Acted(here, place));
        let no = answered(false).map(PendingSet::At);
        self.pending.extend(yes.into_iter().chain(no));
    }

    /// Applies the target of the rule.
    fn act(&mut self, mut here: Here<'a>, place: RulePosition) {
        let rule = self.rule(place);
        let next = match rule.act {
            Act::Ends => return self.end(here, Arc::clone(&rule.does), Some(rule.line)),
            Act::Returns => self.back(here),
            Act::Calls(chain) => {
                here.callers.push((here.chain, here.index));
                Some(Here { chain, index: 0, ..here })
            }
            Act::Goes(chain) => Some(Here { chain, index: 0, ..here }),
            Act::GoesOn => {
                let exempts = rule.does.starts_with("CT ") || &*rule.does == "NOTRACK";
                here.exempted_by = here.exempted_by.or(exempts.then_some(rule.line));
                here.trail.extend((!rule.does.is_empty()).then(|| Deed::Does(Arc::clone(&rule.does))));
                Some(here)
            }
        };
        self.pending.extend(next.map(PendingSet::At));
    }

    /// Returns to the rule after the jump; from a built-in chain, to its policy.
    fn back(&mut self, mut here: Here<'a>) -> Option<Here<'a>> {
        if let Some((chain, index)) = here.callers.pop() {
            return Some(Here { chain, index, ..here });
        }
        let chain = self.chain(here.hook);
        self.end(here, if chain.drops { "DROP" } else { "ACCEPT" }.into(), chain.line);
        None
    }

    fn end(&mut self, here: Here<'a>, end: Arc<str>, line: Option<usize>) {
        let Here { region, trail, exempted_by, .. } = here;
        self.leaves.push(Leaf { region, trail, end, line, exempted_by });
    }
}

impl MemoryMatch<'_> {
    fn key(&self, times: usize) -> String {
        let MemoryMatch { memory, chain, does, place } = self;
        format!("{memory} [{chain} {does} {place} {times}]")
    }
}
