//! `scanlab generate`: the files of a sensor, printed or written.

use std::io;
use std::path::Path;

use super::atomic_file::AtomicFile;
use super::sticky::make_folders;
use crate::error::{InputError, Result};
use crate::rules::generate::{DeployFile, files};
use crate::sensor::SensorFile;

/// The treatment of files that exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// An existing file is an error.
    Keep,
    /// It is replaced: `--force`.
    Replace,
}

/// Prints both rulesets of the sensor file, or writes all its files to the folder `out`: all of them, or none.
pub fn generate(sensor: &Path, out: Option<&Path>, existing: Existing) -> Result<()> {
    let SensorFile { sensor, host, .. } = SensorFile::load(sensor)?;
    let files = files(&sensor, &host);
    match out {
        None => super::print(&both_rulesets(&files)),
        Some(folder) => write(&files, folder, existing),
    }
}

/// The headings are comments, so each part can be piped into its restore program.
fn both_rulesets(files: &[DeployFile]) -> String {
    let rulesets = files.iter().filter(|file| file.path.starts_with("rules."));
    rulesets.map(|file| format!("# ==> {} <==\n{}", file.path, file.text)).collect()
}

fn write(files: &[DeployFile], folder: &Path, existing: Existing) -> Result<()> {
    if existing == Existing::Keep {
        none_exists(files, folder)?;
    }
    no_folder_in_the_way(files, folder)?;
    let drafts: Vec<AtomicFile> =
        files.iter().map(|file| draft(file, &folder.join(file.path))).collect::<Result<_>>()?;
    drafts.into_iter().try_for_each(AtomicFile::keep)
}

fn none_exists(files: &[DeployFile], folder: &Path) -> Result<()> {
    let mut paths = files.iter().map(|file| folder.join(file.path));
    match paths.find(|path| path.symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(path) => {
            let hint = "name another folder with -o, or replace it with --force";
            Err(InputError::new(format!("{} already exists", path.display()), hint).into())
        }
    }
}

/// Refuses a folder in place of a file, which rename(2) does not replace, before the first rename.
fn no_folder_in_the_way(files: &[DeployFile], folder: &Path) -> Result<()> {
    match files.iter().map(|file| folder.join(file.path)).find(|path| path.is_dir()) {
        None => Ok(()),
        Some(path) => {
            Err(InputError::new(format!("{} is a folder", path.display()), "name another folder with -o").into())
        }
    }
}

/// A draft of a file with its whole content.
fn draft(file: &DeployFile, path: &Path) -> Result<AtomicFile> {
    const HINT: &str = "name a folder that you may write to";
    let folder = path.parent().unwrap_or(Path::new(""));
    let unwritable = |error: io::Error| InputError::new(format!("cannot write {}: {error}", path.display()), HINT);
    make_folders(folder).map_err(unwritable)?;
    let mut draft = AtomicFile::begin(path, HINT)?;
    draft.write(&file.text)?;
    draft.allow(if file.executable { 0o755 } else { 0o644 });
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn sensor_in(folder: &Path) -> PathBuf {
        let path = folder.join("sensor.toml");
        fs::write(&path, "[sensor]\nssh = 32232\n").unwrap();
        path
    }

    /// Everything below `folder`, sorted.
    fn listing(folder: &Path) -> Vec<String> {
        let pattern = format!("{}/**/*", folder.display());
        let paths = glob::glob(&pattern).unwrap().flatten().filter(|path| path.is_file());
        paths.map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_folder_gets_every_file_and_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/out");
        generate(&sensor_in(folder.path()), Some(&out), Existing::Keep).unwrap();
        assert_eq!(listing(&out), ["README.md", "etc/network/if-pre-up.d/iptables", "rules.v4", "rules.v6"]);
        let mode = |path| fs::metadata(out.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("etc/network/if-pre-up.d/iptables"), mode("rules.v4")), (0o755, 0o644));
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let (sensor, out) = (sensor_in(folder.path()), folder.path().join("out"));
        fs::create_dir(&out).unwrap();
        fs::write(out.join("rules.v6"), "mine").unwrap();
        let error = generate(&sensor, Some(&out), Existing::Keep).unwrap_err().to_string();
        insta::assert_snapshot!(error.replace(&folder.path().display().to_string(), "FOLDER"), @r#"
        error: FOLDER/out/rules.v6 already exists
         |
         = help: name another folder with -o, or replace it with --force
        "#);
        assert_eq!(listing(&out), ["rules.v6"]);

        generate(&sensor, Some(&out), Existing::Replace).unwrap();
        assert!(fs::read_to_string(out.join("rules.v6")).unwrap().contains("*filter"));
    }

    #[test]
    fn nothing_is_written_when_one_file_cannot_be() {
        let folder = tempfile::tempdir().unwrap();
        let (sensor, out) = (sensor_in(folder.path()), folder.path().join("out"));
        fs::create_dir_all(out.join("README.md")).unwrap();
        let error = generate(&sensor, Some(&out), Existing::Replace).unwrap_err().to_string();
        insta::assert_snapshot!(error.replace(&folder.path().display().to_string(), "FOLDER"), @r#"
        error: FOLDER/out/README.md is a folder
         |
         = help: name another folder with -o
        "#);
        assert!(listing(&out).is_empty());

        fs::remove_dir(out.join("README.md")).unwrap();
        fs::write(out.join("etc"), "a file where a folder has to be").unwrap();
        assert!(generate(&sensor, Some(&out), Existing::Replace).is_err());
        assert_eq!(listing(&out), ["etc"]);
    }

    #[test]
    fn both_rulesets_are_printed_under_headings_that_are_comments() {
        let files = [("rules.v4", "a\n"), ("README.md", "b\n"), ("rules.v6", "c\n")];
        let file = |(path, text): (&'static str, &str)| DeployFile { path, text: text.into(), executable: false };
        assert_eq!(both_rulesets(&files.map(file)), "# ==> rules.v4 <==\na\n# ==> rules.v6 <==\nc\n");
    }
}
