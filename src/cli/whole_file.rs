//! A file that is there as a whole or not at all. It is begun before any lab is built, so that nothing is measured in vain.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Doing, InputError, Result};

/// A file under a name of its own until it is whole; dropped before that, it is removed. A device, a pipe, and what has its
/// name from `/dev` (`/dev/stdout` may lead to a file that somebody else has open) are written to as they are, since a
/// rename would replace them.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    file: File,
    /// What is written to meanwhile; none for what is not replaced.
    draft: Option<PathBuf>,
}

impl WholeFile {
    /// Begins the file; one that cannot be written is an input error with this `hint`.
    pub fn begin(path: &Path, hint: &'static str) -> Result<WholeFile> {
        let unwritable = |error: io::Error| InputError::new(format!("cannot write {}: {error}", path.display()), hint);
        let is_device = path.starts_with("/dev") || path.starts_with("/proc");
        // A link stays, and what it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let stays = fs::metadata(&path).is_ok_and(|found| is_device || !found.is_file());
        let draft = (!stays).then(|| draft_of(&path));
        let file = match &draft {
            Some(draft) => File::create_new(draft),
            None => File::options().append(true).open(&path),
        };
        Ok(WholeFile { file: file.map_err(unwritable)?, path, draft })
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

    /// Puts the file in its place.
    pub fn keep(mut self) -> Result<()> {
        let Some(draft) = self.draft.as_deref() else { return Ok(()) };
        self.file.sync_all().doing(format!("write {}", self.path.display()))?;
        fs::rename(draft, &self.path).doing(format!("rename {} to {}", draft.display(), self.path.display()))?;
        self.draft = None;
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

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(draft) = &self.draft {
            let _ = fs::remove_file(draft);
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

    const HINT: &str = "name another one";

    fn keep(path: &Path, text: &str) {
        let mut file = WholeFile::begin(path, HINT).unwrap();
        file.write(text).unwrap();
        file.keep().unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kern.log");
        drop(WholeFile::begin(&path, HINT).unwrap());
        assert!(names(folder.path()).is_empty());
        fs::write(&path, "mine").unwrap();
        let mut given_up = WholeFile::begin(&path, HINT).unwrap();
        given_up.write("half").unwrap();
        drop(given_up);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        keep(&path, "whole");
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(names(folder.path()), ["kern.log"]);
    }

    #[test]
    fn devices_and_links_are_not_replaced() {
        keep(Path::new("/dev/null"), "nothing");
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        keep(&link, "whole");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "whole");
    }

    #[test]
    fn what_cannot_be_written_is_an_input_error() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing/kern.log")] {
            let error = WholeFile::begin(&path, HINT).unwrap_err();
            assert_eq!((error.exit_status(), error.to_string().contains(HINT)), (2, true), "{}", path.display());
        }
    }
}
