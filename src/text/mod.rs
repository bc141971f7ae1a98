//! Text in general: escaped for terminals, for CI systems, split into words, wrapped, and with numbers.

pub(crate) mod ci_escape;
pub(crate) mod count;
pub mod escape;
pub(crate) mod group;
pub(crate) mod schema_line;
pub mod words;
pub(crate) mod wrap;
