//! The name of an NFLOG line, which no kernel prints: `nflog:GROUP ` before the rule's prefix.

/// The high byte of the lab's own groups, for its fences and marks.
const OF_THE_LAB: u8 = 0xfe;

/// The first word of the lines of NFLOG rules.
pub const NFLOG_NAME: &str = "nflog:";

/// The beginning of an NFLOG rule's line, before the rule's prefix: `nflog:2 `.
pub fn nflog_name(group: u16) -> String {
    format!("{NFLOG_NAME}{group} ")
}

/// True if the group is one of the lab's own.
pub fn is_of_the_lab(group: u16) -> bool {
    group.to_be_bytes()[0] == OF_THE_LAB
}
