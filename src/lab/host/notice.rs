//! What the user should know while a run waits for others: said once, through whatever the command line has set for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static SAY: OnceLock<fn(&str)> = OnceLock::new();
static SAID: AtomicBool = AtomicBool::new(false);

/// Sets who passes notices on. Without it nothing is said.
pub fn pass_notices_to(say: fn(&str)) {
    let _ = SAY.set(say);
}

/// Says that this run waits; a second notice of the same run is not passed on.
pub fn say_once(text: impl FnOnce() -> String) {
    if let Some(say) = SAY.get()
        && !SAID.swap(true, Ordering::Relaxed)
    {
        say(&text());
    }
}
