//! The two kernel interfaces of iptables, whose restore programs differ in details.

use schemars::JsonSchema;
use serde::Serialize;

/// The kernel interface that iptables uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// nf_tables.
    Nft,
    /// x_tables.
    Legacy,
}
