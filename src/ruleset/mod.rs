//! To be written.
pub mod hostile;
