//! Which probe caused a log line? Told by what the packet in the line carries, never by the rule's prefix (which is the
//! ruleset's to choose) nor by the interface (every lab has the same).

use std::collections::HashMap;

use pnet_packet::tcp::TcpFlags;

use crate::log_line::{LogLine, Network, TcpHeader, Transport};
use crate::probe::Probe;
use crate::reply::Flow;
use crate::scan::Technique;

/// What caused a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The probe with this index, or the host's answer to it.
    Probe(usize),
    /// What had to follow that probe.
    Followup(usize),
}

/// Who sent the packet of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Prober,
    Host,
}

/// Whether the ports in a line are those that were on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// They are.
    AsSent,
    /// A nat table may have put others in their place: a REDIRECT, or conntrack itself where two flows would clash
    /// (`nf_nat_setup_info` finds a free port). Probes are sent one by one then, and told by the prober's address.
    MayBeRewritten,
}

/// Ties a line to one of `probes`; none when it belongs to none of them, such as a line of another program's traffic.
///
/// With [`Ports::MayBeRewritten`] a lone probe owns every line that shows its prober's address.
pub fn cause(text: &str, probes: &[Probe], by_flow: &HashMap<Flow, usize>, ports: Ports) -> Option<(LogLine, Cause)> {
    let line = LogLine::parse(text)?;
    let network = line.network.as_ref()?;
    let find = |flow| find(flow, probes, by_flow, ports);
    let cause = by_packet(network, probes, find).or_else(|| by_icmp_error(network, find))?;
    Some((line, cause))
}

/// The flow of the segment in a line that came from the prober.
pub fn flow_from_prober(line: &LogLine) -> Option<Flow> {
    let network = line.network.as_ref()?;
    flow(network, network.tcp()?, Sender::Prober)
}

fn by_packet(network: &Network, probes: &[Probe], find: impl Fn(Flow) -> Option<usize>) -> Option<Cause> {
    let tcp = network.tcp()?;
    let sent_by = |sender| Some((sender, find(flow(network, tcp, sender)?)?));
    let (sender, index) = sent_by(Sender::Prober).or_else(|| sent_by(Sender::Host))?;
    let probe = &probes[index];
    let own = match sender {
        Sender::Prober => is_probe(probe, network, tcp),
        Sender::Host => is_answer(probe, tcp),
    };
    Some(if own { Cause::Probe(index) } else { Cause::Followup(index) })
}

/// Where the packet itself went, when there is only one probe it can be.
fn find(flow: Flow, probes: &[Probe], by_flow: &HashMap<Flow, usize>, ports: Ports) -> Option<usize> {
    let rewritten = || match probes {
        [only] => (ports == Ports::MayBeRewritten && only.flow.prober == flow.prober).then_some(0),
        _ => None,
    };
    by_flow.get(&flow).copied().or_else(rewritten)
}

/// The probe's own flags, and its own IP ID where there is one.
fn is_probe(probe: &Probe, network: &Network, tcp: &TcpHeader) -> bool {
    let same_id = match network {
        Network::Ipv4(ipv4) => ipv4.id == probe.ip_id,
        Network::Ipv6(_) | Network::Arp(_) => true,
    };
    same_id && tcp.octet() == probe.flags()
}

/// A raw probe draws one answer. Of a connect's conversation the first is the answer: SYN/ACK, or a refusal.
fn is_answer(probe: &Probe, tcp: &TcpHeader) -> bool {
    probe.technique != Technique::Connect || tcp.octet() & (TcpFlags::SYN | TcpFlags::RST) != 0
}

fn by_icmp_error(network: &Network, find: impl Fn(Flow) -> Option<usize>) -> Option<Cause> {
    let Transport::Icmp(icmp) = network.transport()? else { return None };
    let quoted = icmp.quoted.as_deref()?;
    find(flow(quoted, quoted.tcp()?, Sender::Prober)?).map(Cause::Probe)
}

fn flow(network: &Network, tcp: &TcpHeader, sender: Sender) -> Option<Flow> {
    let (source, destination) = (network.source()?, network.destination()?);
    Some(match sender {
        Sender::Prober => Flow { prober: source, prober_port: tcp.source, host: destination, port: tcp.destination },
        Sender::Host => Flow { prober: destination, prober_port: tcp.destination, host: source, port: tcp.source },
    })
}

#[cfg(test)]
mod tests;
