//! The packets of rules as sets: those that reach a rule after the rules before it, and those that two rulesets treat
//! differently. A claim that something *never* happens ("dead", "no difference", "equivalent", "no other packet is
//! accepted") is about every packet, and a sweep sends some; so such a claim is made only if no sweep contradicts it
//! and the sets prove it.
//!
//! The sets are supersets of the real packets (an unsupported match may succeed or fail, independent of all others), so
//! a proof holds for the real ones. Stateful matches, and those whose result may change on the path, prove nothing.
//! Nothing here decides a verdict: if there is no proof, the set yields a packet, and the lab sends it.

mod arrivals;
mod blocks;
mod compare;
mod describe;
mod led;
mod region;
mod requirement;
mod rule_sets;
mod sets;
mod turned;
mod universe;
mod values;
mod walk;
mod witness;

pub use compare::{SetDifference, compare};
pub use led::Led;
pub use region::{PacketField, Region};
pub use sets::Sets;
pub use turned::{Turned, turned};
pub use universe::Space;
pub use universe::state_places;
pub use values::Values;
pub use walk::Leaf;
pub use witness::{WitnessPacket, of_unicast, witnesses};

/// The maximum number of gaps that are listed.
const GAPS: usize = 64;

/// The error for sets that split into too many parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

#[cfg(test)]
mod tests;
