//! Tables and chains that a file declares twice.

use std::collections::BTreeMap;

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::Listing;

/// Every repeated declaration. The listing has only the last one, so the text is read again.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let mut tables: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chains: BTreeMap<&str, usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(listing.source.text.lines()) {
        let name = |text: &'_ str| text.split_ascii_whitespace().next().map(str::len).unwrap_or_default();
        if let Some(rest) = text.strip_prefix('*') {
            chains.clear();
            let first = tables.insert(&rest[..name(rest)], line);
            findings.extend(first.map(|first| table(listing, line, first, &rest[..name(rest)])));
        } else if let Some(rest) = text.strip_prefix(':') {
            let first = chains.insert(&rest[..name(rest)], line);
            findings.extend(first.map(|first| chain(listing, line, first, &rest[..name(rest)])));
        }
    }
    findings
}

/// Measured with 1.8.9: the second `*filter` deletes the content of the first; policies too with iptables-nft-restore.
fn table(listing: &Listing, line: usize, first: usize, name: &str) -> LintFinding {
    let message = format!(
        "table {name} is declared a second time: iptables-restore deletes the rules of the first, from line {first} on; \
         iptables-legacy keeps its policies, and iptables-nft makes them ACCEPT"
    );
    LintFinding::new(FindingKind::TableTwice, listing, line, message).fix(format!("one `*{name}` with all its rules"))
}

/// Measured with 1.8.9: iptables-nft-restore deletes the rules of a user-defined chain, and iptables-legacy-restore
/// refuses the file. The last policy of a built-in chain counts.
fn chain(listing: &Listing, line: usize, first: usize, name: &str) -> LintFinding {
    let message = format!(
        "chain {name} is declared a second time, after line {first}: the last policy counts, and a chain of one's own loses \
         the rules that it has so far"
    );
    LintFinding::new(FindingKind::ChainTwice, listing, line, message).fix("delete this line")
}
