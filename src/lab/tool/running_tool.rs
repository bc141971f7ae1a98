//! A real tool, run below the first process of a PID namespace of its own: its child processes end with it, and it ends
//! with the lab.

use std::ffi::OsString;
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::error::{CannotMeasure, Context, Error, InputError, Result};
use crate::lab::host::namespace::Isolated;
use crate::lab::host::sandbox;
use crate::probe::tool_run::ToolStatus;
use crate::sys::first_process;

/// The command that the user wants to run.
#[derive(Debug, Clone)]
pub struct ToolCommand {
    /// The program, and its arguments; never empty.
    pub words: Vec<OsString>,
    /// The destination of its standard output; input and standard error are ours.
    pub output: ToolOutput,
    /// The time after which it is killed.
    pub timeout: Option<Duration>,
    /// Its privileges on the machine.
    pub privileges: Privileges,
    /// The request to stop it.
    pub stop: Stop,
}

/// The privileges of a tool on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privileges {
    /// Use raw sockets in its own network namespace, read files, and write below these folders.
    Confined {
        /// Absolute, and without links.
        writable: Vec<PathBuf>,
    },
    /// Those of scanlab, outside of its own network and PID namespaces.
    Unconfined,
}

/// The destination of a tool's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolOutput {
    /// To ours.
    Stdout,
    /// To our standard error, if another program reads our standard output.
    Stderr,
}

/// A request from another thread to stop a relay.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// True if the relay is to stop.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Requests the stop when dropped.
#[derive(Debug)]
pub struct StopOnDrop(pub Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes of a wait status.
const STATUS: usize = 4;

/// A running tool; killed with all its child processes when dropped.
pub struct RunningTool {
    first_process: Child,
    ended: PipeReader,
    started: Instant,
}

impl RunningTool {
    /// Starts the tool in the namespace of this thread, which has to outlive it and can start no other thread from now
    /// on (unshare(2), CLONE_NEWPID).
    ///
    /// # Errors
    ///
    /// An input error if there is no such program.
    pub fn start(isolated: &Isolated, command: &ToolCommand) -> Result<RunningTool> {
        isolated.assert("starting the tool")?;
        let filters = match &command.privileges {
            Privileges::Confined { writable } => {
                sandbox::enclose(isolated, writable)?;
                Some(sandbox::filters())
            }
            Privileges::Unconfined => None,
        };
        unshare(CloneFlags::CLONE_NEWPID).context("make a PID namespace")?;
        let (program, arguments) = command.words.split_first().expect("a command has at least one word");
        let mut child = Command::new(program);
        child.args(arguments);
        if command.output == ToolOutput::Stderr {
            let stderr = io::stderr().as_fd().try_clone_to_owned().context("give the tool our standard error")?;
            child.stdout(Stdio::from(stderr));
        }
        let ended = first_process::run_beneath(&mut child, filters).context("make a pipe")?;
        let spawned = child.spawn();
        // Closes the pipe's other end.
        drop(child);
        let first_process = match spawned {
            Ok(first_process) => first_process,
            Err(error) => return Err(cannot_start(program, ended, error)),
        };
        Ok(RunningTool { first_process, ended, started: Instant::now() })
    }

    /// The time since its start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The way in which it ended. Blocks unless its file descriptor is readable.
    pub fn status(&mut self) -> Result<ToolStatus> {
        let mut status = [0; STATUS];
        self.ended.read_exact(&mut status).context("learn how the tool ended")?;
        Ok(ToolStatus::from_wait(i32::from_ne_bytes(status)))
    }

    /// Kills it, with everything in its PID namespace, and waits until they are gone.
    pub fn kill(&mut self) {
        // It may have ended already; other errors have no remedy.
        let _ = self.first_process.kill();
        let _ = self.first_process.wait();
    }
}

impl AsFd for RunningTool {
    /// Readable when the tool has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

impl Drop for RunningTool {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The error if a step of the confinement failed, or if there is no such program.
fn cannot_start(program: &OsString, mut ended: PipeReader, error: io::Error) -> Error {
    let mut step = String::new();
    match ended.read_to_string(&mut step) {
        // If the program does not exist, the pipe has a wait status only.
        Ok(length) if length > STATUS => {
            let operation = format!("confine the tool ({step}); --unconfined runs it without");
            CannotMeasure::System { operation, source: error }.into()
        }
        _ => cannot_run(program, error),
    }
}

fn cannot_run(program: &OsString, error: io::Error) -> Error {
    let name = program.display();
    let hint = match error.kind() {
        ErrorKind::NotFound => {
            "check its name; it is looked for along PATH, and of /tmp and /run it sees the working directory only"
        }
        ErrorKind::PermissionDenied => "is it a program, and may it be run?",
        _ => {
            let operation = format!("run {name}");
            return CannotMeasure::System { operation, source: error }.into();
        }
    };
    InputError::new(format!("cannot run {name}: {error}"), hint).into()
}
