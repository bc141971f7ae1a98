//! The same as nmap: real nmap is the yardstick.

#[path = "../support/mod.rs"]
mod support;

mod dialect;
mod parity;
mod paths;
mod random;
mod techniques;
