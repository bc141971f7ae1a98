//! Rules that treat the same packet differently at another time.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Listing, Module};

/// Every time-dependent match, once a line.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let matches = listing.rules().flat_map(|rule| rule.of_the_moment().map(move |module| (rule.line, module)));
    let finding = |(line, module): (usize, &Module)| {
        let message = format!("`-m {}`: {}; what a run finds holds for its moment", module.name, why(module));
        LintFinding::new(FindingKind::OfTheMoment, listing, line, message)
    };
    matches.map(finding).collect()
}

fn why(module: &Module) -> &'static str {
    match module.name.as_str() {
        "time" => "this rule applies at some times only",
        "quota" => "this rule applies until so many bytes have passed",
        "statistic" => "chance, or how many packets came before, decides whether this rule applies",
        _ => "how much a connection has carried so far decides whether this rule applies",
    }
}
