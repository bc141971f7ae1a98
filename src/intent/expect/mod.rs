//! The oracle: the expected result of each probe, derived from the intent alone.
//!
//! It starts from the [`Sensor`] and the [`Host`] and never sees a ruleset: generator and oracle would otherwise share
//! one bug. `compare` compares its expectations with the lab's observations. For scans both
//! [`RuleOrder`](crate::sensor::RuleOrder)s and both [`Deny`](crate::sensor::Deny)s mean the same, so neither is read;
//! for other packets they differ, see [`packet_expectations`].
//!
//! # The intent
//!
//! 1. NULL, FIN, Xmas and ACK are dropped silently at every port, named or not, with or without a listener, and logged
//!    as a scan if the technique is in `scans`.
//! 2. A SYN (of a scan or of a connection) is accepted at an `ssh` or `open` port without a line and at a `honeypot` port
//!    with the line of the port: *open* if there is a listener, else *closed*, because the kernel itself answers with a RST.
//!    For sources outside `ssh_from`, an `ssh` port is an unnamed port.
//! 3. A SYN is dropped at a `watched` port with the line of the port.
//! 4. A SYN is dropped at every other port, and logged as a SYN scan if that is in `scans`.
//!
//! An ordinary server, which logs nothing, promises less if its rules are not generated: it serves its ports, and a SYN
//! to any other port is filtered. Its owner did not ask for silence to odd flags, nor for silence in the log.
//!
//! The expected log line of a probe holds for the first probe of a rule; [`RateExpectation`] describes the effect of
//! the limit.

mod packets;

use std::collections::BTreeSet;

use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::{PortState, Technique};
use crate::sensor::{Host, Sensor, SensorLimit, Service};

pub use packets::{PacketExpectation, packet_expectations};

/// The expected result of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The state of the port, as the technique sees it.
    pub state: PortState,
    /// The prefix of the log line that the probe causes, byte for byte; `None` for no line.
    pub log: Option<String>,
}

/// A probe and its expected result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The technique of the probe.
    pub technique: Technique,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The port.
    pub port: Port,
    /// The expected result.
    pub expected: Expected,
}

/// A LOG rule and its limit: a burst of probes causes as many lines as the limit permits, and every probe has the same
/// result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateExpectation {
    /// The technique that triggers the rule.
    pub technique: Technique,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The port that triggers it.
    pub port: Port,
    /// The prefix of its lines.
    pub prefix: String,
    /// The limit that the rule has for itself.
    pub limit: SensorLimit,
    /// The state that *every* probe finds: a limit belongs on the LOG rule, never on the DROP that follows it.
    pub state: PortState,
}

/// The author of the ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// Generated from the sensor: it keeps what its order promises.
    Sensor,
    /// Any other author.
    Other,
}

impl Author {
    /// True if a sensor says nothing about log lines and odd flags in the rules of this author.
    pub fn owes_connections_only(self, sensor: &Sensor) -> bool {
        self == Author::Other && sensor.is_ordinary()
    }
}

/// Every technique at every relevant port, ordered by family, technique and port.
pub fn expectations(sensor: &Sensor, host: &Host, author: Author) -> Vec<Expectation> {
    let served: BTreeSet<Port> = sensor.served().collect();
    let is_owed = |technique: Technique, port: &Port| match technique {
        _ if !author.owes_connections_only(sensor) => true,
        Technique::Syn => true,
        Technique::Connect => served.contains(port),
        _ => false,
    };
    let ports: BTreeSet<Port> = named_ports(sensor).into_iter().chain(unnamed_ports(sensor, host)).collect();
    let probes = Family::BOTH.into_iter().flat_map(|family| Technique::DERIVED.map(|technique| (family, technique)));
    probes
        .flat_map(|(family, technique)| ports.iter().map(move |port| (family, technique, *port)))
        .filter(|(_, technique, port)| is_owed(*technique, port))
        .map(|(family, technique, port)| {
            let expected = expected(sensor, host, technique, (family, port));
            Expectation { technique, family, port, expected }
        })
        .collect()
}

/// One for each intended LOG rule, ordered as [`expectations`]: honeypot and watched ports by their SYN, techniques in
/// `scans` at an unnamed port.
pub fn rate_expectations(sensor: &Sensor, host: &Host) -> Vec<RateExpectation> {
    let logged_ports = services(sensor).flat_map(|service| &service.ports).map(|port| (Technique::Syn, *port));
    let unnamed = unnamed_ports(sensor, host).first().copied();
    let scans = sensor.scans.iter().filter_map(|technique| Some((*technique, unnamed?)));
    let rules: BTreeSet<(Technique, Port)> = logged_ports.chain(scans).collect();
    Family::BOTH
        .into_iter()
        .flat_map(|family| rules.iter().map(move |(technique, port)| (family, *technique, *port)))
        .filter_map(|(family, technique, port)| {
            let Expected { state, log } = expected(sensor, host, technique, (family, port));
            Some(RateExpectation { technique, family, port, prefix: log?, limit: sensor.limit, state })
        })
        .collect()
}

/// The unnamed ports at which the default deny is tested, ascending. They are few, but each can reveal a mistake:
///
/// 1. the first and the last port, 1 and 65535, which a range written too short misses;
/// 2. the neighbours of the lowest and of the highest named port: a range written in place of a list, or a port off by
///    one, shows at one of these four;
/// 3. the lowest unnamed port with a listener: only there a missing deny results in *open*.
pub fn unnamed_ports(sensor: &Sensor, host: &Host) -> Vec<Port> {
    let named = named_ports(sensor);
    let ends = [Port(1), Port(u16::MAX)];
    let neighbours = named.first().into_iter().chain(named.last()).flat_map(|port| neighbours(*port));
    let listening = host.listen.iter().copied().filter(|port| !named.contains(port)).min();
    let ports: BTreeSet<Port> = ends.into_iter().chain(neighbours).chain(listening).collect();
    ports.difference(&named).copied().collect()
}

/// The ports next to `port`; port 0 never appears in a packet, see [`Port`].
fn neighbours(port: Port) -> impl Iterator<Item = Port> {
    let below = port.0.checked_sub(1).filter(|below| *below != 0);
    below.into_iter().chain(port.0.checked_add(1)).map(Port)
}

fn named_ports(sensor: &Sensor) -> BTreeSet<Port> {
    let of_services = services(sensor).flat_map(|service| &service.ports);
    sensor.ssh.iter().chain(sensor.open_tcp()).chain(of_services).copied().collect()
}

fn services(sensor: &Sensor) -> impl Iterator<Item = &Service> {
    sensor.honeypot.iter().chain(&sensor.watched)
}

fn expected(sensor: &Sensor, host: &Host, technique: Technique, at: (Family, Port)) -> Expected {
    if technique.profile().flags == Technique::Syn.profile().flags {
        return expected_of_syn(sensor, host, technique, at);
    }
    Expected { state: silence(technique), log: scan_log(sensor, technique) }
}

fn expected_of_syn(sensor: &Sensor, host: &Host, technique: Technique, at: (Family, Port)) -> Expected {
    let (_, port) = at;
    match role(sensor, host, at) {
        PortRole::Ssh | PortRole::Open => Expected { state: accepted(host, technique, port), log: None },
        PortRole::Honeypot(service) => {
            Expected { state: accepted(host, technique, port), log: Some(sensor.port_prefix(service)) }
        }
        PortRole::Watched(service) => Expected { state: silence(technique), log: Some(sensor.port_prefix(service)) },
        // A connection that the default deny refuses looks like a SYN scan: its first packet is the same.
        PortRole::Unnamed => Expected { state: silence(technique), log: scan_log(sensor, Technique::Syn) },
    }
}

/// The role of a port in the sensor, for the prober.
enum PortRole<'a> {
    Ssh,
    Open,
    Honeypot(&'a Service),
    Watched(&'a Service),
    Unnamed,
}

fn role<'a>(sensor: &'a Sensor, host: &Host, (family, port): (Family, Port)) -> PortRole<'a> {
    let named = |services: &'_ [Service]| services.iter().position(|service| service.ports.contains(&port));
    if sensor.ssh.contains(&port) {
        let is_let_in = sensor.ssh_from.contains(host.addresses.prober(family));
        return if is_let_in { PortRole::Ssh } else { PortRole::Unnamed };
    }
    if sensor.open_tcp().any(|open| *open == port) {
        return PortRole::Open;
    }
    let honeypot = named(&sensor.honeypot).map(|at| PortRole::Honeypot(&sensor.honeypot[at]));
    let watched = || named(&sensor.watched).map(|at| PortRole::Watched(&sensor.watched[at]));
    honeypot.or_else(watched).unwrap_or(PortRole::Unnamed)
}

/// The state of a port whose packets the firewall passes to the host's TCP.
fn accepted(host: &Host, technique: Technique, port: Port) -> PortState {
    if host.listen.contains(&port) { PortState::Open } else { technique.profile().reset.state(0) }
}

fn silence(technique: Technique) -> PortState {
    technique.profile().silence
}

fn scan_log(sensor: &Sensor, technique: Technique) -> Option<String> {
    sensor.scans.contains(&technique).then(|| sensor.scan_prefix(technique))
}

#[cfg(test)]
mod tests;
