//! The `scanlab` program: see the crate documentation of the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    scanlab::cli::main()
}
