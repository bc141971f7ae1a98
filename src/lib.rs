//! scanlab (architecture page: to be written)
pub mod canary;
pub mod cli;
pub mod discovery;
pub mod error;
pub mod expect;
pub mod lab;
pub mod log_line;
pub mod net;
pub mod phase;
pub mod port;
pub mod probe;
pub mod reply;
pub mod ruleset;
pub mod scan;
pub mod scenario;
pub mod sensor;
mod sys;
pub mod vendor;
