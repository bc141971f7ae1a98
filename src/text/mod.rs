//! Text in general: escaped for terminals, for CI systems, and split into words.

pub(crate) mod ci_escape;
pub mod escape;
pub(crate) mod group;
pub mod words;
