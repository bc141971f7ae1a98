//! Bytes and headers. Knows no rule.

pub mod discovery;
pub mod dissect;
pub(crate) mod field;
pub(crate) mod flags;
pub mod frame;
pub mod headers;
pub mod reply;
pub(crate) mod seen;
