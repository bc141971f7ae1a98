//! The kernel's log, read from `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg). A LOG rule prints in the context of
//! the sender of the packet, so the line is there when the fence has been answered.
//!
//! The whole machine shares this log. Labs take turns: between [`KernelLog::lock`] and the drop of the
//! [`KernelLogLock`] no other lab sends probes. A line that is read meanwhile and has the addresses, ports and number
//! of a probe belongs to the probe.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::O_NONBLOCK;
use nix::sys::stat::{major, minor};
use nix::unistd::{Whence, lseek};

use super::fair_lock::{Queue, QueueHead};
use super::lock_holder::Holder;
use crate::error::{CannotMeasure, Context, Error, Result};
use crate::lab::host::lock_folder::LockFolder;
use crate::lab::host::notice;
use crate::log_line::kmsg::KmsgRecord;

const PATH: &str = "/dev/kmsg";

/// The lock file for the turns; `/dev/kmsg` itself can be opened, and so locked, by other users on many machines.
const LOCK: &str = "kernel-log";

/// The longest record that the kernel returns (`PRINTKRB_RECORD_MAX` and its prefix), in bytes, with a margin.
const RECORD_MAX: usize = 16 << 10;

/// An open kernel log.
pub struct KernelLog {
    records: File,
    turns: Option<File>,
    _folder: Arc<LockFolder>,
    buffer: Vec<u8>,
}

/// A lab's turn to use the log; held by one lab of the machine at a time.
pub struct KernelLogLock<'a> {
    log: &'a mut KernelLog,
    lock: Option<Flock<File>>,
    _place: QueueHead<'static>,
}

impl KernelLog {
    /// True if this user may open it, and it is the kernel's log: in a container it may be another file.
    pub fn is_readable() -> bool {
        open().is_ok()
    }

    /// Opens the log at its end.
    pub fn open() -> Result<KernelLog> {
        let records = open()?;
        lseek(&records, 0, Whence::SeekEnd).context(format!("go to the end of {PATH}"))?;
        let folder = LockFolder::of_the_machine()?;
        Ok(KernelLog { records, turns: Some(folder.file(LOCK)?), _folder: folder, buffer: vec![0; RECORD_MAX] })
    }

    /// Reads one record. True if the kernel reports that the record which was next is overwritten.
    pub fn has_been_overrun(&mut self) -> Result<bool> {
        match self.records.read(&mut self.buffer) {
            Ok(0) => Err(at_its_end()),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(true),
            Err(error) => Err(cannot_read(error)),
        }
    }

    /// Waits for the turn of this lab, and skips the records until then.
    pub fn lock(&mut self) -> Result<KernelLogLock<'_>> {
        let Some(place) = QUEUE.wait(PATIENCE) else { return Err(too_late(self.turns.as_ref())) };
        let file = self.turns.take().expect("a turn gives back its file when it ends");
        let lock = self.wait_for_lock(file, &place)?;
        lseek(&self.records, 0, Whence::SeekEnd).context(format!("go to the end of {PATH}"))?;
        Ok(KernelLogLock { log: self, lock: Some(lock), _place: place })
    }

    /// Waits for the lock. flock(2) has no deadline, so it is tried again and again: without delay for the few
    /// milliseconds of a turn, then rarely enough to leave the processors to the labs that have a turn.
    fn wait_for_lock(&mut self, mut file: File, place: &QueueHead) -> Result<Flock<File>> {
        let (mut silence, mut pause) = (Silence::begins(), Duration::from_micros(50));
        let start = Instant::now();
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((file, Errno::EWOULDBLOCK)) => file,
                Err((_, error)) => return Err(error).context(format!("lock {LOCK}")),
            };
            match silence.is_broken(&file, &mut self.records, &mut self.buffer) {
                true => place.extend_deadline(),
                false if silence.since.elapsed() >= PATIENCE => return Err(too_late(Some(&file))),
                false => {}
            }
            if start.elapsed() >= NOTICE
                && let Some(holder) = Holder::find(&file)
            {
                notice::say_once(|| format!("waiting for the kernel log: held by {holder}"));
            }
            thread::sleep(pause);
            pause = (pause + pause / 16).min(Duration::from_millis(2));
        }
    }
}

/// The time limit without a sign of progress from the holder: a turn takes a few milliseconds, so the holder is stopped
/// or dead. The number of labs that take turns does not matter.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time of waiting after which the user gets a notice.
const NOTICE: Duration = Duration::from_secs(1);

/// The labs of this process wait in a queue, and only the first of them tries to take the lock: a hundred threads that
/// do so again and again leave no processor time to the lab that has a turn.
static QUEUE: Queue = Queue::new();

/// The time since the last sign of progress from other labs.
struct Silence {
    since: Instant,
    last_query: Instant,
    holder: Option<Holder>,
}

impl Silence {
    /// The interval at which the kernel is queried for the holder of the lock.
    const INTERVAL: Duration = Duration::from_millis(100);

    fn begins() -> Silence {
        let now = Instant::now();
        Silence { since: now, last_query: now, holder: None }
    }

    /// True if there is a sign of progress: another holder, or new records in the log, unless the holder is stopped.
    fn is_broken(&mut self, lock: &File, records: &mut File, buffer: &mut [u8]) -> bool {
        if self.last_query.elapsed() < Silence::INTERVAL {
            return false;
        }
        self.last_query = Instant::now();
        let holder = Holder::find(lock);
        let is_stopped = holder.as_ref().is_some_and(Holder::is_stopped);
        let is_broken = !is_stopped && (holder != self.holder || is_heard(records, buffer));
        if is_broken {
            self.since = self.last_query;
        }
        self.holder = holder;
        is_broken
    }
}

/// True if there are new records; overwritten ones were new as well.
fn is_heard(records: &mut File, buffer: &mut [u8]) -> bool {
    let is_new = match records.read(buffer) {
        Ok(length) => length > 0,
        Err(error) => error.kind() == ErrorKind::BrokenPipe,
    };
    is_new && lseek(records, 0, Whence::SeekEnd).is_ok()
}

/// The error for a turn that does not come. The first thread in this process's queue tries to take the lock, so all of
/// them wait for the same holder.
fn too_late(file: Option<&File>) -> Error {
    let holder = file
        .and_then(Holder::find)
        .map_or("another program holds it".to_owned(), |holder| format!("{holder} holds it"));
    let what = format!("this lab's turn to use the kernel log ({holder})");
    CannotMeasure::Deadline { what, seconds: PATIENCE.as_secs() }.into()
}

impl KernelLogLock<'_> {
    /// Calls `each` with the text of every kernel record since the last call; records written by programs are skipped.
    pub fn drain(&mut self, mut each: impl FnMut(String)) -> Result<()> {
        loop {
            let length = match self.log.records.read(&mut self.log.buffer) {
                Ok(0) => return Err(at_its_end()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(cannot_read(error)),
            };
            match KmsgRecord::parse(&self.log.buffer[..length]) {
                Some(record) if record.is_from_kernel() => each(record.text),
                _ => {}
            }
        }
    }
}

impl Drop for KernelLogLock<'_> {
    fn drop(&mut self) {
        let lock = self.lock.take().expect("the lock is taken once");
        // Unlocking a locked file cannot fail; if it did, the file would still be closed with the lab.
        self.log.turns = Some(lock.unlock().unwrap_or_else(|(lock, _)| {
            drop(lock);
            unreachable!("flock(LOCK_UN) on an open file")
        }));
    }
}

/// The error of a read. EPIPE means that records were overwritten before they were read.
fn cannot_read(error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe {
        let evidence = format!("{PATH} says that records were overwritten (EPIPE)");
        return CannotMeasure::Loss { instrument: "kernel log", evidence }.into();
    }
    CannotMeasure::System { operation: format!("read {PATH}"), source: error }.into()
}

fn open() -> Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(PATH);
    let file = file.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            CannotMeasure::NoPrivilege { what: "read the kernel log", capability: "CAP_SYSLOG".to_owned() }
        }
        _ => CannotMeasure::System { operation: format!("open {PATH}"), source: error },
    })?;
    let metadata = file.metadata().context(format!("look at {PATH}"))?;
    if !metadata.file_type().is_char_device() || (major(metadata.rdev()), minor(metadata.rdev())) != KMSG {
        return Err(blind("is something else than the kernel's log"));
    }
    Ok(file)
}

/// Major and minor number of the device (Documentation/admin-guide/devices.txt: `11 = /dev/kmsg`). Containers may have
/// another device in its place: `/dev/null` ends at once, `/dev/console` returns what any program writes, `/dev/zero`
/// never ends.
const KMSG: (u64, u64) = (1, 11);

/// The error for an end of file. The kernel's log has none: a reader at its last record waits for the next (or gets
/// EAGAIN).
fn at_its_end() -> Error {
    blind("is at its end, which the kernel's log never is")
}

fn blind(what: &str) -> Error {
    let evidence = format!("{PATH} {what}, as in a container; `--capture nflog` does not need it");
    CannotMeasure::Blind { instrument: "kernel log", evidence }.into()
}
