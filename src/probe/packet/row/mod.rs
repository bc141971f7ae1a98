//! A stimulus in words, as in a row of a scenario: `tcp FIN,PSH to 22 established`. It names no family, unless an
//! address or ICMP implies one, and no source port that does not matter.
//!
//! ```text
//! packet = what [way] [lead]
//! what   = tcp FLAGS [from PORT] to PORT | udp [from PORT] to PORT | icmp TYPE/CODE | icmpv6 TYPE/CODE | protocol NUMBER
//! FLAGS  = NONE | ALL | FIN,SYN,RST,PSH,ACK,URG (those that are set, in this order)
//! way    = from ADDRESS | from host [to ADDRESS] | from host over lo | over lo
//! lead   = established | established by host | answer
//! ```
//!
//! *established*: within a connection that its sender opened; *by host*: within one that the host opened, but sent by the
//! other end; *answer*: the first packet that answers the opener of a connection, or any packet of the end that did not
//! open it.
//!
//! Each packet has one notation; [`FromStr`](std::str::FromStr) and [`Display`](std::fmt::Display) are inverse.

mod emit;
mod error;
mod parse;
mod plain;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::addresses::{can_be_reached, is_extension_header, is_usable};
use super::{Lead, Stimulus, StimulusSender};
use crate::net::port::Port;
use crate::net::{Addresses, Family};
use crate::wire::headers::{Content, Headers};

pub use error::PacketError;

/// A packet as a scenario names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    what: What,
    way: Way,
    lead: Lead,
}

/// The protocol of a packet, with its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// `tcp FIN,PSH to 22`, `tcp ACK from 20 to 22`
    Tcp {
        /// FIN is 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32.
        flags: u8,
        /// The source port; `None` for any.
        source: Option<Port>,
        /// The destination port.
        destination: Port,
    },
    /// `udp to 53`
    Udp {
        /// The source port; `None` for any.
        source: Option<Port>,
        /// The destination port.
        destination: Port,
    },
    /// `icmp 8/0`, `icmpv6 135/0`
    Icmp {
        /// ICMP or ICMPv6.
        family: Family,
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// `protocol 47`: a protocol of which no rule matches fields.
    Protocol(u8),
}

/// Source and destination, relative to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the prober to the host; this is the default and has no words.
    ToHost,
    /// `from 10.0.0.1`: over the link to the host, from another address.
    From(IpAddr),
    /// `from host`: from the host to the prober.
    FromHost,
    /// `from host to 10.0.0.1`
    FromHostTo(IpAddr),
    /// `over lo`: from the loopback address to itself.
    OverLoopback,
    /// `from host over lo`: from the host's own address to itself.
    HostToItself,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The lowest source port of a packet that may have any.
const SOURCES: u16 = 40_001;
const HOW_MANY_SOURCES: u16 = 20_000;

impl Packet {
    /// A packet, if it is possible.
    ///
    /// 1. Ports are not 0, only the six usual flags are set, and a protocol with a keyword of its own has no number.
    /// 2. A foreign address is a possible source, and of the same family as the rest.
    /// 3. The packet can open a connection or be an answer, as its lead requires; see [`Lead`].
    pub fn new(what: What, way: Way, lead: Lead) -> Result<Packet, PacketError> {
        let packet = Packet { what, way, lead };
        packet.check_what()?;
        packet.check_way()?;
        packet.check_lead()?;
        Ok(packet)
    }

    /// The notation of a stimulus, with its source port. Fails unless a [`crate::rules::sweep::SweepPlan`] can make it.
    pub fn from_stimulus(stimulus: &Stimulus, addresses: &Addresses) -> Result<Packet, PacketError> {
        let headers = &stimulus.headers;
        let family = headers.family();
        let what = match headers.content {
            Content::Tcp { source, destination, flags } => What::Tcp { flags, source: Some(source), destination },
            Content::Udp { source, destination } => What::Udp { source: Some(source), destination },
            Content::Icmp { kind, code } => What::Icmp { family, kind, code },
            Content::Other => What::Protocol(headers.protocol),
        };
        Packet::new(what, way_of(stimulus, addresses), stimulus.lead)
    }

    /// The protocol and its fields.
    pub fn what(&self) -> What {
        self.what
    }

    /// Source and destination.
    pub fn way(&self) -> Way {
        self.way
    }

    /// The packets before it.
    pub fn lead(&self) -> Lead {
        self.lead
    }

    /// The same packet to another port; a packet without ports stays as it is.
    pub fn to_port(self, destination: Port) -> Packet {
        let what = match self.what {
            What::Tcp { flags, source, .. } => What::Tcp { flags, source, destination },
            What::Udp { source, .. } => What::Udp { source, destination },
            what => what,
        };
        Packet { what, ..self }
    }

    /// The same packet from any source port.
    pub fn with_any_source(self) -> Packet {
        let what = match self.what {
            What::Tcp { flags, destination, .. } => What::Tcp { flags, source: None, destination },
            What::Udp { destination, .. } => What::Udp { source: None, destination },
            what => what,
        };
        Packet { what, ..self }
    }

    /// The stimulus in a family that it [can be of](Packet::family). `number` selects the source port if it may have
    /// any, so that packets that are sent together differ.
    pub fn stimulus(&self, family: Family, addresses: &Addresses, number: usize) -> Stimulus {
        let (sender, source, destination) = self.ends(family, addresses);
        let any = SOURCES + (number % usize::from(HOW_MANY_SOURCES)) as u16;
        // Over loopback, a packet to its own source port would be a connection with itself.
        let any = |to: Port| Port(if any == to.0 { SOURCES - 1 } else { any });
        let (protocol, content) = match self.what {
            What::Tcp { flags, source, destination } => {
                (TCP, Content::Tcp { source: source.unwrap_or_else(|| any(destination)), destination, flags })
            }
            What::Udp { source, destination } => {
                (UDP, Content::Udp { source: source.unwrap_or_else(|| any(destination)), destination })
            }
            What::Icmp { family, kind, code } => (icmp_of(family), Content::Icmp { kind, code }),
            What::Protocol(number) => (number, Content::Other),
        };
        Stimulus { sender, lead: self.lead, headers: Headers { source, destination, protocol, content } }
    }

    /// The only family that it can have; `None` if it can have both.
    pub fn family(&self) -> Option<Family> {
        self.what.family().or(self.foreign_address().map(Family::from_address))
    }

    /// The foreign address that is its source or destination.
    pub fn foreign_address(&self) -> Option<IpAddr> {
        match self.way {
            Way::From(address) | Way::FromHostTo(address) => Some(address),
            Way::ToHost | Way::FromHost | Way::OverLoopback | Way::HostToItself => None,
        }
    }

    /// The foreign address, if the host can send to it without an interface in the call.
    pub fn reached_address(&self) -> Option<IpAddr> {
        self.foreign_address().filter(|address| can_be_reached(*address))
    }

    /// True if the packet belongs to a connection that its own sender opened, which needs a listener.
    pub fn needs_a_service(&self) -> bool {
        self.lead == Lead::Forward
    }

    fn ends(&self, family: Family, addresses: &Addresses) -> (StimulusSender, IpAddr, IpAddr) {
        let (host, prober) = (addresses.host(family), addresses.prober(family));
        let loopback = family.loopback();
        match self.way {
            Way::ToHost => (StimulusSender::Prober, prober, host),
            Way::From(address) => (StimulusSender::Prober, address, host),
            Way::FromHost => (StimulusSender::Host, host, prober),
            Way::FromHostTo(address) => (StimulusSender::Host, host, address),
            Way::OverLoopback => (StimulusSender::Host, loopback, loopback),
            Way::HostToItself => (StimulusSender::Host, host, host),
        }
    }

    fn check_what(&self) -> Result<(), PacketError> {
        match self.what {
            What::Tcp { source: Some(Port(0)), .. } | What::Udp { source: Some(Port(0)), .. } => {
                Err(PacketError::Port("0".to_owned()))
            }
            What::Tcp { destination: Port(0), .. } | What::Udp { destination: Port(0), .. } => {
                Err(PacketError::Port("0".to_owned()))
            }
            What::Tcp { flags: 64.., .. } => Err(PacketError::Flags("ECE".to_owned())),
            What::Protocol(number @ (0 | TCP | UDP | ICMPV6)) => Err(PacketError::Protocol(number.to_string())),
            _ => Ok(()),
        }
    }

    fn check_way(&self) -> Result<(), PacketError> {
        let Some(address) = self.foreign_address() else { return Ok(()) };
        let reaches = matches!(self.way, Way::From(_)) && !matches!(self.lead, Lead::Backward | Lead::Handshake);
        if !is_usable(address) || !(reaches || can_be_reached(address)) {
            return Err(PacketError::Unusable(address));
        }
        match self.what.family() {
            Some(family) if family != Family::from_address(address) => Err(PacketError::TwoFamilies(address)),
            _ => Ok(()),
        }
    }

    fn check_lead(&self) -> Result<(), PacketError> {
        let (is_tcp, is_udp) = (matches!(self.what, What::Tcp { .. }), matches!(self.what, What::Udp { .. }));
        let (from_host, over_loopback) =
            (self.way.is_from_host(), matches!(self.way, Way::OverLoopback | Way::HostToItself));
        match self.lead {
            Lead::None => Ok(()),
            Lead::Forward if is_tcp && !from_host => Ok(()),
            Lead::Handshake if (is_tcp || is_udp) && !over_loopback => Ok(()),
            Lead::Backward if self.what.can_answer() && !(is_tcp && over_loopback) => Ok(()),
            Lead::Backward => Err(PacketError::NoAnswer),
            Lead::Forward | Lead::Handshake => Err(PacketError::NoConnection),
        }
    }
}

impl Way {
    /// True if the host sends it over the link.
    fn is_from_host(self) -> bool {
        match self {
            Way::FromHost | Way::FromHostTo(_) => true,
            Way::ToHost | Way::From(_) | Way::OverLoopback | Way::HostToItself => false,
        }
    }
}

impl What {
    /// The destination port; `None` for a protocol without ports.
    pub fn destination(self) -> Option<Port> {
        match self {
            What::Tcp { destination, .. } | What::Udp { destination, .. } => Some(destination),
            What::Icmp { .. } | What::Protocol(_) => None,
        }
    }

    /// The only family of ICMP or ICMPv6, and of extension headers (RFC 7045, section 4).
    fn family(self) -> Option<Family> {
        match self {
            What::Icmp { family, .. } => Some(family),
            What::Protocol(ICMP) => Some(Family::Ipv6),
            What::Protocol(number) if is_extension_header(number) => Some(Family::Ipv4),
            What::Tcp { .. } | What::Udp { .. } | What::Protocol(_) => None,
        }
    }

    /// True if it can be an answer: of ICMP, only errors and echo replies can.
    fn can_answer(self) -> bool {
        match self {
            What::Icmp { family: Family::Ipv4, kind, .. } => matches!(kind, 0 | 3 | 4 | 5 | 11 | 12),
            What::Icmp { family: Family::Ipv6, kind, .. } => kind < 128 || kind == 129,
            What::Tcp { .. } | What::Udp { .. } | What::Protocol(_) => true,
        }
    }
}

fn icmp_of(family: Family) -> u8 {
    family.pick(ICMP, ICMPV6)
}

fn way_of(stimulus: &Stimulus, addresses: &Addresses) -> Way {
    let Headers { source, destination, .. } = stimulus.headers;
    let prober = addresses.prober(Family::from_address(source));
    match stimulus.sender {
        StimulusSender::Prober if source == prober => Way::ToHost,
        StimulusSender::Prober => Way::From(source),
        StimulusSender::Host if source == destination && source.is_loopback() => Way::OverLoopback,
        StimulusSender::Host if source == destination => Way::HostToItself,
        StimulusSender::Host if destination == prober => Way::FromHost,
        StimulusSender::Host => Way::FromHostTo(destination),
    }
}
