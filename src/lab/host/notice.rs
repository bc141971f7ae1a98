//! Notices for the user while a run waits for others: passed once to the function that the command line has set.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static SAY: OnceLock<fn(&str)> = OnceLock::new();
static SAID: AtomicBool = AtomicBool::new(false);

/// Sets the function that shows notices. Without it they are discarded.
pub fn pass_notices_to(say: fn(&str)) {
    let _ = SAY.set(say);
}

/// Shows a notice that this run waits; a second notice of the same run is discarded.
pub fn say_once(text: impl FnOnce() -> String) {
    if let Some(say) = SAY.get()
        && !SAID.swap(true, Ordering::Relaxed)
    {
        say(&text());
    }
}
