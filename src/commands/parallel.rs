//! Runs several labs at once, each on a thread of its own, since a thread is in one network namespace at a time.

use std::panic::resume_unwind;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Context, Result};

/// Work that was started.
pub type Begun<'scope, T> = ScopedJoinHandle<'scope, Result<T>>;

/// Starts work in parallel to the rest of the scope.
///
/// # Errors
///
/// If the machine permits no further thread (`ulimit -u`).
pub fn begin<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> Result<Begun<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).context("start the thread of a lab")
}

/// Waits for its end, and propagates a panic.
pub fn end<T>(begun: Begun<T>) -> Result<T> {
    begun.join().unwrap_or_else(|panic| resume_unwind(panic))
}
