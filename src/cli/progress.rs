//! The progress of a long command: a bar on a terminal, elsewhere nothing.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar; removed when dropped.
pub struct StepBar(ProgressBar);

impl StepBar {
    /// A bar that counts `things`.
    pub fn new(things: &str) -> StepBar {
        let target = match stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let style =
            ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {things}  {{elapsed}}, {{eta}} to go"));
        let bar = ProgressBar::with_draw_target(None, target);
        StepBar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Sets the number of steps.
    pub fn begin(&self, count: usize) {
        self.0.set_length(count as u64);
        self.0.enable_steady_tick(Duration::from_millis(100));
    }

    /// Counts `count` more steps.
    pub fn advance(&self, count: usize) {
        self.0.inc(count as u64);
    }
}

impl Drop for StepBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Counts steps that are shorter than reading the clock, and moves the bar now and then. A small number of steps has no
/// bar.
pub struct Steps {
    bar: StepBar,
    taken: AtomicUsize,
}

impl Steps {
    const STRIDE: usize = 1024;

    /// Starts to count `count` `things`.
    pub fn begin(things: &str, count: usize) -> Steps {
        let bar = StepBar::new(things);
        if count > Steps::STRIDE {
            bar.begin(count);
        }
        Steps { bar, taken: AtomicUsize::new(0) }
    }

    /// Counts one more step.
    pub fn take(&self) {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if taken.is_multiple_of(Steps::STRIDE) {
            self.bar.advance(Steps::STRIDE);
        }
    }
}
