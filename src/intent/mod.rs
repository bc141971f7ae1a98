//! Scenarios, their checks, and the oracle, which derives expectations from the sensor alone.
//!
//! This room and [`rules`](crate::rules) import nothing from each other: an oracle that sees the ruleset would share
//! its bugs.

pub(crate) mod check;
pub(crate) mod embedded;
pub mod expect;
pub(crate) mod explanation;
pub(crate) mod plan;
pub mod scenario;
