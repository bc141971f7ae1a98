//! An order of packets for people, simple ones first: a fresh SYN before one with URG, and unnamed ports last.

use super::{Packet, Way, What};
use crate::net::port::Port;
use crate::probe::packet::Lead;
use crate::wire::tcp_flags::TcpFlags as Flags;

/// The sort key.
pub type Plainness = (Lead, Way, bool, usize, bool, Packet);

impl Packet {
    /// Its sort key; `sample_port` is the port that represents all unnamed ports.
    pub fn plainness(&self, sample_port: Option<Port>) -> Plainness {
        let usual = match self.lead {
            Lead::None => [Flags::SYN, Flags::ACK, Flags::PSH_ACK, Flags::SYN_ACK, Flags::FIN_ACK, Flags::RST],
            Lead::Forward | Lead::Handshake => {
                [Flags::ACK, Flags::PSH_ACK, Flags::FIN_ACK, Flags::RST, Flags::SYN, Flags::SYN_ACK]
            }
            Lead::Backward => [Flags::SYN_ACK, Flags::ACK, Flags::RST, Flags::PSH_ACK, Flags::FIN_ACK, Flags::SYN],
        };
        let (rank, has_source) = match self.what {
            What::Tcp { flags, source, .. } => {
                (usual.iter().position(|usual| *usual == flags).unwrap_or(usual.len()), source.is_some())
            }
            What::Udp { source, .. } => (0, source.is_some()),
            What::Icmp { .. } | What::Protocol(_) => (0, false),
        };
        let is_named = self.what.destination() != sample_port;
        (self.lead, self.way, has_source, rank, is_named, *self)
    }
}
