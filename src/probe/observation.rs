//! What one probe brought to light: facts, between the lab that finds them and the reports that tell them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::probe::note::{self, Copied, Note};
use crate::probe::path::Path;
use crate::probe::scan::{self, FilterVerdict, PortState, Technique, Verdict};
use crate::wire::frame::Frame;

/// What one probe brought to light.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Port state and reason.
    pub verdict: Verdict,
    /// Log lines that the probe itself caused, in order.
    pub log: Vec<LogRecord>,
    /// Log lines caused by what had to follow it: the RST that closes a half-open connection, the rest of a connect.
    pub followup: Vec<LogRecord>,
    /// The probe's way through the rules; `None` unless the lab watches paths.
    pub path: Option<Arc<Path>>,
    /// The way of the host's answer to it, if it sent one.
    pub answer_path: Option<Arc<Path>>,
    /// The ways of what followed.
    pub followup_paths: Vec<Arc<Path>>,
    /// What the filter did with the probe; `None` unless the lab watches for it.
    pub filter: Option<FilterVerdict>,
    /// How far a connect came; `None` for other techniques, and when there was no SYN/ACK.
    pub connection: Option<ConnectProgress>,
    /// What the verdict does not say.
    pub notes: Vec<Note>,
    /// The frames of the probe, of the answer and of what followed, in order; empty unless the lab records them.
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
#[schemars(rename = "Connection")]
pub struct ConnectProgress {
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

    /// Adds the notes that follow from the verdict and the paths: of two packets that one rule copies the first has one.
    pub fn add_notes(&mut self) {
        let of = |what: Copied, path: &Arc<Path>| note::copies(path).map(|copy| (what, copy)).collect::<Vec<_>>();
        let mut copies: Vec<(Copied, note::Copy)> = Vec::new();
        let probe = self.path.iter().flat_map(|path| of(Copied::Probe, path));
        let answer = self.answer_path.iter().flat_map(|path| of(Copied::Answer, path));
        let followup = self.followup_paths.iter().flat_map(|path| of(Copied::Followup, path));
        for (what, copy) in probe.chain(answer).chain(followup) {
            if !copies.iter().any(|(_, known)| *known == copy) {
                copies.push((what, copy));
            }
        }
        self.notes.extend(copies.into_iter().map(|(what, copy)| Note::Copied { what, copy }));
        if self.verdict.state == PortState::Open {
            self.notes.extend(self.path.as_deref().and_then(Note::of_proxy));
            let is_half_open = self.connection.as_ref().is_some_and(|connection| !connection.accepted);
            self.notes.extend(is_half_open.then_some(Note::HalfOpen));
        }
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
            notes: Vec::new(),
            frames: Vec::new(),
        }
    }
}
