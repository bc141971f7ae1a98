//! The last steps of a child before it becomes an untrusted tool: the rights that it drops. Bare system calls only,
//! since they are made between fork(2) and execve(2).

use std::ffi::{c_int, c_ulong};
use std::io;

use nix::libc;
use seccompiler::BpfProgram;

use super::confinement::{check, keep_capabilities};

/// `CAP_NET_RAW` of capabilities(7).
const NET_RAW: u32 = 13;

/// Drops all rights but raw sockets. An error comes with the step that failed.
pub fn enter(filters: &[BpfProgram]) -> Result<(), (&'static str, io::Error)> {
    let step = |name: &'static str| move |error| (name, error);
    mount_proc().map_err(step("mount its own /proc"))?;
    close_on_exec();
    drop_capabilities().map_err(step("give up capabilities"))?;
    // SAFETY: plain integers; see PR_SET_NO_NEW_PRIVS(2const).
    let no_new_privs = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as c_ulong, ZERO, ZERO, ZERO) };
    check(no_new_privs).map_err(step("set no_new_privs"))?;
    for filter in filters {
        let applied = seccompiler::apply_filter(filter);
        applied.map_err(|_| io::Error::last_os_error()).map_err(step("load a seccomp filter"))?;
    }
    Ok(())
}

/// Keeps other processes of the same user from reading this one's memory.
pub fn hide_memory() {
    // SAFETY: plain integers; see PR_SET_DUMPABLE(2const).
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, ZERO, ZERO, ZERO, ZERO) };
}

const ZERO: c_ulong = 0;

/// Mounts /proc. Only a process in the PID namespace can do that, and it does so in a mount namespace of its own, since
/// the thread that started it still needs the other one.
fn mount_proc() -> io::Result<()> {
    // SAFETY: plain integers; see unshare(2).
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let (name, place) = (c"proc".as_ptr(), c"/proc".as_ptr());
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: constant texts that end with NUL, and no data; see mount(2).
    check(unsafe { libc::mount(name, place, name, flags, std::ptr::null()) }).map(drop)
}

/// Keeps every file descriptor above 2 from the tool.
fn close_on_exec() {
    const FIRST: libc::c_uint = 3;
    /// The highest descriptor under common limits, for Linux before 5.11, where each has to be closed separately.
    const LAST: c_int = 1 << 16;
    // SAFETY: plain integers; see close_range(2).
    let all = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if all == -1 {
        for fd in FIRST as c_int..LAST {
            // SAFETY: plain integers; one that is not open is an error without effect. See F_SETFD(2const).
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Leaves [`NET_RAW`] in each set and no other capability. A capability that is not in the bounding set cannot be
/// regained.
fn drop_capabilities() -> io::Result<()> {
    const MOST: u32 = 64;
    for capability in (0..MOST).filter(|capability| *capability != NET_RAW) {
        // SAFETY: plain integers; a capability that the kernel does not have is an error without effect.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), ZERO, ZERO, ZERO) };
    }
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    // SAFETY: plain integers; see PR_CAP_AMBIENT(2const).
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, ZERO, ZERO, ZERO) })?;
    keep_capabilities(1 << NET_RAW)
}
