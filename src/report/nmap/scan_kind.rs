//! What nmap calls its techniques in its reports.

use crate::port::Transport;
use crate::scan::Technique;

/// A technique that nmap's reports have a word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKind {
    /// `-sS`.
    Syn,
    /// `-sT`.
    Connect,
    /// `-sA`.
    Ack,
    /// `-sW`.
    Window,
    /// `-sM`.
    Maimon,
    /// `-sN`.
    Null,
    /// `-sF`.
    Fin,
    /// `-sX`.
    Xmas,
    /// `-sU`.
    Udp,
}

impl ScanKind {
    /// The `type` of `scaninfo`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ScanKind::Syn => "syn",
            ScanKind::Connect => "connect",
            ScanKind::Ack => "ack",
            ScanKind::Window => "window",
            ScanKind::Maimon => "maimon",
            ScanKind::Null => "null",
            ScanKind::Fin => "fin",
            ScanKind::Xmas => "xmas",
            ScanKind::Udp => "udp",
        }
    }

    /// The `task` of `taskbegin`.
    pub const fn task(self) -> &'static str {
        match self {
            ScanKind::Syn => "SYN Stealth Scan",
            ScanKind::Connect => "Connect Scan",
            ScanKind::Ack => "ACK Scan",
            ScanKind::Window => "Window Scan",
            ScanKind::Maimon => "Maimon Scan",
            ScanKind::Null => "NULL Scan",
            ScanKind::Fin => "FIN Scan",
            ScanKind::Xmas => "XMAS Scan",
            ScanKind::Udp => "UDP Scan",
        }
    }

    /// What it sends.
    pub const fn transport(self) -> Transport {
        match self {
            ScanKind::Udp => Transport::Udp,
            _ => Transport::Tcp,
        }
    }
}

impl From<Technique> for ScanKind {
    fn from(technique: Technique) -> ScanKind {
        match technique {
            Technique::Syn => ScanKind::Syn,
            Technique::Connect => ScanKind::Connect,
            Technique::Null => ScanKind::Null,
            Technique::Fin => ScanKind::Fin,
            Technique::Xmas => ScanKind::Xmas,
            Technique::Ack => ScanKind::Ack,
        }
    }
}
