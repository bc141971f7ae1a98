//! The rule trace of either flavour, and the index that leads from the kernel's rules to those of the file.

pub(super) mod forged_trace;
pub(super) mod nfnetlink;
pub(super) mod nft_rules;
pub(super) mod own_table;
pub(super) mod paths;
pub(super) mod rulebook;
pub(super) mod sighting;
pub(super) mod told_by_conntrack;
pub(super) mod trace;
pub(super) mod x_tables;
pub(super) mod x_trace;
