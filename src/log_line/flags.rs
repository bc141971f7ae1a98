//! The options of a LOG rule that add fields to its line.

/// The options of a LOG rule that change its line (`NF_LOG_*`, linux/netfilter/nf_log.h), as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogFlags(u8);

impl LogFlags {
    /// No option.
    pub const NONE: LogFlags = LogFlags(0);
    /// `--log-tcp-sequence`
    pub const TCP_SEQUENCE: LogFlags = LogFlags(1);
    /// `--log-tcp-options`
    pub const TCP_OPTIONS: LogFlags = LogFlags(2);
    /// `--log-ip-options`
    pub const IP_OPTIONS: LogFlags = LogFlags(4);
    /// `--log-uid`
    pub const UID: LogFlags = LogFlags(8);
    /// `--log-macdecode`
    pub const MACDECODE: LogFlags = LogFlags(16);

    /// The number of sets; [`LogFlags::bits`] are smaller.
    pub const COUNT: u8 = 32;

    /// Every flag, by the option that sets it.
    pub const OPTIONS: [(&'static str, LogFlags); 5] = [
        ("--log-tcp-sequence", LogFlags::TCP_SEQUENCE),
        ("--log-tcp-options", LogFlags::TCP_OPTIONS),
        ("--log-ip-options", LogFlags::IP_OPTIONS),
        ("--log-uid", LogFlags::UID),
        ("--log-macdecode", LogFlags::MACDECODE),
    ];

    /// The set with these bits; unknown bits are ignored.
    pub fn from_bits(bits: u8) -> LogFlags {
        LogFlags(bits % LogFlags::COUNT)
    }

    /// The bits of the set.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The union of both sets.
    pub fn and(self, other: LogFlags) -> LogFlags {
        LogFlags(self.0 | other.0)
    }

    /// True if it contains all flags of `other`.
    pub fn has(self, other: LogFlags) -> bool {
        self.0 & other.0 == other.0
    }
}
