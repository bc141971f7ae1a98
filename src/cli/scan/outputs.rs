//! The files of `-oN`, `-oX`, `-oG` and `-oA`: written whole or not at all, and known to be writable before the lab is
//! built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::whole_file::WholeFile;
use crate::error::{InputError, Result};

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

/// Where to write.
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

/// Files that are still drafts, and what goes to standard output.
#[derive(Debug)]
pub struct Outputs {
    drafts: Vec<(NmapFormat, WholeFile)>,
    /// The format that goes to standard output, when one was asked for.
    pub standard: Option<NmapFormat>,
}

impl OutputArguments {
    /// Begins every file.
    ///
    /// # Errors
    /// A path that cannot be written, and two reports for standard output.
    pub fn begin(&self) -> Result<Outputs> {
        let mut outputs = Outputs { drafts: Vec::new(), standard: None };
        for (format, path) in self.files()? {
            if path.as_os_str() != "-" {
                outputs.drafts.push((format, WholeFile::begin(&path, "name a file that you may write to")?));
            } else if outputs.standard.replace(format).is_some() {
                return Err(InputError::new("standard output holds one report, not two", "name a file for one").into());
            }
        }
        Ok(outputs)
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

/// Appended, whatever dots the base has.
fn with_suffix(base: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(base);
    path.push(suffix);
    path.into()
}

impl Outputs {
    /// Whether a report in nmap's words is asked for.
    pub fn any(&self) -> bool {
        self.standard.is_some() || !self.drafts.is_empty()
    }

    /// Writes every file, then gives all of them their names.
    pub fn write(mut self, text: impl Fn(NmapFormat) -> String) -> Result<()> {
        for (format, draft) in &mut self.drafts {
            draft.write(&text(*format))?;
        }
        self.drafts.into_iter().try_for_each(|(_, draft)| draft.keep())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn arguments(xml: &Path) -> OutputArguments {
        OutputArguments { output_normal: None, output_xml: Some(xml.into()), output_grepable: None, output_all: None }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.xml");
        fs::write(&path, "old").unwrap();
        let outputs = arguments(&path).begin().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        outputs.write(|_| "new".into()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a.xml"]);
    }

    #[test]
    fn what_is_not_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(arguments(&folder.path().join("a.xml")).begin().unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn an_unwritable_path_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("no/such/a.xml"), folder.path().to_owned()] {
            assert_eq!(arguments(&path).begin().unwrap_err().exit_status(), 2, "{}", path.display());
        }
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_base_keeps_its_dots() {
        let base = Some(PathBuf::from("scan.1"));
        let all = OutputArguments { output_normal: None, output_xml: None, output_grepable: None, output_all: base };
        let files: Vec<_> = all.files().unwrap().into_iter().map(|(_, path)| path.display().to_string()).collect();
        assert_eq!(files, ["scan.1.nmap", "scan.1.xml", "scan.1.gnmap"]);
    }

    #[test]
    fn a_device_is_written_and_not_replaced() {
        arguments(Path::new("/dev/null")).begin().unwrap().write(|_| "text".into()).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
