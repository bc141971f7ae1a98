//! Interface names that no interface has.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Clause, Listing, Match, Rule};

/// Names that iptables 1.8.9 loads in both backends, and that match no packet.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    listing.rules().flat_map(|rule| rule.clauses.iter().filter_map(|clause| finding(listing, rule, clause))).collect()
}

fn finding(listing: &Listing, rule: &Rule, clause: &Clause) -> Option<LintFinding> {
    let (option, name, address, comes) = match &clause.ask {
        Match::InInterface(name) => ("-i", name, "-d", "arrives on it"),
        Match::OutInterface(name) => ("-o", name, "-s", "leaves on it"),
        _ => return None,
    };
    let negation = if clause.negated { "! " } else { "" };
    let with = |option: &str, name: &str| rule.with(clause, &format!("{negation}{option} {name}"));
    let found = |kind, message| LintFinding::new(kind, listing, rule.line, message);
    if name.starts_with("-i") || name.starts_with("-o") {
        // `-ieth0` is saved as `-i -ieth0`.
        let message = format!("iptables reads `{name}` as the name of the interface: no packet {comes}");
        let (option, rest) = name.split_at(2);
        return Some(found(FindingKind::GluedInterface, message).fix(with(option, rest)));
    }
    // The kernel gives no interface a name with a colon (dev_valid_name in net/core/dev.c).
    if let Some((interface, _)) = name.split_once(':') {
        let message = format!("`{name}` is an address of `{interface}`, not an interface: no packet {comes}");
        let found = found(FindingKind::InterfaceAlias, message);
        let fix = format!("write `{option} {interface}`, and `{address}` with the address of `{name}`");
        return Some(if clause.negated { found } else { found.fix(fix) });
    }
    let stem = name.strip_suffix('*').filter(|stem| !stem.contains('*'))?;
    let message = format!("the `*` of `{name}` is a character to iptables, whose wildcard is `+`: no packet {comes}");
    Some(found(FindingKind::InterfaceWildcard, message).fix(with(option, &format!("{stem}+"))))
}
