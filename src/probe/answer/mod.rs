//! Matching of replies to probes.

use super::Probe;
use crate::wire::reply::{Body, Reply, TcpSegment};
use crate::wire::tcp_flags::TcpFlags;

impl Probe {
    /// True if `reply` answers this probe: it belongs to the probe's flow by nmap's rules ([`Reply::answers`]), and a
    /// segment's numbers fit those of the probe. nmap does not check the numbers, so it accepts an answer to an earlier
    /// probe of the same ports; here that would be a verdict about another packet.
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

    /// 1. A segment with ACK must acknowledge this probe; SYN and FIN count one each.
    /// 2. A RST that does not acknowledge has the number that this probe acknowledged.
    /// 3. Any other segment has no number to check. With a fixed source port (`-g`) only the numbers distinguish the
    ///    probes of a port, so then it is no answer, as in nmap.
    fn fits(&self, segment: &TcpSegment) -> bool {
        let has = |flag| segment.flags & flag != 0;
        match () {
            () if has(TcpFlags::ACK) => segment.ack == self.seq.wrapping_add(self.sequence_len()),
            () if has(TcpFlags::RST) => self.flags() & TcpFlags::ACK != 0 && segment.seq == self.ack,
            () => self.craft.source_port.is_none(),
        }
    }

    /// True if `reply` is an ICMP error about the third segment of this connect's handshake: nmap sees it like one
    /// about the SYN.
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
