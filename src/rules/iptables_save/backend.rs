//! The two kernel interfaces of iptables, whose restore programs read a text in different ways.

use schemars::JsonSchema;
use serde::Serialize;

/// Which kernel interface iptables writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// nf_tables.
    Nft,
    /// x_tables.
    Legacy,
}
