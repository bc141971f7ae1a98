//! The verdict at the end of a chain.

use crate::rules::iptables_save::{Chain, Edit, Listing, Policy, Table};

use super::constraints;
use super::draft::Draft;

/// `:INPUT DROP [0:0]` becomes `:INPUT ACCEPT [0:0]`, and the other way round.
pub fn flip(listing: &Listing, table: &Table, chain: &Chain) -> Option<Draft> {
    let (was, becomes) = match chain.policy? {
        Policy::Accept => ("ACCEPT", "DROP"),
        Policy::Drop => ("DROP", "ACCEPT"),
    };
    // Other chains have no policy; these are few, so lines are counted a few times only.
    let line = chain.line.filter(|_| constraints::filters(table) && chain.is_built_in())?;
    let text = declared(listing, line, chain)?.replacen(was, becomes, 1);
    let what = format!("the policy of {} becomes {becomes}", chain.name);
    let edit = Edit::Replace { line, text: format!(":{}{text}", chain.name) };
    Some(Draft::new(what, vec![edit]))
}

/// The text after the chain's name in its declaration; `None` if the declaration does not set the policy, but a later
/// `-P` does.
fn declared<'a>(listing: &'a Listing, line: usize, chain: &Chain) -> Option<&'a str> {
    let declaration = listing.source.text.get(listing.source.span_of_line(line))?;
    let rest = declaration.trim_start().strip_prefix(':')?.trim_start().strip_prefix(chain.name.as_str())?;
    let word = rest.split_whitespace().next()?;
    let policy = match word {
        "ACCEPT" => Policy::Accept,
        "DROP" => Policy::Drop,
        _ => return None,
    };
    (Some(policy) == chain.policy).then_some(rest)
}
