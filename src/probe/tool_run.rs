//! The frames between a tool and the host over a relay, with the result of each: facts that the lab records and reports
//! print.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use crate::probe::observation::LogRecord;
use crate::probe::path::{Fate, Path};
use crate::probe::scan::FilterVerdict;
use crate::wire::frame::Direction;

/// All observations of a tool.
#[derive(Debug, Clone)]
pub struct ToolRun {
    /// Every frame, in the order in which the relay passed it on.
    pub frames: Vec<RelayedFrame>,
    /// Packets that the host sent and its own rules held back.
    pub held_back: Vec<WithheldFrame>,
    /// The way the tool ended.
    pub status: ToolStatus,
    /// The run time of the tool.
    pub elapsed: Duration,
}

/// A frame that was passed on.
#[derive(Debug, Clone)]
pub struct RelayedFrame {
    /// The time, since 1970-01-01 00:00:00 UTC.
    pub at: Duration,
    /// The direction, as seen from the host.
    pub direction: Direction,
    /// The whole frame, from its Ethernet header on.
    pub bytes: Vec<u8>,
    /// For a frame of the host: the index of the frame that it was processing; `None` if a timer sent it.
    pub cause: Option<usize>,
    /// Its path through the rules; `None` for a frame that is not IP, for a packet that the kernel discarded before any
    /// rule, and without known paths.
    pub path: Option<Arc<Path>>,
    /// The verdict of the filter, if it is known.
    pub verdict: Option<FilterVerdict>,
    /// The log lines that it caused, in order.
    pub log: Vec<LogRecord>,
}

/// A packet of the host that did not reach the link.
#[derive(Debug, Clone)]
pub struct WithheldFrame {
    /// The index of the frame that the host was processing when it sent this packet.
    pub cause: Option<usize>,
    /// Its path through the rules.
    pub path: Arc<Path>,
    /// The log lines that it caused, in order.
    pub log: Vec<LogRecord>,
}

impl RelayedFrame {
    /// The end of its path, if it is known.
    pub fn fate(&self) -> Option<Fate> {
        self.path.as_ref().map(|path| path.fate)
    }
}

/// The way a tool ended.
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
