//! An order of packets for people, simple ones first: a fresh SYN before one with URG, and unnamed ports last.

use super::{Packet, Way, What};
use crate::net::port::Port;
use crate::probe::packet::Lead;

/// The sort key.
pub type Plainness = (Lead, Way, bool, usize, bool, Packet);

const FIN_ACK: u8 = 17;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH_ACK: u8 = 24;
const ACK: u8 = 16;
const SYN_ACK: u8 = 18;

impl Packet {
    /// Its sort key; `sample_port` is the port that represents all unnamed ports.
    pub fn plainness(&self, sample_port: Option<Port>) -> Plainness {
        let usual = match self.lead {
            Lead::None => [SYN, ACK, PSH_ACK, SYN_ACK, FIN_ACK, RST],
            Lead::Forward | Lead::Handshake => [ACK, PSH_ACK, FIN_ACK, RST, SYN, SYN_ACK],
            Lead::Backward => [SYN_ACK, ACK, RST, PSH_ACK, FIN_ACK, SYN],
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
