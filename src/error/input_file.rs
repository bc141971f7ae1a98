//! The files that may be opened as input.
//!
//! A file is examined before it is opened (`O_PATH`, open(2)): opening a FIFO can wait for ever, and opening a device
//! can have side effects. The file that is then opened is the file that was examined.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NONBLOCK, O_PATH, dev_t, makedev};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::statfs::{
    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, FsType, PROC_SUPER_MAGIC, SECURITYFS_MAGIC, SYSFS_MAGIC,
    TRACEFS_MAGIC, fstatfs,
};

/// The origin of a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The command line, which may name a stream: a FIFO, the pipe of `<(command)`, a terminal.
    CommandLine,
    /// Another file.
    File,
}

/// The reason why a file is not opened.
pub enum FileRefusal {
    /// It is not a file that can be read as text.
    Kind(&'static str),
    /// The system refuses it.
    Os(io::Error),
}

impl<E: Into<io::Error>> From<E> for FileRefusal {
    fn from(error: E) -> FileRefusal {
        FileRefusal::Os(error.into())
    }
}

/// Opens `path` for reading.
pub fn open(path: &Path, named_by: NamedBy) -> Result<File, FileRefusal> {
    let found = OpenOptions::new().read(true).custom_flags(O_PATH).open(path)?;
    let kind = found.metadata()?;
    if kind.is_dir() {
        return Err(FileRefusal::Kind("a folder"));
    }
    if kind.file_type().is_socket() || kind.file_type().is_block_device() {
        return Err(FileRefusal::Kind("a socket or a device"));
    }
    if kind.is_file() {
        let is_special = SPECIAL.contains(&fstatfs(&found)?.filesystem_type());
        return if is_special { Err(FileRefusal::Kind("a file of the kernel")) } else { Ok(reopen(&found, 0)?) };
    }
    if named_by == NamedBy::File {
        return Err(FileRefusal::Kind("a pipe or a device"));
    }
    if kind.file_type().is_fifo() {
        return stream(reopen(&found, O_NONBLOCK)?);
    }
    match kind.rdev() as dev_t {
        device if device == NULL => Ok(reopen(&found, 0)?),
        device if is_terminal(device) => {
            let terminal = reopen(&found, O_NONBLOCK)?;
            if terminal.is_terminal() { stream(terminal) } else { Err(FileRefusal::Kind("a device")) }
        }
        _ => Err(FileRefusal::Kind("a device")),
    }
}

/// File systems whose files are generated when they are read; reading some, such as /proc/kmsg, removes the data.
const SPECIAL: [FsType; 7] = [
    PROC_SUPER_MAGIC,
    SYSFS_MAGIC,
    DEBUGFS_MAGIC,
    TRACEFS_MAGIC,
    SECURITYFS_MAGIC,
    CGROUP_SUPER_MAGIC,
    CGROUP2_SUPER_MAGIC,
];

/// `/dev/null`, an empty file.
const NULL: dev_t = makedev(1, 3);

/// True for consoles, `/dev/tty` and pseudo-terminals (Documentation/admin-guide/devices.txt). Serial lines are
/// excluded: opening one can change its state.
fn is_terminal(device: dev_t) -> bool {
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    matches!((major, minor), (4, 0..=63) | (5, 0 | 1) | (136..=143, _))
}

fn reopen(found: &File, flags: i32) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Waits for a writer: without one, a FIFO that was opened without blocking is at its end.
fn stream(file: File) -> Result<File, FileRefusal> {
    poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    let flags = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GETFL)?;
    let flags = nix::fcntl::OFlag::from_bits_truncate(flags) - nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(flags))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn kind(path: &Path, named_by: NamedBy) -> Option<&'static str> {
        match open(path, named_by) {
            Err(FileRefusal::Kind(kind)) => Some(kind),
            Err(FileRefusal::Os(error)) => panic!("{}: {error}", path.display()),
            Ok(_) => None,
        }
    }

    #[test]
    fn binary_files_are_refused_however_they_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, link) = (folder.path().join("socket"), folder.path().join("link"));
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink("/proc/self/mem", &link).unwrap();
        for named_by in [NamedBy::CommandLine, NamedBy::File] {
            assert_eq!(kind(folder.path(), named_by), Some("a folder"));
            assert_eq!(kind(&socket, named_by), Some("a socket or a device"));
            assert_eq!(kind(&link, named_by), Some("a file of the kernel"));
            assert_eq!(kind(Path::new("/proc/version"), named_by), Some("a file of the kernel"));
            assert!(kind(Path::new("/dev/zero"), named_by).is_some());
            assert!(kind(Path::new("/dev/urandom"), named_by).is_some());
        }
    }

    #[test]
    fn a_fifo_is_a_stream_on_the_command_line_only() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        assert_eq!(kind(&fifo, NamedBy::File), Some("a pipe or a device"));
        let writer = thread::spawn({
            let fifo = fifo.clone();
            move || fs::write(fifo, "text")
        });
        let mut text = String::new();
        let Ok(mut file) = open(&fifo, NamedBy::CommandLine) else { panic!("it is a stream") };
        file.read_to_string(&mut text).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!((text.as_str(), kind(Path::new("/dev/null"), NamedBy::CommandLine)), ("text", None));
    }
}
