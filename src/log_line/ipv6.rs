//! `SRC= DST= LEN= TC= HOPLIMIT= FLOWLBL= ...`: an IPv6 header and its extension headers (RFC 8200).

use std::fmt;
use std::net::Ipv6Addr;

use super::Transport;
use super::reader::{TokenReader, fixed_hex};

/// An IPv6 packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv6 {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Length in bytes, header included (the header's own field does not count it).
    pub length: u32,
    /// Traffic class.
    pub traffic_class: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Flow label, 20 bits. The kernel prints it in decimal, although a comment in its source says otherwise.
    pub flow_label: u32,
    /// Extension headers in order, as far as the kernel prints them.
    pub extensions: Vec<ExtensionHeader>,
    /// The payload; `None` after an ESP header, at which the kernel stops.
    pub transport: Option<Transport>,
}

/// An extension header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionHeader {
    /// A fragment header: the only kind that is printed without `--log-ip-options`.
    Fragment(FragmentHeader),
    /// With `--log-ip-options`, any header, printed in `OPT ( .. )`.
    Listed(ListedExtension),
}

/// The content of `OPT ( .. )`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedExtension {
    /// Empty: hop-by-hop options, a routing header or destination options.
    Unnamed,
    /// A fragment header.
    Fragment(FragmentHeader),
    /// An authentication header.
    Ah {
        /// Security parameters index.
        spi: u32,
    },
    /// An ESP header: the last one that is printed.
    Esp {
        /// Security parameters index.
        spi: u32,
    },
}

/// A fragment header (RFC 8200, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentHeader {
    /// Offset in bytes; IPv4 prints it in units of 8.
    pub offset: u16,
    /// More fragments follow; the kernel prints `INCOMPLETE`.
    pub more: bool,
    /// Identification.
    pub id: u32,
}

impl Ipv6 {
    /// The differentiated services code point (RFC 2474).
    pub fn dscp(&self) -> u8 {
        self.traffic_class >> 2
    }

    /// The ECN field, 2 bits (RFC 3168).
    pub fn ecn(&self) -> u8 {
        self.traffic_class & 0b11
    }

    pub(super) fn parse(reader: &mut TokenReader) -> Option<Ipv6> {
        Some(Ipv6 {
            source: reader.value("SRC=", address)?,
            destination: reader.value("DST=", address)?,
            length: reader.decimal("LEN=")?,
            traffic_class: reader.decimal("TC=")?,
            hop_limit: reader.decimal("HOPLIMIT=")?,
            flow_label: reader.decimal("FLOWLBL=")?,
            extensions: std::iter::from_fn(|| reader.attempt(ExtensionHeader::parse)).collect(),
            transport: Transport::parse(reader),
        })
    }
}

impl ExtensionHeader {
    fn parse(reader: &mut TokenReader) -> Option<ExtensionHeader> {
        match reader.literal("OPT ( ") {
            Some(()) => ListedExtension::parse(reader).map(ExtensionHeader::Listed),
            None => FragmentHeader::parse(reader).map(ExtensionHeader::Fragment),
        }
    }
}

impl ListedExtension {
    fn parse(reader: &mut TokenReader) -> Option<ListedExtension> {
        if let Some(spi) = reader.hex("ESP SPI=0x") {
            return reader.literal(")").map(|()| ListedExtension::Esp { spi });
        }
        let fragment = reader.attempt(FragmentHeader::parse).map(ListedExtension::Fragment);
        let ah = || reader.hex("AH SPI=0x").map(|spi| ListedExtension::Ah { spi });
        let extension = fragment.or_else(ah).unwrap_or(ListedExtension::Unnamed);
        // The kernel also stops at a header inside a later fragment, and prints no space then: that line goes into
        // `rest`.
        reader.literal(") ").map(|()| extension)
    }
}

impl FragmentHeader {
    fn parse(reader: &mut TokenReader) -> Option<FragmentHeader> {
        Some(FragmentHeader {
            offset: reader.decimal("FRAG:")?,
            more: reader.word("INCOMPLETE").is_some(),
            id: reader.value("ID:", |text| fixed_hex(text, 8, str::to_ascii_lowercase))?,
        })
    }
}

/// `%pI6`: eight groups of four digits, never shortened.
fn address(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok().filter(|address| Full(*address).to_string() == text)
}

pub(super) struct Full(pub Ipv6Addr);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.segments().map(|group| format!("{group:04x}")).join(":"))
    }
}

impl fmt::Display for Ipv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SRC={} DST={} LEN={} ", Full(self.source), Full(self.destination), self.length)?;
        write!(f, "TC={} HOPLIMIT={} FLOWLBL={} ", self.traffic_class, self.hop_limit, self.flow_label)?;
        self.extensions.iter().try_for_each(|extension| extension.fmt(f))?;
        self.transport.iter().try_for_each(|transport| transport.fmt(f))
    }
}

impl fmt::Display for ExtensionHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtensionHeader::Fragment(header) => header.fmt(f),
            ExtensionHeader::Listed(ListedExtension::Unnamed) => f.write_str("OPT ( ) "),
            ExtensionHeader::Listed(ListedExtension::Fragment(header)) => write!(f, "OPT ( {header}) "),
            ExtensionHeader::Listed(ListedExtension::Ah { spi }) => write!(f, "OPT ( AH SPI=0x{spi:x} ) "),
            ExtensionHeader::Listed(ListedExtension::Esp { spi }) => write!(f, "OPT ( ESP SPI=0x{spi:x} )"),
        }
    }
}

impl fmt::Display for FragmentHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.more { "INCOMPLETE " } else { "" };
        write!(f, "FRAG:{} {more}ID:{:08x} ", self.offset, self.id)
    }
}
