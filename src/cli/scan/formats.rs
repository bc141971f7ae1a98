//! The formats of a report on a scan: on standard output, and in files.

use clap::ValueEnum;

use super::ScanOptions;
use super::outputs::{NmapFormat, Outputs};
use super::report_files::FileFormat;
use crate::error::{InputError, Result};
use crate::report::nmap::{self, Addressee, NmapReport};
use crate::report::{self, Report};
use crate::text::escape::visible;
use crate::text::wrap::hanging;

/// The format of a report on a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ScanFormat {
    /// for people
    Table,
    /// as nmap prints it
    Nmap,
    /// as nmap -oX writes it
    Xml,
    /// as nmap -oG writes it
    Grepable,
    /// for programs: schema 1
    Json,
    /// a page for a browser, in one file
    Html,
    /// SARIF 2.1.0, for code scanning: unreachable rules and lint findings, with --trace
    Sarif,
}

/// The report on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StandardOutput {
    Table,
    Json,
    Html,
    Sarif,
    /// As nmap prints it to a terminal.
    Terminal,
    /// As nmap writes it to a file.
    Nmap(NmapFormat),
}

impl StandardOutput {
    pub(super) fn is_of_nmap(self) -> bool {
        matches!(self, StandardOutput::Terminal | StandardOutput::Nmap(_))
    }
}

pub(super) fn standard_format(options: &ScanOptions, outputs: &Outputs) -> Result<StandardOutput> {
    Ok(match (options.format, outputs.standard) {
        (Some(_), Some(_)) => {
            let problem = "standard output can have only one report";
            return Err(InputError::new(problem, "leave out --format, or name a file in place of `-`").into());
        }
        (None, Some(format)) => StandardOutput::Nmap(format),
        (None | Some(ScanFormat::Table), None) => StandardOutput::Table,
        (Some(ScanFormat::Json), None) => StandardOutput::Json,
        (Some(ScanFormat::Html), None) => StandardOutput::Html,
        (Some(ScanFormat::Sarif), None) => StandardOutput::Sarif,
        (Some(ScanFormat::Nmap), None) => StandardOutput::Terminal,
        (Some(ScanFormat::Xml), None) => StandardOutput::Nmap(NmapFormat::Xml),
        (Some(ScanFormat::Grepable), None) => StandardOutput::Nmap(NmapFormat::Grepable),
    })
}

/// Refuses SARIF without `--trace`: such a scan has no result that belongs to a line.
pub(super) fn check_sarif(options: &ScanOptions) -> Result<()> {
    let is_sarif = options.format == Some(ScanFormat::Sarif) || options.files.has(FileFormat::Sarif);
    if !is_sarif || options.trace {
        return Ok(());
    }
    let hint = "add --trace: SARIF lists unreachable rules and lint findings, at file and line";
    Err(InputError::new("without --trace a scan has no results for SARIF", hint).into())
}

pub(super) fn in_file(report: &Report, format: FileFormat, closed: Option<&str>) -> String {
    match format {
        FileFormat::Table => scan_text(report, closed),
        FileFormat::Json => report::to_json(report),
        FileFormat::Html => report::page(report),
        FileFormat::Sarif => report::sarif(report),
    }
}

pub(super) fn in_words_of_nmap(report: &NmapReport, format: NmapFormat) -> String {
    match format {
        NmapFormat::Normal => nmap::normal(report, Addressee::File),
        NmapFormat::Xml => nmap::xml(report),
        NmapFormat::Grepable => nmap::grepable(report),
    }
}

/// The text for people, with a note on closed ports.
pub(super) fn scan_text(report: &Report, closed: Option<&str>) -> String {
    let width = usize::from(crate::cli::width());
    let parts = [
        Some(report::flavours_block(report, crate::cli::width())).filter(|block| !block.is_empty()),
        Some(report::scan_table(report, crate::cli::width())),
        closed.map(|note| hanging("note  ", 6, &visible(note), width)),
        report.findings.as_ref().map(|findings| report::findings_table(findings, crate::cli::width())),
        report.lint.as_ref().map(|lint| report::lint_table(lint, crate::cli::width())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}
