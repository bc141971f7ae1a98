//! `--syslog`: the log lines go to a file, as rsyslog would write them.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use super::atomic_file::AtomicFile;
use super::timestamp;
use crate::error::{Context, Result};
use crate::report::{self, SyslogStamp};
use crate::sys::{self, TimeZone};

/// An open file for log lines.
#[derive(Debug)]
pub struct SyslogFile {
    file: AtomicFile,
    stamp: SyslogStamp,
}

impl SyslogFile {
    /// Opens the file; an unwritable file is an input error.
    pub fn open(path: &Path) -> Result<SyslogFile> {
        let stamp = stamp()?;
        Ok(SyslogFile { file: AtomicFile::begin(path, "name a file that you may write to")?, stamp })
    }

    /// Writes these lines, and gives the file its name.
    pub fn keep<'a>(mut self, lines: impl IntoIterator<Item = &'a [String]>) -> Result<()> {
        lines.into_iter().try_for_each(|lines| self.add(lines))?;
        self.finish()
    }

    /// Writes more lines.
    pub fn add(&mut self, lines: &[String]) -> Result<()> {
        self.file.write(&report::syslog(lines, &self.stamp))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<()> {
        self.file.keep()
    }
}

/// The present time of this machine; with `SOURCE_DATE_EPOCH` that second of UTC and an uptime of 0, so that two runs
/// write the same bytes.
fn stamp() -> Result<SyslogStamp> {
    let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned()).unwrap_or_default();
    let (zone, uptime) = match timestamp::fixed()? {
        Some(_) => (TimeZone::Utc, Duration::ZERO),
        None => (TimeZone::Local, uptime()?),
    };
    let now = i64::try_from(timestamp::now()?.as_secs()).unwrap_or_default();
    let no_date = || io::Error::other("the C library knows no date for it");
    let time = sys::calendar_time(now, zone).ok_or_else(no_date).context("get the date")?;
    Ok(SyslogStamp { time, host, uptime })
}

/// `/proc/uptime` begins with the seconds since boot, see proc_uptime(5).
fn uptime() -> Result<Duration> {
    let text = fs::read_to_string("/proc/uptime").context("read /proc/uptime")?;
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_in_the_file_when_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kern.log");
        SyslogFile::open(&path).unwrap().keep([["x: IN=eth0 OUT= ".to_owned()].as_slice()]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("] x: IN=eth0 OUT= \n"));
    }
}
