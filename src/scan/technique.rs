//! The table of techniques: flags on the wire, and the two answers that tell techniques apart.

use std::fmt;
use std::str::FromStr;

use pnet_packet::tcp::TcpFlags;
use serde::{Deserialize, Serialize};

use super::PortState;

/// A scan technique of nmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Technique {
    /// `-sS`: a lone SYN, the connection never completed.
    Syn,
    /// `-sT`: a full connection: SYN, SYN/ACK, ACK, greeting read, RST. The *port hit* of a client.
    Connect,
    /// `-sN`: no flag at all.
    Null,
    /// `-sF`: FIN alone.
    Fin,
    /// `-sX`: FIN, PSH and URG.
    Xmas,
    /// `-sA`: ACK alone; maps firewalls, cannot tell open from closed.
    Ack,
}

/// What makes a technique: one row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The word that names it everywhere.
    pub name: &'static str,
    /// nmap's option.
    pub nmap: &'static str,
    /// The name by which log prefixes call it: `Xmas scan: `.
    pub title: &'static str,
    /// The TCP flags octet (RFC 9293, section 3.1).
    pub flags: u8,
    /// What silence means, after every try.
    pub silence: PortState,
    /// What a RST means.
    pub reset: PortState,
}

const fn row(
    name: &'static str,
    nmap: &'static str,
    title: &'static str,
    flags: u8,
    silence: PortState,
    reset: PortState,
) -> Profile {
    Profile { name, nmap, title, flags, silence, reset }
}

impl Technique {
    /// Every technique, in the order of reports.
    pub const ALL: [Technique; 6] =
        [Technique::Syn, Technique::Connect, Technique::Null, Technique::Fin, Technique::Xmas, Technique::Ack];

    /// The techniques that a sensor can log as a scan. A connect is a visitor, not a scan technique of its own: its
    /// first packet is a SYN.
    pub const LOGGED: [Technique; 5] =
        [Technique::Xmas, Technique::Null, Technique::Fin, Technique::Syn, Technique::Ack];

    /// The row of the table.
    pub const fn profile(self) -> Profile {
        use PortState::{Closed, Filtered, OpenFiltered, Unfiltered};
        match self {
            Technique::Syn => row("syn", "-sS", "SYN", TcpFlags::SYN, Filtered, Closed),
            Technique::Connect => row("connect", "-sT", "Connect", TcpFlags::SYN, Filtered, Closed),
            Technique::Null => row("null", "-sN", "Null", 0, OpenFiltered, Closed),
            Technique::Fin => row("fin", "-sF", "FIN", TcpFlags::FIN, OpenFiltered, Closed),
            Technique::Xmas => {
                let flags = TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG;
                row("xmas", "-sX", "Xmas", flags, OpenFiltered, Closed)
            }
            Technique::Ack => row("ack", "-sA", "ACK", TcpFlags::ACK, Filtered, Unfiltered),
        }
    }

    /// The word that names it everywhere.
    pub const fn name(self) -> &'static str {
        self.profile().name
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no technique.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no scan technique: use one of {}", .0.escape_debug(), names())]
pub struct TechniqueError(pub String);

fn names() -> String {
    Technique::ALL.map(Technique::name).join(", ")
}

impl FromStr for Technique {
    type Err = TechniqueError;

    /// Reads the name in any case.
    fn from_str(text: &str) -> Result<Self, TechniqueError> {
        let named = |technique: &Technique| technique.name().eq_ignore_ascii_case(text);
        Technique::ALL.into_iter().find(named).ok_or_else(|| TechniqueError(text.to_owned()))
    }
}
