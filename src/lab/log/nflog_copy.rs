//! The copies that are loaded in place of the rulesets under test if log lines are read through NFLOG: LOG is replaced
//! by NFLOG. Pure.

use std::collections::BTreeSet;

use crate::error::{CannotMeasure, Result, Source};
use crate::net::Family;
use crate::rules::iptables_save::{Groups, NflogCopy};

/// The copies of all rulesets of a lab.
pub struct NflogCopies {
    copies: Vec<(Family, NflogCopy)>,
    /// The block of groups that they share.
    pub groups: Groups,
}

impl NflogCopies {
    /// Copies the rulesets.
    ///
    /// # Errors
    /// If the rulesets leave no block of groups free.
    pub fn new(rulesets: &[(Family, &Source)]) -> Result<NflogCopies> {
        let groups = Groups::beside(rulesets.iter().copied()).ok_or_else(|| CannotMeasure::Blind {
            instrument: INSTRUMENT,
            evidence: "the ruleset's own NFLOG rules leave no 256 groups free".to_owned(),
        })?;
        let none = NflogCopies { copies: Vec::new(), groups };
        Ok(NflogCopies { copies: none.of_all(rulesets), ..none })
    }

    /// Copies of other rulesets, with the same groups. They log to no group that the first copies do not log to.
    pub fn of_all(&self, rulesets: &[(Family, &Source)]) -> Vec<(Family, NflogCopy)> {
        rulesets.iter().map(|(family, source)| (*family, NflogCopy::new(*family, source, &self.groups))).collect()
    }

    /// The copies that differ from their originals.
    pub fn changed(&self) -> Vec<(Family, &Source)> {
        let changed = self.copies.iter().filter(|(_, copy)| !copy.groups.is_empty());
        changed.map(|(family, copy)| (*family, &copy.source)).collect()
    }

    /// All groups of the copies, and the lab's own.
    pub fn listened_to(&self) -> BTreeSet<u16> {
        let copied = self.copies.iter().flat_map(|(_, copy)| copy.groups.iter().copied());
        copied.chain([self.groups.plain()]).collect()
    }
}

/// The name of the instrument in errors.
pub const INSTRUMENT: &str = "NFLOG socket";
