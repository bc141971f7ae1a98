//! A file that is there as a whole or not at all, known to be writable before a lab is built. What was there before stays
//! until then, and a scanlab that is killed leaves nothing of it.
//!
//! A device, a pipe, and what has its name from `/dev` (`/dev/stdout` may lead to a file that somebody else has open) are
//! written to as they are, since a rename would replace them.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::O_TMPFILE;
use nix::unistd::linkat;

use crate::error::{Doing, InputError, Result};

/// A file that is being written.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    path: PathBuf,
    until_whole: UntilWhole,
}

/// Where the bytes are until the file is whole.
#[derive(Debug)]
enum UntilWhole {
    /// In a file without a name, which goes with its process (`O_TMPFILE`, open(2)).
    Unnamed,
    /// In a file with a name of its own: not every file system has files without.
    Named(PathBuf),
    /// In the file itself.
    InPlace,
}

impl WholeFile {
    /// Begins the file; one that cannot be written is an input error with this `hint`.
    pub fn begin(path: &Path, hint: &'static str) -> Result<WholeFile> {
        // A link stays, and what it leads to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (file, until_whole) = open(path, &target)
            .map_err(|error| InputError::new(format!("cannot write {}: {error}", path.display()), hint))?;
        Ok(WholeFile { file, path: target, until_whole })
    }

    /// Adds text.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.write_all(text.as_bytes()).doing(format!("write {}", self.path.display()))
    }

    /// Says who may read, write and run it.
    pub fn allow(&self, mode: u32) -> Result<()> {
        let allowed = self.file.set_permissions(Permissions::from_mode(mode));
        allowed.doing(format!("set the mode of {}", self.path.display()))
    }

    /// Gives the file its name.
    pub fn keep(mut self) -> Result<()> {
        if matches!(self.until_whole, UntilWhole::InPlace) {
            return Ok(());
        }
        let operation = format!("write {}", self.path.display());
        self.file.sync_all().doing(&operation)?;
        self.name().doing(&operation)
    }

    fn name(&mut self) -> io::Result<()> {
        if matches!(self.until_whole, UntilWhole::Unnamed) {
            // linkat(2) does not replace what is there; rename(2) does.
            let (unnamed, name) = (format!("/proc/self/fd/{}", self.file.as_raw_fd()), draft_of(&self.path));
            linkat(AT_FDCWD, &*unnamed, AT_FDCWD, &name, AtFlags::AT_SYMLINK_FOLLOW)?;
            self.until_whole = UntilWhole::Named(name);
        }
        if let UntilWhole::Named(name) = &self.until_whole {
            fs::rename(name, &self.path)?;
        }
        self.until_whole = UntilWhole::InPlace;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path, target: &Path) -> io::Result<(File, UntilWhole)> {
    let is_device = path.starts_with("/dev") || path.starts_with("/proc");
    if fs::metadata(target).is_ok_and(|found| is_device || !found.is_file()) {
        return Ok((OpenOptions::new().append(true).open(target)?, UntilWhole::InPlace));
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match OpenOptions::new().write(true).custom_flags(O_TMPFILE).open(folder) {
        Ok(file) => Ok((file, UntilWhole::Unnamed)),
        // The file system has none (open(2), ERRORS); or whatever is wrong is wrong with the other way, too.
        Err(_) => {
            let name = draft_of(target);
            Ok((File::create_new(&name)?, UntilWhole::Named(name)))
        }
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let UntilWhole::Named(name) = &self.until_whole {
            let _ = fs::remove_file(name);
        }
    }
}

fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for old in [None, Some("old")] {
            old.iter().for_each(|old| fs::write(&path, old).unwrap());
            let mut draft = WholeFile::begin(&path, "").unwrap();
            draft.write("new").unwrap();
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), old);
            draft.keep().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
            assert_eq!(names(folder.path()), ["a"]);
        }
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(WholeFile::begin(&folder.path().join("a"), "").unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn without_unnamed_files_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let named = |path: &Path| {
            let draft = draft_of(path);
            let file = File::create_new(&draft).unwrap();
            WholeFile { file, path: path.to_owned(), until_whole: UntilWhole::Named(draft) }
        };
        drop(named(&folder.path().join("a")));
        assert!(names(folder.path()).is_empty());
        named(&folder.path().join("a")).keep().unwrap();
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn devices_and_links_are_not_replaced() {
        let mut null = WholeFile::begin(Path::new("/dev/null"), "").unwrap();
        null.write("text").unwrap();
        null.keep().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        let mut draft = WholeFile::begin(&link, "").unwrap();
        draft.write("text").unwrap();
        draft.keep().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    }

    #[test]
    fn what_cannot_be_written_is_an_input_error() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("no/such/a"), folder.path().to_owned()] {
            assert_eq!(WholeFile::begin(&path, "").unwrap_err().exit_status(), 2, "{}", path.display());
        }
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_full_disk_is_told_with_the_name_of_the_file() {
        let error = WholeFile::begin(Path::new("/dev/full"), "").unwrap().write("text").unwrap_err();
        assert_eq!(error.exit_status(), 3);
        assert!(error.to_string().contains("write /dev/full: No space left on device"), "{error}");
    }
}
