//! A line of a log file: the kernel's own line after the header of a log daemon or of dmesg.
//!
//! ```text
//! Nov 23 16:01:30 sensor kernel: [  123.456789] <IPT> Xmas scan: IN=eth0 OUT= ...
//! ```
//!
//! Accepted are the headers of RFC 3164 and RFC 5424, of the files of rsyslog and syslog-ng, of journalctl(1) in all
//! its short forms, of dmesg(1) with and without colours, of BusyBox and OpenWrt, and of ulogd. All parts are optional.
//! Text that is no known header belongs to the prefix; a prefix that looks like a header is read as one.

use std::fmt;
use std::time::Duration;

use super::LogLine;
use super::dialect::translated;

/// A line of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogLine {
    /// The header.
    pub header: SyslogHeader,
    /// The kernel's own line.
    pub line: LogLine,
}

/// The text before the kernel's line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyslogHeader {
    /// All of it, without colours.
    pub text: String,
    /// The time at which it was logged, as written.
    pub time: Option<String>,
    /// The machine that logged it.
    pub host: Option<String>,
    /// The kernel's own time stamp: its uptime.
    pub uptime: Option<Duration>,
}

impl SyslogLine {
    /// Parses a line, with or without its line end; `None` if it has no line of the LOG target.
    ///
    /// Other writers (ulogd, ebtables) have other spellings; they are accepted if that yields more headers, and print
    /// in the kernel's spelling.
    pub fn parse(text: &str) -> Option<SyslogLine> {
        let text = without_colours(text);
        let text = text.trim_end_matches(['\r', '\n']);
        let (mut header, rest) = SyslogHeader::parse(text);
        let line = LogLine::parse(rest)?;
        header.text = text[..text.len() - rest.len()].to_owned();
        Some(SyslogLine { header, line: translated(line) })
    }
}

impl fmt::Display for SyslogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.header.text, self.line)
    }
}

/// Removes the colours of dmesg, `ESC [ 32 m` (ECMA-48, section 8.3.117): all of them, including a colour that another
/// one interrupts.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        plain.push(character);
        if let Some(before) = before_colour(&plain) {
            plain.truncate(before);
        }
    }
    plain
}

/// The length of the text before a colour at the end of `text`.
fn before_colour(text: &str) -> Option<usize> {
    let codes = text.strip_suffix('m')?;
    let before = codes.trim_end_matches(|c: char| c.is_ascii_digit() || c == ';').strip_suffix("\u{1b}[")?;
    Some(before.len())
}

impl SyslogHeader {
    /// Parses the header; returns it and the text after it.
    fn parse(text: &str) -> (SyslogHeader, &str) {
        let mut cursor = Cursor(text);
        let mut header = SyslogHeader::default();
        cursor.priority();
        cursor.facility();
        header.time = cursor.take(Cursor::time).map(|time| time.trim().to_owned());
        header.uptime = cursor.take(Cursor::uptime);
        let by_dmesg = |time: &String| time.starts_with('[') || time.contains(',');
        header.host = cursor.origin(header.time.as_ref().is_some_and(|time| !by_dmesg(time)));
        header.uptime = cursor.take(Cursor::uptime).or(header.uptime);
        cursor.take(Cursor::caller);
        (header, cursor.0)
    }
}

/// The rest of the text.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// Consumes the tokens of `read`, or none if it fails.
    fn take<T>(&mut self, read: impl FnOnce(&mut Cursor<'a>) -> Option<T>) -> Option<T> {
        let mut ahead = *self;
        let value = read(&mut ahead)?;
        *self = ahead;
        Some(value)
    }

    /// Consumes a word, the spaces before it and the one after it. A word of the kernel's line does not belong to the
    /// header.
    fn word(&mut self) -> Option<&'a str> {
        let (word, rest) = self.0.trim_start_matches(' ').split_once(' ')?;
        self.0 = rest;
        Some(word).filter(|word| !word.is_empty() && !word.contains("IN="))
    }

    fn word_that(&mut self, is_meant: impl FnOnce(&str) -> bool) -> Option<&'a str> {
        self.take(|ahead| ahead.word().filter(|word| is_meant(word)))
    }

    /// Consumes `<4>`, and the version of RFC 5424 after it.
    fn priority(&mut self) {
        self.take(|ahead| {
            let (number, rest) = ahead.0.strip_prefix('<')?.split_once('>')?;
            ahead.0 = rest.strip_prefix("1 ").unwrap_or(rest);
            is_number(number, 1..=3).then_some(())
        });
    }

    /// `kern  :warn  : ` (dmesg --decode), `<kern.warn> `, or `kern.warn `.
    fn facility(&mut self) {
        self.take(|ahead| {
            let (facility, rest) = ahead.0.split_once(':')?;
            let (level, rest) = rest.split_once(':')?;
            ahead.0 = rest.strip_prefix(' ')?;
            let is_word = |word: &str| word.trim_end().bytes().all(|byte| byte.is_ascii_lowercase()) && word.len() <= 8;
            (facility.starts_with("kern") && is_word(facility) && is_word(level)).then_some(())
        });
        self.word_that(|word| word.trim_start_matches('<').starts_with("kern."));
    }

    /// Consumes a time of any format.
    fn time(&mut self) -> Option<&'a str> {
        let before = self.0;
        match self.take(Cursor::bracketed_time) {
            Some(()) => {}
            None => self.bare_time()?,
        }
        Some(&before[..before.len() - self.0.len()])
    }

    /// `[Mon Nov 23 16:01:30 2026] ` (dmesg --ctime).
    fn bracketed_time(&mut self) -> Option<()> {
        let (inside, rest) = self.0.strip_prefix('[')?.split_once("] ")?;
        self.0 = rest;
        let inside = format!("{inside} ");
        let mut inside = Cursor(&inside);
        inside.bare_time()?;
        inside.0.is_empty().then_some(())
    }

    fn bare_time(&mut self) -> Option<()> {
        self.word_that(|word| WEEKDAYS.contains(&word.trim_end_matches(',')));
        if self.word_that(is_iso_time).is_some() || self.word_that(is_unix_time).is_some() {
            return Some(());
        }
        if self.word_that(is_iso_date).is_some() {
            self.word_that(is_clock)?;
            self.word_that(is_zone);
            return Some(());
        }
        self.word_that(|word| MONTHS.contains(&word))?;
        self.word_that(|word| is_number(word, 1..=2))?;
        self.word_that(is_year);
        self.word_that(|word| is_clock(word.trim_end_matches(':')))?;
        self.word_that(is_year);
        Some(())
    }

    /// `[  123.456789] `
    fn uptime(&mut self) -> Option<Duration> {
        let (inside, rest) = self.0.strip_prefix('[')?.split_once(']')?;
        let (seconds, micros) = inside.trim_start_matches(' ').split_once('.')?;
        if !is_number(seconds, 1..=12) || !is_number(micros, 6..=6) {
            return None;
        }
        self.0 = rest.strip_prefix(' ').unwrap_or(rest);
        Some(Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?))
    }

    /// `[    C0] `: the processor or the task that logged it (`CONFIG_PRINTK_CALLER`).
    fn caller(&mut self) -> Option<()> {
        let (inside, rest) = self.0.strip_prefix('[')?.split_once("] ")?;
        self.0 = rest;
        let number = inside.trim_start_matches(' ').strip_prefix(['C', 'T'])?;
        is_number(number, 1..=9).then_some(())
    }

    /// Consumes the host and the tag: `sensor kernel: `, `kernel: `, `sensor kernel - - - `; or the host alone, after a
    /// time that dmesg did not write. Returns the host.
    fn origin(&mut self, may_be_alone: bool) -> Option<String> {
        self.facility();
        if self.word_that(is_tag).is_some() {
            return None;
        }
        let tagged = self.take(|ahead| {
            let host = ahead.word()?;
            ahead.facility();
            ahead.word_that(is_tag).or_else(|| ahead.rfc5424_tag())?;
            Some(host)
        });
        let alone = |cursor: &mut Cursor<'a>| {
            cursor.word_that(|word| {
                may_be_alone && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte))
            })
        };
        tagged.or_else(|| alone(self)).map(str::to_owned)
    }

    /// RFC 5424, section 6: APP-NAME, PROCID, MSGID and STRUCTURED-DATA, where `-` means a missing one.
    fn rfc5424_tag(&mut self) -> Option<&'a str> {
        self.take(|ahead| {
            let tag = ahead.word_that(|word| is_tag(&format!("{word}:")))?;
            ahead.word_that(|word| word == "-" || is_number(word, 1..=9))?;
            ahead.word()?;
            ahead.word_that(|word| word == "-")?;
            Some(tag)
        })
    }
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The tags of kernel lines: the kernel's own, klogd's, and ulogd's. Any other word is the beginning of a prefix
/// (`DROP: `).
const SPEAKERS: [&str; 4] = ["kernel", "klogd", "vmunix", "ulogd"];

/// `kernel:`, `ulogd[412]:`
fn is_tag(word: &str) -> bool {
    let Some(name) = word.strip_suffix(':') else { return false };
    let name = name.strip_suffix(']').and_then(|name| name.split_once('[')).map_or(name, |(name, _)| name);
    SPEAKERS.contains(&name)
}

fn is_number(word: &str, digits: std::ops::RangeInclusive<usize>) -> bool {
    digits.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_year(word: &str) -> bool {
    is_number(word, 4..=4)
}

/// Compares with a pattern: 0 matches any digit, every other character itself.
fn looks_like(word: &str, picture: &str) -> bool {
    let same = |(one, other): (u8, u8)| if other == b'0' { one.is_ascii_digit() } else { one == other };
    word.len() >= picture.len() && word.bytes().zip(picture.bytes()).all(same)
}

/// RFC 3339, with `T`; dmesg has a comma before the fraction.
fn is_iso_time(word: &str) -> bool {
    looks_like(word, "0000-00-00T00:00:00")
}

fn is_iso_date(word: &str) -> bool {
    word.len() == 10 && looks_like(word, "0000-00-00")
}

fn is_clock(word: &str) -> bool {
    looks_like(word, "00:00:00")
}

fn is_zone(word: &str) -> bool {
    word.starts_with(['+', '-']) && is_number(&word[1..], 4..=4) || ["UTC", "GMT"].contains(&word) || is_zone_name(word)
}

/// `CEST`: three to five capitals.
fn is_zone_name(word: &str) -> bool {
    (3..=5).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `1795449690.123456` (journalctl -o short-unix).
fn is_unix_time(word: &str) -> bool {
    word.split_once('.').is_some_and(|(seconds, micros)| is_number(seconds, 9..=11) && is_number(micros, 6..=6))
}
