//! Where the lines of LOG rules are read: from the kernel's own log, or from a socket for logged packets. Whoever asks for
//! lines does not know which.
//!
//! [`LogSource::take_turn`] begins a time in which everything that is logged may be the lab's own, and forgets what was
//! logged before. [`Turn::drain`] gives the lines since; they are there once the fence behind a probe is answered.

use std::sync::Arc;

use super::equipment::Capture;
use super::fault::Sabotage;
use super::kernel_log::{self, KernelLog};
use crate::error::Result;

/// A source of log lines.
pub struct LogSource {
    kind: Kind,
    deaf: Option<Arc<Sabotage>>,
}

enum Kind {
    Kmsg(KernelLog),
}

/// A time in which the lab's own lines are read.
pub struct Turn<'a> {
    kind: KindOfTurn<'a>,
    deaf: Option<&'a Sabotage>,
}

enum KindOfTurn<'a> {
    Kmsg(kernel_log::Turn<'a>),
}

impl LogSource {
    /// Opens the source. What was logged before is not read.
    pub fn open(capture: Capture) -> Result<LogSource> {
        let kind = match capture {
            Capture::Kmsg | Capture::Nflog => Kind::Kmsg(KernelLog::open()?),
        };
        Ok(LogSource { kind, deaf: None })
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
        };
        Ok(Turn { kind, deaf: self.deaf.as_deref() })
    }
}

impl Turn<'_> {
    /// Hands every line that the kernel logged since the last call to `each`.
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
        }
    }
}
