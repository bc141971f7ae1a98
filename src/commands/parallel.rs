//! Work of several labs at once: each has a thread of its own, since a thread is in one network namespace at a time.

use std::panic::resume_unwind;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Context, Result};

/// Work that has begun.
pub type Begun<'scope, T> = ScopedJoinHandle<'scope, Result<T>>;

/// Begins work beside everything else of the scope.
///
/// # Errors
/// When the machine gives no thread (`ulimit -u`).
pub fn begin<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> Result<Begun<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).context("start the thread of a lab")
}

/// Waits for its end. A panic of the work goes on here.
pub fn end<T>(begun: Begun<T>) -> Result<T> {
    begun.join().unwrap_or_else(|panic| resume_unwind(panic))
}
