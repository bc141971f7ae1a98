//! `--report FORMAT=FILE`: report files, each in a format of its own, written whole or not at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::atomic_file::AtomicFile;
use crate::error::{InputError, Result};
use crate::text::ci_escape::Inert;

/// A file and its format.
#[derive(Debug, Clone)]
pub struct ReportTarget<F> {
    /// The format.
    pub format: F,
    /// The file.
    pub path: PathBuf,
}

/// Parses `FORMAT=FILE`.
pub fn destination<F: ValueEnum>(text: &str) -> std::result::Result<ReportTarget<F>, String> {
    let unknown = || format!("write FORMAT=FILE, where FORMAT is one of {}", names::<F>());
    let (format, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(unknown)?;
    if path == "-" {
        return Err(format!("for standard output write --format {format}, and for a file of this name {format}=./-"));
    }
    Ok(ReportTarget { format: F::from_str(format, true).map_err(|_| unknown())?, path: path.into() })
}

/// The names of all formats: `table, json`.
pub fn names<F: ValueEnum>() -> String {
    let formats = F::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    formats.map(|format| format.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Files without content.
pub struct Drafts<F>(Vec<(F, AtomicFile)>);

impl<F: Copy> Drafts<F> {
    /// Opens every file before the measurement, so that a bad path costs no measurement. `others` are written as well.
    pub fn begin(destinations: &[ReportTarget<F>], others: &[PathBuf]) -> Result<Drafts<F>> {
        let paths = destinations.iter().map(|to| &to.path);
        check_names(others.iter().chain(paths))?;
        let begin = |to: &ReportTarget<F>| {
            Ok((to.format, AtomicFile::begin(&to.path, "name a file in an existing folder that you may write to")?))
        };
        destinations.iter().map(begin).collect::<Result<_>>().map(Drafts)
    }

    /// Writes every file.
    pub fn write(self, text: impl Fn(F) -> Inert) -> Result<()> {
        for (format, mut file) in self.0 {
            // Colours are for terminals only.
            file.write(&anstream::adapter::strip_str(text(format).as_str()).to_string())?;
            file.keep()?;
        }
        Ok(())
    }
}

/// Refuses two reports to one file, since the second would replace the first. A pipe or a terminal accepts several.
fn check_names<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    let mut seen = BTreeSet::new();
    let is_replaced = |path: &&PathBuf| path.metadata().map_or(true, |found| found.is_file());
    let twice = paths.filter(is_replaced).find(|path| !seen.insert(in_its_folder(path)));
    twice.map_or(Ok(()), |path| {
        Err(InputError::new(format!("two reports go to {}", path.display()), "name a file for each").into())
    })
}

/// The canonical path, whether the file exists or not.
fn in_its_folder(path: &Path) -> PathBuf {
    if let Ok(there) = path.canonicalize() {
        return there;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    path.file_name().map_or_else(|| path.to_owned(), |name| folder.join(name))
}
