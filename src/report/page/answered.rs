//! The answers before a deployment, and the verdict that they come to.

use super::counted;
use crate::predeploy::{Answers, Tone};
use crate::report::Report;

/// The name of the look of the verdict, and its words.
pub fn verdict(report: &Report) -> (&'static str, String) {
    match report.answers.as_ref().map_or(0, Answers::reasons) {
        0 => ("matched", "Safe to deploy".to_owned()),
        reasons => ("mismatched", format!("Do not deploy: {}", counted(reasons, "reason", "reasons"))),
    }
}

/// The name of the look of a tone.
pub fn look(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "mismatched",
        Tone::Note => "not-run",
        Tone::Good => "matched",
    }
}

/// The word before an answer.
pub fn word(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "bad",
        Tone::Note => "note",
        Tone::Good => "ok",
    }
}
