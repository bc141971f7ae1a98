//! Bytes and headers. Knows no rule.

pub(crate) mod bytes;
pub mod discovery;
pub mod dissect;
pub mod frame;
pub mod headers;
pub(crate) mod packet_id;
pub mod reply;
pub(crate) mod tcp_flags;
