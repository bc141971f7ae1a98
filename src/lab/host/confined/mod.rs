//! Confinement of a program that loads or lists rules. It parses rules of unknown origin as root, so it can do nothing
//! else.
//!
//! 1. It starts no other program. A seccomp filter allows execve(2) with one file name only, at an address where the
//!    new program has no memory and can map none; fork(2) is not allowed either. See [`filter`].
//! 2. It changes no file, and reads only those of the system: Landlock, see [`view`], and the same filter. It has no
//!    sockets but those by which rules are loaded.
//! 3. It has `CAP_NET_ADMIN` and `CAP_NET_RAW` in the namespaces of this thread, no other capability, and gets none
//!    (no_new_privs). Its environment is empty except for the name of its lock file.
//! 4. It ends with the thread that started it, and after [`PATIENCE`] at the latest.
//!
//! [`Walls`] lists what this machine supports; a machine without (1) must have (2).

#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")),
    path = "confined/no_filter.rs"
)]
mod filter;
mod view;

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use caps::Capability;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use super::files::assert_room_for_files;
use super::private_lock::PrivateLock;
use crate::error::{CannotMeasure, Context, Error, Result};
use crate::sys::confinement::{Confinement, confine};

/// The time limit of a program. It takes milliseconds, and seconds for a million rules.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The largest output in bytes, for standard output and standard error each.
const MOST_OUTPUT: u64 = 256 << 20;

/// A program with its arguments, to be run in confinement.
#[derive(Debug)]
pub struct Confined {
    program: PathBuf,
    arguments: Vec<CString>,
    lock: Option<PrivateLock>,
}

impl Confined {
    /// The program at `path`, which is absolute.
    pub fn new(path: &Path) -> Confined {
        Confined { program: path.to_owned(), arguments: Vec::new(), lock: None }
    }

    /// Adds an argument.
    ///
    /// # Panics
    /// If there is a NUL byte in it.
    pub fn arg(mut self, argument: &str) -> Confined {
        self.arguments.push(CString::new(argument).expect("an argument has no NUL byte"));
        self
    }

    /// Gives it a file to lock, named by `XTABLES_LOCKFILE`.
    pub fn lock(self, lock: PrivateLock) -> Confined {
        Confined { lock: Some(lock), ..self }
    }

    /// Runs it with `input`, to its end.
    pub async fn output(self, input: &str) -> Result<Output> {
        let name = self.program.display().to_string();
        let output = tokio::time::timeout(PATIENCE, self.run(input)).await;
        let what = || format!("the end of {name}");
        output
            .map_err(|_| Error::from(CannotMeasure::Deadline { what: what(), seconds: PATIENCE.as_secs() }))?
            .context(format!("run {name}"))
    }

    /// Runs it without input. The calling thread may belong to the runtime or not.
    pub fn output_blocking(self) -> Result<Output> {
        assert_room_for_files()?;
        thread::scope(|scope| {
            let run = || {
                let runtime = Builder::new_current_thread().enable_all().build().context("start a runtime")?;
                runtime.block_on(self.output(""))
            };
            let thread = thread::Builder::new().spawn_scoped(scope, run).context("start a thread")?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    async fn run(self, input: &str) -> io::Result<Output> {
        let mut command = tokio::process::Command::from(self.command()?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        // Close our copies of the descriptors that the child got.
        drop(command);
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let (stdout, stderr) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        // A program that has given up does not read on; its exit status gives the reason.
        let feed = async move {
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let ((), stdout, stderr) = tokio::join!(feed, read(stdout), read(stderr));
        Ok(Output { stdout: stdout?, stderr: stderr?, status: child.wait().await? })
    }

    fn command(self) -> io::Result<Command> {
        let mut arguments = vec![c_string(self.program.as_os_str())?];
        arguments.extend(self.arguments);
        let environment = self.lock.iter().map(|lock| c_string(&lock.variable())).collect::<io::Result<_>>()?;
        let confinement = Confinement {
            program: c_string(self.program.as_os_str())?,
            arguments,
            environment,
            capabilities: [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW]
                .iter()
                .map(|kept| 1 << kept.index())
                .sum(),
            landlock: view::landlock_ruleset(&self.program)?,
            filter: filter::compiled(),
            lock: self.lock.map(PrivateLock::into_file),
        };
        let mut command = Command::new(&self.program);
        confine(&mut command, confinement);
        Ok(command)
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}

/// Reads to the end.
///
/// # Errors
///
/// If the stream is longer than [`MOST_OUTPUT`].
async fn read(stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    stream.take(MOST_OUTPUT).read_to_end(&mut read).await?;
    let is_endless = read.len() as u64 == MOST_OUTPUT;
    if is_endless { Err(io::Error::other(format!("it prints more than {} MiB", MOST_OUTPUT >> 20))) } else { Ok(read) }
}

/// The means of confinement that this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walls {
    /// A seccomp filter can be made for this processor.
    pub seccomp: bool,
    /// The kernel has Landlock.
    pub landlock: bool,
}

impl Walls {
    /// Queries the kernel. Nothing is changed.
    pub fn here() -> Walls {
        Walls { seccomp: filter::compiled().is_some(), landlock: view::is_possible() }
    }
}

impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |has: bool, name: &'static str, why: &'static str| if has { name } else { why };
        let seccomp = word(self.seccomp, "seccomp", "no seccomp filter for this processor");
        let landlock =
            word(self.landlock, "Landlock", "no Landlock: the kernel lacks it, or it is not among its `lsm=`");
        write!(f, "{seccomp}, {landlock}, no_new_privs, CAP_NET_ADMIN and CAP_NET_RAW only")
    }
}

#[cfg(test)]
mod tests;
