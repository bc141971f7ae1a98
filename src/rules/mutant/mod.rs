//! Mutants: a ruleset, broken in every relevant way by one small, typical mistake at a time.
//!
//! This room makes the mistakes and writes them into the text; whether a scenario notices is measured elsewhere. Every
//! mutant should be accepted by iptables-restore, or it would prove nothing: an operator in doubt makes none. The text
//! should be as iptables-save prints it: if lines undo each other (`-D`, `-R`, `-F`), a mutant may be refused, which is
//! no evidence against a scenario.

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
    /// The mistake in plain words: `line 12: --dport 80 becomes --dport 81`.
    pub description: String,
    /// The edits of the original.
    pub edits: Vec<Edit>,
    /// The reason why no packet can show a difference, if the text alone proves it: then a scenario need not notice the
    /// mutant. `None` if it must be measured.
    pub equivalent: Option<&'static str>,
}

impl Mutant {
    /// The text of the mutant.
    pub fn apply(&self, original: &Source) -> Source {
        apply(original, &self.edits)
    }
}

/// Every mutant of `listing`, in the order of its rules and, for one rule, in that of [`Operator::ALL`]. Their texts
/// are all different, and different from the original.
pub fn mutants(listing: &Listing) -> Vec<Mutant> {
    let mut seen = HashSet::from([fingerprint(&listing.source)]);
    let chains = listing.tables.iter().flat_map(|table| table.chains.iter().map(move |chain| (table, chain)));
    let all = chains.flat_map(|(table, chain)| of_chain(listing, table, chain));
    all.filter(|mutant| seen.insert(fingerprint(&mutant.apply(&listing.source)))).collect()
}

/// A hash of a text: a ruleset has thousands of mutants of its own size, so only their hashes are kept.
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
