//! A host that its neighbours cannot find: its rules drop neighbour discovery (RFC 4861), which IPv6 depends on. No
//! packet of a neighbour reaches such a host, whatever its other rules accept.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::probe::path::Step;

/// The reason why neighbours cannot find a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hidden {
    /// The message that is dropped.
    pub message: NeighbourMessage,
    /// The rule or policy that drops it; `None` if that was not traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Step>,
}

/// A message of neighbour discovery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Message")]
pub enum NeighbourMessage {
    /// The solicitation, which the host receives.
    #[default]
    Solicitation,
    /// The advertisement, which the host sends.
    Advertisement,
}

impl NeighbourMessage {
    /// Its ICMPv6 type (RFC 4861, section 4).
    pub const fn kind(self) -> u8 {
        match self {
            NeighbourMessage::Solicitation => 135,
            NeighbourMessage::Advertisement => 136,
        }
    }
}

/// `neighbour solicitations (ICMPv6 type 135)`
impl fmt::Display for NeighbourMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            NeighbourMessage::Solicitation => "solicitations",
            NeighbourMessage::Advertisement => "advertisements",
        };
        write!(f, "neighbour {name} (ICMPv6 type {})", self.kind())
    }
}

impl Hidden {
    /// `rules.v6:12 drops neighbour solicitations (ICMPv6 type 135): -A INPUT -j DROP`
    pub fn reason(&self, file: Option<&Path>) -> String {
        let Hidden { message, by } = self;
        let Some(step) = by else { return format!("{message} are not answered") };
        let file = file.map(|file| file.display().to_string()).unwrap_or_default();
        let place = match step.line {
            Some(line) => format!("{file}:{line}"),
            None => format!("the policy of {} in {file}", step.chain),
        };
        format!("{place} drops {message}: {}", step.text)
    }
}
