//! Errors in the text of a packet, with the correct notation.

use std::fmt;
use std::net::IpAddr;

/// The error for a text that is no packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PacketError {
    /// It does not begin with a protocol.
    What(String),
    /// A word is missing.
    Missing(&'static str),
    /// No TCP flag.
    Flags(String),
    /// No port.
    Port(String),
    /// No ICMP type and code.
    Message(String),
    /// No number of a protocol, or that of a protocol with a keyword.
    Protocol(String),
    /// No address.
    Address(String),
    /// Packets cannot come from this address, or cannot be routed to it.
    Unusable(IpAddr),
    /// An address of the other family.
    TwoFamilies(IpAddr),
    /// A packet of this kind cannot be an answer.
    NoAnswer,
    /// A packet of this kind cannot be part of a connection, or of one that the lab can open.
    NoConnection,
    /// There are words left.
    Rest(String),
    /// It is a packet with another notation, which is this.
    Otherwise(String),
}

impl std::error::Error for PacketError {}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketError::What(text) => write!(f, "`{}` is not a kind of packet", text.escape_debug()),
            PacketError::Missing(what) => write!(f, "the packet has no {what}"),
            PacketError::Flags(text) => write!(f, "`{}` are not TCP flags", text.escape_debug()),
            PacketError::Port(text) => write!(f, "`{}` is not a port", text.escape_debug()),
            PacketError::Message(text) => write!(f, "`{}` is not a type and code of ICMP", text.escape_debug()),
            PacketError::Protocol(text) => write!(f, "`{}` is not the number of another protocol", text.escape_debug()),
            PacketError::Address(text) => write!(f, "`{}` is not an address", text.escape_debug()),
            PacketError::Unusable(address) => write!(f, "such a packet cannot come from or go to {address}"),
            PacketError::TwoFamilies(address) => write!(f, "{address} is of another family than the packet"),
            PacketError::NoAnswer => write!(f, "such a packet cannot be an `answer`"),
            PacketError::NoConnection => write!(f, "such a packet cannot be `established`"),
            PacketError::Rest(text) => write!(f, "`{}` is not understood", text.escape_debug()),
            PacketError::Otherwise(_) => write!(f, "a packet has one canonical spelling, and this is another"),
        }
    }
}

impl PacketError {
    /// The hint with the correct notation.
    pub fn hint(&self) -> String {
        match self {
            PacketError::What(_) => "begin with tcp, udp, icmp, icmpv6 or protocol: \"tcp SYN to 80\"".to_owned(),
            PacketError::Missing(_) => {
                "write \"tcp SYN to 80\", \"udp to 53\", \"icmp 8/0\", \"icmpv6 135/0\" or \"protocol 47\"".to_owned()
            }
            PacketError::Flags(_) => {
                "flags are FIN, SYN, RST, PSH, ACK and URG, with commas between them; or NONE, or ALL".to_owned()
            }
            PacketError::Port(_) => "ports are 1 to 65535".to_owned(),
            PacketError::Message(_) => "write type/code, each 0 to 255: \"icmp 8/0\"".to_owned(),
            PacketError::Protocol(text) => protocol_hint(text),
            PacketError::Address(_) => "write \"from host\", or an address: \"from 10.0.0.1\"".to_owned(),
            PacketError::Unusable(_) => "name an address that a host on another network can have".to_owned(),
            PacketError::TwoFamilies(_) => "icmp goes over IPv4, icmpv6 over IPv6".to_owned(),
            PacketError::NoAnswer => {
                "TCP (not over lo), UDP, ICMP errors, echo replies and other protocols can answer".to_owned()
            }
            PacketError::NoConnection => {
                "TCP can be `established`, over the link and over lo; UDP over the link where the host opened it"
                    .to_owned()
            }
            PacketError::Rest(_) => {
                "`from ...` or `over lo` come after the protocol, and then `established` or `answer`".to_owned()
            }
            PacketError::Otherwise(text) => format!("write \"{text}\""),
        }
    }
}

fn protocol_hint(number: &str) -> String {
    let named = match number {
        "6" => "write \"tcp SYN to 80\"",
        "17" => "write \"udp to 53\"",
        "58" => "write \"icmpv6 128/0\"",
        _ => "write its number (IANA): \"protocol 47\" is GRE",
    };
    named.to_owned()
}
