//! What looks at the whole machine, or blinds it.

mod host;
mod many;
mod selftest;
