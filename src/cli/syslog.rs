//! `--syslog`: the log lines go to a file, as rsyslog would write them. The file is there as a whole or not at all.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::draft::Draft;
use crate::error::{Doing, InputError, Result};
use crate::observation::Observation;
use crate::report::{self, SyslogStamp};
use crate::sys::{self, TimeZone};

/// A file that will hold the log lines. It is opened before any lab is built, so that nothing is measured in vain.
#[derive(Debug)]
pub struct SyslogFile {
    draft: Draft,
    stamp: SyslogStamp,
}

impl SyslogFile {
    /// Opens the file; one that cannot be written is an input error.
    pub fn open(path: &Path) -> Result<SyslogFile> {
        Ok(SyslogFile { draft: Draft::begin(path)?, stamp: stamp()? })
    }

    /// Writes the lines of these observations, and puts the file in its place.
    pub fn keep<'a>(mut self, observations: impl IntoIterator<Item = &'a Observation>) -> Result<()> {
        observations.into_iter().try_for_each(|observation| self.add(observation))?;
        self.finish()
    }

    /// Writes the lines of one more observation.
    pub fn add(&mut self, observation: &Observation) -> Result<()> {
        let text = report::syslog([observation], &self.stamp);
        self.draft.write(text.as_bytes())
    }

    /// Puts the file in its place.
    pub fn finish(self) -> Result<()> {
        self.draft.keep()
    }
}

/// Now, on this machine; with `SOURCE_DATE_EPOCH` that second of UTC, and a kernel that has just been started, so that
/// two runs write the same bytes.
fn stamp() -> Result<SyslogStamp> {
    let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned()).unwrap_or_default();
    let (seconds, zone, uptime) = match std::env::var_os("SOURCE_DATE_EPOCH") {
        Some(epoch) => (source_date(&epoch.to_string_lossy())?, TimeZone::Utc, Duration::ZERO),
        None => (now(), TimeZone::Local, uptime()?),
    };
    let time = sys::calendar_time(seconds, zone).ok_or_else(|| no_source_date(&seconds.to_string()))?;
    Ok(SyslogStamp { time, host, uptime })
}

/// <https://reproducible-builds.org/specs/source-date-epoch/>: "an ASCII representation of an integer".
fn source_date(text: &str) -> Result<i64> {
    let seconds = text.parse().ok().filter(|seconds| *seconds >= 0);
    Ok(seconds.ok_or_else(|| no_source_date(text))?)
}

fn no_source_date(text: &str) -> InputError {
    let problem = format!("SOURCE_DATE_EPOCH is `{}`, which is no time", text.escape_debug());
    InputError::new(problem, "it counts the seconds since 1970; unset it to use the clock")
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

/// `/proc/uptime` begins with the seconds since boot, see proc_uptime(5).
fn uptime() -> Result<Duration> {
    let text = fs::read_to_string("/proc/uptime").doing("read /proc/uptime")?;
    let seconds = text.split(' ').next().and_then(|seconds| seconds.parse().ok());
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::LogRecord;
    use crate::scan::Technique;

    fn observation() -> Observation {
        let record = LogRecord { prefix: "x: ".to_owned(), line: "x: IN=eth0 OUT= ".to_owned() };
        Observation { log: vec![record], ..Observation::silence(Technique::Syn) }
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kern.log");
        drop(SyslogFile::open(&path).unwrap());
        assert!(names(folder.path()).is_empty());
        fs::write(&path, "mine").unwrap();
        drop(SyslogFile::open(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        SyslogFile::open(&path).unwrap().keep([&observation()]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("] x: IN=eth0 OUT= \n"));
        assert_eq!(names(folder.path()), ["kern.log"]);
    }

    #[test]
    fn a_source_date_is_a_number_of_seconds() {
        assert_eq!(source_date("1795449690").unwrap(), 1_795_449_690);
        for text in ["", "-1", "today", "1e9", "99999999999999999999"] {
            assert_eq!(source_date(text).unwrap_err().exit_status(), 2, "{text}");
        }
    }
}
