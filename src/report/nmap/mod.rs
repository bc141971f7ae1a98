//! A scan in nmap's output formats (normal, XML, grepable), for people and programs that know nmap; each is byte for
//! byte as nmap 7.93 prints it.
//!
//! Pure: a writer turns an [`NmapReport`] into text. Parts of nmap's output that scanlab does not print:
//!
//! 1. The latency, since scanlab measures no times: the same as for an nmap that got no answer to time.
//! 2. The progress of a running scan (`Initiating SYN Stealth Scan at`), and the count of raw packets.
//! 3. The guess that closed ports may be reported as filtered, since scanlab does not guess.
//! 4. The link to a style sheet.
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
use crate::wire::tcp_flags::TcpFlags;

pub use self::grepable::grepable;
pub use self::nmap_date::UnixTime;
pub use self::normal::{Addressee, normal};
pub use self::xml::xml;

/// The version of nmap whose format this is. Programs that read the output check it; the arguments name scanlab.
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
    /// The scans: one TCP technique, UDP, or both.
    pub scans: Vec<Scan>,
    /// The host.
    pub host: ScannedHost,
    /// Every port, once for each protocol.
    pub ports: Vec<PortRow>,
    /// Display options.
    pub presentation: Presentation,
    /// The folder of nmap's own data files, if they were found and read.
    pub data_files: Option<String>,
}

/// One technique and its ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The technique.
    pub technique: Technique,
    /// The flags that replaced those of the technique.
    pub flags: Option<TcpFlags>,
    /// The ports.
    pub ports: PortSet,
}

/// The host as nmap sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedHost {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address, if the scan shows it.
    pub mac: Option<Mac>,
    /// The vendor of that address, in nmap's words.
    pub vendor: Option<String>,
    /// The reason why it is reported as up or down.
    pub reason: HostReason,
}

/// The reason why a host is reported as up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostReason {
    /// It answered an ARP request.
    ArpResponse,
    /// It answered a neighbour solicitation.
    NeighbourResponse,
    /// Up: it was not pinged (-Pn).
    UserSet,
    /// Down: it answered no neighbour solicitation.
    NoResponse,
}

impl HostReason {
    /// True if the host is reported as up.
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

/// The result of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRow {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: Port,
    /// Its state.
    pub state: PortState,
    /// The reason for the state.
    pub reason: Reason,
    /// TTL or hop limit of the decisive packet.
    pub ttl: Option<u8>,
    /// The sender of that packet, if it was not the host.
    pub from: Option<IpAddr>,
    /// The name of the service that is usually on this port.
    pub service: Option<String>,
}

/// Display options of a report.
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

/// The advice in nmap's terminal output for a host that is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Advice {
    /// Try -Pn.
    #[default]
    TryPn,
    /// No advice: the scan used -Pn.
    None,
}

/// The display of reasons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reasons {
    /// Hidden, unless `-vv` shows them.
    #[default]
    Hidden,
    /// Shown.
    Shown,
}

/// The ports that are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shown {
    /// All, except those in a state that too many ports have.
    #[default]
    All,
    /// Ports that are or may be open.
    Open,
}

impl NmapReport {
    /// The rows, TCP before UDP, sorted by port.
    fn sorted_ports(&self) -> Vec<&PortRow> {
        let mut rows: Vec<&PortRow> = self.ports.iter().collect();
        rows.sort_by_key(|row| (row.protocol, row.port));
        rows
    }

    /// False for a host without a possibly open port (with `--open`), and for one that is down (without `-v`).
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

    /// `scan initiated ... as: ...`, the first line of every file.
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

/// True for the states that `--open` shows.
pub fn may_be_open(state: PortState) -> bool {
    match state {
        PortState::Open | PortState::OpenFiltered | PortState::Unfiltered => true,
        PortState::Closed | PortState::Filtered | PortState::ClosedFiltered => false,
        // The port may be open: scanlab did not see enough to exclude it.
        PortState::Unknown => true,
    }
}
