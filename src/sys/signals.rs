//! Signals that end the program: SIGINT, SIGTERM and SIGHUP.
//!
//! While there is no lab, the handler itself ends the process. While labs exist, it wakes a thread that removes them
//! first ([`SignalReceiver`]). A second signal ends the process at once, in every state.

use std::ffi::c_int;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering::SeqCst};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The signals, with the message for each.
const ENDING: [(Signal, &str); 3] = [
    (Signal::SIGINT, "error: could not measure: interrupted by SIGINT: the run is not complete\n"),
    (Signal::SIGTERM, "error: could not measure: interrupted by SIGTERM: the run is not complete\n"),
    (Signal::SIGHUP, "error: could not measure: interrupted by SIGHUP: the run is not complete\n"),
];

/// The exit status of a run that is not complete.
const INCOMPLETE: c_int = 3;

/// The time in which two signals count as one, in milliseconds: timeout(1) sends its signal to the process and to its
/// group.
const ONE_SIGNAL: i64 = 100;

/// The first signal; 0 before it.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// The time of the first signal, in milliseconds; 0 before it.
static SINCE: AtomicI64 = AtomicI64::new(0);
/// True if a thread waits for it.
static WATCHED: AtomicBool = AtomicBool::new(false);
/// The pipe that wakes the thread.
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// True if the interruption was reported.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Installs the handlers. To be called before all other code.
pub fn install() -> io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for (signal, _) in ENDING {
        // SAFETY: `on_signal` calls what signal-safety(7) lists, reads and writes atomic integers, and keeps errno.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// The signal that arrived, if any.
pub fn arrived() -> Option<&'static str> {
    Signal::try_from(FIRST.load(SeqCst)).ok().map(Signal::as_str)
}

/// True for the first caller, which reports the interruption.
pub fn is_first_report() -> bool {
    !TOLD.swap(true, SeqCst)
}

/// The receiver of the first signal.
pub struct SignalReceiver(PipeReader);

impl SignalReceiver {
    /// Opens it.
    pub fn open() -> io::Result<SignalReceiver> {
        let (reader, writer): (PipeReader, PipeWriter) = io::pipe()?;
        WAKE.store(writer.into_raw_fd(), SeqCst);
        Ok(SignalReceiver(reader))
    }

    /// Waits for the signal; returns its name.
    pub fn wait(&mut self) -> &'static str {
        while arrived().is_none() {
            let _ = self.0.read(&mut [0]);
        }
        arrived().unwrap_or_default()
    }
}

/// Assigns the first signal to the waiting thread, or to the handler again.
pub fn leave_to_watch(watched: bool) {
    WATCHED.store(watched, SeqCst);
}

/// Ends the process at once, without destructors.
pub fn end() -> ! {
    end_by(FIRST.load(SeqCst))
}

extern "C" fn on_signal(number: c_int) {
    let errno = nix::errno::Errno::last_raw();
    let now = milliseconds();
    if FIRST.compare_exchange(0, number, SeqCst, SeqCst).is_ok() {
        SINCE.store(now, SeqCst);
        if !WATCHED.load(SeqCst) {
            end_by(number);
        }
        wake(WAKE.load(SeqCst));
    } else if ![0, now].contains(&SINCE.load(SeqCst)) && now - SINCE.load(SeqCst) > ONE_SIGNAL {
        // SAFETY: see _exit(2); the status is the one that shells give to a process that a signal killed.
        unsafe { libc::_exit(128 + number) }
    }
    nix::errno::Errno::set_raw(errno);
}

fn milliseconds() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a whole `timespec` of this frame; see clock_gettime(2).
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    #[allow(clippy::useless_conversion)] // 32 bits on ARMv7
    let (seconds, nanoseconds) = (i64::from(time.tv_sec), i64::from(time.tv_nsec));
    seconds * 1000 + nanoseconds / 1_000_000
}

fn wake(pipe: RawFd) {
    // SAFETY: one byte of a constant; an invalid descriptor is an error, which changes nothing.
    unsafe { libc::write(pipe, c"!".as_ptr().cast(), 1) };
}

fn end_by(number: c_int) -> ! {
    if is_first_report() {
        ENDING.iter().filter(|(signal, _)| *signal as c_int == number).for_each(|(_, text)| report(text));
    }
    // SAFETY: see _exit(2).
    unsafe { libc::_exit(INCOMPLETE) }
}

/// Writes to standard error, if that does not block.
fn report(text: &str) {
    let mut poll = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid `pollfd`, as its count says; see poll(2).
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    if ready == 1 && poll.revents & libc::POLLOUT != 0 {
        // SAFETY: the bytes of a constant, and their number.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
}
