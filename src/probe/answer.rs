//! Which reply answers which probe.

use pnet_packet::tcp::TcpFlags;

use super::Probe;
use crate::wire::reply::{Body, Reply, TcpSegment};

impl Probe {
    /// Whether `reply` answers this probe: it belongs to the probe's flow by nmap's rules ([`Reply::answers`]), and a
    /// segment's numbers fit what the probe has sent. nmap does not look at those, so an answer to an earlier probe of
    /// the same ports would do; here it would be a verdict about another packet.
    ///
    /// RFC 9293, section 3.5.2: "If the incoming segment has an ACK field, the reset takes its sequence number from the
    /// ACK field of the segment; otherwise, the reset has sequence number zero and the ACK field is set to the sum of
    /// the sequence number and segment length of the incoming segment." A REJECT with tcp-reset does the same.
    pub fn is_answered_by(&self, reply: &Reply) -> bool {
        let fits = match &reply.body {
            Body::Tcp(segment) => self.fits(segment),
            Body::Datagram(_) | Body::EchoReply(_) | Body::Unreachable(_) | Body::Neighbour(_) | Body::Other => true,
        };
        fits && reply.answers(&self.flow, self.seq)
    }

    /// 1. What acknowledges, acknowledges this probe; SYN and FIN count one each.
    /// 2. A RST that does not acknowledge has the number that this probe acknowledged.
    /// 3. Anything else has no number that could be checked. With a fixed source port (`-g`) the numbers are all that tells
    ///    one probe of a port from the next, so there it is no answer, as with nmap.
    fn fits(&self, segment: &TcpSegment) -> bool {
        let has = |flag| segment.flags & flag != 0;
        match () {
            () if has(TcpFlags::ACK) => segment.ack == self.seq.wrapping_add(self.sequence_len()),
            () if has(TcpFlags::RST) => self.flags() & TcpFlags::ACK != 0 && segment.seq == self.ack,
            () => self.craft.source_port.is_none(),
        }
    }

    /// Whether `reply` is an ICMP error about the third segment of this connect's handshake, of which nmap hears as it does
    /// of one about the SYN.
    pub fn is_refused_later_by(&self, reply: &Reply) -> bool {
        let is_error = matches!(reply.body, Body::Unreachable(_));
        self.technique.is_full_connect() && is_error && reply.answers(&self.flow, self.seq.wrapping_add(1))
    }

    fn sequence_len(&self) -> u32 {
        (self.flags() & (TcpFlags::SYN | TcpFlags::FIN)).count_ones()
    }
}

#[cfg(test)]
mod tests;
