//! Whether this process may open the files that a runtime takes.

use std::fs::File;

use crate::error::{Context, Result};

/// Fewer than a single lab takes, and more than a runtime: without its own files, tokio panics instead of failing.
const FILES: usize = 16;

/// Fails if the limit of open files (`ulimit -n`) leaves no room for a runtime.
pub fn assert_room_for_files() -> Result<()> {
    let open = |_| File::open("/dev/null").context("open the files that the runtime takes");
    (0..FILES).map(open).collect::<Result<Vec<File>>>().map(drop)
}
