//! Hostile input for every command; a test program of its own, since it measures the memory of all its children.

#[path = "../support/mod.rs"]
mod support;

mod alone;
mod attacks;
mod witness;
