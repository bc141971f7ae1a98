//! The lock file of iptables-legacy: a file without a name, which belongs to the lab alone and ends with it.
//! lab.
//!
//! iptables-legacy locks `/run/xtables.lock` against programs that change the same tables (`xtables_lock` in
//! iptables/xshared.c); an ordinary user may not open that file, and a lab must not create it. In a network namespace
//! of its own no other program needs the lock. A file that every user may open, such as `/dev/null`, is unsuitable: a
//! user who locks it stops the lab.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Context, Result};

/// A file in memory, see memfd_create(2).
#[derive(Debug)]
pub struct PrivateLock {
    file: OwnedFd,
}

impl PrivateLock {
    /// Makes the file.
    pub fn new() -> Result<PrivateLock> {
        let file = memfd_create("xtables.lock", MFdFlags::MFD_CLOEXEC).context("make a lock file for iptables")?;
        Ok(PrivateLock { file })
    }

    /// The environment variable, `NAME=value`, that names the file to a child that inherits it.
    pub fn variable(&self) -> OsString {
        format!("XTABLES_LOCKFILE=/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    /// The file itself.
    pub fn into_file(self) -> OwnedFd {
        self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::OpenOptions;

    use nix::fcntl::{Flock, FlockArg};

    #[test]
    fn every_lock_is_a_lock_of_its_own() {
        let locks = [PrivateLock::new().unwrap(), PrivateLock::new().unwrap()];
        let open = |lock: &PrivateLock| {
            let variable = lock.variable().into_string().unwrap();
            OpenOptions::new().read(true).open(variable.strip_prefix("XTABLES_LOCKFILE=").unwrap()).unwrap()
        };
        let take = |file| Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error);
        let held = locks.each_ref().map(|lock| take(open(lock)).expect("nobody else has it"));
        assert!(take(open(&locks[0])).is_err(), "it is a lock");
        drop(held);
    }
}
