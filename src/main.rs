//! The `scanlab` program.
fn main() {}
