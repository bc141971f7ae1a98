//! The source of the lines of LOG rules: the kernel's own log, or a socket for logged packets. Its users do not know
//! which.
//!
//! [`LogSource::lock`] begins a turn: logged lines may belong to the lab from then on, and earlier ones are skipped.
//! [`LogTurn::drain`] returns the lines since; they are there once the fence after a probe is answered. The whole
//! machine shares the kernel's log, so labs wait for each other there; a socket belongs to one lab.

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
    /// The kernel's log, and the socket for the ruleset's own NFLOG rules, if it has any.
    Kmsg(KernelLog, Option<NflogLines>),
    Nflog(NflogLines),
}

/// A turn, in which the lab's own lines are read.
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
    /// Opens the source: a socket if the lab has `copies` of its rulesets that log to it, else the kernel's log; and a
    /// socket for `own`, the groups of the ruleset's NFLOG rules. Earlier lines are not read.
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

    /// Removes and returns every line that LOG rules have written since the last call and that was read in a turn, in
    /// the order of the log. Lines of the kernel's log may be those of others.
    pub fn take_journal(&self) -> Vec<String> {
        self.journal.take()
    }

    /// The number of lines that it holds between two reads, with a margin.
    pub fn lines_at_once(&self) -> usize {
        /// The kernel's log holds about 600 (`CONFIG_LOG_BUF_SHIFT=17`).
        const OF_THE_KERNEL: usize = 256;
        match &self.kind {
            LogBackend::Kmsg(..) => OF_THE_KERNEL,
            LogBackend::Nflog(lines) => lines.lines_at_once(),
        }
    }

    /// Discards all lines from now on: a fault that a canary must reveal.
    pub fn disable_log(&mut self, sabotage: Arc<Sabotage>) {
        sabotage.plant(1);
        self.deaf = Some(sabotage);
    }

    /// Waits for the turn of this lab, and skips the lines until then.
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
    /// Calls `each` with every line since the last call, as the kernel prints it.
    ///
    /// # Errors
    ///
    /// If lines were lost.
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

    /// The name of the instrument in errors.
    pub fn instrument(&self) -> &'static str {
        match self.kind {
            KindOfTurn::Kmsg(..) => "kernel log",
            KindOfTurn::Nflog(_) => nflog_copy::INSTRUMENT,
        }
    }
}
