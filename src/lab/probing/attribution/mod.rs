//! The attribution of a log line, or of a traced packet, to the probe that caused it. It depends on the packet's
//! content, never on the rule's prefix (which the ruleset chooses) nor on the interface (every lab has the same).

use std::collections::HashMap;

use crate::lab::PROBER_MAC;
use crate::log_line::{LogLine, LoggedPacketHeader, Transport};
use crate::net::Mac;
use crate::probe::Probe;
use crate::wire::frame::Direction;
use crate::wire::packet_id::PacketId;
use crate::wire::reply::Flow;
use crate::wire::tcp_flags::TcpFlags;

/// The cause of a line or a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// The probe with this index, or the host's answer to it.
    Probe(usize),
    /// A later packet of the exchange that this probe began.
    Followup(usize),
}

impl Attribution {
    /// The index of the probe.
    pub fn probe(self) -> usize {
        match self {
            Attribution::Probe(index) | Attribution::Followup(index) => index,
        }
    }
}

/// The sender of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PacketSender {
    Prober,
    Host,
}

/// The relation of the observed ports to those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortMatch {
    /// They are the same.
    AsSent,
    /// A nat table may have replaced them: by a REDIRECT, or by conntrack itself if two flows would clash
    /// (`nf_nat_setup_info` finds a free port). Probes are sent one by one then, and recognized by the prober's
    /// address.
    MayBeRewritten,
}

/// The probes of a batch, and how packets and lines are attributed to them.
#[derive(Clone, Copy)]
pub struct AttributedBatch<'a> {
    /// The probes.
    pub probes: &'a [Probe],
    /// The index of each probe.
    pub by_flow: &'a HashMap<Flow, usize>,
    /// With [`PortMatch::MayBeRewritten`] a probe owns packets with its prober's address and source port, whatever the
    /// other port, and all that the host sends to that address or from the probed one, if they fit no other probe.
    /// Sources are rewritten after all other rules (`NF_IP_PRI_NAT_SRC`), so only the host's answers show another
    /// prober.
    pub ports: PortMatch,
}

impl AttributedBatch<'_> {
    /// Attributes a line to a probe; `None` if it belongs to none of them, such as a line of another program's traffic.
    pub fn cause_of_line(&self, text: &str) -> Option<(LogLine, Attribution)> {
        let line = LogLine::parse(text).filter(|line| !is_of_strangers(line))?;
        let network = line.network.as_ref()?;
        let direction = if line.in_interface.is_some() { Direction::In } else { Direction::Out };
        let own = PacketId::from_line(network).and_then(|seen| self.cause_of_packet(&seen, direction));
        let cause = own.or_else(|| self.by_icmp_error(network))?;
        Some((line, cause))
    }

    /// Attributes a segment, a datagram or an echo message to a probe. An outgoing packet with the prober's address as
    /// its source is a copy that a rule sends (TEE).
    pub fn cause_of_packet(&self, seen: &PacketId, direction: Direction) -> Option<Attribution> {
        let sent_by = |sender| Some((sender, self.find(seen, sender)?));
        let (sender, index) = sent_by(PacketSender::Prober).or_else(|| sent_by(PacketSender::Host))?;
        let probe = &self.probes[index];
        let own = match sender {
            PacketSender::Prober => direction == Direction::In && is_probe(probe, seen),
            PacketSender::Host => is_answer(probe, seen),
        };
        Some(if own { Attribution::Probe(index) } else { Attribution::Followup(index) })
    }

    /// Attributes an ICMP error. An error of the host quotes the probe; if a rule of OUTPUT rejects the host's answer
    /// (`nf_send_unreach`), the host sends the error to itself, and quotes its own answer.
    fn by_icmp_error(&self, network: &LoggedPacketHeader) -> Option<Attribution> {
        let Transport::Icmp(icmp) = network.transport()? else { return None };
        let quoted = PacketId::from_line(icmp.quoted.as_deref()?)?;
        let sent_by = |sender| self.find(&quoted, sender);
        let of_prober = sent_by(PacketSender::Prober).map(|index| match is_probe(&self.probes[index], &quoted) {
            true => Attribution::Probe(index),
            false => Attribution::Followup(index),
        });
        of_prober.or_else(|| sent_by(PacketSender::Host).map(Attribution::Followup))
    }

    /// The probe of this flow; if the ports may be rewritten, the only one that fits.
    fn find(&self, seen: &PacketId, sender: PacketSender) -> Option<usize> {
        let seen = match sender {
            PacketSender::Prober => seen.flow,
            PacketSender::Host => seen.flow.reversed(),
        };
        let is_of = |probe: &Probe| {
            let known = probe.flow;
            let is_own = match sender {
                PacketSender::Prober => (known.prober, known.prober_port) == (seen.prober, seen.prober_port),
                PacketSender::Host => known.prober == seen.prober || known.host == seen.host,
            };
            known.protocol == seen.protocol && is_own
        };
        let rewritten = || {
            let mut candidates = (0..).zip(self.probes).filter(|(_, probe)| is_of(probe)).map(|(index, _)| index);
            let only = candidates.next().filter(|_| candidates.next().is_none());
            only.filter(|_| self.ports == PortMatch::MayBeRewritten)
        };
        self.by_flow.get(&seen).copied().or_else(rewritten)
    }
}

/// True if the line shows a frame that neither the prober sent nor the host itself (over `lo`, whose addresses are
/// zeros). Another namespace of the machine may have the same IP addresses.
fn is_of_strangers(line: &LogLine) -> bool {
    const LOOPBACK: Mac = Mac([0; 6]);
    line.mac().is_some_and(|header| ![PROBER_MAC, LOOPBACK].contains(&header.source))
}

/// True if the packet has the probe's flags, and its IP ID if it has one.
fn is_probe(probe: &Probe, seen: &PacketId) -> bool {
    seen.ip_id.is_none_or(|id| id == probe.ip_id) && seen.flags == u16::from(probe.flags())
}

/// True if the packet is the first answer. A raw probe gets one answer. In the exchange of a connect, it is the
/// SYN/ACK, or a refusal.
fn is_answer(probe: &Probe, seen: &PacketId) -> bool {
    !probe.technique.is_full_connect() || seen.flags & u16::from(TcpFlags::SYN | TcpFlags::RST) != 0
}

#[cfg(test)]
mod tests;
