//! Conclusions from observations: compared with the intent, explained, and gathered into findings.

pub mod compare;
pub mod explain;
pub mod findings;
