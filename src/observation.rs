//! What one probe brought to light: facts, between the lab that finds them and the reports that tell them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::frame::Frame;
use crate::path::Path;
use crate::scan::{self, FilterVerdict, Technique, Verdict};

/// What one probe brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Port state and reason.
    pub verdict: Verdict,
    /// Log lines that the probe itself caused, in order.
    pub log: Vec<LogRecord>,
    /// Log lines caused by what had to follow it: the RST that closes a half-open connection, the rest of a connect.
    pub followup: Vec<LogRecord>,
    /// The probe's way through the rules; none unless the lab watches paths.
    pub path: Option<Arc<Path>>,
    /// The way of the host's answer to it, if it sent one.
    pub answer_path: Option<Arc<Path>>,
    /// The ways of what followed.
    pub followup_paths: Vec<Arc<Path>>,
    /// What the filter did with the probe; none unless the lab watches for it.
    pub filter: Option<FilterVerdict>,
    /// How far a connect came; none for other techniques, and when there was no SYN/ACK.
    pub connection: Option<Connection>,
    /// The frames of the probe, of the answer and of what followed, in order; none unless the lab records them.
    pub frames: Vec<Frame>,
}

/// A line of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogRecord {
    /// The rule's own prefix, to the byte.
    pub prefix: String,
    /// The line, prefix included, without time stamp and level.
    pub line: String,
}

/// How far a connect came after the SYN/ACK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Connection {
    /// Whether the service got the connection: the third segment of the handshake went through.
    pub accepted: bool,
    /// What the service said first, as the client read it.
    pub greeting: String,
}

impl Observation {
    /// The ways of all packets: the probe's, the answer's, and of what followed.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.path.iter().chain(&self.answer_path).chain(&self.followup_paths).map(AsRef::as_ref)
    }

    /// Takes out what only a lab that watches paths tells.
    pub fn without_paths(&mut self) {
        (self.path, self.answer_path, self.filter) = (None, None, None);
        self.followup_paths.clear();
    }

    /// What is known of a probe before anything has come of it.
    pub fn silence(technique: Technique) -> Observation {
        Observation {
            verdict: scan::no_response(technique),
            log: Vec::new(),
            followup: Vec::new(),
            path: None,
            answer_path: None,
            followup_paths: Vec::new(),
            filter: None,
            connection: None,
            frames: Vec::new(),
        }
    }
}
