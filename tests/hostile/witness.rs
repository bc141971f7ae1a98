//! What sees that an attack succeeded: a program that leaves a file when it runs, the machine's log, its idle timers.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;

use crate::ordinary::Home;

/// The name of the planted program, in the folder of the attack. Rulesets name it relative to that folder or by
/// [`PATH`].
pub const PROGRAM: &str = "planted";

/// The path by which rulesets name the planted program.
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

/// The machine's log, from now on.
pub struct KernelLog(File);

impl KernelLog {
    pub fn open() -> KernelLog {
        let mut file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg").expect("/dev/kmsg");
        file.seek(SeekFrom::End(0)).expect("seek to the end");
        KernelLog(file)
    }

    /// The lines since the last call that have `mark` in them.
    pub fn lines_with(&mut self, mark: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(length) => found.push(String::from_utf8_lossy(&record[..length]).into_owned()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the machine's log: {error}"),
            }
        }
        found.retain(|line| line.contains(mark));
        found
    }
}

/// The machine's idle timers (`xt_idletimer`), which no network namespace has for itself.
pub fn idle_timers() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/xt_idletimer/timers").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
