//! `SPT= DPT= [SEQ= ACK=] WINDOW= RES= <flags> URGP= [OPT (..)]`: a TCP header (RFC 9293, section 3.1).

use std::fmt;

use super::ipv4::emit_options;
use super::reader::{TokenReader, fixed_hex};
use crate::net::port::Port;

/// A TCP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub source: Port,
    /// Destination port.
    pub destination: Port,
    /// `SEQ= ACK=` (`--log-tcp-sequence`).
    pub sequence: Option<Sequence>,
    /// Window, in bytes, not scaled.
    pub window: u16,
    /// `RES=`: the reserved bits as the kernel shifts them. Kernels that know the AE flag print it in both places.
    pub reserved: u8,
    /// The flags octet (CWR, ECE, URG, ACK, PSH, RST, SYN, FIN from the high bit down), and AE as bit 8.
    pub flags: u16,
    /// Urgent pointer.
    pub urgent_pointer: u16,
    /// `OPT (..)`: the options (`--log-tcp-options`), when there are any.
    pub options: Option<Vec<u8>>,
}

/// The two sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
}

/// A TCP flag that the kernel prints by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFlag {
    /// The name.
    pub name: &'static str,
    /// The bit in [`TcpHeader::flags`].
    pub bit: u16,
}

impl TcpHeader {
    /// The flags in the order in which the kernel prints those that are set.
    pub const FLAGS: [TcpFlag; 9] = [
        TcpFlag { name: "AE", bit: 0x100 },
        TcpFlag { name: "CWR", bit: 0x80 },
        TcpFlag { name: "ECE", bit: 0x40 },
        TcpFlag { name: "URG", bit: 0x20 },
        TcpFlag { name: "ACK", bit: 0x10 },
        TcpFlag { name: "PSH", bit: 0x08 },
        TcpFlag { name: "RST", bit: 0x04 },
        TcpFlag { name: "SYN", bit: 0x02 },
        TcpFlag { name: "FIN", bit: 0x01 },
    ];

    /// The flags octet, without AE.
    pub fn octet(&self) -> u8 {
        self.flags.to_be_bytes()[1]
    }

    pub(super) fn parse(reader: &mut TokenReader) -> Option<TcpHeader> {
        Some(TcpHeader {
            source: Port(reader.decimal("SPT=")?),
            destination: Port(reader.decimal("DPT=")?),
            sequence: reader.attempt(Sequence::parse),
            window: reader.decimal("WINDOW=")?,
            reserved: reader.value("RES=0x", |text| fixed_hex(text, 2, str::to_ascii_lowercase))? as u8,
            flags: parse_flags(reader),
            urgent_pointer: reader.decimal("URGP=")?,
            options: reader.options(),
        })
    }
}

impl Sequence {
    fn parse(reader: &mut TokenReader) -> Option<Sequence> {
        Some(Sequence { seq: reader.decimal("SEQ=")?, ack: reader.decimal("ACK=")? })
    }
}

fn parse_flags(reader: &mut TokenReader) -> u16 {
    let set = |flag: &TcpFlag| if reader.word(flag.name).is_some() { flag.bit } else { 0 };
    TcpHeader::FLAGS.iter().map(set).sum()
}

impl fmt::Display for TcpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SPT={} DPT={} ", self.source, self.destination)?;
        self.sequence.iter().try_for_each(|sequence| write!(f, "SEQ={} ACK={} ", sequence.seq, sequence.ack))?;
        write!(f, "WINDOW={} RES=0x{:02x} ", self.window, self.reserved)?;
        let mut set = TcpHeader::FLAGS.iter().filter(|flag| self.flags & flag.bit != 0);
        set.try_for_each(|flag| write!(f, "{} ", flag.name))?;
        write!(f, "URGP={} ", self.urgent_pointer)?;
        self.options.iter().try_for_each(|options| emit_options(f, options))
    }
}
