//! Where the lines of LOG rules are read: from the kernel's own log, or from a socket for logged packets. Whoever asks for
//! lines does not know which.
//!
//! [`LogSource::take_turn`] begins a time in which everything that is logged may be the lab's own, and forgets what was
//! logged before. [`Turn::drain`] gives the lines since; they are there once the fence behind a probe is answered. The
//! kernel's log belongs to the whole machine, so there labs wait for each other; a socket is a lab's own.

use std::sync::Arc;

use super::fault::Sabotage;
use super::kernel_log::{self, KernelLog};
use super::namespace::Isolated;
use super::nflog_copy::{self, NflogCopies};
use super::nflog_lines::NflogLines;
use crate::error::Result;

/// A source of log lines.
pub struct LogSource {
    kind: Kind,
    deaf: Option<Arc<Sabotage>>,
}

enum Kind {
    Kmsg(KernelLog),
    Nflog(NflogLines),
}

/// A time in which the lab's own lines are read.
pub struct Turn<'a> {
    kind: KindOfTurn<'a>,
    deaf: Option<&'a Sabotage>,
}

enum KindOfTurn<'a> {
    Kmsg(kernel_log::Turn<'a>),
    Nflog(&'a mut NflogLines),
}

impl LogSource {
    /// Opens the source: a socket where the lab has `copies` of its rulesets that log to it, else the kernel's log. What
    /// was logged before is not read.
    pub fn open(isolated: &Isolated, copies: Option<&NflogCopies>, fault: Option<&Arc<Sabotage>>) -> Result<LogSource> {
        let kind = match copies {
            None => Kind::Kmsg(KernelLog::open()?),
            Some(copies) => Kind::Nflog(NflogLines::open(isolated, copies, fault)?),
        };
        Ok(LogSource { kind, deaf: None })
    }

    /// How many lines it holds between two readings, with room to spare.
    pub fn lines_at_once(&self) -> usize {
        /// The kernel's log holds about 600 (`CONFIG_LOG_BUF_SHIFT=17`).
        const OF_THE_KERNEL: usize = 256;
        match &self.kind {
            Kind::Kmsg(_) => OF_THE_KERNEL,
            Kind::Nflog(lines) => lines.lines_at_once(),
        }
    }

    /// Reads on, and tells nothing: a fault that a canary must notice.
    pub fn deafen(&mut self, sabotage: Arc<Sabotage>) {
        sabotage.plant(1);
        self.deaf = Some(sabotage);
    }

    /// Waits for its turn, and forgets what was logged until then.
    pub fn take_turn(&mut self) -> Result<Turn<'_>> {
        let kind = match &mut self.kind {
            Kind::Kmsg(log) => KindOfTurn::Kmsg(log.take_turn()?),
            Kind::Nflog(lines) => {
                lines.forget()?;
                KindOfTurn::Nflog(lines)
            }
        };
        Ok(Turn { kind, deaf: self.deaf.as_deref() })
    }
}

impl Turn<'_> {
    /// Hands every line since the last call to `each`, as the kernel prints it.
    ///
    /// # Errors
    /// When lines were lost.
    pub fn drain(&mut self, mut each: impl FnMut(String)) -> Result<()> {
        let deaf = self.deaf;
        let heard = |line: String| match deaf {
            None => each(line),
            Some(sabotage) => sabotage.meet(),
        };
        match &mut self.kind {
            KindOfTurn::Kmsg(turn) => turn.drain(heard),
            KindOfTurn::Nflog(lines) => lines.drain(heard),
        }
    }

    /// What the instrument is called in errors.
    pub fn instrument(&self) -> &'static str {
        match self.kind {
            KindOfTurn::Kmsg(_) => "kernel log",
            KindOfTurn::Nflog(_) => nflog_copy::INSTRUMENT,
        }
    }
}
