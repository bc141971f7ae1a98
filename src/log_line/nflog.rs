//! The name of an NFLOG line, which no kernel prints: `nflog:GROUP ` in front of the rule's own prefix.

/// The block of the lab's own groups: its fences, its marks.
const OF_THE_LAB: u8 = 0xfe;

/// What the lines of NFLOG rules begin with.
pub const NFLOG_NAME: &str = "nflog:";

/// What a line of an NFLOG rule begins with, before the rule's own prefix: `nflog:2 `.
pub fn nflog_name(group: u16) -> String {
    format!("{NFLOG_NAME}{group} ")
}

/// Whether the group is in the block of the lab's own.
pub fn is_of_the_lab(group: u16) -> bool {
    group.to_be_bytes()[0] == OF_THE_LAB
}
