//! The rule trace of either flavour, and the index from the kernel's rules to those of the file.

pub(super) mod ct_state;
pub(super) mod forged_trace;
mod hotdrop;
pub(super) mod legacy_trace;
pub(super) mod nfnetlink;
pub(super) mod nft_rules;
pub(super) mod nft_trace;
pub(super) mod own_table;
pub(super) mod paths;
pub(super) mod rule_index;
pub(super) mod x_tables;

use crate::error::{CannotMeasure, Error};

/// The error for a loss of traces, with its evidence.
pub(super) fn lost(evidence: String) -> Error {
    CannotMeasure::Loss { instrument: "rule trace", evidence }.into()
}
