//! What comes from the input must not steer the terminal.

pub use crate::visible::visible;
