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
        if let Some(name) = text.strip_prefix('*').map(name) {
            chains.clear();
            findings.extend(tables.insert(name, line).map(|first| table(listing, line, first, name)));
        } else if let Some(name) = text.strip_prefix(':').map(name) {
            findings.extend(chains.insert(name, line).map(|first| chain(listing, line, first, name)));
        }
    }
    findings
}

/// The name of a declaration. iptables-restore 1.8.9 skips blanks before it.
fn name(declaration: &str) -> &str {
    declaration.split_ascii_whitespace().next().unwrap_or_default()
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
        "chain {name} is declared a second time, after line {first}: the last policy counts, and a user-defined \
         chain loses its earlier rules"
    );
    LintFinding::new(FindingKind::ChainTwice, listing, line, message).fix("delete this line")
}
