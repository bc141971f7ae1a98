//! scanlab (architecture page: to be written)
pub mod error;
pub mod net;
pub mod port;
pub mod reply;
pub mod scan;
