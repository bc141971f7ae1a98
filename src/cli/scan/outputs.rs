//! The files of `-oN`, `-oX`, `-oG` and `-oA`: written whole or not at all ([`AtomicFile`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::atomic_file::AtomicFile;
use crate::error::{InputError, Result};
use crate::text::ci_escape::Inert;

/// nmap's formats, in the order in which nmap's manual has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NmapFormat {
    /// For people.
    Normal,
    /// For programs.
    Xml,
    /// For grep.
    Grepable,
}

/// The files of nmap's formats.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Write nmap's normal output to a file; `-` is standard output; also -oN FILE
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    output_normal: Option<PathBuf>,
    /// Write nmap's XML to a file; also -oX FILE
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    output_xml: Option<PathBuf>,
    /// Write nmap's grepable output to a file; also -oG FILE
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    output_grepable: Option<PathBuf>,
    /// Write all three to BASE.nmap, BASE.xml and BASE.gnmap; also -oA BASE
    #[arg(long, value_name = "BASE", allow_hyphen_values = true)]
    output_all: Option<PathBuf>,
}

/// Files that are still drafts, and the format for standard output.
#[derive(Debug)]
pub struct Outputs {
    drafts: Vec<(NmapFormat, AtomicFile)>,
    /// The format for standard output, if one was requested.
    pub standard: Option<NmapFormat>,
}

impl OutputArguments {
    /// Begins every file.
    ///
    /// # Errors
    /// If a path cannot be written, or two reports go to standard output.
    pub fn begin(&self) -> Result<Outputs> {
        let mut outputs = Outputs { drafts: Vec::new(), standard: None };
        for (format, path) in self.files()? {
            if path.as_os_str() != "-" {
                outputs.drafts.push((format, AtomicFile::begin(&path, "name a file that you may write to")?));
            } else if outputs.standard.replace(format).is_some() {
                return Err(InputError::new("standard output can have only one report", "name a file for one").into());
            }
        }
        Ok(outputs)
    }

    /// The files that are written.
    pub fn paths(&self) -> Result<Vec<PathBuf>> {
        let files = self.files()?.into_iter().map(|(_, path)| path);
        Ok(files.filter(|path| path.as_os_str() != "-").collect())
    }

    fn files(&self) -> Result<Vec<(NmapFormat, PathBuf)>> {
        let named = [
            (NmapFormat::Normal, &self.output_normal),
            (NmapFormat::Xml, &self.output_xml),
            (NmapFormat::Grepable, &self.output_grepable),
        ];
        let mut files: Vec<_> = named.into_iter().filter_map(|(format, path)| Some((format, path.clone()?))).collect();
        if let Some(base) = &self.output_all {
            if base.as_os_str() == "-" {
                return Err(InputError::new("-oA names three files, not standard output", "name their base").into());
            }
            let suffixes = [(NmapFormat::Normal, ".nmap"), (NmapFormat::Xml, ".xml"), (NmapFormat::Grepable, ".gnmap")];
            files.extend(suffixes.map(|(format, suffix)| (format, with_suffix(base, suffix))));
        }
        Ok(files)
    }
}

/// The base with a suffix appended, even if the base contains dots.
fn with_suffix(base: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(base);
    path.push(suffix);
    path.into()
}

impl Outputs {
    /// True if a report in nmap's words was requested.
    pub fn any(&self) -> bool {
        self.standard.is_some() || !self.drafts.is_empty()
    }

    /// Writes every file, then gives all of them their names.
    pub fn write(mut self, text: impl Fn(NmapFormat) -> Inert) -> Result<()> {
        for (format, draft) in &mut self.drafts {
            draft.write(text(*format).as_str())?;
        }
        self.drafts.into_iter().try_for_each(|(_, draft)| draft.keep())
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_base_keeps_its_dots() {
        let base = Some(PathBuf::from("scan.1"));
        let all = OutputArguments { output_normal: None, output_xml: None, output_grepable: None, output_all: base };
        let files: Vec<_> = all.files().unwrap().into_iter().map(|(_, path)| path.display().to_string()).collect();
        assert_eq!(files, ["scan.1.nmap", "scan.1.xml", "scan.1.gnmap"]);
    }
}
