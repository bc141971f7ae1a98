//! What a lab can be asked about: a ruleset that is one, of a family that this machine has.

use crate::error::{CannotMeasure, InputError, Result, Source};
use crate::lab::Lab;
use crate::net::Family;
use crate::rules::iptables_save::{Listing, wrong_format};

impl Lab<'_> {
    /// Whether there is something to ask about.
    ///
    /// # Errors
    /// A file that holds no ruleset, and a family that this machine does not have.
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

    /// Fails where this machine does not have the family.
    pub fn must_have(family: Family) -> Result<()> {
        if Lab::families().contains(&family) { Ok(()) } else { Err(CannotMeasure::NoFamily { family }.into()) }
    }
}
