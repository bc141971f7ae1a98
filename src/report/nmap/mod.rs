//! A scan in nmap's own words, for people and programs that know nmap: normal output, XML and grepable output, each as
//! nmap 7.93 was seen to print it, to the byte.
//!
//! Pure: a writer gets an [`NmapReport`] and gives text. What nmap prints and scanlab does not:
//!
//! 1. A latency, since nothing is timed here: as with an nmap that had no answer to time.
//! 2. The talk of a scan that is under way (`Initiating SYN Stealth Scan at`), and the count of raw packets.
//! 3. A guess about closed ports that may be reported as filtered: nothing is guessed here.
//! 4. A link to a style sheet.
//!
//! Times are in UTC, so that two machines write the same.

mod grepable;
mod nmap_date;
mod normal;
mod not_shown;
mod xml;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::net::Mac;
use crate::net::Protocol;
use crate::net::port::{Port, PortSet};
use crate::probe::scan::{PortState, Reason, Technique};
use crate::wire::tcp_flags::TcpFlagsOctet;

pub use self::grepable::grepable;
pub use self::nmap_date::UnixTime;
pub use self::normal::{Addressee, normal};
pub use self::xml::xml;

/// The nmap whose output this is. Its readers go by this version; who wrote it stands in the arguments.
const SPOKEN: &str = "7.93";

/// One scan of one host, as nmap's formats need it.
#[derive(Debug, Clone, PartialEq)]
pub struct NmapReport {
    /// The command line.
    pub arguments: Vec<String>,
    /// When it began.
    pub start: UnixTime,
    /// When it ended.
    pub end: UnixTime,
    /// What was scanned: one TCP technique, UDP, or both.
    pub scans: Vec<Scan>,
    /// The host.
    pub host: ScannedHost,
    /// Every port, once for each protocol.
    pub ports: Vec<PortRow>,
    /// How it is to be shown.
    pub presentation: Presentation,
    /// The folder in which nmap's own files were found and read.
    pub data_files: Option<String>,
}

/// One technique and its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The technique.
    pub technique: Technique,
    /// The flags that were sent in the place of the technique's own.
    pub flags: Option<TcpFlagsOctet>,
    /// The ports.
    pub ports: PortSet,
}

/// The host as nmap sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedHost {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address, where it shows.
    pub mac: Option<Mac>,
    /// Who made it, as nmap would say.
    pub vendor: Option<String>,
    /// Why it counts as up.
    pub reason: HostReason,
}

/// Why a host counts as up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostReason {
    /// It answered an ARP request.
    ArpResponse,
    /// It answered a neighbour solicitation.
    NeighbourResponse,
    /// Nobody asked.
    UserSet,
    /// It answered no neighbour solicitation: it counts as down.
    NoResponse,
}

impl HostReason {
    /// Whether the host counts as up.
    pub const fn is_up(self) -> bool {
        !matches!(self, HostReason::NoResponse)
    }

    /// nmap's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            HostReason::ArpResponse => "arp-response",
            HostReason::NeighbourResponse => "nd-response",
            HostReason::UserSet => "user-set",
            HostReason::NoResponse => "no-response",
        }
    }
}

/// What was found of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRow {
    /// What it belongs to.
    pub protocol: Protocol,
    /// Its number.
    pub port: Port,
    /// Its state.
    pub state: PortState,
    /// Why.
    pub reason: Reason,
    /// TTL or hop limit of the packet that decided.
    pub ttl: Option<u8>,
    /// Who sent that packet, when it was not the host.
    pub from: Option<IpAddr>,
    /// What is usually there.
    pub service: Option<String>,
}

/// How a report is to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presentation {
    /// The lines for a host that is down.
    pub advice: Advice,
    /// `-v`, counted.
    pub verbosity: u8,
    /// `--reason`.
    pub reasons: Reasons,
    /// `--open`.
    pub shown: Shown,
}

/// What nmap's terminal output says of a host that is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Advice {
    /// To try -Pn.
    #[default]
    TryPn,
    /// Nothing: -Pn was tried.
    None,
}

/// Whether reasons are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reasons {
    /// They are not, unless `-vv` asks for them.
    #[default]
    Hidden,
    /// They are.
    Shown,
}

/// Which ports are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// All, but for states that too many ports have.
    #[default]
    All,
    /// Those that are, or may be, open.
    Open,
}

impl NmapReport {
    /// The rows, TCP before UDP, by number.
    fn sorted_ports(&self) -> Vec<&PortRow> {
        let mut rows: Vec<&PortRow> = self.ports.iter().collect();
        rows.sort_by_key(|row| (row.protocol, row.port));
        rows
    }

    /// With `--open` a host without a port that may be open is left out, and without `-v` one that is down.
    fn shows_host(&self) -> bool {
        let is_worth_it = self.host.reason.is_up() || self.presentation.verbosity > 0;
        is_worth_it && (self.presentation.shown == Shown::All || self.ports.iter().any(|row| may_be_open(row.state)))
    }

    fn shows_reasons(&self) -> bool {
        self.presentation.reasons == Reasons::Shown || self.presentation.verbosity > 1
    }

    fn arguments(&self) -> String {
        crate::text::escape::visible(&self.arguments.join(" "))
    }

    /// `scan initiated ... as: ...`, which begins every file.
    fn initiated(&self) -> String {
        format!("Nmap {SPOKEN} scan initiated {} as: {}", self.start.long(), self.arguments())
    }

    /// `1 IP address (1 host up) scanned in 0.12 seconds`.
    fn summary(&self) -> String {
        let up = if self.host.reason.is_up() { "1 host up" } else { "0 hosts up" };
        format!("1 IP address ({up}) scanned in {} seconds", self.elapsed())
    }

    fn elapsed(&self) -> String {
        format!("{:.2}", self.end.since(self.start).as_secs_f64())
    }
}

/// What `--open` keeps.
pub fn may_be_open(state: PortState) -> bool {
    match state {
        PortState::Open | PortState::OpenFiltered | PortState::Unfiltered => true,
        PortState::Closed | PortState::Filtered | PortState::ClosedFiltered => false,
        // It may be open for all that was seen.
        PortState::Unknown => true,
    }
}
