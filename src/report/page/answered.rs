//! The answers of `check`, and their verdict.

use crate::commands::predeploy::Assessment;
use crate::report::{Deployment, Report};
use crate::text::count::counted_as;

/// The CSS class of the verdict, and its words.
pub fn verdict(report: &Report) -> (&'static str, String) {
    match report.deployment() {
        Deployment::Safe => ("matched", "Safe to deploy".to_owned()),
        Deployment::FlavoursDiffer => ("mismatched", "Do not deploy: nft and legacy differ".to_owned()),
        Deployment::Unknown { unknown } => {
            let things = counted_as(unknown, "thing", "things");
            ("not-run", format!("Cannot tell: {things} could not be checked"))
        }
        Deployment::Unsafe { reasons } => {
            ("mismatched", format!("Do not deploy: {}", counted_as(reasons, "reason", "reasons")))
        }
    }
}

/// The CSS class of an assessment.
pub fn look(tone: Assessment) -> &'static str {
    match tone {
        Assessment::Bad => "mismatched",
        Assessment::Unknown | Assessment::Note => "not-run",
        Assessment::Good => "matched",
    }
}

/// The word before an answer.
pub fn word(tone: Assessment) -> &'static str {
    match tone {
        Assessment::Bad => "bad",
        Assessment::Unknown => "unknown",
        Assessment::Note => "note",
        Assessment::Good => "ok",
    }
}
