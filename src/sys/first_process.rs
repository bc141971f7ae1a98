//! A program that its children cannot outlive, and that cannot outlive scanlab: it runs under the first process of a
//! PID namespace. When that one ends, the kernel kills all others in it (pid_namespaces(7), "The namespace init
//! process").

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use seccompiler::BpfProgram;

use super::sandbox;

/// Makes `command` run under a first process. Returns the pipe to which that process writes the command's wait status
/// (four bytes, native) when it has ended, or nothing if it was killed. The command must be spawned once, by a thread
/// that has unshared its PID namespace, and then dropped, since it holds the pipe's write end.
///
/// With `filters` both processes are confined first, see [`sandbox::enter`]. If that fails, `Command::spawn` fails, and
/// the pipe contains the name of the step.
///
/// The first process dies with the *thread* that spawned it (`PR_SET_PDEATHSIG`).
pub fn run_beneath(command: &mut Command, filters: Option<Vec<BpfProgram>>) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    let read_end = reader.as_raw_fd();
    let split = move || split(read_end, &writer, filters.as_deref());
    // SAFETY: between fork(2) and execve(2) `split` calls what signal-safety(7) lists, and prctl(2), close_range(2),
    // poll(2) and those of `sandbox`, which are bare system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(split) };
    Ok(reader)
}

/// Forks: the process in which it returns becomes the command, the other is the first process and never returns.
fn split(read_end: RawFd, mut writer: &PipeWriter, filters: Option<&[BpfProgram]>) -> io::Result<()> {
    // SAFETY: plain integers; see prctl(2).
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    // SAFETY: this process's own copy of the descriptor, which nothing here uses again. Now the parent has the only one.
    check(unsafe { libc::close(read_end) })?;
    if has_no_reader(writer) {
        // The parent ended before the signal was set.
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    if let Some(filters) = filters {
        sandbox::enter(filters).map_err(|(step, error)| {
            // If the write fails, the error without the name of the step remains.
            let _ = writer.write(step.as_bytes());
            error
        })?;
    }
    // SAFETY: this process has one thread; see fork(2).
    match check(unsafe { libc::fork() })? {
        0 => Ok(()),
        child => be_first(child, writer),
    }
}

/// A pipe without a reader is in an error state: poll(2), POLLERR.
fn has_no_reader(writer: &PipeWriter) -> bool {
    let mut poll = libc::pollfd { fd: writer.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one valid `pollfd`, as its count says; see poll(2).
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLERR != 0
}

/// Waits for the command and for orphaned processes; exits when the command has ended.
fn be_first(child: libc::pid_t, mut writer: &PipeWriter) -> ! {
    sandbox::hide_memory();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the default action, which the kernel does not take for a first process; see signal(2).
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    close_all_but(writer.as_raw_fd());
    loop {
        let mut status = 0;
        // SAFETY: `status` is an integer of this frame; see waitpid(2).
        match unsafe { libc::waitpid(-1, &raw mut status, 0) } {
            ended if ended == child => {
                // The reader may be gone; then the status is not needed.
                let _ = writer.write(&status.to_ne_bytes());
                break;
            }
            -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => break,
            _ => {}
        }
    }
    // SAFETY: ends the process without running what belongs to the parent; see _exit(2).
    unsafe { libc::_exit(0) }
}

/// Closes the inherited descriptors: above all the pipe on which `Command::spawn` waits for the exec, and the labs'
/// interfaces.
fn close_all_but(kept: RawFd) {
    const FIRST: libc::c_uint = 3;
    let kept = kept as libc::c_uint;
    for (from, to) in [(FIRST, kept - 1), (kept + 1, libc::c_uint::MAX)] {
        if from <= to {
            // SAFETY: this process uses none of these again; see close_range(2), which Linux has since 5.9.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    }
}

fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned == -1 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
