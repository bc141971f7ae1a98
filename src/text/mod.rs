//! Text in general: escaped for terminals, for CI systems, and split into words.

pub mod inert;
pub mod visible;
pub mod words;
