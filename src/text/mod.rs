//! Text in general: escaped for terminals, for CI systems, and split into words.

pub mod ci_escape;
pub mod escape;
pub mod words;
