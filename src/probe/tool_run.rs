//! What a tool and the host said to each other over a relay, and what became of every frame: facts, between the lab that
//! records them and the reports that tell them.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crate::probe::observation::LogRecord;
use crate::probe::path::{Fate, Path};
use crate::probe::scan::FilterVerdict;
use crate::wire::frame::Direction;

/// All that was observed of a tool.
#[derive(Debug, Clone)]
pub struct ToolRun {
    /// Every frame, in the order in which the relay passed it on.
    pub frames: Vec<RelayedFrame>,
    /// What the host wanted to send, and its own rules held back.
    pub held_back: Vec<WithheldFrame>,
    /// How the tool ended.
    pub status: ToolStatus,
    /// How long it ran.
    pub elapsed: Duration,
}

/// A frame that was passed on.
#[derive(Debug, Clone)]
pub struct RelayedFrame {
    /// When, since 1970-01-01 00:00:00 UTC.
    pub at: Duration,
    /// Whether the host received or sent it.
    pub direction: Direction,
    /// All of it, from its Ethernet header on.
    pub bytes: Vec<u8>,
    /// Of a frame that the host sent: the one that it was dealing with then, by its place; `None` if a timer sent it.
    pub cause: Option<usize>,
    /// Its way through the rules; `None` for what is no IP, for what the kernel threw away before any rule could see it,
    /// and where paths are not known.
    pub path: Option<Arc<Path>>,
    /// What the filter did with it, as far as that is known.
    pub verdict: Option<FilterVerdict>,
    /// The log lines that it left, in order.
    pub log: Vec<LogRecord>,
}

/// A packet of the host that never came to the link.
#[derive(Debug, Clone)]
pub struct WithheldFrame {
    /// The frame that the host was dealing with when it wanted to send it, by its place.
    pub cause: Option<usize>,
    /// Its way through the rules.
    pub path: Arc<Path>,
    /// The log lines that it left, in order.
    pub log: Vec<LogRecord>,
}

impl RelayedFrame {
    /// Where its way ended, when that is known.
    pub fn fate(&self) -> Option<Fate> {
        self.path.as_ref().map(|path| path.fate)
    }
}

/// How a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolStatus {
    /// By itself, with this exit status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was killed, since it ran longer than this.
    TimedOut(Duration),
}

impl ToolStatus {
    /// Reads a wait status.
    pub fn from_wait(status: i32) -> ToolStatus {
        let status = ExitStatus::from_raw(status);
        match (status.code(), status.signal()) {
            (Some(code), _) => ToolStatus::Exited(code),
            (None, signal) => ToolStatus::Signalled(signal.unwrap_or_default()),
        }
    }
}
