//! Scenarios, the checks that they ask for, and the oracle, which derives expectations from the sensor alone.
//!
//! This room and [`rules`](crate::rules) import nothing of each other: an oracle that sees the ruleset shares its bugs.

pub(crate) mod check;
pub(crate) mod embedded;
pub mod expect;
pub(crate) mod explanation;
pub(crate) mod plan;
pub mod scenario;
