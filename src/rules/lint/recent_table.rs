//! Tables of xt_recent, which both families share: `recent_mt_check` looks up a table by its name alone, and keeps the
//! mask of the rule that created it. Machines load IPv4 first.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{Listing, Rule};

/// One finding for each table that rules of both families name, at the first rule of IPv6.
pub(super) fn check(v4: &Listing, v6: &Listing) -> Vec<LintFinding> {
    let mut seen: Vec<&str> = Vec::new();
    let mut findings = Vec::new();
    for (rule, table) in tables(v6) {
        let Some((maker, _)) = tables(v4).find(|(_, name)| *name == table).filter(|_| !seen.contains(&table)) else {
            continue;
        };
        seen.push(table);
        findings.push(finding(v4, v6, maker, rule, table));
    }
    findings
}

fn finding(v4: &Listing, v6: &Listing, maker: &Rule, rule: &Rule, table: &str) -> LintFinding {
    let (file, line) = (v4.source.name.display(), maker.line);
    let counts = match maker.argument("recent", "--mask") {
        Some(mask) => format!("the mask {mask}: of an IPv6 address no more than the first 32 bits count"),
        None => "no mask: whole addresses of both families count".to_owned(),
    };
    let message = format!(
        "both families share the table {table} of xt_recent: {file}:{line}, which is loaded first, creates it, with \
         {counts}"
    );
    let fix = format!("give the rules for IPv6 a table of their own: --name {table}6");
    LintFinding::new(FindingKind::RecentShared, v6, rule.line, message).fix(fix)
}

/// The rules that use a table, with its name.
fn tables(listing: &Listing) -> impl Iterator<Item = (&Rule, &str)> {
    listing.rules().filter_map(|rule| Some((rule, rule.recent_list()?)))
}
