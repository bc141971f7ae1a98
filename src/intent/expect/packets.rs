//! The expected results of packets that are no scan, derived from the intent alone. A foreign ruleset has few
//! expectations: rulesets with the same intent may treat packets differently that the intent does not mention. The
//! sensor's own order has more, since it promises more.
//!
//! 1. The host sends to itself: over loopback every packet is accepted without a log line. The article does not mention
//!    loopback, so its order promises this only if everything is denied and loopback has to be excepted.
//! 2. TCP flags that neither open a connection nor belong to a named scan are dropped without a line, as is every
//!    packet that no other item covers. The article passes all TCP to a port to the rules of the port, and says so: it
//!    *permits tcp packets coming to port 32232*, and to the others *will log packets destined for those ports*.
//! 3. A SYN with PSH or URG opens a connection like any SYN (RFC 9293, section 3.10.7.2, checks neither flag), and a
//!    SYN within a connection opens none: no port rule matches it, and by its flags it is a SYN scan. The rules drop
//!    and do not reject. The hardened order promises this for every named port and its neighbours.
//! 4. A packet of an existing connection is accepted without a line: to the services of the host, and *the incoming
//!    part of web or ssh connections initiated from* it.
//! 5. `deny = "tcp"` does not affect other protocols. `deny = "all"` drops them, except for the packets that the host
//!    needs: ICMP errors and neighbour discovery.
//! 6. With `ssh_from`, SSH is tested from both ends of each network, and from the addresses just outside: a prefix that
//!    is a bit too short or too long shows there. This is expected of every ruleset.
//!
//! Limits play no role here: the expectation is that there is a line, not how often.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Author, PortRole, named_ports, neighbours, role, unnamed_ports};
use crate::net::port::Port;
use crate::net::{Family, Network};
use crate::probe::packet::Packet;
use crate::probe::scan::{FilterVerdict, Technique};
use crate::sensor::{Deny, Host, RuleOrder, Sensor, SshFrom};

/// A packet and its expected result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketExpectation {
    /// The packet.
    pub packet: Packet,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The verdict of the filter.
    pub verdict: FilterVerdict,
    /// The prefix of the log line that it causes, byte for byte; `None` for no line.
    pub log: Option<String>,
}

/// One packet of each kind, and two for named ports.
pub fn packet_expectations(sensor: &Sensor, host: &Host, author: Author) -> Vec<PacketExpectation> {
    let mut list = List::default();
    match author {
        Author::Sensor => promised(sensor, host, &mut list),
        Author::Other => in_connections(sensor, host, &mut list),
    }
    ssh_sources(sensor, host, &mut list);
    open_datagrams(sensor, &mut list);
    list.0
}

fn open_datagrams(sensor: &Sensor, list: &mut List) {
    for port in sensor.open_udp() {
        list.accepted(&format!("udp to {port}"));
    }
}

fn promised(sensor: &Sensor, host: &Host, list: &mut List) {
    loopback(sensor, host, list);
    odd_flags(sensor, host, list);
    if sensor.order == RuleOrder::Hardened {
        openings(sensor, host, list);
        beside_named_ports(sensor, list);
        scans(sensor, host, list);
    }
    from_each_network(sensor, host, list);
    in_connections(sensor, host, list);
    of_the_host(sensor, list);
    other_protocols(sensor, list);
}

#[derive(Default)]
struct List(Vec<PacketExpectation>);

impl List {
    fn add(&mut self, text: &str, verdict: FilterVerdict, log: Option<String>) {
        for family in Family::BOTH {
            self.add_of(family, text, verdict, log.clone());
        }
    }

    /// Adds the expectation, unless the packet cannot be of this family.
    fn add_of(&mut self, family: Family, text: &str, verdict: FilterVerdict, log: Option<String>) {
        let packet: Packet = text.parse().expect("the oracle writes packets as they are read");
        if packet.family().is_none_or(|only| only == family) {
            self.0.push(PacketExpectation { packet, family, verdict, log });
        }
    }

    fn accepted(&mut self, text: &str) {
        self.add(text, FilterVerdict::Accept, None);
    }

    fn dropped(&mut self, text: &str) {
        self.add(text, FilterVerdict::Drop, None);
    }
}

/// The first `ssh` port, the first open port, the first honeypot port, and the first unnamed port.
fn one_of_each(sensor: &Sensor, host: &Host) -> Vec<Port> {
    let unnamed = unnamed_ports(sensor, host).into_iter().take(1);
    served(sensor).into_iter().chain(unnamed).collect()
}

fn served(sensor: &Sensor) -> Vec<Port> {
    let honeypot = sensor.honeypot.iter().flat_map(|service| &service.ports).find(|port| !sensor.ssh.contains(port));
    sensor.ssh.first().into_iter().chain(sensor.open_tcp().next()).chain(honeypot).copied().collect()
}

fn loopback(sensor: &Sensor, host: &Host, list: &mut List) {
    if (sensor.order, sensor.deny) == (RuleOrder::Article, Deny::Tcp) {
        return;
    }
    for port in one_of_each(sensor, host) {
        list.accepted(&format!("tcp SYN to {port} over lo"));
        // Over loopback, even a packet that would be a scan from another host.
        list.accepted(&format!("tcp NONE to {port} over lo"));
    }
}

/// Flags that scanners other than nmap send, flags that a rule for a named scan would match if it checked one flag
/// less, and two combinations that only belong to a connection.
const ODD: [&str; 10] =
    ["URG", "RST", "FIN,SYN", "FIN,PSH", "FIN,URG", "PSH,URG", "SYN,ACK", "FIN,ACK", "PSH,ACK", "ALL"];

fn odd_flags(sensor: &Sensor, host: &Host, list: &mut List) {
    for port in one_of_each(sensor, host) {
        for (flags, family) in ODD.into_iter().flat_map(|flags| Family::BOTH.map(|family| (flags, family))) {
            let (verdict, log) = match sensor.order {
                RuleOrder::Hardened => (FilterVerdict::Drop, None),
                RuleOrder::Article => of_port(sensor, role(sensor, host, (family, port))),
            };
            list.add_of(family, &format!("tcp {flags} to {port}"), verdict, log);
        }
    }
}

/// The result for a packet that only the rules of a port match.
fn of_port(sensor: &Sensor, role: PortRole) -> (FilterVerdict, Option<String>) {
    match role {
        PortRole::Ssh | PortRole::Open => (FilterVerdict::Accept, None),
        PortRole::Honeypot(service) => (FilterVerdict::Accept, Some(sensor.port_prefix(service))),
        PortRole::Watched(service) => (FilterVerdict::Drop, Some(sensor.port_prefix(service))),
        PortRole::Unnamed => (FilterVerdict::Drop, None),
    }
}

fn openings(sensor: &Sensor, host: &Host, list: &mut List) {
    for port in named_ports(sensor) {
        for family in Family::BOTH {
            let (verdict, log) = of_port(sensor, role(sensor, host, (family, port)));
            list.add_of(family, &format!("tcp SYN,PSH to {port}"), verdict, log);
        }
        list.add(&format!("tcp SYN to {port} established by host"), FilterVerdict::Drop, syn_scan(sensor));
        list.dropped(&format!("tcp PSH,ACK to {port}"));
    }
}

/// The neighbours of named ports: a range that is one port too long would match them.
fn beside_named_ports(sensor: &Sensor, list: &mut List) {
    let named = named_ports(sensor);
    let beside: BTreeSet<Port> =
        named.iter().flat_map(|port| neighbours(*port)).filter(|port| !named.contains(port)).collect();
    for port in beside {
        list.add(&format!("tcp SYN to {port}"), FilterVerdict::Drop, syn_scan(sensor));
    }
}

/// A scan must stay unanswered.
fn scans(sensor: &Sensor, host: &Host, list: &mut List) {
    for port in unnamed_ports(sensor, host).into_iter().take(1) {
        let prefix = sensor.scans.contains(&Technique::Ack).then(|| sensor.scan_prefix(Technique::Ack));
        list.add(&format!("tcp ACK to {port}"), FilterVerdict::Drop, prefix);
        // nmap's SYN scan has no flag but SYN.
        list.dropped(&format!("tcp SYN,PSH to {port}"));
    }
}

fn syn_scan(sensor: &Sensor) -> Option<String> {
    sensor.scans.contains(&Technique::Syn).then(|| sensor.scan_prefix(Technique::Syn))
}

/// Packets within connections to the services.
fn in_connections(sensor: &Sensor, host: &Host, list: &mut List) {
    for port in served(sensor).into_iter().filter(|port| host.listen.contains(port)) {
        for (flags, family) in
            ["ACK", "PSH,ACK"].into_iter().flat_map(|flags| Family::BOTH.map(|family| (flags, family)))
        {
            let from = match sensor.ssh.contains(&port) {
                true => client(sensor, host, family),
                false => Some(String::new()),
            };
            if let Some(from) = from {
                list.add_of(family, &format!("tcp {flags} to {port}{from} established"), FilterVerdict::Accept, None);
            }
        }
    }
}

/// The source of an SSH client in packet notation: empty for the prober, else an address of `ssh_from` that the host
/// has a route to.
fn client(sensor: &Sensor, host: &Host, family: Family) -> Option<String> {
    let prober = host.addresses.prober(family);
    let is_found = |client: IpAddr| syn_from(client).is_some_and(|packet| packet.reached_address().is_some());
    let clients = sensor.ssh_from.clients(&host.addresses, family);
    let client = clients.into_iter().find(|client| *client == prober || is_found(*client))?;
    Some(if client == prober { String::new() } else { format!(" from {client}") })
}

/// SSH from the ends of each network of `ssh_from`, and from their neighbours outside.
fn ssh_sources(sensor: &Sensor, host: &Host, list: &mut List) {
    let SshFrom::Networks(networks) = &sensor.ssh_from else { return };
    let somebody = |address: &IpAddr| is_somebody(*address, host);
    let stranger = |address: &IpAddr| somebody(address) && !sensor.ssh_from.contains(*address);
    let (mut insiders, mut outsiders) = (BTreeSet::new(), BTreeSet::new());
    for network in networks {
        insiders.extend(network.first_machines().find(somebody));
        insiders.extend(network.last_machines().find(somebody));
        outsiders.extend(network.before().find(stranger));
        outsiders.extend(network.after().find(stranger));
    }
    for port in &sensor.ssh {
        for address in &insiders {
            list.accepted(&format!("tcp SYN to {port} from {address}"));
        }
        for address in &outsiders {
            list.add(&format!("tcp SYN to {port} from {address}"), FilterVerdict::Drop, syn_scan(sensor));
        }
    }
}

/// Odd flags from each network: it has a rule of its own, which must be no wider than a rule for all sources.
fn from_each_network(sensor: &Sensor, host: &Host, list: &mut List) {
    let SshFrom::Networks(networks) = &sensor.ssh_from else { return };
    let insider = |network: &Network| network.first_machines().find(|address| is_somebody(*address, host));
    let named = named_ports(sensor);
    for (address, port) in
        networks.iter().filter_map(insider).flat_map(|one| sensor.ssh.iter().map(move |port| (one, port)))
    {
        list.accepted(&format!("tcp SYN,PSH to {port} from {address}"));
        let in_the_midst = match sensor.order {
            RuleOrder::Hardened => FilterVerdict::Drop,
            RuleOrder::Article => FilterVerdict::Accept,
        };
        list.add(&format!("tcp PSH,ACK to {port} from {address}"), in_the_midst, None);
        for beside in neighbours(*port).filter(|beside| !named.contains(beside)) {
            list.add(&format!("tcp SYN to {beside} from {address}"), FilterVerdict::Drop, syn_scan(sensor));
        }
    }
}

/// True if a packet can come from there to the host: some addresses can never be a source.
fn is_somebody(address: IpAddr, host: &Host) -> bool {
    syn_from(address).is_some() && host.addresses.may_send(address)
}

/// A SYN from the address; `None` if packet notation cannot express it.
fn syn_from(address: IpAddr) -> Option<Packet> {
    format!("tcp SYN to 1 from {address}").parse().ok()
}

/// Connections that the host opens, and their answers.
fn of_the_host(sensor: &Sensor, list: &mut List) {
    let own = own_port(sensor);
    list.accepted("tcp SYN to 443 from host");
    list.accepted(&format!("tcp SYN,ACK to {own} answer"));
    list.accepted(&format!("tcp ACK to {own} established by host"));
    list.accepted(&format!("udp from 53 to {own} answer"));
    for message in
        ["icmp 0/0", "icmp 3/3", "icmp 3/4", "icmp 11/0", "icmpv6 129/0", "icmpv6 1/4", "icmpv6 2/0", "icmpv6 3/0"]
    {
        list.accepted(&format!("{message} answer"));
    }
}

/// An unnamed port, from which the host opens connections.
fn own_port(sensor: &Sensor) -> Port {
    let named = named_ports(sensor);
    (40_000..=u16::MAX).map(Port).find(|port| !named.contains(port)).unwrap_or(Port(40_000))
}

fn other_protocols(sensor: &Sensor, list: &mut List) {
    let is_open = |port: &u16| sensor.open_udp().any(|open| open.0 == *port);
    let datagram = format!("udp to {}", (53..).find(|port| !is_open(port)).unwrap_or(53));
    for text in [&datagram, "icmp 8/0", "icmpv6 128/0", "protocol 47"] {
        match sensor.deny {
            Deny::Tcp => list.accepted(text),
            Deny::All => list.dropped(text),
        }
    }
    // Neighbour discovery: router advertisement, neighbour solicitation and advertisement (RFC 4861). ICMP errors are
    // expected only as answers (above): an unsolicited one may be dropped.
    for text in ["icmpv6 134/0", "icmpv6 135/0", "icmpv6 136/0"] {
        list.accepted(text);
    }
}
