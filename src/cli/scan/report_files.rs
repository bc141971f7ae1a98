//! The files of `scan --report FORMAT=FILE`. nmap's formats have nmap's own options.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::report_files::RunFormat;
use crate::cli::report_target::{Drafts, ReportTarget, destination, names};
use crate::error::Result;

/// In which formats a scan goes to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// for people
    Table,
    /// for programs: schema 1
    Json,
    /// a page for a browser, in one file
    Html,
    /// SARIF 2.1.0, for code scanning: unreachable rules and lint findings, with --trace
    Sarif,
}

/// Which files.
#[derive(Debug, Args)]
pub struct ScanReportArguments {
    /// Also write a report to FILE, as table, json, html or sarif; repeatable
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = scan_destination)]
    destinations: Vec<ReportTarget<FileFormat>>,
}

impl ScanReportArguments {
    /// True if a report is in this format.
    pub fn has(&self, format: FileFormat) -> bool {
        self.destinations.iter().any(|to| to.format == format)
    }

    /// The files that are written.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.destinations.iter().map(|to| &to.path)
    }

    /// Begins every file; `others` are written as well.
    pub fn begin(&self, others: &[PathBuf]) -> Result<Drafts<FileFormat>> {
        Drafts::begin(&self.destinations, others)
    }
}

fn scan_destination(text: &str) -> std::result::Result<ReportTarget<FileFormat>, String> {
    let format = text.split('=').next().unwrap_or_default();
    destination(text).map_err(|unknown| not_of_a_scan(format).unwrap_or(unknown))
}

/// The reason why a format that other commands have is not available for a scan.
fn not_of_a_scan(format: &str) -> Option<String> {
    let of_a_scan = names::<FileFormat>();
    if FileFormat::from_str(format, true).is_ok() {
        return None;
    }
    if RunFormat::from_str(format, true).is_ok() {
        return Some(format!(
            "{format} reports the results of expectations, and a scan has none (hint: use `scanlab run` or `scanlab \
             check`; the formats of a scan are {of_a_scan})"
        ));
    }
    let option =
        [("nmap", "-oN"), ("xml", "-oX"), ("grepable", "-oG")].into_iter().find(|(name, _)| *name == format)?.1;
    Some(format!("this format has an option of nmap's own (hint: write {option} FILE)"))
}
