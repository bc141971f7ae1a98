//! A check that this process may open the files that a runtime needs.

use std::fs::File;

use crate::error::{Context, Result};

/// Fewer than a single lab needs, and more than a runtime: if its own files cannot be opened, tokio panics instead of
/// returning an error.
const FILES: usize = 16;

/// Checks that a runtime can open its files.
///
/// # Errors
///
/// If the limit of open files (`ulimit -n`) leaves no room for them.
pub fn assert_room_for_files() -> Result<()> {
    let open = |_| File::open("/dev/null").context("open the files that the runtime needs");
    (0..FILES).map(open).collect::<Result<Vec<File>>>().map(drop)
}
