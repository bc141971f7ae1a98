//! Tests that check the state of the whole machine, or disable its log.

mod host;
mod many;
mod selftest;
