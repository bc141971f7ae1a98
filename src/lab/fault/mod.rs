//! Faults of the instrument, planted on purpose to see that the lab notices them: [`crate::commands::selftest`] runs them all.
//!
//! Each is planted at the instrument's boundary, and by the kernel itself where that is possible: forged frames leave
//! through the host's interface, the kernel's log is overrun by lines that the kernel printed, and the conntrack table
//! is filled up. Without a fault, none of this code runs.

mod forgery;
mod full_table;
mod log_flood;
mod saboteur;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

pub use full_table::fill as fill_conntrack_table;
pub use saboteur::{FaultInjector, LinkState};

/// A fault of the instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The restore program ends without an error, and no rule is loaded.
    NothingLoaded,
    /// The reader of the kernel's log returns no line.
    BlindLog,
    /// The answer to a probe is preceded by one to an earlier probe of the same ports: a SYN/ACK with another number.
    StaleReply,
    /// The answer to a probe is preceded by the answers to two other fences: an earlier one, and one that is not sent
    /// yet.
    WrongFence,
    /// The answer to a probe is preceded by a RST with its ports and numbers, from an address that was not probed.
    ResetOfAStranger,
    /// The answer to a probe is preceded by a RST from the right address, with numbers that do not fit the probe.
    ResetOutOfWindow,
    /// The kernel's log wraps around between a probe and the reading of its line; where lines come through NFLOG, its
    /// socket has no room for them.
    LogOverrun,
    /// The namespace's conntrack table has no room for a new connection.
    FullConntrack,
    /// The reader of rule traces does not report where routing sent a packet.
    LostRouting,
    /// The socket for rule traces has room for two or three of them.
    LostTrace,
}

impl Fault {
    /// All of them, in the order in which they are run.
    pub const ALL: [Fault; 10] = [
        Fault::NothingLoaded,
        Fault::BlindLog,
        Fault::LostTrace,
        Fault::LostRouting,
        Fault::StaleReply,
        Fault::WrongFence,
        Fault::ResetOfAStranger,
        Fault::ResetOutOfWindow,
        Fault::LogOverrun,
        Fault::FullConntrack,
    ];

    /// Its name in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::NothingLoaded => "nothing loaded",
            Fault::BlindLog => "blind log",
            Fault::LostTrace => "lost trace",
            Fault::LostRouting => "lost routing",
            Fault::StaleReply => "stale reply",
            Fault::WrongFence => "wrong fence",
            Fault::ResetOfAStranger => "RST of a stranger",
            Fault::ResetOutOfWindow => "RST out of window",
            Fault::LogOverrun => "log overrun",
            Fault::FullConntrack => "full conntrack table",
        }
    }
}

/// A fault to plant, and the counters that show that it was planted. They are shared with the code that requests the
/// fault, since a lab that notices the fault returns an error and no other result.
#[derive(Debug)]
pub struct Sabotage {
    /// The fault.
    pub fault: Fault,
    planted: AtomicU64,
    met: AtomicU64,
    declined: OnceLock<String>,
}

impl Sabotage {
    /// A fault that is yet to be planted.
    pub fn new(fault: Fault) -> Arc<Sabotage> {
        Arc::new(Sabotage { fault, planted: AtomicU64::new(0), met: AtomicU64::new(0), declined: OnceLock::new() })
    }

    /// The number of frames, log lines or table entries that were planted.
    pub fn planted(&self) -> u64 {
        self.planted.load(Ordering::Relaxed)
    }

    /// The number of times that the instrument met what was planted. A fault that was never met proves nothing.
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// The reason why the fault cannot be planted on this machine; `None` if it can.
    pub fn declined(&self) -> Option<&str> {
        self.declined.get().map(String::as_str)
    }

    /// Counts `count` planted things.
    pub fn plant(&self, count: u64) {
        self.planted.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts one meeting of the instrument with what was planted.
    pub fn meet(&self) {
        self.met.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the fault cannot be planted here. The first reason is kept.
    pub fn decline(&self, reason: String) {
        let _ = self.declined.set(reason);
    }
}
