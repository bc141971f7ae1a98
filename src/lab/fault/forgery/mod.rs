//! Forged answers, made from the probe that they pretend to answer. Pure.
//!
//! Each has the ports of the probe, and would invert its verdict if the lab accepted it: a RST makes an open or
//! filtered port closed, a SYN/ACK makes a closed or filtered one open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Family;
use crate::probe::canary;
use crate::probe::scan::Technique;
use crate::probe::{Ends, Probe, ProbeOverrides};
use crate::wire::reply::{Body, Flow, Reply, TcpSegment};
use crate::wire::tcp_flags::TcpFlags;

/// Addresses for documentation (RFC 5737, RFC 3849) that no lab probes.
const STRANGER_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 99);
const STRANGER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0x99);

/// The distance of a wrong number from the right one: outside any window that was offered.
const FAR: u32 = 0x4000_0000;

/// A segment on its way to the host, as the forging code sees it.
pub struct ForgedSegment {
    /// The flow of the answer: from the host to the prober.
    flow: Flow,
    segment: TcpSegment,
    ends: Ends,
}

impl ForgedSegment {
    /// Parses a frame that is about to be sent. `None` unless it is a probe: canaries and RSTs get no forged answer.
    pub fn from_ethernet(frame: &[u8], ends: &Ends) -> Option<ForgedSegment> {
        let sent = Reply::from_ethernet(frame)?;
        let flow = sent.flow()?;
        let Body::Tcp(segment) = sent.body else { return None };
        let is_canary = sent.source == canary::source(Family::from_address(sent.source));
        let is_probe = !is_canary && segment.flags & TcpFlags::RST == 0;
        // An answer travels in the other direction.
        is_probe.then_some(ForgedSegment { flow, segment, ends: Ends { prober: ends.host, host: ends.prober } })
    }

    /// A SYN/ACK that acknowledges the number of an earlier probe.
    pub fn stale_syn_ack(&self) -> Vec<u8> {
        self.answer(self.flow.prober, FAR, self.acknowledges().wrapping_sub(FAR), TcpFlags::SYN | TcpFlags::ACK)
    }

    /// A RST with the right numbers, from an address that was not probed.
    pub fn reset_of_a_stranger(&self) -> Vec<u8> {
        let stranger = match self.flow.prober {
            IpAddr::V4(_) => STRANGER_V4.into(),
            IpAddr::V6(_) => STRANGER_V6.into(),
        };
        self.answer(stranger, self.segment.ack, self.acknowledges(), TcpFlags::RST | self.ack_if_needed())
    }

    /// A RST from the host's own address with both numbers wrong.
    pub fn reset_out_of_window(&self) -> Vec<u8> {
        let (seq, ack) = (self.segment.ack.wrapping_add(FAR), self.acknowledges().wrapping_add(FAR));
        self.answer(self.flow.prober, seq, ack, TcpFlags::RST | self.ack_if_needed())
    }

    /// The acknowledgement number of a true answer: SYN and FIN count one each (RFC 9293, section 3.4).
    fn acknowledges(&self) -> u32 {
        let counted = (self.segment.flags & (TcpFlags::SYN | TcpFlags::FIN)).count_ones();
        self.segment.seq.wrapping_add(counted)
    }

    /// A RST has an ACK unless the segment that it answers had one (RFC 9293, section 3.5.2).
    fn ack_if_needed(&self) -> u8 {
        !self.segment.flags & TcpFlags::ACK
    }

    fn answer(&self, from: IpAddr, seq: u32, ack: u32, flags: u8) -> Vec<u8> {
        let flow = Flow { prober: from, ..self.flow };
        let craft = ProbeOverrides::default();
        let sender = Probe { technique: Technique::Null, flow, seq, ack, ttl: 64, ip_id: 0, flow_label: 0, craft };
        sender.segment(seq, if flags & TcpFlags::ACK == 0 { 0 } else { ack }, flags, &self.ends)
    }
}

#[cfg(test)]
mod tests;
