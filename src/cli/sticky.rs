//! The real place of an output file: the path is walked one name at a time, so that the file that is checked is the
//! file that is opened, and files of other users in folders that everybody may write to are refused.
//!
//! The rules are those of the kernel's `fs.protected_symlinks`, `fs.protected_regular` and `fs.protected_fifos`
//! (Documentation/admin-guide/sysctl/fs.rst), whether or not they are on: in a sticky folder that others may write to, a
//! link, a file or a pipe is used only if it belongs to this user or to the owner of the folder.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::geteuid;

/// A name in an open folder.
#[derive(Debug)]
pub struct FolderEntry {
    /// The folder.
    pub folder: OwnedFd,
    /// The name in it.
    pub name: OsString,
}

/// The holder of a name.
#[derive(Debug)]
pub enum NameHolder {
    /// The name is free.
    Nothing,
    /// A file, which may be replaced.
    File(FileStat),
    /// A device or a pipe; or a link of procfs, which leads to an open file of a process.
    InPlace(OFlag),
}

/// The treatment of missing folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A missing folder is an error.
    IsAnError,
    /// It is created.
    IsMade,
}

/// The number of links that the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

impl FolderEntry {
    /// Follows `path` up to its last name, and on through links that may be followed.
    pub fn open(path: &Path, missing: Missing) -> io::Result<FolderEntry> {
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(Errno::EISDIR.into());
        }
        let mut left = names(path);
        let mut folder = start(path)?;
        let mut links = 0;
        while let Some(name) = left.pop() {
            let link = link_at(&folder, &name)?;
            match link {
                None if left.is_empty() && name != ".." => return Ok(FolderEntry { folder, name }),
                None => folder = enter(&folder, &name, OFlag::O_NOFOLLOW, missing)?,
                Some(StickyLink::OfProcfs) if left.is_empty() => return Ok(FolderEntry { folder, name }),
                Some(StickyLink::OfProcfs) => folder = enter(&folder, &name, OFlag::empty(), missing)?,
                Some(StickyLink::To(target)) => {
                    links += 1;
                    if links > LINKS {
                        return Err(Errno::ELOOP.into());
                    }
                    if target.is_absolute() {
                        folder = start(&target)?;
                    }
                    left.extend(names(&target));
                }
            }
        }
        Err(Errno::EISDIR.into())
    }

    /// The current holder of the name.
    pub fn look(&self) -> io::Result<NameHolder> {
        let found = match fstatat(&self.folder, &*self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(NameHolder::Nothing),
            found => found?,
        };
        match kind(&found) {
            SFlag::S_IFDIR => Err(Errno::EISDIR.into()),
            // The walk ends only at links of procfs, so another process has just created this one.
            SFlag::S_IFLNK if is_procfs(&self.folder)? => Ok(NameHolder::InPlace(OFlag::empty())),
            SFlag::S_IFLNK => Err(Errno::ELOOP.into()),
            SFlag::S_IFREG => may_use(&self.folder, &found, "file").map(|()| NameHolder::File(found)),
            SFlag::S_IFIFO => may_use(&self.folder, &found, "pipe").map(|()| NameHolder::InPlace(OFlag::O_NOFOLLOW)),
            _ => Ok(NameHolder::InPlace(OFlag::O_NOFOLLOW)),
        }
    }
}

/// Creates `folder` and its parents, by the same walk.
pub fn make_folders(folder: &Path) -> io::Result<()> {
    // The walk enters all folders but the last name.
    FolderEntry::open(&folder.join("file"), Missing::IsMade).map(drop)
}

/// The names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let is_name = |component: &Component| matches!(component, Component::Normal(_) | Component::ParentDir);
    let names = path.components().rev().filter(is_name);
    names.map(|component| component.as_os_str().to_owned()).collect()
}

fn start(path: &Path) -> io::Result<OwnedFd> {
    let folder = if path.is_absolute() { "/" } else { "." };
    Ok(openat(AT_FDCWD, folder, FOLDER, Mode::empty())?)
}

const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

fn enter(folder: &OwnedFd, name: &OsStr, follow: OFlag, missing: Missing) -> io::Result<OwnedFd> {
    let open = || openat(folder, name, FOLDER | follow, Mode::empty());
    match open() {
        Err(Errno::ENOENT) if missing == Missing::IsMade => {
            match mkdirat(folder, name, Mode::S_IRWXU | Mode::S_IRWXG | Mode::S_IRWXO) {
                Ok(()) | Err(Errno::EEXIST) => Ok(open()?),
                Err(error) => Err(error.into()),
            }
        }
        opened => Ok(opened?),
    }
}

enum StickyLink {
    To(PathBuf),
    /// The target text need not be the path of the open file (proc_pid_fd(5)).
    OfProcfs,
}

/// The target of a link; `None` if the name is no link. A link that may not be followed is an error.
fn link_at(folder: &OwnedFd, name: &OsStr) -> io::Result<Option<StickyLink>> {
    let found = match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(None),
        found => found?,
    };
    if kind(&found) != SFlag::S_IFLNK {
        return Ok(None);
    }
    if is_procfs(folder)? {
        return Ok(Some(StickyLink::OfProcfs));
    }
    may_use(folder, &found, "link")?;
    Ok(Some(StickyLink::To(readlinkat(folder, name)?.into())))
}

fn may_use(folder: &OwnedFd, found: &FileStat, what: &str) -> io::Result<()> {
    let above = fstat(folder)?;
    let mode = Mode::from_bits_truncate(above.st_mode);
    let is_shared = mode.contains(Mode::S_ISVTX) && mode.intersects(Mode::S_IWOTH | Mode::S_IWGRP);
    let is_ours = [geteuid().as_raw(), above.st_uid].contains(&found.st_uid);
    if !is_shared || is_ours {
        return Ok(());
    }
    let why = format!("it leads to a {what} of another user in a folder that others may write to");
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

fn is_procfs(folder: &OwnedFd) -> io::Result<bool> {
    Ok(fstatfs(folder)?.filesystem_type() == PROC_SUPER_MAGIC)
}

fn kind(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT
}
