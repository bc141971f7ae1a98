//! Tests that need no privilege, no kernel feature, and no program but cargo.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod book;
mod cli;
mod debug_text;
mod fuzz;
mod packaging;
mod words;
