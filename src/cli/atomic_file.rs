//! A file that appears whole or not at all, and is known to be writable before a lab is built. An existing file stays
//! until then, and its replacement keeps its mode and owner. [`FolderEntry`] walks the path and refuses entries of
//! other users in folders that everybody may write to.
//!
//! The unfinished file has no name (`O_TMPFILE`, open(2)), so a killed scanlab leaves nothing. Two cases need a
//! temporary name, a *draft*: replacing a file, between linkat(2) and rename(2), since no system call replaces a name
//! by a file without one; and a file system without unnamed files, until the file is complete. A draft is locked
//! (flock(2)) while its writer lives; the next scanlab that writes to the folder removes drafts without a lock.
//!
//! A device, a pipe, and an open file of a process (`/dev/stdout` leads through procfs, perhaps to a file of another
//! process) are written in place, since a rename would replace them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, linkat, unlinkat};

use super::sticky::{FolderEntry, Missing, NameHolder};
use crate::error::{Context, InputError, Result};

/// A file that is being written.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    path: PathBuf,
    spot: FolderEntry,
    until_whole: PendingFile,
    mode: Option<u32>,
    /// The lock of a draft, held while it is written.
    _lock: Option<Flock<File>>,
}

/// The place of the bytes until the file is complete.
#[derive(Debug)]
enum PendingFile {
    /// In a file without a name.
    Unnamed,
    /// In a draft.
    Named(OsString),
    /// In the file itself.
    InPlace,
}

impl AtomicFile {
    /// Opens the file; if it cannot be written, the input error has this `hint`.
    pub fn begin(path: &Path, hint: &'static str) -> Result<AtomicFile> {
        let begun =
            open(path).map_err(|error| InputError::new(format!("cannot write {}: {error}", path.display()), hint))?;
        Ok(begun)
    }

    /// Adds text.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.write_all(text.as_bytes()).context(format!("write {}", self.path.display()))
    }

    /// Sets the mode of a new file. An existing file keeps its mode, and gains the execute bits of `mode`.
    pub fn allow(&mut self, mode: u32) {
        self.mode = Some(mode);
    }

    /// Gives the file its name.
    pub fn keep(mut self) -> Result<()> {
        if matches!(self.until_whole, PendingFile::InPlace) {
            return Ok(());
        }
        let operation = format!("write {}", self.path.display());
        if let Some(mode) = self.mode {
            self.file.set_permissions(Permissions::from_mode(mode)).context(&operation)?;
        }
        self.file.sync_all().context(&operation)?;
        self.name().context(&operation)
    }

    fn name(&mut self) -> io::Result<()> {
        let FolderEntry { folder, name } = &self.spot;
        match self.spot.look()? {
            NameHolder::InPlace(_) => return Err(Errno::EEXIST.into()),
            NameHolder::File(old) => self.resemble(&old)?,
            NameHolder::Nothing if matches!(self.until_whole, PendingFile::Unnamed) => {
                match link(&self.file, &self.spot, name) {
                    // Another run has written the same file in the meantime.
                    Err(Errno::EEXIST) => return self.name(),
                    linked => return Ok(linked?),
                }
            }
            NameHolder::Nothing => {}
        }
        if matches!(self.until_whole, PendingFile::Unnamed) {
            let draft = claim(&self.spot, |draft| link(&self.file, &self.spot, draft))?;
            self.until_whole = PendingFile::Named(draft);
        }
        if let PendingFile::Named(draft) = &self.until_whole {
            renameat(folder, &**draft, folder, &**name)?;
        }
        self.until_whole = PendingFile::InPlace;
        Ok(())
    }

    /// Copies the owner and the mode of the file that it replaces.
    fn resemble(&self, old: &FileStat) -> io::Result<()> {
        let own = self.file.metadata()?;
        if (own.uid(), own.gid()) != (old.st_uid, old.st_gid) {
            fchown(&self.file, Some(old.st_uid), Some(old.st_gid)).map_err(keeps_its_owner)?;
        }
        let may_be_run = self.mode.unwrap_or_default() & 0o111;
        self.file.set_permissions(Permissions::from_mode(old.st_mode & 0o777 | may_be_run))
    }
}

fn keeps_its_owner(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the file that is there has another owner, which it cannot keep: {error}"))
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<AtomicFile> {
    let spot = FolderEntry::open(path, Missing::IsAnError)?;
    let (file, until_whole, lock) = match spot.look()? {
        NameHolder::InPlace(follow) => {
            let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | follow;
            (File::from(openat(&spot.folder, &*spot.name, flags, Mode::empty())?), PendingFile::InPlace, None)
        }
        NameHolder::File(_) | NameHolder::Nothing => {
            let (file, until_whole) = without_a_name(&spot)?;
            // The draft is new, so no other process holds its lock. On a file system without locks no draft is ever
            // removed as stale.
            let lock = lock(file.try_clone()?);
            (file, until_whole, lock)
        }
    };
    Ok(AtomicFile { file, path: path.to_owned(), spot, until_whole, mode: None, _lock: lock })
}

fn without_a_name(spot: &FolderEntry) -> io::Result<(File, PendingFile)> {
    remove_stale(spot);
    let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    match openat(&spot.folder, ".", flags, USUAL) {
        Ok(file) => Ok((File::from(file), PendingFile::Unnamed)),
        // The file system has no unnamed files (open(2), ERRORS). Any other error will recur with a named one, and is
        // reported then.
        Err(_) => named(spot),
    }
}

/// A lock on the file; `None` if another process holds it, or the file system has no locks.
fn lock(file: File) -> Option<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}

fn named(spot: &FolderEntry) -> io::Result<(File, PendingFile)> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = None;
    let draft = claim(spot, |draft| {
        file = Some(openat(&spot.folder, draft, flags, USUAL)?);
        Ok(())
    })?;
    Ok((File::from(file.expect("a draft that was claimed is open")), PendingFile::Named(draft)))
}

/// The usual mode, before the umask.
const USUAL: Mode = Mode::from_bits_truncate(0o666);

fn link(file: &File, spot: &FolderEntry, name: &OsStr) -> nix::Result<()> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, &*unnamed, &spot.folder, name, AtFlags::AT_SYMLINK_FOLLOW)
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let PendingFile::Named(draft) = &self.until_whole {
            let _ = unlinkat(&self.spot.folder, &**draft, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// The number of draft names that are used in a folder; the next scanlab checks all of them for leftovers.
const DRAFTS: u32 = 8;

fn draft(number: u32) -> OsString {
    format!(".scanlab-draft-{number}").into()
}

/// Creates a draft under a free name. If another user holds all the usual ones, it gets an unpredictable name.
fn claim(spot: &FolderEntry, mut make: impl FnMut(&OsStr) -> nix::Result<()>) -> io::Result<OsString> {
    remove_stale(spot);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let unusual = format!(".scanlab-draft-{}-{now}", std::process::id()).into();
    for name in (0..DRAFTS).map(draft).chain([unusual]) {
        match make(&name) {
            Err(Errno::EEXIST) => {}
            made => return Ok(made.map(|()| name)?),
        }
    }
    Err(Errno::EEXIST.into())
}

/// Removes this user's drafts that no process has locked.
fn remove_stale(spot: &FolderEntry) {
    for name in (0..DRAFTS).map(draft) {
        let _ = remove_if_stale(spot, &name);
    }
}

fn remove_if_stale(spot: &FolderEntry, name: &OsString) -> nix::Result<()> {
    let found = fstatat(&spot.folder, &**name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if found.st_uid != geteuid().as_raw() {
        return Ok(());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(&spot.folder, &**name, flags, Mode::empty())?);
    match lock(file) {
        Some(_lock) => unlinkat(&spot.folder, &**name, UnlinkatFlags::NoRemoveDir),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
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
            let mut draft = AtomicFile::begin(&path, "").unwrap();
            draft.write("new").unwrap();
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), old);
            draft.keep().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
            assert_eq!(names(folder.path()), ["a"]);
        }
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        drop(AtomicFile::begin(&folder.path().join("a"), "").unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn without_unnamed_files_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let begin = || {
            let spot = FolderEntry::open(&path, Missing::IsAnError).unwrap();
            let (file, until_whole) = named(&spot).unwrap();
            AtomicFile { file, path: path.clone(), spot, until_whole, mode: None, _lock: None }
        };
        drop(begin());
        assert!(names(folder.path()).is_empty());
        begin().keep().unwrap();
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_file_that_is_replaced_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (old, wanted, new) in [(0o600, None, 0o600), (0o640, Some(0o644), 0o640), (0o644, Some(0o755), 0o755)] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(old)).unwrap();
            let mut draft = AtomicFile::begin(&path, "").unwrap();
            wanted.into_iter().for_each(|mode| draft.allow(mode));
            draft.keep().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, new, "{old:o} {wanted:?}");
        }
    }

    #[test]
    fn a_draft_stays_while_its_writer_lives_and_is_removed_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["a", "b"].map(|name| folder.path().join(name));
        let writer = AtomicFile::begin(&one, "").unwrap();
        let draft = claim(&writer.spot, |draft| link(&writer.file, &writer.spot, draft)).unwrap();
        drop(AtomicFile::begin(&other, "").unwrap());
        assert!(folder.path().join(&draft).exists(), "another run has removed the draft");
        drop(writer);
        drop(AtomicFile::begin(&other, "").unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn devices_and_links_are_not_replaced() {
        let mut null = AtomicFile::begin(Path::new("/dev/null"), "").unwrap();
        null.write("text").unwrap();
        null.keep().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        let mut draft = AtomicFile::begin(&link, "").unwrap();
        draft.write("text").unwrap();
        draft.keep().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_input_error() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("no/such/a"), folder.path().to_owned()] {
            assert_eq!(AtomicFile::begin(&path, "").unwrap_err().exit_status(), 2, "{}", path.display());
        }
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_full_disk_is_told_with_the_name_of_the_file() {
        let error = AtomicFile::begin(Path::new("/dev/full"), "").unwrap().write("text").unwrap_err();
        assert_eq!(error.exit_status(), 3);
        assert!(error.to_string().contains("write /dev/full: No space left on device"), "{error}");
    }
}
