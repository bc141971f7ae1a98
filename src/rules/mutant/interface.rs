//! The right rule on the wrong interface.

use crate::rules::iptables_save::{Clause, Match};

use super::draft::Draft;
use super::site::MutationSite;

const LOOPBACK: &str = "lo";
/// The usual first interface of a machine, and the lab's.
const FIRST: &str = "eth0";

/// Any interface becomes `lo`, and `lo` becomes `eth0`.
pub fn other(site: &MutationSite<'_>) -> Vec<Draft> {
    let other = |name: &str| if name == LOOPBACK { FIRST } else { LOOPBACK };
    let change = |clause: &Clause| match &clause.ask {
        Match::InInterface(name) => Some(site.replace(clause, &format!("-i {}", other(name)))),
        Match::OutInterface(name) => Some(site.replace(clause, &format!("-o {}", other(name)))),
        _ => None,
    };
    site.rule.clauses.iter().filter_map(change).collect()
}
