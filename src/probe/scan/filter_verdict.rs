//! The filter's verdict on a packet, independent of the scanner's view.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::path::Fate;

/// The filter's final verdict on a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FilterVerdict {
    /// Accepted: it went on to the host.
    Accept,
    /// Dropped silently.
    Drop,
    /// Dropped with an answer to the sender.
    Reject,
}

impl FilterVerdict {
    /// All verdicts.
    pub const ALL: [FilterVerdict; 3] = [FilterVerdict::Accept, FilterVerdict::Drop, FilterVerdict::Reject];

    /// The verdict on a packet whose path ended like this; `None` if it left the modelled world.
    pub const fn from_fate(fate: Fate) -> Option<FilterVerdict> {
        match fate {
            Fate::Accepted => Some(FilterVerdict::Accept),
            Fate::Rejected => Some(FilterVerdict::Reject),
            Fate::Dropped | Fate::Stolen | Fate::Vanished => Some(FilterVerdict::Drop),
            Fate::Left(_) => None,
        }
    }

    /// Its name in scenarios and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            FilterVerdict::Accept => "accept",
            FilterVerdict::Drop => "drop",
            FilterVerdict::Reject => "reject",
        }
    }
}

impl fmt::Display for FilterVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error for a text that is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a verdict: use accept, drop or reject", .0.escape_debug())]
pub struct FilterVerdictError(pub String);

impl FromStr for FilterVerdict {
    type Err = FilterVerdictError;

    fn from_str(text: &str) -> Result<Self, FilterVerdictError> {
        let named = |verdict: &FilterVerdict| verdict.as_str() == text;
        FilterVerdict::ALL.into_iter().find(named).ok_or_else(|| FilterVerdictError(text.to_owned()))
    }
}
