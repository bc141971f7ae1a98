//! `net.netfilter.nf_log_all_netns`: unless it is on, a LOG rule in any namespace but the first prints nothing. It is
//! the one setting of the machine that the lab has to change, so its users are counted and it is restored, also after a
//! crash.
//!
//! The sysctl's value and a lock file carry the state:
//!
//! 1. 0 means off; the lab writes [`OURS`], which the kernel treats as "on" and which no other program is likely to
//!    write.
//! 2. Every lab that uses it holds a shared lock on a file of root's [`LockFolder`], which other users cannot open. The
//!    lab that leaves last can make that lock exclusive, and writes 0 again. The kernel releases the locks of a process
//!    that is killed. A lock on the sysctl's own file, which every user may read, has no effect.
//! 3. [`OURS`] without a lock is the state after `kill -9`. The next lab, or `scanlab doctor`, restores 0 when it
//!    leaves.
//! 4. Any other number was set by another program, and is not changed.
//!
//! A container has no access to this sysctl (it exists in the first network namespace only), unless it shares the
//! machine's network. A container that does, and has a `/run` of its own, should use NFLOG: its labs are not counted
//! with those of the machine, and when another lab resets the setting, only the canaries show that the log is blind.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{CannotMeasure, Context, Error, Result};
use crate::lab::host::lock_folder::{self, LockFolder};

const PATH: &str = "/proc/sys/net/netfilter/nf_log_all_netns";

/// The value for "on" that marks it as ours: `scanlab` on the keys of a telephone, in four digits.
const OURS: i64 = 7226;

/// The lock file's name.
const LOCK: &str = "nf_log_all_netns";

/// The locks of this process, one for each lab; they are interchangeable.
static HELD: Mutex<Vec<Flock<File>>> = Mutex::new(Vec::new());

/// Makes LOG rules print in every namespace until it is dropped.
#[derive(Debug)]
pub struct NfLogAllNetns {
    is_held: bool,
    _folder: Arc<LockFolder>,
}

impl NfLogAllNetns {
    /// True if this user may turn it on.
    pub fn is_writable() -> bool {
        LockFolder::is_the_machines() && open().is_ok()
    }

    /// Turns it on if it is off. Waits while another run turns it off.
    pub fn enable() -> Result<NfLogAllNetns> {
        let mut sysctl = open()?;
        let folder = LockFolder::of_the_machine()?;
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = folder.share(LOCK)?;
        if read(&mut sysctl)? == 0 {
            write(&mut sysctl, OURS)?;
        }
        held.push(lock);
        drop(held);
        Ok(NfLogAllNetns { is_held: true, _folder: folder })
    }

    /// Releases it, and returns the error if that fails. Dropping does the same and ignores the error.
    pub fn disable(mut self) -> Result<()> {
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.is_held) {
            return Ok(());
        }
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.pop().map_or(Ok(()), unlock)
    }
}

impl Drop for NfLogAllNetns {
    fn drop(&mut self) {
        // The next run restores the value; the error cannot be returned here.
        let _ = self.release();
    }
}

/// Releases the locks of all labs of this process, because the process ends now. No lab can turn it on afterwards. If a
/// lab waits for the lock at this moment, nothing is done: the next run restores the value.
pub fn give_back() {
    if let Ok(mut held) = HELD.try_lock() {
        held.drain(..).for_each(|lock| drop(unlock(lock)));
        std::mem::forget(held);
        lock_folder::leave_for_good();
    }
}

/// Releases a lock; the last one restores the value.
fn unlock(lock: Flock<File>) -> Result<()> {
    let mut sysctl = open()?;
    // Not atomic: the shared lock is released before the exclusive one is requested (flock(2), NOTES). So of two runs
    // that leave at once the later one finds no lock but its own, and restores the value.
    match lock.relock(FlockArg::LockExclusiveNonblock) {
        Ok(()) if read(&mut sysctl)? == OURS => write(&mut sysctl, 0),
        Ok(()) | Err(Errno::EWOULDBLOCK) => Ok(()),
        Err(error) => Err(error).context(format!("lock {LOCK}")),
    }
}

fn open() -> Result<File> {
    OpenOptions::new().read(true).write(true).open(PATH).map_err(cannot_open)
}

fn read(file: &mut File) -> Result<i64> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).context(format!("read {PATH}"))?;
    text.trim().parse().map_err(io::Error::other).context(format!("read {PATH}"))
}

fn write(file: &mut File, value: i64) -> Result<()> {
    file.rewind().and_then(|()| write!(file, "{value}")).context(format!("write {value} to {PATH}"))
}

fn cannot_open(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => CannotMeasure::Blind {
            instrument: "kernel log",
            evidence: format!("{PATH} does not exist: this is not the machine's first network namespace"),
        }
        .into(),
        ErrorKind::PermissionDenied => {
            CannotMeasure::NoPrivilege { what: "let LOG rules print", capability: "CAP_NET_ADMIN".to_owned() }.into()
        }
        _ => CannotMeasure::System { operation: format!("open {PATH}"), source: error }.into(),
    }
}
