//! Where the lines of LOG rules are read: from the kernel's own log, or from a socket for logged packets. Whoever asks for
//! lines does not know which.
//!
//! [`LogSource::lock`] begins a time in which everything that is logged may be the lab's own, and forgets what was
//! logged before. [`LogTurn::drain`] gives the lines since; they are there once the fence behind a probe is answered. The
//! kernel's log belongs to the whole machine, so there labs wait for each other; a socket is a lab's own.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::kernel_log::{self, KernelLog};
use super::nflog_copy::{self, NflogCopies};
use super::nflog_lines::{NflogLines, WrittenLine};
use crate::error::Result;
use crate::lab::fault::Sabotage;
use crate::lab::host::namespace::Isolated;

/// A source of log lines.
pub struct LogSource {
    kind: LogBackend,
    deaf: Option<Arc<Sabotage>>,
    journal: RefCell<Vec<String>>,
}

enum LogBackend {
    /// What the ruleset's NFLOG rules log comes by a socket, if there are any.
    Kmsg(KernelLog, Option<NflogLines>),
    Nflog(NflogLines),
}

/// A time in which the lab's own lines are read.
pub struct LogTurn<'a> {
    kind: KindOfTurn<'a>,
    deaf: Option<&'a Sabotage>,
    journal: &'a RefCell<Vec<String>>,
}

enum KindOfTurn<'a> {
    Kmsg(kernel_log::KernelLogLock<'a>, Option<&'a mut NflogLines>),
    Nflog(&'a mut NflogLines),
}

impl LogSource {
    /// Opens the source: a socket where the lab has `copies` of its rulesets that log to it, else the kernel's log; and a
    /// socket for `own`, the groups of the ruleset's NFLOG rules. What was logged before is not read.
    pub fn open(
        isolated: &Isolated,
        copies: Option<&NflogCopies>,
        own: &BTreeSet<u16>,
        fault: Option<&Arc<Sabotage>>,
    ) -> Result<LogSource> {
        let lines = || NflogLines::open(isolated, copies, own, fault);
        let kind = match copies {
            None if own.is_empty() => LogBackend::Kmsg(KernelLog::open()?, None),
            None => LogBackend::Kmsg(KernelLog::open()?, Some(lines()?)),
            Some(_) => LogBackend::Nflog(lines()?),
        };
        Ok(LogSource { kind, deaf: None, journal: RefCell::default() })
    }

    /// Takes every line that LOG rules have written since the last call and that was read in a turn, in the order of the
    /// log; in the kernel's log those of others as well.
    pub fn take_journal(&self) -> Vec<String> {
        self.journal.take()
    }

    /// How many lines it holds between two readings, with room to spare.
    pub fn lines_at_once(&self) -> usize {
        /// The kernel's log holds about 600 (`CONFIG_LOG_BUF_SHIFT=17`).
        const OF_THE_KERNEL: usize = 256;
        match &self.kind {
            LogBackend::Kmsg(..) => OF_THE_KERNEL,
            LogBackend::Nflog(lines) => lines.lines_at_once(),
        }
    }

    /// Reads on, and tells nothing: a fault that a canary must notice.
    pub fn disable_log(&mut self, sabotage: Arc<Sabotage>) {
        sabotage.plant(1);
        self.deaf = Some(sabotage);
    }

    /// Waits for its turn, and forgets what was logged until then.
    pub fn lock(&mut self) -> Result<LogTurn<'_>> {
        let kind = match &mut self.kind {
            LogBackend::Kmsg(log, lines) => {
                lines.iter_mut().try_for_each(NflogLines::forget)?;
                KindOfTurn::Kmsg(log.lock()?, lines.as_mut())
            }
            LogBackend::Nflog(lines) => {
                lines.forget()?;
                KindOfTurn::Nflog(lines)
            }
        };
        Ok(LogTurn { kind, deaf: self.deaf.as_deref(), journal: &self.journal })
    }
}

impl LogTurn<'_> {
    /// Hands every line since the last call to `each`, as the kernel prints it.
    ///
    /// # Errors
    /// When lines were lost.
    pub fn drain(&mut self, mut each: impl FnMut(String)) -> Result<()> {
        let (deaf, journal) = (self.deaf, self.journal);
        let mut heard = |line: WrittenLine| match (deaf, line) {
            (Some(sabotage), _) => sabotage.meet(),
            (None, WrittenLine::OfNflog(line)) => each(line),
            (None, WrittenLine::OfLog(line)) => {
                journal.borrow_mut().push(line.clone());
                each(line);
            }
        };
        match &mut self.kind {
            KindOfTurn::Kmsg(turn, lines) => {
                turn.drain(|line| heard(WrittenLine::OfLog(line)))?;
                lines.iter_mut().try_for_each(|lines| lines.drain(&mut heard))
            }
            KindOfTurn::Nflog(lines) => lines.drain(heard),
        }
    }

    /// What the instrument is called in errors.
    pub fn instrument(&self) -> &'static str {
        match self.kind {
            KindOfTurn::Kmsg(..) => "kernel log",
            KindOfTurn::Nflog(_) => nflog_copy::INSTRUMENT,
        }
    }
}
