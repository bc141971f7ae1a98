//! The reports of `run` and `check`: one on standard output, and any number in files, each with its format.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::report_target::{Drafts, ReportTarget, destination};
use crate::error::{CannotMeasure, Error, Result};
use crate::lab::WatchedEvents;
use crate::report::{self, Report, ReportedError};
use crate::text::ci_escape::Inert;

/// The formats and destinations of reports.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Output format
    #[arg(long, value_enum, default_value_t = RunFormat::Table)]
    format: RunFormat,
    /// Also write a report to FILE; repeatable
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = destination::<RunFormat>)]
    destinations: Vec<ReportTarget<RunFormat>>,
    /// Print only failures; print nothing if everything passed. Report files are unaffected
    #[arg(long, short)]
    quiet: bool,
}

/// The format of a report on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunFormat {
    /// for people
    Table,
    /// for programs: schema 1
    Json,
    /// JUnit's XML, for CI systems
    Junit,
    /// the Test Anything Protocol, version 14
    Tap,
    /// annotations of a GitHub workflow
    Github,
    /// for the summary of a CI job
    Markdown,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// a page for a browser, in one file
    Html,
}

/// Report files without content.
pub struct ReportFiles {
    format: RunFormat,
    quiet: bool,
    files: Drafts<RunFormat>,
}

impl ReportArguments {
    /// The events to record for these formats: only the page shows frames.
    pub fn watch(&self) -> WatchedEvents {
        let mut formats = self.destinations.iter().map(|to| to.format).chain([self.format]);
        if formats.any(|format| format == RunFormat::Html) { WatchedEvents::Frames } else { WatchedEvents::Paths }
    }

    /// True if the report is only for people.
    pub fn is_for_people(&self) -> bool {
        self.format == RunFormat::Table && self.destinations.is_empty()
    }

    /// The files that are written.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.destinations.iter().map(|to| &to.path)
    }

    /// Opens every file before the measurement, so that a bad path costs no measurement.
    pub fn begin(&self) -> Result<ReportFiles> {
        let (format, quiet) = (self.format, self.quiet);
        Ok(ReportFiles { format, quiet, files: Drafts::begin(&self.destinations, &[])? })
    }
}

impl ReportFiles {
    /// Passes the result of a measurement to `then`. An error is written to every report, about `file` if it names no place,
    /// and returned.
    pub fn settle<T>(
        self,
        measured: Result<T>,
        file: Option<&Path>,
        then: impl FnOnce(ReportFiles, T) -> Result<ExitCode>,
    ) -> Result<ExitCode> {
        let error = match measured {
            Ok(measured) => return then(self, measured),
            Err(error) => error,
        };
        // Whoever interrupts a command wants no report, and keeps the files of the run before.
        if !matches!(error, Error::CannotMeasure(CannotMeasure::Interrupted(_))) {
            self.write_all(&Report::of_errors(vec![ReportedError::new(&error, file)]))?;
        }
        Err(error)
    }

    /// Writes a report without a text for people, who read its errors on stderr.
    fn write_all(self, report: &Report) -> Result<()> {
        let none = |_: &Report| String::new();
        self.files.write(|format| text(report, format, none))?;
        if self.format == RunFormat::Table { Ok(()) } else { super::print_inert(&text(report, self.format, none)) }
    }

    /// Writes the reports; `table` makes the text for people, and `status` is the exit status of the run.
    pub fn write(self, report: &Report, status: u8, table: impl Fn(&Report) -> String) -> Result<()> {
        self.files.write(|format| text(report, format, &table))?;
        match (self.quiet, self.format) {
            (true, _) if status == 0 => Ok(()),
            (true, RunFormat::Table) => super::print(&report::failures(report, super::width())),
            // A fragment of JSON, XML or SARIF is no valid document, so `--quiet` does not shorten it.
            (true | false, format) => super::print_inert(&text(report, format, &table)),
        }
    }
}

fn text(report: &Report, format: RunFormat, table: impl Fn(&Report) -> String) -> Inert {
    Inert::new(&match format {
        RunFormat::Table => table(report),
        RunFormat::Json => report::to_json(report),
        RunFormat::Junit => report::junit(report),
        RunFormat::Tap => report::tap(report),
        RunFormat::Github => return Inert::commands(report::github(report)),
        RunFormat::Markdown => report::markdown(report),
        RunFormat::Sarif => report::sarif(report),
        RunFormat::Html => report::page(report),
    })
}
