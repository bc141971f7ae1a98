//! Text in general: escaped for terminals, for CI systems, split into words, and wrapped.

pub(crate) mod ci_escape;
pub mod escape;
pub(crate) mod group;
pub mod words;
pub(crate) mod wrap;
