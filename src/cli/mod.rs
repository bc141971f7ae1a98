//! The commands, as the user calls them.

pub mod generate;
pub mod vendor;
