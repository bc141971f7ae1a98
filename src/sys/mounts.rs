//! Attributes of mounts: mount_setattr(2), which neither std nor nix has.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;

/// The mounts that a change affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One mount.
    Mount,
    /// A mount and all mounts below it.
    Tree,
}

/// Sets and clears attributes (`MOUNT_ATTR_*`) of the mount at `path`. Linux before 5.12 has no such call (ENOSYS).
pub fn set_attributes(path: &Path, reach: Reach, set: u64, clear: u64) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = if reach == Reach::Tree { libc::AT_RECURSIVE } else { 0 };
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    // SAFETY: a path that ends with NUL, and a whole `mount_attr` of the given size, both alive until the call returns.
    let status = unsafe {
        let size = size_of_val(&attributes);
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path.as_ptr(), flags, &raw const attributes, size)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
