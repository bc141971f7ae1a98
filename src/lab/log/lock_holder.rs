//! The holder of a flock(2), from `/proc/locks`, which lists locks by process and file (proc_locks(5)).

use std::fmt;
use std::fs;
use std::os::fd::AsFd;

use nix::sys::stat::{fstat, major, minor};

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    process: u32,
    name: Option<String>,
    is_stopped: bool,
}

impl Holder {
    /// The holder of the lock on `file`; `None` if there is none, or if it is in a container whose processes are not
    /// visible from here.
    pub fn find(file: impl AsFd) -> Option<Holder> {
        let found = fstat(file).ok()?;
        let (device, inode) = (found.st_dev, found.st_ino);
        let name = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
        let process = find(&fs::read_to_string("/proc/locks").ok()?, &name)?;
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let field = |name| status.lines().find_map(|line: &str| line.strip_prefix(name)).map(str::trim);
        let is_stopped = field("State:").is_some_and(|state| state.starts_with(['T', 't']));
        Some(Holder { process, name: field("Name:").map(str::to_owned), is_stopped })
    }

    /// True if it was stopped (SIGSTOP, a debugger), and so makes no progress.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}

/// The process that holds a flock on the file `MAJOR:MINOR:INODE`. A line reads `7: FLOCK  ADVISORY  WRITE 1234
/// 00:05:11 0 EOF`; one with an arrow after its number is that of a waiting process; an invisible process is 0 or -1.
fn find(locks: &str, file: &str) -> Option<u32> {
    let lines = locks.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut held = lines.filter(|fields| fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&file));
    held.find_map(|fields| fields[4].parse().ok().filter(|process| *process > 0))
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { process, name, is_stopped } = self;
        write!(f, "{} with PID {process}", name.as_deref().unwrap_or("a process"))?;
        f.write_str(if *is_stopped { ", which is stopped," } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs::File;

    use nix::fcntl::{Flock, FlockArg};

    #[test]
    fn a_waiting_process_is_not_reported_as_the_holder() {
        let locks = "1: POSIX  ADVISORY  WRITE 17 00:05:11 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 18 00:05:11 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 19 00:05:11 0 EOF\n3: FLOCK  ADVISORY  WRITE 20 00:05:12 0 EOF\n";
        assert_eq!(find(locks, "00:05:11"), Some(19));
        assert_eq!(find(locks, "00:05:13"), None);
    }

    #[test]
    fn the_kernel_names_the_holder_of_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("lock")).unwrap();
        assert_eq!(Holder::find(&file), None);
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
        let holder = Holder::find(&*lock).unwrap();
        assert_eq!((holder.process, holder.is_stopped), (std::process::id(), false));
    }
}
