//! The table of techniques: one row each, with all that distinguishes one technique from the others.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PortState;
use crate::net::Protocol;
use crate::wire::tcp_flags::TcpFlags;

/// A scan technique of nmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
    /// `-sA`: ACK alone; maps firewalls, cannot distinguish open from closed.
    Ack,
    /// `-sM`: FIN and ACK, as Uriel Maimon described it in Phrack 49.
    Maimon,
    /// `-sW`: the packets of [`Technique::Ack`], but the window of the RST decides.
    Window,
    /// `-sU`: an empty datagram. nmap sends payloads to ports of well-known services; they are not included here, so a
    /// service that only answers its own protocol has the result of `nmap --data-length 0`.
    Udp,
    /// `-PE`: an ICMP echo request. It probes the host and has no port: *unfiltered* is nmap's *up*.
    Echo,
}

/// A row of the table: the properties of a technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The technique.
    pub technique: Technique,
    /// Its name in scenarios and reports.
    pub name: &'static str,
    /// nmap's option.
    pub nmap: &'static str,
    /// Its name in log prefixes: `Xmas scan: `.
    pub title: &'static str,
    /// The protocol of its packets.
    pub protocol: Protocol,
    /// The sender of its packets.
    pub sender: Sender,
    /// The TCP flags octet (RFC 9293, section 3.1); 0 without TCP. It decides on other fields: the mask is the
    /// acknowledgment number if ACK is set, and the MSS option is present if SYN is set.
    pub flags: u8,
    /// The port state after no reply to any try.
    pub silence: PortState,
    /// The meaning of a RST.
    pub reset: Reset,
}

/// The sender of the packets of a technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// nmap itself: every field is its own.
    Nmap,
    /// The scanner's kernel, which makes a full connection.
    Kernel,
}

/// The meaning of a RST to a technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The port has no listener.
    Closed,
    /// The port is reachable; its state is unknown.
    Unfiltered,
    /// Some systems put a window into the RST of an open port. Linux never does.
    ByWindow,
}

impl Reset {
    /// The port state that a RST with this window means.
    pub const fn state(self, window: u16) -> PortState {
        match (self, window) {
            (Reset::Closed, _) | (Reset::ByWindow, 0) => PortState::Closed,
            (Reset::Unfiltered, _) => PortState::Unfiltered,
            (Reset::ByWindow, _) => PortState::Open,
        }
    }
}

/// The table, in the order of reports.
const TABLE: [Profile; 10] = {
    use PortState::{Filtered, OpenFiltered};
    use Reset::{ByWindow, Closed, Unfiltered};
    use Technique::{Ack, Connect, Echo, Fin, Maimon, Null, Syn, Udp, Window, Xmas};
    [
        tcp(Syn, "syn", "-sS", "SYN", TcpFlags::SYN, Filtered, Closed),
        Profile {
            sender: Sender::Kernel,
            ..tcp(Connect, "connect", "-sT", "Connect", TcpFlags::SYN, Filtered, Closed)
        },
        tcp(Null, "null", "-sN", "Null", 0, OpenFiltered, Closed),
        tcp(Fin, "fin", "-sF", "FIN", TcpFlags::FIN, OpenFiltered, Closed),
        tcp(Xmas, "xmas", "-sX", "Xmas", TcpFlags::XMAS, OpenFiltered, Closed),
        tcp(Ack, "ack", "-sA", "ACK", TcpFlags::ACK, Filtered, Unfiltered),
        tcp(Maimon, "maimon", "-sM", "Maimon", TcpFlags::FIN_ACK, OpenFiltered, Closed),
        tcp(Window, "window", "-sW", "Window", TcpFlags::ACK, Filtered, ByWindow),
        Profile { protocol: Protocol::Udp, ..tcp(Udp, "udp", "-sU", "UDP", 0, OpenFiltered, Closed) },
        Profile { protocol: Protocol::Icmp, ..tcp(Echo, "echo", "-PE", "Echo", 0, Filtered, Closed) },
    ]
};

const fn tcp(
    technique: Technique,
    name: &'static str,
    nmap: &'static str,
    title: &'static str,
    flags: u8,
    silence: PortState,
    reset: Reset,
) -> Profile {
    Profile { technique, name, nmap, title, protocol: Protocol::Tcp, sender: Sender::Nmap, flags, silence, reset }
}

impl Technique {
    /// Every technique, in the order of reports.
    pub const ALL: [Technique; TABLE.len()] = all();

    /// The techniques of derived expectations, and of `all` in a row.
    pub const DERIVED: [Technique; 6] =
        [Technique::Syn, Technique::Connect, Technique::Null, Technique::Fin, Technique::Xmas, Technique::Ack];

    /// The techniques that a sensor can log as a scan. A connect is a client's connection and no scan technique of its
    /// own: its first packet is a SYN.
    pub const LOGGED: [Technique; 5] =
        [Technique::Xmas, Technique::Null, Technique::Fin, Technique::Syn, Technique::Ack];

    /// The row of the table.
    pub const fn profile(self) -> Profile {
        TABLE[self as usize]
    }

    /// Its name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        self.profile().name
    }

    /// The protocol of its packets.
    pub const fn protocol(self) -> Protocol {
        self.profile().protocol
    }

    /// True if the scanner's kernel makes a full connection for it.
    pub const fn is_full_connect(self) -> bool {
        matches!(self.profile().sender, Sender::Kernel)
    }

    /// True if it probes ports; otherwise it probes the host.
    pub const fn has_ports(self) -> bool {
        !matches!(self.protocol(), Protocol::Icmp)
    }
}

/// Checks that rows and variants have the same order.
const fn all() -> [Technique; TABLE.len()] {
    let mut all = [Technique::Syn; TABLE.len()];
    let mut place = 0;
    while place < TABLE.len() {
        all[place] = TABLE[place].technique;
        assert!(all[place] as usize == place, "the table has the order of the variants");
        place += 1;
    }
    all
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The error for a text that is no technique.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a scan technique: use one of {}", .0.escape_debug(), names())]
pub struct TechniqueError(pub String);

fn names() -> String {
    Technique::ALL.map(Technique::name).join(", ")
}

impl FromStr for Technique {
    type Err = TechniqueError;

    /// Parses the name in any case.
    fn from_str(text: &str) -> Result<Self, TechniqueError> {
        let named = |technique: &Technique| technique.name().eq_ignore_ascii_case(text);
        Technique::ALL.into_iter().find(named).ok_or_else(|| TechniqueError(text.to_owned()))
    }
}
