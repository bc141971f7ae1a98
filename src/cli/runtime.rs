//! The runtime of a command that builds labs, and how a signal ends its work.

use std::sync::RwLock;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::interrupt::Cancellable;
use crate::error::{CannotMeasure, Context, Result};
use crate::lab;

/// Does `work`, in a user namespace if this user can have no lab without one. A signal ends it: no further lab is
/// begun, and existing ones are torn down in their usual order.
pub fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // A user namespace has to be entered before there is a second thread (unshare(2)).
    lab::enter_user_namespace()?;
    interruptible_here(work)
}

/// As [`interruptible`], for work that blocks its thread.
pub fn interruptible_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    lab::enter_user_namespace()?;
    interruptible_blocking_here(work)
}

/// As [`interruptible_blocking`], without entering a user namespace.
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
    // Waits for the labs that still exist; after a signal, until the process ends itself.
    drop(runtime);
    found
}

fn start() -> Result<Runtime> {
    lab::assert_room_for_files()?;
    assert_room_for_threads()?;
    Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start the runtime")
}

/// The runtime's two threads, one for blocking work, and one of a lab: without them tokio panics, or waits for ever.
const THREADS: usize = 4;

/// Starts all of them at the same time, and ends them again.
fn assert_room_for_threads() -> Result<()> {
    let operation = "start the threads that the runtime needs (`ulimit -u` and `ulimit -v` limit their number)";
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
