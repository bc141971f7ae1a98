//! Admission: the demands that a ruleset may make on the machine that loads it.
//!
//! A lab loads rules as root into the kernel of the machine. The kernel charges neither the time of a packet nor the
//! memory of a rule to any process, and some extensions have state that all network namespaces share. So a ruleset is
//! checked before it is loaded, and refused if it is over a limit ([`Limits`]) or uses an extension that is not proved
//! local ([`extension`]). docs/limits.md lists the measurements.

mod address;
mod admitted;
pub mod extension;
mod limits;
mod load;
mod memory;
mod naming;
mod size;
mod time;

use crate::error::{InputError, Source};
use crate::net::Family;

pub use limits::Limits;

/// The hint for raising a limit.
const RAISE: &str = "if the ruleset is trusted, --allow-large raises this limit";

/// The conditions of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Terms {
    /// The limits on size and cost.
    pub limits: Limits,
    /// True if the kernel of this machine already filters bridged packets. If it does not, `-m physdev` would load
    /// br_netfilter, and the rules of the machine would see bridged packets.
    pub bridge_filter: bool,
}

impl Terms {
    /// The usual conditions on this machine.
    pub fn of_this_machine() -> Terms {
        // The file exists as soon as br_netfilter is loaded, in every network namespace.
        let bridge_filter = std::path::Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists();
        Terms { limits: Limits::USUAL, bridge_filter }
    }

    /// Refuses a ruleset that exceeds a limit, or uses state outside its network namespace.
    pub fn admit(self, family: Family, ruleset: &Source) -> Result<(), InputError> {
        admitted::once(self, family, &ruleset.text, || self.admit_new(family, ruleset))
    }

    fn admit_new(self, family: Family, ruleset: &Source) -> Result<(), InputError> {
        size::admit(self.limits, ruleset)?;
        let lines = load::lines(ruleset);
        for line in &lines {
            extension::admit(self, line)?;
            address::admit(family, line)?;
        }
        load::admit(self.limits, &lines)?;
        memory::admit(self.limits, ruleset, &lines)?;
        time::admit(self.limits, family, ruleset, &lines)
    }
}

#[cfg(test)]
mod tests;
