//! A rule in its place, the input of an operator.

use crate::error::Source;
use crate::rules::iptables_save::{Chain, Clause, Edit, Listing, Match, Rule, Table};

use super::draft::Draft;

/// A rule and its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct MutationSite<'a> {
    /// The ruleset.
    pub listing: &'a Listing,
    /// The table of the rule.
    pub table: &'a Table,
    /// The chain of the rule.
    pub chain: &'a Chain,
    /// The rule.
    pub rule: &'a Rule,
    /// Its index in the chain, from 0.
    index: usize,
}

impl<'a> MutationSite<'a> {
    /// Every rule of a chain, in order.
    pub fn all(listing: &'a Listing, table: &'a Table, chain: &'a Chain) -> impl Iterator<Item = MutationSite<'a>> {
        let site = move |(index, rule)| MutationSite { listing, table, chain, rule, index };
        chain.rules.iter().enumerate().map(site)
    }

    /// The number of the rule in its chain, from 1.
    pub fn number(&self) -> usize {
        self.index + 1
    }

    /// The rules before it.
    pub fn before(&self) -> &'a [Rule] {
        self.chain.rules.get(..self.index).unwrap_or_default()
    }

    /// The rules after it.
    pub fn after(&self) -> &'a [Rule] {
        self.chain.rules.get(self.index + 1..).unwrap_or_default()
    }

    /// The clauses of the rule with a `wanted` match.
    pub fn clauses(&self, wanted: fn(&Match) -> bool) -> impl Iterator<Item = &'a Clause> {
        self.rule.clauses.iter().filter(move |clause| wanted(&clause.ask))
    }

    /// A draft in which the rule has this text.
    pub fn rewrite(&self, text: String, what: impl Into<String>) -> Draft {
        Draft::new(what, vec![Edit::Replace { line: self.rule.line, text }])
    }

    /// A draft in which one clause is replaced by `option`; its `!` stays.
    pub fn replace(&self, clause: &Clause, option: &str) -> Draft {
        let not = if clause.negated { "! " } else { "" };
        let option = format!("{not}{option}");
        let what = format!("{} becomes {option}", self.written(clause));
        self.rewrite(self.rule.with(clause, &option), what)
    }

    /// A clause as written in the rule.
    pub fn written(&self, clause: &Clause) -> &'a str {
        self.rule.text.get(clause.span.clone()).unwrap_or_default()
    }

    /// Parses `text` as a rule of the same table.
    pub fn reread(&self, text: &str) -> Option<Rule> {
        let text = format!("*{}\n{text}\nCOMMIT\n", self.table.name);
        let source = Source { name: self.listing.source.name.clone(), text: text.into() };
        let mut listing = Listing::parse(self.listing.family, &source);
        let mut table = listing.tables.pop()?;
        table.chains.iter_mut().find_map(|chain| chain.rules.pop())
    }
}
