//! The preconditions of a lab: the file is a ruleset, and the machine supports its family.

use crate::error::{CannotMeasure, InputError, Result, Source};
use crate::lab::Lab;
use crate::net::Family;
use crate::rules::iptables_save::{Listing, wrong_format};

impl Lab<'_> {
    /// Checks that the ruleset can be tested.
    ///
    /// # Errors
    ///
    /// If the file holds no ruleset, or this machine does not have the family.
    pub fn can_ask(family: Family, source: &Source) -> Result<()> {
        if Listing::parse(family, source).tables.is_empty() {
            let problem = format!("{} holds no ruleset", source.name.display());
            let program = if family == Family::Ipv4 { "iptables-save" } else { "ip6tables-save" };
            let hint = wrong_format::hint(&source.text).map(str::to_owned);
            let hint = hint.unwrap_or_else(|| format!("name what `{program}` wrote: it begins with *filter"));
            return Err(InputError::new(problem, hint).into());
        }
        Lab::must_have(family)
    }

    /// Checks that this machine has the family.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub fn must_have(family: Family) -> Result<()> {
        if Lab::families().contains(&family) { Ok(()) } else { Err(CannotMeasure::NoFamily { family }.into()) }
    }
}
