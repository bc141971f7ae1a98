//! Where `run` and `check` report, and in which formats: one to standard output, and any number to files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::whole_file::WholeFile;
use crate::error::{InputError, Result};
use crate::lab::Watch;
use crate::report::{self, Report};

/// How to report, and where to.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// How to report
    #[arg(long, value_enum, default_value_t = RunFormat::Table)]
    format: RunFormat,
    /// Report to a file as well; as often as you like
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = destination)]
    destinations: Vec<Destination>,
    /// Print nothing when all is well, and else only what is mismatched or did not run; files are as without it
    #[arg(long, short)]
    quiet: bool,
}

/// How to report a run.
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
    /// a page to look at, in one file
    Html,
}

/// A file and its format.
#[derive(Debug, Clone)]
struct Destination {
    format: RunFormat,
    path: PathBuf,
}

fn destination(text: &str) -> std::result::Result<Destination, String> {
    let formats = RunFormat::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let names = formats.map(|format| format.get_name().to_owned()).collect::<Vec<_>>().join(", ");
    let unknown = || format!("write FORMAT=FILE, where FORMAT is one of {names}");
    let (format, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(unknown)?;
    if path == "-" {
        return Err(format!("for standard output write --format {format}, and for a file of this name {format}=./-"));
    }
    Ok(Destination { format: RunFormat::from_str(format, true).map_err(|_| unknown())?, path: path.into() })
}

/// The files of a report, which hold nothing yet.
pub struct ReportFiles {
    format: RunFormat,
    quiet: bool,
    files: Vec<(RunFormat, WholeFile)>,
}

impl ReportArguments {
    /// What has to be watched for these formats: only the page shows frames.
    pub fn watch(&self) -> Watch {
        let mut formats = self.destinations.iter().map(|to| to.format).chain([self.format]);
        if formats.any(|format| format == RunFormat::Html) { Watch::Frames } else { Watch::Paths }
    }

    /// Whether nobody but people reads the report.
    pub fn is_for_people(&self) -> bool {
        self.format == RunFormat::Table && self.destinations.is_empty()
    }

    /// Begins every file, so that nothing is measured in vain.
    pub fn begin(&self) -> Result<ReportFiles> {
        self.check_names()?;
        let begin = |to: &Destination| {
            Ok((to.format, WholeFile::begin(&to.path, "name a file in a folder that is there and may be written to")?))
        };
        let (format, quiet) = (self.format, self.quiet);
        Ok(ReportFiles { format, quiet, files: self.destinations.iter().map(begin).collect::<Result<_>>()? })
    }

    /// Of two reports to one file the second would be all that is left. A pipe or a terminal takes as many as there are.
    fn check_names(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        let is_replaced = |to: &&Destination| to.path.metadata().map_or(true, |found| found.is_file());
        let mut files = self.destinations.iter().filter(is_replaced);
        let twice = files.find(|to| !seen.insert(in_its_folder(&to.path)));
        twice.map_or(Ok(()), |to| {
            let problem = format!("two reports go to {}", to.path.display());
            Err(InputError::new(problem, "name a file for each").into())
        })
    }
}

/// The path by which a file is one and the same, there or not.
fn in_its_folder(path: &Path) -> PathBuf {
    if let Ok(there) = path.canonicalize() {
        return there;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    path.file_name().map_or_else(|| path.to_owned(), |name| folder.join(name))
}

impl ReportFiles {
    /// Reports; `table` is the text for people, and `status` what the run will end with.
    pub fn write(self, report: &Report, status: u8, table: impl Fn(&Report) -> String) -> Result<()> {
        for (format, mut file) in self.files {
            // Colours are for terminals.
            file.write(&anstream::adapter::strip_str(&text(report, format, &table)).to_string())?;
            file.keep()?;
        }
        match (self.quiet, self.format) {
            (true, _) if status == 0 => Ok(()),
            (true, RunFormat::Table) => super::print(&report::red_table(report, super::width())),
            // A part of a document is none.
            (true | false, format) => super::print(&text(report, format, &table)),
        }
    }
}

fn text(report: &Report, format: RunFormat, table: impl Fn(&Report) -> String) -> String {
    match format {
        RunFormat::Table => table(report),
        RunFormat::Json => report::to_json(report),
        RunFormat::Junit => report::junit(report),
        RunFormat::Tap => report::tap(report),
        RunFormat::Github => report::github(report),
        RunFormat::Markdown => report::markdown(report),
        RunFormat::Sarif => report::sarif(report),
        RunFormat::Html => report::page(report),
    }
}
