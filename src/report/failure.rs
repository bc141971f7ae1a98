//! Errors as a part of a report: input that could not be used, and what kept a lab from measuring. A format for machines
//! has them as the terminal does, so that a broken file leaves an artifact in CI.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Environment, Report};
use crate::error::Error;

/// An error that a command ended with, or that kept one scenario from running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ReportedError {
    /// The file that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The problem.
    pub message: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The exit status of a command that ends with it: 2 for bad input, 3 if nothing could be measured.
    pub status: u8,
}

impl ReportedError {
    /// The facts of `error`; `file` is the one that was read, if the error names no place.
    pub fn new(error: &Error, file: Option<&Path>) -> ReportedError {
        let named = |path: &Path| path.display().to_string();
        let status = error.exit_status();
        match error {
            Error::Input(input) => {
                let place = input.place.as_ref();
                let line_and_column = place.map(|place| place.line_and_column());
                ReportedError {
                    file: place.map(|place| place.source.name.as_path()).or(file).map(named),
                    line: line_and_column.map(|(line, _)| line),
                    column: line_and_column.map(|(_, column)| column),
                    message: input.problem.clone(),
                    hint: input.hint.clone(),
                    status,
                }
            }
            Error::CannotMeasure(why) => {
                let (file, message) = (file.map(named), format!("could not measure: {why}"));
                ReportedError { file, line: None, column: None, message, hint: None, status }
            }
        }
    }

    /// `bad input` or `could not measure`.
    pub fn kind(&self) -> &'static str {
        if self.status == 2 { "bad input" } else { "could not measure" }
    }
}

impl Report {
    /// The report of a command that ended with errors, before it measured anything.
    pub fn of_errors(errors: Vec<ReportedError>) -> Report {
        Report { errors, scenarios: Some(Vec::new()), ..Report::empty(Environment::unmeasured()) }
    }
}
