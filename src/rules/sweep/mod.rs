//! The packets that one ruleset distinguishes: every boundary in it (ports, prefixes, flags, types, protocols) has a
//! packet on either side, fresh and as part of a connection, from the prober, from the host, and over loopback.
//!
//! Pure: this room plans the packets. The lab sends, `findings` concludes.

mod flag_coverage;
mod plan;
mod points;
#[cfg(test)]
mod tests;

pub use flag_coverage::FlagCoverage;
pub use plan::{SweepPlan, foreign_addresses};
