//! `net.netfilter.nf_log_all_netns`: unless it is on, a LOG rule in any namespace but the first prints nothing. It is
//! the one setting of the machine that the lab has to touch, so it is counted, restored, and healed.
//!
//! The sysctl's value and a lock file carry the state:
//!
//! 1. 0 means off; the lab writes [`OURS`], which the kernel reads as "on" and which nobody else would write.
//! 2. Every lab that uses it holds a shared lock on a file of root's [`LockFolder`], which nobody else may open. The lab
//!    that leaves last can make that lock exclusive, and writes 0 again. The kernel drops the locks of a process that is
//!    killed. A lock on the sysctl's own file, which everybody may read, has no effect.
//! 3. [`OURS`] without a lock is what `kill -9` leaves. The next lab, or `scanlab doctor`, restores 0 as it leaves.
//! 4. Any other number was there before, is somebody else's, and stays.
//!
//! A container has no access to this sysctl (it exists in the first network namespace only), unless it was given the
//! machine's network. One that was, and has a `/run` of its own, should use NFLOG: its labs are not counted with those of
//! the machine, and the canaries of a lab whose setting another one took away say that it is blind.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{CannotMeasure, Context, Error, Result};
use crate::lab::host::lock_folder::{self, LockFolder};

const PATH: &str = "/proc/sys/net/netfilter/nf_log_all_netns";

/// "On", and ours: `scanlab` on a telephone's keys, to four digits.
const OURS: i64 = 7226;

/// The lock file's name.
const LOCK: &str = "nf_log_all_netns";

/// The locks of this process, one for each lab; one is as good as another.
static HELD: Mutex<Vec<Flock<File>>> = Mutex::new(Vec::new());

/// Keeps LOG rules printing in every namespace, as long as it lives.
#[derive(Debug)]
pub struct NfLogAllNetns {
    is_held: bool,
    _folder: Arc<LockFolder>,
}

impl NfLogAllNetns {
    /// Whether this user may turn it on.
    pub fn is_writable() -> bool {
        LockFolder::is_the_machines() && open().is_ok()
    }

    /// Turns it on, if it is not. Waits while another run is just turning it off.
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

    /// Gives it back, and says so when that fails. Dropping does the same in silence.
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
        // The value is healed by the next run; there is nobody to tell.
        let _ = self.release();
    }
}

/// Gives back what every lab of this process holds, since the process ends now. No lab can turn it on afterwards. Where a
/// lab waits for the lock just now, nothing is done: the next run heals it.
pub fn give_back() {
    if let Ok(mut held) = HELD.try_lock() {
        held.drain(..).for_each(|lock| drop(unlock(lock)));
        std::mem::forget(held);
        lock_folder::leave_for_good();
    }
}

/// The last one out restores.
fn unlock(lock: Flock<File>) -> Result<()> {
    let mut sysctl = open()?;
    // Not atomic: the shared lock is gone before the exclusive one is asked for (flock(2), NOTES). So of two that
    // leave at once the later one finds no lock but its own, and restores.
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
