//! The packets that one ruleset passes and another does not.

use super::compare::Different;
use super::region::Region;
use super::sets::Sets;
use super::{GAPS, TooMany};
use crate::rules::iptables_save::HOOKS;

/// Packets that pass a chain with only one of two rulesets.
#[derive(Debug, Clone)]
pub struct Turned {
    /// The packets.
    pub region: Region,
    /// The table that they pass.
    pub table: String,
    /// The chain at which they begin.
    pub hook: &'static str,
    /// True if the second ruleset passes them, and the first does not.
    pub is_opened: bool,
}

/// The packets that pass with only one of `sides`. Two targets that pass a packet in different ways count as the same,
/// except in nat, where such a packet is both closed and opened.
///
/// # Errors
///
/// If the sets split into too many parts, or there are too many differences: a part of them proves nothing.
pub fn turned(sides: &[Sets; 2]) -> Result<Vec<Turned>, TooMany> {
    let mut names: Vec<&str> =
        sides.iter().flat_map(|side| side.listing.tables.iter().map(|table| table.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    let mut found = Vec::new();
    for table in names {
        let different = Different::new(sides, table);
        for hook in HOOKS {
            for start in different.starts(&sides[0].space, table, hook) {
                of_start(sides, (table, hook), &start, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn of_start(
    [one, other]: &[Sets; 2],
    (table, hook): (&str, &'static str),
    start: &Region,
    found: &mut Vec<Turned>,
) -> Result<(), TooMany> {
    for before in one.leaves((table, hook), start)? {
        for after in other.leaves((table, hook), &before.region)? {
            let is_other_nat = table == "nat" && before.end != after.end;
            let mut add = |is_opened| {
                found.push(Turned { region: after.region.clone(), table: table.to_owned(), hook, is_opened })
            };
            match (passes(&before.end), passes(&after.end)) {
                (false, true) => add(true),
                (true, false) => add(false),
                (true, true) if is_other_nat => [true, false].into_iter().for_each(add),
                _ => {}
            }
            if found.len() > GAPS * 16 {
                return Err(TooMany);
            }
        }
    }
    Ok(())
}

/// True if the target passes the packet on to the next table.
fn passes(end: &str) -> bool {
    let target = end.trim_start_matches("-j ");
    let stops = ["DROP", "REJECT", "NFQUEUE", "QUEUE", "SYNPROXY", "TARPIT", "STEAL"];
    !stops.iter().any(|stop| target.split(' ').next() == Some(stop))
}
