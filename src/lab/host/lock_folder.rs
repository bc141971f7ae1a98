//! The folder with the lock files that runs of one user share: `/run/scanlab` for root, `scanlab` in the runtime folder
//! of an ordinary user (`XDG_RUNTIME_DIR`), and none if that does not exist.
//!
//! A user who may open a file may lock it (flock(2) requires no more), so a lock is safe only where other users cannot
//! open anything:
//!
//! 1. The folder and the one above it belong to the user, other users cannot write to the one above, and have no rights
//!    on the folder itself (0700). It is never a symbolic link.
//! 2. Every run holds a shared lock on the folder. The run that leaves last can make it exclusive, and removes the
//!    folder. A run that starts meanwhile finds the lock held or the folder removed, and tries again.
//! 3. A run that is killed leaves the folder; the kernel releases its locks, and the next run removes the folder when
//!    it ends.
//!
//! Containers that have a `/run` of their own do not see each other's locks.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, access, geteuid, unlinkat};

use super::user_namespace::is_rootless;
use crate::error::{CannotMeasure, Context, Result};
use crate::lab::log::lock_holder::Holder;

/// Root's runtime folder (file-hierarchy(7)).
const OF_ROOT: &str = "/run";

const NAME: &str = "scanlab";

/// The time limit for an operation of another run that takes microseconds; a longer wait means that the run, or the
/// machine, is suspended.
const PATIENCE: Duration = Duration::from_secs(10);

/// The entry of a run in the folder.
#[derive(Debug)]
pub struct LockFolder {
    above: OwnedFd,
    folder: Mutex<Option<Flock<OwnedFd>>>,
    path: PathBuf,
}

/// Sets the runtime folder of an ordinary user. Only the command line reads the environment.
pub fn use_runtime_folder(path: PathBuf) {
    let _ = RUNTIME_FOLDER.set(path);
}

static RUNTIME_FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The entry that all labs of this process share.
static PRESENT: Mutex<Weak<LockFolder>> = Mutex::new(Weak::new());

/// Leaves the folder at the end of the process, even if labs of this process still use it. Nothing can enter
/// afterwards.
pub fn leave_for_good() {
    if let Ok(present) = PRESENT.try_lock() {
        let _ = present.upgrade().map(|folder| folder.leave());
        std::mem::forget(present);
    }
}

impl LockFolder {
    /// True if this user is root, and the folder that all runs of root share can be used. Nothing is changed.
    pub fn is_the_machines() -> bool {
        is_root() && access(OF_ROOT, AccessFlags::W_OK).is_ok()
    }

    /// Enters the folder that all runs of root share. Changes of labs to the machine itself are counted there only.
    pub fn of_the_machine() -> Result<Arc<LockFolder>> {
        if is_root() {
            return LockFolder::enter();
        }
        let what = "take turns at the kernel log, whose locks belong to root; --capture nflog needs none";
        Err(CannotMeasure::NoPrivilege { what, capability: "CAP_DAC_OVERRIDE".to_owned() }.into())
    }

    /// Enters the folder; it is created if missing.
    pub fn enter() -> Result<Arc<LockFolder>> {
        let mut present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = present.upgrade() {
            return Ok(folder);
        }
        let above = if is_root() { Some(Path::new(OF_ROOT)) } else { RUNTIME_FOLDER.get().map(PathBuf::as_path) };
        let none = || io::Error::new(ErrorKind::NotFound, "XDG_RUNTIME_DIR is not set");
        let above = above.ok_or_else(none).context("find a folder for locks")?;
        let folder = Arc::new(LockFolder::enter_in(above)?);
        *present = Arc::downgrade(&folder);
        Ok(folder)
    }

    fn enter_in(above: &Path) -> Result<LockFolder> {
        let path = above.join(NAME);
        let operation = format!("make {} a folder for locks", path.display());
        let deadline = Instant::now() + PATIENCE;
        loop {
            match LockFolder::try_to_enter(above).context(&operation)? {
                LockAttempt::Entered(folder) => return Ok(folder),
                LockAttempt::Busy(folder) if Instant::now() > deadline => return Err(too_late(&path, &folder)),
                LockAttempt::Busy(_) | LockAttempt::Gone => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn try_to_enter(above: &Path) -> io::Result<LockAttempt> {
        let path = above.join(NAME);
        let above = nix::fcntl::open(above, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        is_private(&above, 0o022)?;
        match mkdirat(&above, NAME, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = match openat(&above, NAME, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(LockAttempt::Gone),
            opened => opened?,
        };
        is_private(&folder, 0o077)?;
        let folder = match Flock::lock(folder, FlockArg::LockSharedNonblock) {
            Ok(folder) => folder,
            Err((folder, Errno::EWOULDBLOCK)) => return Ok(LockAttempt::Busy(folder)),
            Err((_, error)) => return Err(error.into()),
        };
        match fstatat(&above, NAME, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) if found.st_ino == fstat(&*folder)?.st_ino => {}
            _ => return Ok(LockAttempt::Gone),
        }
        Ok(LockAttempt::Entered(LockFolder { above, folder: Mutex::new(Some(folder)), path }))
    }

    /// Opens the lock file of this name; it is created if missing.
    pub fn file(&self, name: &str) -> Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match folder.as_ref() {
            Some(folder) => openat(&**folder, name, flags, mode),
            None => Err(Errno::ENOENT),
        };
        Ok(File::from(opened.context(format!("open {}", self.path_of(name).display()))?))
    }

    /// Takes a shared lock on the file of this name. Exclusive locks are held for microseconds only.
    pub fn share(&self, name: &str) -> Result<Flock<File>> {
        let mut file = self.file(name)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            file = match Flock::lock(file, FlockArg::LockSharedNonblock) {
                Ok(lock) => return Ok(lock),
                Err((file, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
                Err((file, Errno::EWOULDBLOCK)) => return Err(too_late(&self.path_of(name), &file)),
                Err((_, error)) => return Err(error).context(format!("lock {}", self.path_of(name).display())),
            };
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The path of the file of this name.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes the folder if no other run uses it. Not atomic: the shared lock is released before the exclusive one is
    /// requested (flock(2), NOTES). So of two runs that leave at once the later one finds no lock but its own.
    fn leave(&self) -> nix::Result<()> {
        let Some(folder) = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        folder.relock(FlockArg::LockExclusiveNonblock)?;
        for name in names(&folder)? {
            unlinkat(&*folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
        }
        unlinkat(&self.above, NAME, UnlinkatFlags::RemoveDir)
    }
}

impl Drop for LockFolder {
    fn drop(&mut self) {
        // Fails if another run uses it; after other errors, the next run tries again.
        let _ = self.leave();
    }
}

/// The result of an attempt to enter.
enum LockAttempt {
    Entered(LockFolder),
    /// Another run is removing it.
    Busy(OwnedFd),
    /// Another run has removed it.
    Gone,
}

fn is_root() -> bool {
    geteuid().is_root() && !is_rootless()
}

/// Checks that `folder` belongs to this user, and gives other users none of the permissions `closed`.
fn is_private(folder: &OwnedFd, closed: u32) -> io::Result<()> {
    let found = fstat(folder)?;
    let why = match found {
        _ if found.st_uid != geteuid().as_raw() => "it, or the folder above it, belongs to another user",
        _ if found.st_mode & closed != 0 => "it, or the folder above it, is open to other users",
        _ => return Ok(()),
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

fn names(folder: &OwnedFd) -> nix::Result<Vec<CString>> {
    let mut folder = Dir::from_fd(folder.try_clone().map_err(|_| Errno::EMFILE)?)?;
    let names = folder.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    let is_a_file = |name: &CString| ![c".", c".."].contains(&name.as_c_str());
    Ok(names.collect::<nix::Result<Vec<_>>>()?.into_iter().filter(is_a_file).collect())
}

fn too_late(path: &Path, lock: impl AsFd) -> crate::error::Error {
    let holder = Holder::find(lock).map_or("another program".to_owned(), |holder| holder.to_string());
    let what = format!("the lock on {} ({holder} holds it)", path.display());
    CannotMeasure::Deadline { what, seconds: PATIENCE.as_secs() }.into()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn enter(above: &Path) -> Result<LockFolder> {
        LockFolder::enter_in(above)
    }

    #[test]
    fn the_last_to_leave_removes_the_folder() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join(NAME);
        let (first, second) = (enter(above.path()).unwrap(), enter(above.path()).unwrap());
        drop(first.share("lock").unwrap());
        drop(first);
        assert!(path.join("lock").exists());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn files_of_a_killed_run_are_removed_by_the_next_run() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join(NAME);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        fs::write(path.join("lock"), "").unwrap();
        drop(enter(above.path()).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_others_may_use_is_refused() {
        let refused = |above: &Path| enter(above).unwrap_err().to_string();
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join(NAME);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(refused(above.path()).contains("open to other users"));
        fs::remove_dir(&path).unwrap();
        symlink("/", &path).unwrap();
        assert!(refused(above.path()).contains("Not a directory"), "{}", refused(above.path()));
        fs::remove_file(&path).unwrap();
        fs::set_permissions(above.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(refused(above.path()).contains("open to other users"));
    }

    /// Each thread acts as a run of its own: it enters, holds an exclusive lock, and leaves.
    #[test]
    fn runs_that_come_and_go_at_once_share_one_folder() {
        let above = tempfile::tempdir().unwrap();
        let inside = Mutex::new(());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let folder = enter(above.path()).unwrap();
                        let file = folder.file("lock").unwrap();
                        if let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                            drop(inside.try_lock().expect("the lock is one and the same"));
                        }
                    }
                });
            }
        });
        assert!(!above.path().join(NAME).exists());
    }
}
