//! Connection tracking's view of a packet.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// The conntrack state of a packet (`enum ip_conntrack_info`, `NF_CT_STATE_*_BIT` in linux/netfilter), in iptables'
/// words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConntrackState {
    /// Conntrack cannot interpret it, and it belongs to no connection.
    Invalid,
    /// It belongs to a connection that has seen packets both ways.
    Established,
    /// It starts a connection that another one announced, or is an ICMP error about one.
    Related,
    /// It starts a connection.
    New,
    /// It is exempt from tracking: NDP, or exempted in the raw table.
    Untracked,
}

impl ConntrackState {
    /// All of them.
    pub const ALL: [ConntrackState; 5] = [
        ConntrackState::Invalid,
        ConntrackState::Established,
        ConntrackState::Related,
        ConntrackState::New,
        ConntrackState::Untracked,
    ];

    /// Its name in `--ctstate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConntrackState::Invalid => "INVALID",
            ConntrackState::Established => "ESTABLISHED",
            ConntrackState::Related => "RELATED",
            ConntrackState::New => "NEW",
            ConntrackState::Untracked => "UNTRACKED",
        }
    }
}

impl fmt::Display for ConntrackState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
