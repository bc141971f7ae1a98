//! scanlab (architecture page: to be written)
/// The command line.
pub mod cli {
    pub mod vendor;
}
pub mod error;
pub mod expect;
pub mod log_line;
pub mod net;
pub mod port;
pub mod reply;
pub mod ruleset;
pub mod scan;
pub mod scenario;
pub mod sensor;
pub mod vendor;
