//! The confinement of a tool that is not trusted: it may use raw sockets in its own network namespace, and read files.
//!
//! 1. Its own namespaces for mounts, IPC, host name, cgroups, processes and network.
//! 2. A read-only file system, without set-user-ID programs and devices. `/tmp`, `/var/tmp`, `/run` and `/dev/shm` are
//!    empty, `/dev` has the usual harmless devices, `/sys` and `/proc` are those of its own namespaces.
//! 3. `CAP_NET_RAW` and no other capability, no_new_privs, no inherited file descriptor above 2:
//!    [`crate::sys::sandbox`].
//! 4. No system call that changes any of this, or circumvents it: [`filter`].
//!
//! It may still read every file that its user may read, and use as much processor time and memory as that user.

#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")),
    path = "sandbox/no_filter.rs"
)]
mod filter;

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::libc::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::namespace::Isolated;
use crate::error::{Context, Result};
use crate::sys::mounts::{Reach, set_attributes};

pub use filter::compiled as filters;

/// Folders that are empty for a tool: other programs keep their sockets and temporary files there.
const EMPTIED: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/var/run"];

/// The devices in the `/dev` of a tool.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Makes the file system read-only for this thread, and for the programs that it starts, except below the `writable`
/// folders. The working directory stays the same, wherever it is.
pub fn enclose(isolated: &Isolated, writable: &[PathBuf]) -> Result<()> {
    isolated.assert("the tool's file system")?;
    let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    unshare(own | CloneFlags::CLONE_NEWCGROUP).context("make the tool's namespaces")?;
    make_mounts_private()?;
    let here = env::current_dir().context("find the working directory")?;
    let kept: Vec<OpenPath> =
        std::iter::once(&here).chain(writable).map(|path| OpenPath::open(path)).collect::<Result<_>>()?;
    let devices = DEVICES.map(|name| OpenPath::open(&Path::new("/dev").join(name)).ok());
    make_read_only()?;
    mount_sys();
    EMPTIED.iter().try_for_each(|folder| empty(Path::new(folder)))?;
    fill_dev(devices.into_iter().flatten())?;
    kept.iter().try_for_each(OpenPath::restore)?;
    writable.iter().try_for_each(|folder| set(folder, Reach::Mount, 0, MOUNT_ATTR_RDONLY))?;
    // The old one may be hidden by a mount now.
    env::set_current_dir(&here).context("enter the working directory")
}

/// A file or folder that is kept open, because a mount will hide its path.
struct OpenPath {
    path: PathBuf,
    file: File,
}

impl OpenPath {
    fn open(path: &Path) -> Result<OpenPath> {
        let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path);
        Ok(OpenPath { path: path.to_owned(), file: file.context(format!("open {}", path.display()))? })
    }

    /// Mounts a folder at its old path.
    fn restore(&self) -> Result<()> {
        if fs::metadata(&self.path).is_err() {
            fs::create_dir_all(&self.path).context(format!("make {}", self.path.display()))?;
        }
        self.bind()
    }

    /// Mounts a device at its old path, in an empty `/dev`.
    fn restore_device(&self) -> Result<()> {
        File::create(&self.path).context(format!("make {}", self.path.display()))?;
        self.bind()?;
        set(&self.path, Reach::Mount, 0, MOUNT_ATTR_NODEV)
    }

    fn bind(&self) -> Result<()> {
        let source = format!("/proc/thread-self/fd/{}", self.file.as_raw_fd());
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        let bound = mount(Some(source.as_str()), &self.path, None::<&str>, flags, None::<&str>);
        bound.context(format!("show {} to the tool", self.path.display()))
    }
}

/// Stops the propagation of mounts between the tool and the machine, in both directions.
fn make_mounts_private() -> Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("make the tool's mounts private")
}

fn make_read_only() -> Result<()> {
    set(Path::new("/"), Reach::Tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0)
}

/// Mounts the `/sys` of this namespace, with its links only. If the kernel has hidden parts of `/sys`, it refuses; the
/// old one then stays, read-only.
fn mount_sys() {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>);
}

/// Hides the content of a folder, but for its symbolic links: NixOS has its programs at /run/current-system.
fn empty(folder: &Path) -> Result<()> {
    if !fs::symlink_metadata(folder).is_ok_and(|folder| folder.is_dir()) {
        return Ok(());
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let links: Vec<(PathBuf, PathBuf)> = entries.filter_map(|path| Some((fs::read_link(&path).ok()?, path))).collect();
    mount_tmpfs(folder, "mode=1777")?;
    let is_temporary = folder.ends_with("tmp");
    for (target, path) in links.into_iter().filter(|_| !is_temporary) {
        symlink(target, &path).context(format!("make {}", path.display()))?;
    }
    Ok(())
}

fn fill_dev(devices: impl Iterator<Item = OpenPath>) -> Result<()> {
    let dev = Path::new("/dev");
    mount_tmpfs(dev, "mode=755")?;
    for device in devices {
        device.restore_device()?;
    }
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(Path::new("/proc/self").join(target), dev.join(name)).context("fill the tool's /dev")?;
    }
    fs::create_dir(dev.join("shm")).context("fill the tool's /dev")?;
    mount_tmpfs(&dev.join("shm"), "mode=1777")?;
    set(dev, Reach::Mount, MOUNT_ATTR_RDONLY, 0)
}

fn mount_tmpfs(folder: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted = mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some(options));
    mounted.context(format!("mount an empty {}", folder.display()))
}

/// Sets and clears attributes, one mount at a time on kernels without [`set_attributes`].
fn set(path: &Path, reach: Reach, set: u64, clear: u64) -> Result<()> {
    match set_attributes(path, reach, set, clear) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => remount(path, reach, set, clear),
        changed => changed,
    }
    .context(format!("change how {} is mounted for the tool", path.display()))
}

/// Does the same as [`set_attributes`] before Linux 5.12.
fn remount(path: &Path, reach: Reach, set: u64, clear: u64) -> io::Result<()> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo")?;
    for (place, flags) in table.lines().filter_map(mount_of) {
        let is_affected = if reach == Reach::Tree { place.starts_with(path) } else { place == path };
        if is_affected {
            let flags = (flags | flags_of(set)) & !flags_of(clear) | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            match mount(None::<&str>, &place, None::<&str>, flags, None::<&str>) {
                // A mount that is hidden by another one has no path.
                Err(nix::Error::EINVAL | nix::Error::ENOENT) if reach == Reach::Tree => {}
                mounted => mounted?,
            }
        }
    }
    Ok(())
}

/// The mount point and the flags in a line of proc_pid_mountinfo(5).
fn mount_of(line: &str) -> Option<(PathBuf, MsFlags)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let flag = |option| match option {
        "ro" => MsFlags::MS_RDONLY,
        "nosuid" => MsFlags::MS_NOSUID,
        "nodev" => MsFlags::MS_NODEV,
        "noexec" => MsFlags::MS_NOEXEC,
        "noatime" => MsFlags::MS_NOATIME,
        "nodiratime" => MsFlags::MS_NODIRATIME,
        "relatime" => MsFlags::MS_RELATIME,
        _ => MsFlags::empty(),
    };
    Some((unescaped(fields.get(4)?), fields.get(5)?.split(',').map(flag).collect()))
}

/// Decodes spaces, tabs, line ends and backslashes, which the kernel writes as three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (escape, meant) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(escape, meant);
    }
    text.into()
}

fn flags_of(attributes: u64) -> MsFlags {
    let pairs = [
        (MOUNT_ATTR_RDONLY, MsFlags::MS_RDONLY),
        (MOUNT_ATTR_NOSUID, MsFlags::MS_NOSUID),
        (MOUNT_ATTR_NODEV, MsFlags::MS_NODEV),
    ];
    pairs.into_iter().filter(|(attribute, _)| attributes & attribute != 0).map(|(_, flag)| flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read_with_its_flags() {
        let line = "36 35 98:0 / /mnt/a\\040b rw,nosuid,noatime shared:1 - ext3 /dev/root rw,errors=continue";
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOATIME;
        assert_eq!(mount_of(line), Some((PathBuf::from("/mnt/a b"), flags)));
        assert_eq!(mount_of("36 35"), None);
    }
}
