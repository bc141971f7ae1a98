//! What an ordinary user can test: no privilege, no kernel, and nothing installed but cargo.

#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod cli;
mod debug_text;
mod fuzz;
mod packaging;
