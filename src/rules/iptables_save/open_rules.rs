//! The rules of a chain that lines still add to.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Clause, Rule};

/// Long lists are often written with `-I`, so this is a double-ended queue; the rules are boxed, because an insertion
/// in the middle moves those that follow.
#[derive(Debug, Default)]
pub(super) struct OpenRules {
    rules: VecDeque<Box<Rule>>,
    /// Created by the first `-D RULE`.
    meanings: Option<Meanings>,
}

/// A hash for each rule, equal for [equivalent](Rule::is_equivalent) rules; and the positions of the rules with a hash.
#[derive(Debug, Default)]
struct Meanings {
    /// A key and the hash of each rule; keys ascend, with gaps between them.
    in_order: VecDeque<(i128, u64)>,
    /// The keys of the rules with a hash.
    keys: HashMap<u64, BTreeSet<i128>>,
}

/// The distance between keys of appended rules: it permits 96 successive insertions at the same position.
const ROOM: i128 = 1 << 96;

impl OpenRules {
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn clear(&mut self) {
        *self = OpenRules::default();
    }

    /// Inserts `rule` before the one at `at`.
    pub fn insert(&mut self, at: usize, rule: Rule) {
        // Without a free key the next `-D RULE` builds the index again.
        self.meanings = self.meanings.take().and_then(|meanings| meanings.with(at, meaning(&rule)));
        self.rules.insert(at, Box::new(rule));
    }

    pub fn push(&mut self, rule: Rule) {
        self.insert(self.rules.len(), rule);
    }

    pub fn remove(&mut self, at: usize) {
        self.rules.remove(at);
        if let Some(meanings) = &mut self.meanings {
            meanings.remove(at);
        }
    }

    /// The position of the first rule that is equivalent to `rule`.
    pub fn position(&mut self, rule: &Rule) -> Option<usize> {
        let meanings = self.meanings.get_or_insert_with(|| Meanings::new(&self.rules));
        let same = meanings.keys.get(&meaning(rule))?.iter();
        let mut places = same.map(|key| meanings.in_order.partition_point(|(other, _)| other < key));
        places.find(|at| self.rules[*at].is_equivalent(rule))
    }
}

impl From<OpenRules> for Vec<Rule> {
    fn from(open: OpenRules) -> Self {
        open.rules.into_iter().map(|rule| *rule).collect()
    }
}

impl Meanings {
    fn new(rules: &VecDeque<Box<Rule>>) -> Meanings {
        rules.iter().fold(Meanings::default(), |meanings, rule| {
            let end = meanings.in_order.len();
            meanings.with(end, meaning(rule)).unwrap_or_default()
        })
    }

    /// The index with one more rule at `at`; `None` if there is no free key for it.
    fn with(mut self, at: usize, meaning: u64) -> Option<Meanings> {
        let key = |at: usize| self.in_order.get(at).map(|(key, _)| *key);
        let new = match (at.checked_sub(1).and_then(key), key(at)) {
            (None, None) => 0,
            (Some(before), None) => before.checked_add(ROOM)?,
            (None, Some(next)) => next.checked_sub(ROOM)?,
            (Some(before), Some(next)) => before + (next - before) / 2,
        };
        if at > 0 && key(at - 1) == Some(new) {
            return None;
        }
        self.in_order.insert(at, (new, meaning));
        self.keys.entry(meaning).or_default().insert(new);
        Some(self)
    }

    fn remove(&mut self, at: usize) {
        let Some((key, meaning)) = self.in_order.remove(at) else { return };
        let Some(keys) = self.keys.get_mut(&meaning) else { return };
        keys.remove(&key);
        if keys.is_empty() {
            self.keys.remove(&meaning);
        }
    }
}

/// A hash of the parts that [`Rule::is_equivalent`] compares: clauses of modules in order, the others as a set.
fn meaning(rule: &Rule) -> u64 {
    let asks = |clause: &Clause| hash(&(&clause.ask, clause.negated));
    let (of_modules, common): (Vec<&Clause>, Vec<&Clause>) =
        rule.narrowing_clauses().partition(|clause| clause.module.is_some());
    let of_modules: Vec<u64> = of_modules.into_iter().map(asks).collect();
    let common: BTreeSet<u64> = common.into_iter().map(asks).collect();
    let target = rule.target.as_ref().map(|target| (&target.name, target.goto, &target.options));
    hash(&(of_modules, common, target))
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::Family;
    use crate::rules::iptables_save::Listing;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        let lines: String = texts.iter().map(|text| format!("-A INPUT {text}\n")).collect();
        let source = Source { name: "rules.v4".into(), text: format!("*filter\n{lines}COMMIT\n").into() };
        Listing::parse(Family::Ipv4, &source).rules().cloned().collect()
    }

    #[test]
    fn meanings_are_equal_where_rules_say_the_same() {
        let rules = rules(&[
            "-p tcp -s 10.0.0.1 -j DROP",
            "-s 10.0.0.1 -p tcp -j DROP",
            "-s 10.0.0.1 -s 10.0.0.1 -p tcp -j DROP",
            "-s 10.0.0.1 -p all -p tcp -j DROP",
            "! -s 10.0.0.1 -p tcp -j DROP",
            "-p tcp -s 10.0.0.1 -g DROP",
            "-p tcp -s 10.0.0.1",
            "-p tcp -m tcp --dport 1 --sport 2 -j LOG --log-prefix a",
            "-p tcp -m tcp --sport 2 --dport 1 -j LOG --log-prefix a",
            "-p tcp -m tcp --dport 1 --sport 2 -j LOG --log-prefix b",
            "-m comment --comment \"a b\" -j DROP",
            "-s 0/0 -m comment --comment 'a b' -j DROP",
        ]);
        assert_eq!(rules.len(), 12);
        for (one, other) in rules.iter().flat_map(|one| rules.iter().map(move |other| (one, other))) {
            assert_eq!(meaning(one) == meaning(other), one.is_equivalent(other), "{} / {}", one.text, other.text);
        }
    }

    #[test]
    fn a_rule_is_found_after_insertions_and_removals() {
        let [a, b, c]: [Rule; 3] = rules(&["-s 10.0.0.1", "-s 10.0.0.2", "-s 10.0.0.3"]).try_into().unwrap();
        let mut open = OpenRules::default();
        [&a, &b, &a].into_iter().for_each(|rule| open.push(rule.clone()));
        assert_eq!((open.position(&a), open.position(&b), open.position(&c)), (Some(0), Some(1), None));
        open.insert(0, c.clone());
        open.remove(1);
        assert_eq!((open.position(&a), open.position(&b), open.position(&c)), (Some(2), Some(1), Some(0)));
        open.remove(2);
        assert_eq!((open.position(&a), open.len()), (None, 2));
        (0..200).for_each(|_| open.insert(1, a.clone()));
        assert_eq!((open.position(&a), open.position(&b), open.position(&c)), (Some(1), Some(201), Some(0)));
        (0..200).for_each(|_| open.remove(1));
        assert_eq!(Vec::from(open), [c, b]);
    }
}
