//! How much a ruleset may ask for.

use super::size;
use crate::error::{InputError, Source};

/// How much a ruleset may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Rules, and chains.
    pub rules: usize,
    /// Nanoseconds that one packet and its answer may spend in the rules, in the worst case.
    pub nanoseconds: u64,
    /// Bytes of kernel memory.
    pub bytes: u64,
}

impl Limits {
    /// What rulesets for one machine need, blocklists of 50,000 addresses included. A sweep of all 65,535 ports spends about
    /// a minute in the rules at most, even if every probe is on the longest path.
    pub const USUAL: Limits = Limits { rules: 100_000, nanoseconds: 1_000_000, bytes: 128 << 20 };

    /// Those of `--allow-large`. A packet holds a processor for a tenth of a second at most, far from the 20 seconds of
    /// the kernel's watchdog.
    pub const LARGE: Limits = Limits { rules: 1_000_000, nanoseconds: 100_000_000, bytes: 1 << 30 };

    /// Refuses a ruleset with too many lines, and reads none of them: the first step with a ruleset, before
    /// [`Listing::parse`](crate::rules::iptables_save::Listing::parse).
    pub fn admit_size(self, ruleset: &Source) -> Result<(), InputError> {
        size::admit(self, ruleset)
    }
}
