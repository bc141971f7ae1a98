//! Rules that treat the same packet differently at another time.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Listing, Module};

/// Every time-dependent match, once a line.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let matches = listing.rules().flat_map(|rule| rule.of_the_moment().map(move |module| (rule.line, module)));
    let finding = |(line, module): (usize, &Module)| {
        let message = format!("`-m {}`: {}; the results of a run hold for its moment", module.name, why(module));
        LintFinding::new(FindingKind::OfTheMoment, listing, line, message)
    };
    matches.map(finding).collect()
}

fn why(module: &Module) -> &'static str {
    match module.name.as_str() {
        "time" => "this rule applies at some times only",
        "quota" => "this rule applies until a number of bytes have passed",
        "statistic" => "chance, or the number of earlier packets, decides whether this rule applies",
        _ => "the amount of data in the connection so far decides whether this rule applies",
    }
}
