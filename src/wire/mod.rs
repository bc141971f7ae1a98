//! Bytes and headers; this room has no rules.

pub(crate) mod bytes;
pub(crate) mod discovery;
pub mod dissect;
pub(crate) mod frame;
pub mod headers;
pub(crate) mod ip_header;
pub(crate) mod packet_id;
pub mod reply;
pub mod tcp_flags;
