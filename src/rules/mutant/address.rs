//! Addresses: a network of twice or half the size.

use crate::net::Family;
use crate::rules::iptables_save::{Clause, Match, Prefix};

use super::constraints;
use super::draft::Draft;
use super::site::MutationSite;

/// The prefix is one bit shorter.
pub fn widen(site: &MutationSite<'_>) -> Vec<Draft> {
    resized(site, |length| length.checked_sub(1))
}

/// The prefix is one bit longer; the address stays, so it is the half that contains it.
pub fn narrow(site: &MutationSite<'_>) -> Vec<Draft> {
    resized(site, |length| Some(length + 1))
}

fn resized(site: &MutationSite<'_>, resize: fn(u32) -> Option<u32>) -> Vec<Draft> {
    let change = |(clause, option, prefix): (&Clause, _, &Prefix)| {
        let length =
            resize(prefix.prefix_len()?).filter(|length| *length <= Family::from_address(prefix.address).width())?;
        // "! -s 0.0.0.0/0" never matches: iptables-nft refuses it.
        let refused = clause.negated && length == 0;
        let legal = !refused && !constraints::is_list(site, clause);
        legal.then(|| site.replace(clause, &format!("{option} {}/{length}", prefix.address)))
    };
    addresses(site).filter_map(change).collect()
}

fn addresses<'a>(site: &MutationSite<'a>) -> impl Iterator<Item = (&'a Clause, &'static str, &'a Prefix)> {
    site.rule.clauses.iter().filter_map(|clause| match &clause.ask {
        Match::Source(prefix) => Some((clause, "-s", prefix)),
        Match::Destination(prefix) => Some((clause, "-d", prefix)),
        _ => None,
    })
}
