//! The subject of a check: a scan, the vendor, a neighbour protocol, or a packet.

use std::fmt;
use std::str::FromStr;

use crate::probe::packet::Packet;
use crate::probe::scan::Technique;

/// The subject of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckSubject {
    /// A scan of ports.
    Scan(Technique),
    /// The vendor that the MAC address gives away.
    Vendor,
    /// The host's answer to ARP.
    Arp,
    /// The host's answer to neighbour solicitations.
    Ndp,
    /// The result of one packet.
    Packet(Packet),
}

impl CheckSubject {
    /// The subjects that are neither scans nor packets.
    pub const OTHERS: [CheckSubject; 3] = [CheckSubject::Vendor, CheckSubject::Arp, CheckSubject::Ndp];

    /// Its name in a scenario.
    pub const fn name(self) -> &'static str {
        match self {
            CheckSubject::Scan(technique) => technique.name(),
            CheckSubject::Vendor => "vendor",
            CheckSubject::Arp => "arp",
            CheckSubject::Ndp => "ndp",
            CheckSubject::Packet(_) => "packet",
        }
    }

    /// The technique, if it is a scan.
    pub const fn technique(self) -> Option<Technique> {
        if let CheckSubject::Scan(technique) = self { Some(technique) } else { None }
    }

    /// The packet, if it is one.
    pub const fn packet(self) -> Option<Packet> {
        if let CheckSubject::Packet(packet) = self { Some(packet) } else { None }
    }
}

impl fmt::Display for CheckSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckSubject::Packet(packet) => packet.fmt(f),
            subject => f.pad(subject.name()),
        }
    }
}

/// The error for a text that names no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is neither a scan nor another check", .0.escape_debug())]
pub struct SubjectError(pub String);

impl FromStr for CheckSubject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let scans = Technique::ALL.map(CheckSubject::Scan);
        let named = |subject: &CheckSubject| subject.name() == text;
        scans.into_iter().chain(CheckSubject::OTHERS).find(named).ok_or_else(|| SubjectError(text.to_owned()))
    }
}
