//! Witnesses of a successful attack: a program that creates a file when it runs, the machine's log, its idle timers.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::libc::O_NONBLOCK;

use crate::support::ordinary::Home;

/// The name of the planted program, in the folder of the attack. Rulesets name it relative to that folder or by
/// [`PATH`].
pub const PROGRAM: &str = "planted";

/// The path of the planted program in rulesets.
pub const PATH: &str = "/tmp/scanlab-planted";

/// A program that an attack wants to run.
pub struct Planted {
    marker: PathBuf,
}

impl Planted {
    pub fn new(home: &Home, user: &str) -> Planted {
        let marker = std::env::temp_dir().join(format!("scanlab-ran-{user}-{}", std::process::id()));
        let _ = fs::remove_file(&marker);
        let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
        for path in [home.path().join(PROGRAM), PATH.into()] {
            fs::write(&path, &script).expect("write the program");
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("make it a program");
        }
        Planted { marker }
    }

    pub fn has_run(&self) -> bool {
        self.marker.exists()
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        for path in [&self.marker, Path::new(PATH)] {
            let _ = fs::remove_file(path);
        }
    }
}

/// The machine's log from now on. It is read continuously, since the kernel overwrites the oldest lines (EPIPE).
pub struct KernelLog(Arc<Mutex<Reader>>);

struct Reader {
    file: File,
    lines: Vec<String>,
}

impl KernelLog {
    pub fn open() -> KernelLog {
        let mut file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").expect("/dev/kmsg");
        file.seek(SeekFrom::End(0)).expect("seek to the end");
        let log = KernelLog(Arc::new(Mutex::new(Reader { file, lines: Vec::new() })));
        let reader = Arc::downgrade(&log.0);
        thread::spawn(move || {
            while let Some(reader) = reader.upgrade() {
                reader.lock().expect("a reader that does not panic").read();
                thread::sleep(Duration::from_millis(20));
            }
        });
        log
    }

    /// The lines since the last call that contain `mark`.
    pub fn lines_with(&mut self, mark: &str) -> Vec<String> {
        let mut reader = self.0.lock().expect("a reader that does not panic");
        reader.read();
        let mut lines = std::mem::take(&mut reader.lines);
        lines.retain(|line| line.contains(mark));
        lines
    }
}

impl Reader {
    fn read(&mut self) {
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(length) => self.lines.push(String::from_utf8_lossy(&record[..length]).into_owned()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the machine's log: {error}"),
            }
        }
    }
}

/// The machine's idle timers (`xt_idletimer`), which network namespaces share.
pub fn idle_timers() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/xt_idletimer/timers").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
