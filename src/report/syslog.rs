//! Log lines as rsyslog writes them to a file, for the programs that read such files: psad, fail2ban, CrowdSec.
//!
//! The format is `RSYSLOG_TraditionalFileFormat` (rsyslog.conf(5)), with lines as imklog, rsyslog's reader of the
//! kernel log, passes them on:
//!
//! ```text
//! Nov 23 16:01:30 sensor kernel: [  123.456789] <IPT> Xmas scan: IN=eth0 OUT= MAC=...
//! ```
//!
//! The kernel's time stamp is part of the text to imklog, and control characters pass unchanged.
//! `tests/kernel/syslog.rs` compares with the output of rsyslogd, byte for byte.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::sys::CalendarTime;

/// The beginning of every line: the time and the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogStamp {
    /// The time at which rsyslog received the line, on the clock of its machine.
    pub time: CalendarTime,
    /// The name of the machine, with or without a domain, which rsyslog leaves out.
    pub host: String,
    /// The uptime of the kernel at which it logged the line.
    pub uptime: Duration,
}

/// The lines in this format.
pub fn syslog(lines: &[String], stamp: &SyslogStamp) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        emit(&mut text, line, stamp);
        text
    })
}

/// The kernel repeats its time stamp at the start of every line of a text (`record_print_text` in
/// `kernel/printk/printk.c`), so a line end within a prefix cannot forge a line of another program.
fn emit(text: &mut String, record: &str, stamp: &SyslogStamp) {
    for line in record.split('\n') {
        let _ = writeln!(text, "{stamp}{line}");
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl fmt::Display for SyslogStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CalendarTime { month, day, hour, minute, second } = self.time;
        let month = MONTHS[month % MONTHS.len()];
        let host = self.host.split('.').next().filter(|host| !host.is_empty()).unwrap_or("localhost");
        write!(f, "{month} {day:>2} {hour:02}:{minute:02}:{second:02} {host} kernel: ")?;
        write!(f, "[{:>5}.{:06}] ", self.uptime.as_secs(), self.uptime.subsec_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> SyslogStamp {
        SyslogStamp {
            time: CalendarTime { month: 10, day: 3, hour: 6, minute: 1, second: 30 },
            host: "sensor.example.org".to_owned(),
            uptime: Duration::from_micros(123_456_789),
        }
    }

    #[test]
    fn lines_stay_in_the_order_of_the_log() {
        let lines = ["a: IN=eth0 OUT= ", "b: ", "c: "].map(str::to_owned);
        insta::assert_snapshot!(syslog(&lines, &stamp()).replace(" \n", "~\n"), @r"
        Nov  3 06:01:30 sensor kernel: [  123.456789] a: IN=eth0 OUT=~
        Nov  3 06:01:30 sensor kernel: [  123.456789] b:~
        Nov  3 06:01:30 sensor kernel: [  123.456789] c:~
        ");
    }

    #[test]
    fn a_line_end_in_a_prefix_forges_no_line_of_another_program() {
        let forged = "x\nNov  3 06:01:30 sensor sshd[1]: Accepted";
        let text = syslog(&[forged.to_owned()], &stamp());
        assert!(text.lines().all(|line| line.starts_with("Nov  3 06:01:30 sensor kernel: [  123.456789] ")), "{text}");
    }

    #[test]
    fn a_machine_without_a_name_is_localhost() {
        assert!(SyslogStamp { host: String::new(), ..stamp() }.to_string().contains(" localhost kernel: "));
    }
}
