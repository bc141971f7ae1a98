//! Blocks of consecutive rules, as the few sets of packets that do not go on after them. A walk to a later rule passes a
//! block in one step for each set, and not for each rule: a blocklist is one set.

use std::collections::HashMap;

use super::region::{PacketField, Region};
use super::rule_sets::{Act, RuleSets};
use super::universe::Space;
use super::values::Values;

/// The binary logarithm of the number of rules in the smallest blocks.
const SMALLEST: usize = 6;

/// The blocks of a chain. Those of each level are twice as long as those of the level before it, and begin at multiples
/// of their length.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    levels: Vec<Vec<Option<Vec<Region>>>>,
}

/// A block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'b> {
    /// The packets that do not go on after it.
    pub ended: &'b [Region],
    /// The index of the rule after it.
    pub next: usize,
}

impl Blocks {
    /// The blocks of these rules; none of fewer than 64 rules.
    pub fn new(space: &Space, rules: &[RuleSets]) -> Blocks {
        let smallest = rules.chunks_exact(1 << SMALLEST).map(|rules| ended(rules).map(|sets| united(space, sets)));
        let mut levels: Vec<Vec<Option<Vec<Region>>>> = vec![smallest.collect()];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            let both =
                |pair: &[Option<Vec<Region>>]| Some(united(space, [pair[0].clone()?, pair[1].clone()?].concat()));
            let next = last.chunks_exact(2).map(both).collect();
            levels.push(next);
        }
        Blocks { levels }
    }

    /// The longest block that begins at the rule `index` and ends before the rule `end`.
    pub fn at(&self, index: usize, end: usize) -> Option<Block<'_>> {
        let levels = self.levels.iter().enumerate().rev();
        levels.map(|(level, blocks)| (1 << (SMALLEST + level), blocks)).find_map(|(length, blocks)| {
            let fits = index.is_multiple_of(length) && index + length <= end;
            let ended = fits.then(|| blocks.get(index / length)?.as_ref()).flatten()?;
            Some(Block { ended, next: index + length })
        })
    }
}

/// The packets of rules that end their path; `None` if packets may take another way, or a stateful match decides.
fn ended(rules: &[RuleSets]) -> Option<Vec<Region>> {
    let mut all = Vec::new();
    for rule in rules {
        match (&rule.act, &rule.region) {
            (Act::GoesOn, _) | (_, None) => {}
            (Act::Ends, Some(region)) if rule.question.is_none() => all.push(region.clone()),
            _ => return None,
        }
    }
    Some(all)
}

/// The same packets in fewer sets: those that differ in one field only are united.
fn united(space: &Space, all: Vec<Region>) -> Vec<Region> {
    let mut order = Vec::new();
    let mut groups: HashMap<(usize, Region), Vec<Values>> = HashMap::new();
    for region in all {
        let any = |field: &&PacketField| region.values(**field) != space.everything.values(**field);
        let field = *VARIED.iter().find(any).unwrap_or(&PacketField::Protocol);
        let key = (field as usize, region.changed(field, space.everything.values(field)));
        let values = groups.entry(key.clone()).or_insert_with(|| {
            order.push((field, key));
            Vec::new()
        });
        values.push(region.values(field).clone());
    }
    let unite = |(field, key): (PacketField, (usize, Region))| {
        let values = Values::from_ranges(groups[&key].iter().flat_map(Values::ranges));
        key.1.changed(field, &values)
    };
    order.into_iter().map(unite).collect()
}

/// The fields that lists of rules vary most, these first.
const VARIED: [PacketField; 10] = [
    PacketField::Source,
    PacketField::Destination,
    PacketField::DestinationPort,
    PacketField::SourcePort,
    PacketField::Message,
    PacketField::Flags,
    PacketField::State,
    PacketField::In,
    PacketField::Out,
    PacketField::Protocol,
];
