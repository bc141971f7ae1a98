//! The observations of one probe: facts that the lab collects and reports print.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::probe::note::{self, Copied, Note};
use crate::probe::path::Path;
use crate::probe::scan::{self, FilterVerdict, PortState, Technique, Verdict};
use crate::wire::frame::Frame;

/// The observations of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Port state and reason.
    pub verdict: Verdict,
    /// Log lines that the probe itself caused, in order.
    pub log: Vec<LogRecord>,
    /// Log lines caused by later packets of the exchange: the RST that closes a half-open connection, the rest of a
    /// connect.
    pub followup: Vec<LogRecord>,
    /// The probe's path through the rules; `None` unless the lab watches paths.
    pub path: Option<Arc<Path>>,
    /// The path of the host's answer to it, if it sent one.
    pub answer_path: Option<Arc<Path>>,
    /// The paths of later packets of the exchange.
    pub followup_paths: Vec<Arc<Path>>,
    /// The verdict of the filter on the probe; `None` unless the lab watches paths.
    pub filter: Option<FilterVerdict>,
    /// The progress of a connect; `None` for other techniques, and without a SYN/ACK.
    pub connection: Option<ConnectProgress>,
    /// Facts that the verdict does not show.
    pub notes: Vec<Note>,
    /// The frames of the probe, of the answer and of later packets, in order; empty unless the lab records them.
    pub frames: Vec<Frame>,
}

/// A line of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogRecord {
    /// The rule's own prefix, byte for byte.
    pub prefix: String,
    /// The line, prefix included, without time stamp and level.
    pub line: String,
}

/// The progress of a connect after the SYN/ACK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Connection")]
pub struct ConnectProgress {
    /// True if the service got the connection: the third segment of the handshake arrived.
    pub accepted: bool,
    /// The greeting of the service, as the client read it.
    pub greeting: String,
}

impl Observation {
    /// The paths of all packets: probe, answer, and later packets.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.path.iter().chain(&self.answer_path).chain(&self.followup_paths).map(AsRef::as_ref)
    }

    /// Adds the notes that follow from the verdict and the paths. If one rule copies two packets, the first gets the
    /// note.
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

    /// Removes the facts that only a lab with paths observes.
    pub fn without_paths(&mut self) {
        (self.path, self.answer_path, self.filter) = (None, None, None);
        self.followup_paths.clear();
    }

    /// The observation of a probe without any reply.
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
