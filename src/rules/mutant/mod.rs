//! A ruleset, broken in every way that matters: one small mistake at a time, of the kind that people make.
//!
//! Says what the mistakes are and how each is written into the text; whether anybody would notice is measured by others.
//! Every mutant is meant to be one that iptables-restore accepts, or it would prove nothing: an operator that is in
//! doubt makes none. The text is taken to be as iptables-save writes it: where lines undo each other (`-D`, `-R`,
//! `-F`), a mutant may be refused, and is then still no evidence against anybody's scenario.

mod address;
mod clauses;
mod constraints;
mod draft;
mod equivalent;
mod flags;
mod interface;
mod limit;
mod log;
mod operator;
mod order;
mod policy;
mod ports;
mod protocol;
mod rules;
mod site;
mod state;
mod text;
mod twin;
mod verdict;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Source;
use crate::net::Family;
use crate::rules::iptables_save::{Chain, Edit, Listing, Table, apply};

use draft::Draft;
pub use operator::Operator;
use site::MutationSite;

/// A ruleset with one mistake in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// The kind of mistake.
    pub operator: Operator,
    /// The family of the ruleset.
    pub family: Family,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The number of the rule in its chain (1 is the first); `None` if the mistake is in the chain's policy.
    pub rule: Option<usize>,
    /// The line of the original text (1 is the first).
    pub line: usize,
    /// What is different, in plain words: `line 12: --dport 80 becomes --dport 81`.
    pub description: String,
    /// What makes it from the original.
    pub edits: Vec<Edit>,
    /// Why no packet can tell it from the original, where the text alone shows that: such a mutant says nothing about a
    /// scenario that does not notice it. None: only a measurement can tell.
    pub equivalent: Option<&'static str>,
}

impl Mutant {
    /// The text of the mutant.
    pub fn apply(&self, original: &Source) -> Source {
        apply(original, &self.edits)
    }
}

/// Every mutant of `listing`, in the order of its rules and, for one rule, in that of [`Operator::ALL`]. No two have the
/// same text, and none has that of the original.
pub fn mutants(listing: &Listing) -> Vec<Mutant> {
    let mut seen = HashSet::from([fingerprint(&listing.source)]);
    let chains = listing.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
    let all = chains.flat_map(|(table, chain)| of_chain(listing, table, chain));
    all.filter(|mutant| seen.insert(fingerprint(&mutant.apply(&listing.source)))).collect()
}

/// A ruleset has thousands of mutants, each as long as itself: what is remembered of one is a number.
fn fingerprint(source: &Source) -> u64 {
    let mut hasher = DefaultHasher::new();
    source.text.hash(&mut hasher);
    hasher.finish()
}

fn of_chain(listing: &Listing, table: &Table, chain: &Chain) -> Vec<Mutant> {
    let sites = MutationSite::all(listing, table, chain);
    let of_rules = sites.flat_map(|site| Operator::ALL.into_iter().flat_map(move |operator| of_rule(operator, site)));
    of_policy(listing, table, chain).into_iter().chain(of_rules).collect()
}

fn of_policy(listing: &Listing, table: &Table, chain: &Chain) -> Option<Mutant> {
    let draft = policy::flip(listing, table, chain)?;
    Some(mutant(draft, Operator::FlipPolicy, listing, (table, chain), None, chain.line?))
}

fn of_rule(operator: Operator, site: MutationSite<'_>) -> Vec<Mutant> {
    let place = (site.table, site.chain);
    let finish = |draft| mutant(draft, operator, site.listing, place, Some(site.number()), site.rule.line);
    operator.drafts(&site).into_iter().map(finish).collect()
}

fn mutant(
    draft: Draft,
    operator: Operator,
    listing: &Listing,
    (table, chain): (&Table, &Chain),
    rule: Option<usize>,
    line: usize,
) -> Mutant {
    Mutant {
        operator,
        family: listing.family,
        table: table.name.clone(),
        chain: chain.name.clone(),
        rule,
        line,
        description: format!("line {line}: {}", draft.what),
        edits: draft.edits,
        equivalent: draft.equivalent,
    }
}

#[cfg(test)]
mod tests;
