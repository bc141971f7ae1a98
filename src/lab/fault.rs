//! Faults of the instrument, planted on purpose to see that the lab notices them: [`crate::commands::selftest`] runs them all.
//!
//! Each is planted at the instrument's boundary, and by the kernel itself wherever it can do it: forged frames leave
//! through the host's interface, the kernel's log is overrun by lines that it printed, and conntrack's table is filled
//! to the brim. Without a fault, nothing of this runs.

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
    /// The reader of the kernel's log tells nothing.
    BlindLog,
    /// Before the answer to a probe comes one to an earlier probe of the same ports: a SYN/ACK for another number.
    StaleReply,
    /// Before the answer to a probe come the answers to two other fences: an earlier one, and one that is not sent yet.
    WrongFence,
    /// Before the answer to a probe comes a RST with its ports and numbers, from an address that was not probed.
    ResetOfAStranger,
    /// Before the answer to a probe comes a RST from the right address, with numbers that do not fit the probe.
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

/// A planted fault and the evidence that it was really planted. The evidence is shared with whoever planted it, since a
/// lab that notices the fault ends in an error and tells nothing else.
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

    /// How many things were planted: frames, log lines, table entries.
    pub fn planted(&self) -> u64 {
        self.planted.load(Ordering::Relaxed)
    }

    /// How often the instrument met what was planted. A fault that was never met proves nothing.
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }

    /// Why this machine does not let the fault be planted, when it does not.
    pub fn declined(&self) -> Option<&str> {
        self.declined.get().map(String::as_str)
    }

    /// Books `count` things that were planted.
    pub fn plant(&self, count: u64) {
        self.planted.fetch_add(count, Ordering::Relaxed);
    }

    /// Books that the instrument met what was planted.
    pub fn meet(&self) {
        self.met.fetch_add(1, Ordering::Relaxed);
    }

    /// Books that the fault cannot be planted here. The first reason stands.
    pub fn decline(&self, reason: String) {
        let _ = self.declined.set(reason);
    }
}
