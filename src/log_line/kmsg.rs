//! One record of `/dev/kmsg`, see Documentation/ABI/testing/dev-kmsg of the kernel. The lab reads the device: each
//! `read(2)` returns one record.

/// A record of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsgRecord {
    /// The number at the start: `facility * 8 + level`.
    pub priority: u16,
    /// The origin: 0 is the kernel, and user space cannot write 0.
    pub facility: u16,
    /// The severity: 0 (emergency) to 7 (debug).
    pub level: u8,
    /// Counts every record since boot; a gap is a loss.
    pub sequence: u64,
    /// Monotonic time, in microseconds since boot.
    pub timestamp_us: u64,
    /// The text, unescaped, without line end. Bytes that are not UTF-8 (a log prefix that iptables cut inside a
    /// character) are U+FFFD.
    pub text: String,
}

impl KmsgRecord {
    /// Parses the result of one `read(2)`; `None` if it is not a record. Header fields of later kernels, and the
    /// `KEY=value` lines after the text, are ignored, as the ABI demands.
    pub fn parse(record: &[u8]) -> Option<KmsgRecord> {
        let separator = record.iter().position(|byte| *byte == b';')?;
        let (header, text) = (&record[..separator], &record[separator + 1..]);
        let mut fields = std::str::from_utf8(header).ok()?.split(',');
        let priority: u16 = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let timestamp_us = fields.next()?.parse().ok()?;
        let _flags = fields.next()?;
        let level = (priority & 7) as u8;
        let text = unescape(text.split(|byte| *byte == b'\n').next().unwrap_or_default());
        Some(KmsgRecord { priority, facility: priority >> 3, level, sequence, timestamp_us, text })
    }

    /// True if the kernel itself wrote it: no process can forge that.
    pub fn is_from_kernel(&self) -> bool {
        self.facility == 0
    }
}

/// "All non-printable characters and '\' itself in the log message are escaped by "\x00" C-style hex encoding."
fn unescape(mut text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let (byte, rest) = escaped(text).unwrap_or((*first, rest));
        bytes.push(byte);
        text = rest;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = text.strip_prefix(br"\x")?.split_first_chunk::<2>()?;
    let value = |digit: u8| char::from(digit).to_digit(16);
    Some(((value(digits[0])? * 16 + value(digits[1])?) as u8, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_record_of_the_documentation_is_read() {
        let record = KmsgRecord::parse(b"30,340,5690716,-;udevd[80]: starting version 181\n SUBSYSTEM=x\n").unwrap();
        assert_eq!((record.priority, record.facility, record.level), (30, 3, 6));
        assert_eq!((record.sequence, record.timestamp_us), (340, 5_690_716));
        assert_eq!(record.text, "udevd[80]: starting version 181");
        assert!(!record.is_from_kernel());
    }

    #[test]
    fn fields_of_later_kernels_are_passed_over() {
        let record = KmsgRecord::parse(b"6,1,2,-,caller=T1;a;b\n").unwrap();
        assert_eq!(record.text, "a;b");
        assert!(record.is_from_kernel());
    }

    /// Captured on kernel 6.18: `--log-prefix "café \ x: "`.
    #[test]
    fn escapes_are_undone() {
        let text = |record: &[u8]| KmsgRecord::parse(record).unwrap().text;
        assert_eq!(text(br"7,1,2,-;caf\xc3\xa9 \x5c x: "), r"café \ x: ");
        assert_eq!(text(br"7,1,2,-;\x5cx41 \xzz \x"), r"\x41 \xzz \x");
        assert_eq!(text(br"7,1,2,-;cut \xc3"), "cut \u{fffd}");
    }

    #[test]
    fn a_malformed_kmsg_record_is_refused() {
        for record in [&b""[..], b"no record", b"7,1;x", b"x,1,2,-;x", b"7,1,2;x", b"99999999,1,2,-;x", b"-1,1,2,-;x"] {
            assert_eq!(KmsgRecord::parse(record), None, "{record:?}");
        }
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
            KmsgRecord::parse(&tail);
            KmsgRecord::parse(&[b"7,1,2,-;\\x", &tail[..]].concat());
        }
    }
}
