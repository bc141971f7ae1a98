//! The runtime of a command that builds labs, and how a signal ends its work.

use std::sync::RwLock;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::interrupt::Cancellable;
use crate::error::{CannotMeasure, Context, Result};
use crate::lab;

/// Does `work`, in a user namespace where this user has no lab without it. A signal ends it: no further lab is begun, and
/// those that stand are torn down in their own order.
pub fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // Before there is a second thread.
    lab::enter_user_namespace()?;
    interruptible_here(work)
}

/// As [`interruptible`], for work that blocks its thread.
pub fn interruptible_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    lab::enter_user_namespace()?;
    interruptible_blocking_here(work)
}

/// As [`interruptible_blocking`], with what the user may do as it is.
pub fn interruptible_blocking_here<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    interruptible_here(async {
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    })
}

fn interruptible_here<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = start()?;
    let cancellable = Cancellable::begin()?;
    let found = runtime.block_on(async {
        tokio::select! {
            found = work => found,
            signal = cancellable.cancelled() => Err(CannotMeasure::Interrupted(signal).into()),
        }
    });
    // Waits for the labs that still stand; after a signal, until the process ends itself.
    drop(runtime);
    found
}

fn start() -> Result<Runtime> {
    lab::assert_room_for_files()?;
    assert_room_for_threads()?;
    Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start the runtime")
}

/// The runtime's two, one for what blocks, and a lab's: without them tokio panics, or waits for ever.
const THREADS: usize = 4;

/// All of them at a time, and gone behind it.
fn assert_room_for_threads() -> Result<()> {
    let operation = "start the threads that the runtime takes (`ulimit -u` and `ulimit -v` tell how many there may be)";
    let gate = RwLock::new(());
    thread::scope(|scope| {
        let closed = gate.write();
        let start = |_| thread::Builder::new().spawn_scoped(scope, || drop(gate.read())).context(operation);
        let started = (0..THREADS).map(start).collect::<Result<Vec<_>>>();
        drop(closed);
        started?.into_iter().for_each(|thread| thread.join().expect("it does nothing that could panic"));
        Ok(())
    })
}
