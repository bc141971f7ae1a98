//! Limits on the size and cost of a ruleset.

use super::size;
use crate::error::{InputError, Source};

/// Limits on the size and cost of a ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The number of rules, and of chains.
    pub rules: usize,
    /// Nanoseconds that one packet and its answer may spend in the rules, in the worst case.
    pub nanoseconds: u64,
    /// Bytes of kernel memory.
    pub bytes: u64,
}

impl Limits {
    /// The usual limits, enough for rulesets of one machine, including blocklists of 50,000 addresses. A sweep of all
    /// 65,535 ports spends about a minute in the rules at most, even if every probe is on the longest path.
    pub const USUAL: Limits = Limits { rules: 100_000, nanoseconds: 1_000_000, bytes: 128 << 20 };

    /// Those of `--allow-large`. A packet occupies a processor for a tenth of a second at most, far from the 20 seconds
    /// of the kernel's watchdog.
    pub const LARGE: Limits = Limits { rules: 1_000_000, nanoseconds: 100_000_000, bytes: 1 << 30 };

    /// Refuses a ruleset with too many lines, without parsing any: the first step with a ruleset, before
    /// [`Listing::parse`](crate::rules::iptables_save::Listing::parse).
    pub fn admit_size(self, ruleset: &Source) -> Result<(), InputError> {
        size::admit(self, ruleset)
    }
}
