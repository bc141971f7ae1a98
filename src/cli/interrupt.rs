//! The end by a signal. A command without labs ends in the signal handler. One with labs is cancelled, and has until
//! [`DEADLINE`] to remove them; the process then exits, and the kernel removes the rest.

use std::panic;
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Context, Result};
use crate::lab;
use crate::sys::signals::{self, SignalReceiver};

/// Every command ends within a second. The rest of that second is for the exit of the process, which waits until the
/// kernel has removed its interfaces (`rtnl_lock`).
const DEADLINE: Duration = Duration::from_millis(500);

static CANCELLED: LazyLock<watch::Sender<Option<&'static str>>> = LazyLock::new(|| watch::Sender::new(None));

/// As long as it exists, a signal cancels the work instead of ending the process.
pub struct Cancellable(());

impl Cancellable {
    /// Starts the thread that waits for the signal, unless it is running.
    pub fn begin() -> Result<Cancellable> {
        static IS_STARTED: Mutex<bool> = Mutex::new(false);
        let mut is_started = IS_STARTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !*is_started {
            let watch = SignalReceiver::open().context("watch for signals")?;
            let thread = thread::Builder::new().name("signals".to_owned());
            thread.spawn(move || end_in_time(watch)).context("start the thread that waits for signals")?;
            *is_started = true;
        }
        signals::leave_to_watch(true);
        Ok(Cancellable(()))
    }

    /// Waits for a signal; returns its name.
    pub async fn cancelled(&self) -> &'static str {
        let mut receiver = CANCELLED.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|name| *name) {
            Ok(Some(name)) => name,
            // The sender is static and never dropped.
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        signals::leave_to_watch(false);
    }
}

fn end_in_time(mut watch: SignalReceiver) {
    let name = watch.wait();
    // A thread whose counterpart was cancelled may panic; that is part of the interruption, which is reported once.
    panic::set_hook(Box::new(|_| {}));
    CANCELLED.send_replace(Some(name));
    thread::sleep(DEADLINE);
    lab::give_back_the_settings();
    signals::end()
}
