//! Lines of the kernel's log: as /dev/kmsg returns them, as the kernel wrote them, and as rsyslog writes them to a
//! file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scanlab::log_line::LogLine;
use scanlab::log_line::kmsg::KmsgRecord;
use scanlab::log_line::syslog::SyslogLine;

fuzz_target!(|bytes: &[u8]| {
    let record = KmsgRecord::parse(bytes);
    if let Some(record) = &record {
        assert_eq!(record.facility * 8 + u16::from(record.level), record.priority);
        line(&record.text);
    }
    line(&String::from_utf8_lossy(bytes));
});

fn line(text: &str) {
    let (line, logged) = (LogLine::parse(text), SyslogLine::parse(text));
    assert!(logged.is_some() || line.is_none(), "a header must not hide a line");
    if let Some(line) = line {
        assert_eq!(line.to_string().trim_end(), text.trim_end());
        assert_eq!(LogLine::parse(&line.to_string()).as_ref(), Some(&line));
    }
}
