//! The packets that rules ask for, as sets: what is left of a rule's packets after the rules before it, and the packets
//! that two rulesets treat differently. A claim that something *never* happens ("dead", "no difference", "equivalent",
//! "nothing else is let in") needs every packet, and a sweep sends some; so each such claim is made only if no sweep
//! contradicts it and the sets prove it.
//!
//! The sets hold more packets than there are (a match that is not understood may say yes or no, independent of all
//! others), so that a proof holds for the real ones. Matches with a memory, or whose answer may change on the way, prove
//! nothing. Nothing here decides a verdict: a set from which no proof follows names a packet, and the lab sends it.

mod arrivals;
mod compare;
mod describe;
mod led;
mod region;
mod requirement;
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
pub use witness::{WitnessPacket, number, of_unicast, witnesses};

/// So many gaps are named; more say no more.
const GAPS: usize = 64;

/// Sets that split into more parts than are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

#[cfg(test)]
mod tests;
