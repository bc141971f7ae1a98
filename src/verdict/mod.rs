//! Conclusions from observations: compared with the intent, explained, and gathered into findings.

pub(crate) mod compare;
pub(crate) mod explain;
pub mod findings;
