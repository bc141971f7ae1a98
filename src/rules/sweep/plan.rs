//! The packets for one ruleset: every combination that its rules can distinguish, or a limited part of them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::flag_coverage::{self, FlagCoverage};
use super::points::{self, PortPoints};
use crate::net::port::{Port, PortSet};
use crate::net::{Addresses, Family};
use crate::probe::packet::addresses::{can_be_reached, is_extension_header};
use crate::probe::packet::{Journey, Lead, Packet, PacketError, Response, Stimulus, StimulusSender};
use crate::probe::path::Fate;
use crate::rules::iptables_save::{Listing, Match, Rule};
use crate::wire::headers::{Content, Headers};
use crate::wire::tcp_flags::TcpFlags;

/// The maximum number of stimuli of a sweep, for each family and interface. If it is exceeded, flag octets are reduced;
/// if that is not enough, the sweep is incomplete and proves nothing.
pub const LIMIT: usize = 20_000;

/// The maximum number of ports with a listener: a process has 1024 file descriptors by default. With more ports the
/// sweep is incomplete as well.
const LISTENERS: usize = 500;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The sweep of one ruleset.
#[derive(Debug, Clone)]
pub struct SweepPlan {
    family: Family,
    host: IpAddr,
    prober: IpAddr,
    /// Foreign addresses on both sides of every prefix.
    strangers: BTreeSet<IpAddr>,
    destination_ports: PortPoints,
    source_ports: PortPoints,
    tcp: BTreeSet<(Choice, Choice)>,
    udp: BTreeSet<(Choice, Choice)>,
    messages: BTreeSet<(u8, u8)>,
    protocols: BTreeSet<u8>,
    octets: Vec<u8>,
    few_octets: Vec<u8>,
    tracks: bool,
    host_is_filtered: bool,
    /// The octets that are sent.
    pub which_octets: FlagCoverage,
    /// True if every packet that the ruleset distinguishes is sent.
    pub is_complete: bool,
}

/// A port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Choice {
    /// An unnamed port, a different one each time.
    Unnamed,
    /// This one.
    Point(u16),
}

impl SweepPlan {
    /// The sweep of `listing`, from the prober of `addresses` to their host.
    pub fn new(listing: &Listing, addresses: &Addresses) -> SweepPlan {
        SweepPlan::of_all(listing.family, &[listing], addresses)
    }

    /// One sweep for several rulesets of a family: every packet that one of them distinguishes.
    pub fn of_all(family: Family, listings: &[&Listing], addresses: &Addresses) -> SweepPlan {
        let (host, prober) = (addresses.host(family), addresses.prober(family));
        let rules: Vec<&Rule> = listings.iter().flat_map(|listing| listing.rules()).collect();
        let prefixes = values_of(&rules, |ask| match ask {
            Match::Source(prefix) | Match::Destination(prefix) => Some(prefix),
            _ => None,
        });
        let mut plan = SweepPlan {
            family,
            host,
            prober,
            strangers: points::strangers(prefixes, &[host, prober]),
            destination_ports: PortPoints::of(values_of(&rules, destination_ports)),
            source_ports: PortPoints::of(values_of(&rules, source_ports)),
            tcp: pairs(&rules, UDP),
            udp: pairs(&rules, TCP),
            messages: messages(&rules, family),
            protocols: protocols(&rules, family),
            octets: flag_coverage::all(),
            few_octets: flag_coverage::distinguished(&rules),
            tracks: rules.iter().any(|rule| rule.uses_conntrack()),
            host_is_filtered: listings.iter().any(|listing| filters_the_host(listing)),
            which_octets: FlagCoverage::All,
            is_complete: true,
        };
        plan.thin_out();
        plan
    }

    /// The packets that are sent first: those without a connection, and those of connections that the host opens.
    pub fn stimuli(&self) -> Vec<Stimulus> {
        let mut stimuli = Vec::new();
        if self.is_complete {
            self.add_prober(&mut stimuli);
            self.add_host(&mut stimuli);
            self.add_loopback(&mut stimuli);
        }
        stimuli
    }

    /// The packets that are sent next: every octet, from both ends, in connections that the prober opened with an
    /// accepted SYN.
    pub fn in_connections(&mut self, stimuli: &[Stimulus], responses: &[Response]) -> Vec<Stimulus> {
        self.in_connections_of_any(stimuli, &[responses])
    }

    /// As [`Self::in_connections`], for connections that one of several rulesets accepted; `responses` are those of
    /// each.
    pub fn in_connections_of_any(&mut self, stimuli: &[Stimulus], responses: &[&[Response]]) -> Vec<Stimulus> {
        let opened = stimuli.iter().enumerate().filter(|(_, stimulus)| self.tracks && stimulus.lead == Lead::None);
        let own = |(place, _): (usize, &Stimulus)| {
            let mut own = responses.iter().filter_map(|responses| responses.get(place)).flat_map(|of| &of.own);
            own.find(|own| self.is_let_in(own)).map(|own| own.headers)
        };
        let opened: Vec<Headers> = opened.filter_map(own).collect();
        // Separate flows, since the host's sockets still have those of the first stimuli.
        let mut numbering = FlowNumbering { next: stimuli.len() as u32, ..FlowNumbering::new(self) };
        let mut stimuli = Vec::new();
        for (octet, headers) in self.few_octets.iter().flat_map(|octet| opened.iter().map(move |one| (*octet, one))) {
            let mut in_own_flow = || numbering.renumbered(headers).with_flags(octet);
            stimuli.push(Stimulus { sender: StimulusSender::Prober, lead: Lead::Forward, headers: in_own_flow() });
            if self.host_is_filtered && can_be_reached(headers.source) {
                let headers = in_own_flow().reversed();
                stimuli.push(Stimulus { sender: StimulusSender::Host, lead: Lead::Backward, headers });
            }
        }
        self.is_complete &= stimuli.len() <= LIMIT;
        stimuli.truncate(LIMIT);
        stimuli
    }

    /// The notation of a stimulus of this sweep in a scenario, without a source port if no rule matches it.
    pub fn packet(&self, stimulus: &Stimulus, addresses: &Addresses) -> Result<Packet, PacketError> {
        let packet = Packet::from_stimulus(stimulus, addresses)?;
        let is_any = match stimulus.headers.content {
            Content::Tcp { source, .. } | Content::Udp { source, .. } => self.source_ports.unnamed.contains(&source.0),
            Content::Icmp { .. } | Content::Other => false,
        };
        // A packet of the host in the prober's connection comes from the port of its service.
        let from_service = stimulus.sender == StimulusSender::Host && stimulus.lead == Lead::Backward;
        Ok(if is_any && !from_service { packet.with_any_source() } else { packet })
    }

    /// The packet with `sample_port` in place of an unnamed port.
    pub fn representative_of(&self, packet: Packet, sample_port: Option<Port>) -> Packet {
        match (packet.what().destination(), sample_port) {
            (Some(port), Some(sample_port)) if self.is_unnamed(port) => packet.to_port(sample_port),
            _ => packet,
        }
    }

    /// A port that represents all ports that no rule of these sweeps names; none of `taken`.
    pub fn sample_port<'a>(plans: impl Iterator<Item = &'a SweepPlan> + Clone, taken: &[Port]) -> Option<Port> {
        let mut ports = (40_000..=u16::MAX).chain(1_024..40_000).map(Port);
        ports.find(|port| !taken.contains(port) && plans.clone().all(|plan| plan.is_unnamed(*port)))
    }

    /// True if rules do not distinguish this destination port from many others.
    fn is_unnamed(&self, port: Port) -> bool {
        let PortPoints { points, unnamed } = &self.destination_ports;
        unnamed.contains(&port.0) && !points.contains(&port.0)
    }

    /// The ports that need a listener, so that an accepted SYN opens a connection.
    pub fn services(&self) -> PortSet {
        self.destination_ports.points.iter().map(|port| Port(*port)).collect()
    }

    /// Foreign addresses that the host needs a route to, and a neighbour: an error to one whose neighbour is unknown
    /// waits in a queue of the kernel, and there is room for few.
    pub fn foreign_addresses(&self) -> Vec<IpAddr> {
        self.strangers.iter().copied().collect()
    }

    fn is_let_in(&self, own: &Journey) -> bool {
        let is_syn = matches!(own.headers.content, Content::Tcp { flags: TcpFlags::SYN, .. });
        let to_the_host = own.headers.destination == self.host && own.headers.source != self.host;
        is_syn && to_the_host && own.path.fate == Fate::Accepted
    }

    /// Reduces the octets to one of each kind if there are too many stimuli; marks the sweep incomplete if that is not
    /// enough.
    fn thin_out(&mut self) {
        self.is_complete = self.destination_ports.points.len() <= LISTENERS;
        if self.exceeds_limit() {
            self.octets = self.few_octets.clone();
            self.which_octets = FlagCoverage::Distinguished;
            self.is_complete = !self.exceeds_limit();
        }
    }

    /// True if there are too many stimuli. The packets of the prober are counted first: all combinations of a large
    /// ruleset may be millions.
    fn exceeds_limit(&self) -> bool {
        let of_each = self.octets.len() * self.tcp.len() + self.udp.len() + self.messages.len() + self.protocols.len();
        self.is_complete && ((1 + self.strangers.len()) * of_each > LIMIT || self.stimuli().len() > LIMIT)
    }

    fn add_prober(&self, stimuli: &mut Vec<Stimulus>) {
        let mut numbering = FlowNumbering::new(self);
        for source in [self.prober].iter().chain(&self.strangers) {
            let mut add = |lead, headers| stimuli.push(Stimulus { sender: StimulusSender::Prober, lead, headers });
            let answers = self.tracks && can_be_reached(*source);
            for headers in self.packets((*source, self.host), &self.octets, &mut numbering) {
                add(Lead::None, headers);
            }
            for headers in self.answers(*source, &mut numbering).into_iter().filter(|_| answers) {
                add(Lead::Backward, headers);
            }
        }
        let ends = (self.prober, self.host);
        for octet in self.octets.iter().filter(|_| self.tracks) {
            // Every pair of ports with one octet of each kind, an unnamed pair with all of them.
            let is_few = self.few_octets.contains(octet);
            for pair in self.tcp.iter().filter(|pair| is_few || **pair == UNNAMED) {
                let headers = numbering.segment(ends, *pair, *octet);
                stimuli.push(Stimulus { sender: StimulusSender::Prober, lead: Lead::Handshake, headers });
            }
        }
    }

    fn add_host(&self, stimuli: &mut Vec<Stimulus>) {
        let mut numbering = FlowNumbering::new(self);
        let reached = self.strangers.iter().filter(|address| can_be_reached(**address));
        for destination in [self.prober].iter().chain(reached).filter(|_| self.host_is_filtered) {
            let ends = (self.host, *destination);
            let mut add = |lead, headers| stimuli.push(Stimulus { sender: StimulusSender::Host, lead, headers });
            self.packets(ends, &self.octets, &mut numbering).into_iter().for_each(|packet| add(Lead::None, packet));
            // The host as a client: its packets in a connection of its own.
            let packets = self.packets(ends, &self.few_octets, &mut numbering).into_iter();
            let in_connection = packets.filter(|packet| self.tracks && matches!(packet.protocol, TCP | UDP));
            in_connection.for_each(|packet| add(Lead::Handshake, packet));
        }
    }

    fn add_loopback(&self, stimuli: &mut Vec<Stimulus>) {
        let mut numbering = FlowNumbering::new(self);
        let loopback = self.family.loopback();
        for ends in [(loopback, loopback), (self.host, self.host)] {
            let packets = self.packets(ends, &self.few_octets, &mut numbering);
            let of_tracked = packets.iter().filter(|_| self.tracks);
            let opened =
                of_tracked.clone().filter(|packet| packet.protocol == TCP).map(|packet| (Lead::Forward, *packet));
            let answers = of_tracked.filter(|packet| packet.protocol != TCP && self.is_answer(packet));
            let answers = answers.map(|packet| (Lead::Backward, *packet));
            let all = packets.iter().map(|packet| (Lead::None, *packet)).chain(opened).chain(answers);
            let stimulus = |(lead, packet)| Stimulus {
                sender: StimulusSender::Host,
                lead,
                headers: if lead == Lead::None { packet } else { numbering.renumbered(&packet) },
            };
            stimuli.extend(all.map(stimulus));
        }
    }

    /// One packet of each kind.
    fn packets(&self, ends: (IpAddr, IpAddr), octets: &[u8], numbering: &mut FlowNumbering) -> Vec<Headers> {
        let mut packets = Vec::new();
        for octet in octets {
            packets.extend(self.tcp.iter().map(|pair| numbering.segment(ends, *pair, *octet)));
        }
        packets.extend(self.udp.iter().map(|pair| numbering.datagram(ends, *pair)));
        packets.extend(self.messages.iter().map(|message| icmp(ends, *message)));
        packets.extend(self.protocols.iter().map(|protocol| other(ends, *protocol)));
        packets
    }

    /// One packet of each kind that could be an answer to the host.
    fn answers(&self, source: IpAddr, numbering: &mut FlowNumbering) -> Vec<Headers> {
        let packets = self.packets((source, self.host), &self.octets, numbering);
        packets.into_iter().filter(|packet| self.is_answer(packet)).collect()
    }

    /// True if it could be an answer: of ICMP, an error or an echo reply.
    fn is_answer(&self, packet: &Headers) -> bool {
        let reply = if self.family == Family::Ipv4 { 0 } else { 129 };
        match packet.content {
            Content::Icmp { kind, .. } => kind == reply || packet.is_icmp_error(),
            _ => true,
        }
    }
}

/// Foreign addresses to which the host sends one of `stimuli`, or an answer to it.
pub fn foreign_addresses(stimuli: &[Stimulus], addresses: &Addresses) -> Vec<IpAddr> {
    let other_end = |stimulus: &Stimulus| match stimulus.sender {
        StimulusSender::Prober => stimulus.headers.source,
        StimulusSender::Host => stimulus.headers.destination,
    };
    let is_end = |address: &IpAddr| {
        let family = Family::from_address(*address);
        address.is_loopback() || [addresses.host(family), addresses.prober(family)].contains(address)
    };
    let found = stimuli.iter().map(other_end).filter(|address| !is_end(address));
    found.collect::<BTreeSet<IpAddr>>().into_iter().collect()
}

const UNNAMED: (Choice, Choice) = (Choice::Unnamed, Choice::Unnamed);

fn values_of<'a, T: 'a>(rules: &'a [&Rule], pick: impl Fn(&'a Match) -> Option<&'a T>) -> impl Iterator<Item = &'a T> {
    rules.iter().flat_map(|rule| &rule.clauses).filter_map(move |clause| pick(&clause.ask))
}

fn destination_ports(ask: &Match) -> Option<&PortSet> {
    match ask {
        Match::DestinationPorts(ports) => Some(ports),
        _ => None,
    }
}

fn source_ports(ask: &Match) -> Option<&PortSet> {
    match ask {
        Match::SourcePorts(ports) => Some(ports),
        _ => None,
    }
}

/// Source and destination ports to combine: every point with an unnamed one, and those of rules that name both. Rules
/// for protocol `not` are skipped.
fn pairs(rules: &[&Rule], not: u8) -> BTreeSet<(Choice, Choice)> {
    let is_of = |rule: &&&Rule| !rule.clauses.iter().any(|c| c.ask == Match::Protocol(not) && !c.negated);
    let rules: Vec<&Rule> = rules.iter().filter(is_of).copied().collect();
    let sources = PortPoints::of(values_of(&rules, source_ports)).points;
    let destinations = PortPoints::of(values_of(&rules, destination_ports)).points;
    let mut pairs = BTreeSet::from([UNNAMED]);
    pairs.extend(destinations.into_iter().map(|port| (Choice::Unnamed, Choice::Point(port))));
    // 1 and 65535 are points of every ruleset; they are useless unless a rule matches a source port.
    let has_source = values_of(&rules, source_ports).next().is_some();
    pairs.extend(sources.into_iter().filter(|_| has_source).map(|port| (Choice::Point(port), Choice::Unnamed)));
    rules.iter().for_each(|rule| pairs.extend(both(rule)));
    pairs
}

fn both(rule: &Rule) -> Vec<(Choice, Choice)> {
    let rule = [rule];
    if values_of(&rule, source_ports).next().is_none() || values_of(&rule, destination_ports).next().is_none() {
        return Vec::new();
    }
    let sources = PortPoints::of(values_of(&rule, source_ports)).points;
    let destinations = PortPoints::of(values_of(&rule, destination_ports)).points;
    let with = |source: u16| destinations.iter().map(move |port| (Choice::Point(source), Choice::Point(*port)));
    sources.into_iter().flat_map(with).collect()
}

/// The types that rules name, each with its code, or with 0 and another one if any matches; and the common ones.
fn messages(rules: &[&Rule], family: Family) -> BTreeSet<(u8, u8)> {
    let named = values_of(rules, |ask| match ask {
        Match::IcmpType(Some(kind)) => Some(kind),
        _ => None,
    });
    let mut messages: BTreeSet<(u8, u8)> =
        family.pick([(0, 0), (3, 3), (8, 0)].into(), [(1, 4), (128, 0), (129, 0)].into());
    for (kind, code) in named {
        messages.extend([(*kind, code.unwrap_or(0)), (*kind, code.map_or(1, |code| code.wrapping_add(1)))]);
    }
    messages
}

/// Protocols that rules name and that a packet without a body can have, and an unnamed one (RFC 3692: 253 is for
/// experiments).
fn protocols(rules: &[&Rule], family: Family) -> BTreeSet<u8> {
    let named = values_of(rules, |ask| match ask {
        Match::Protocol(protocol) => Some(protocol),
        _ => None,
    });
    let elsewhere = |protocol: u8| matches!((protocol, family), (0 | TCP | UDP, _) | (1, Family::Ipv4) | (58, _));
    let is_header = |protocol: u8| family == Family::Ipv6 && is_extension_header(protocol);
    named.copied().filter(|protocol| !elsewhere(*protocol) && !is_header(*protocol)).chain([253]).collect()
}

/// True if a rule matches packets of the host.
fn filters_the_host(listing: &Listing) -> bool {
    listing.placed_rules().any(|at| matches!(at.chain, "OUTPUT" | "POSTROUTING"))
}

/// Gives every packet unnamed ports of its own, so that flows are distinct.
struct FlowNumbering {
    sources: std::ops::RangeInclusive<u16>,
    destinations: std::ops::RangeInclusive<u16>,
    next: u32,
}

impl FlowNumbering {
    fn new(plan: &SweepPlan) -> FlowNumbering {
        let (sources, destinations) = (plan.source_ports.unnamed.clone(), plan.destination_ports.unnamed.clone());
        FlowNumbering { sources, destinations, next: 0 }
    }

    fn segment(&mut self, ends: (IpAddr, IpAddr), pair: (Choice, Choice), flags: u8) -> Headers {
        let (source, destination) = self.ports(pair);
        headers(ends, TCP, Content::Tcp { source, destination, flags })
    }

    fn datagram(&mut self, ends: (IpAddr, IpAddr), pair: (Choice, Choice)) -> Headers {
        let (source, destination) = self.ports(pair);
        headers(ends, UDP, Content::Udp { source, destination })
    }

    /// The same packet in a flow of its own, if rules do not match its source port.
    fn renumbered(&mut self, headers: &Headers) -> Headers {
        match headers.content {
            Content::Tcp { source, destination, flags } if self.sources.contains(&source.0) => {
                let (source, _) = self.ports(UNNAMED);
                Headers { content: Content::Tcp { source, destination, flags }, ..*headers }
            }
            _ => *headers,
        }
    }

    fn ports(&mut self, (source, destination): (Choice, Choice)) -> (Port, Port) {
        self.next += 1;
        let ports = [(source, &self.sources), (destination, &self.destinations)];
        let [source, destination] = ports.map(|(choice, unnamed)| match choice {
            Choice::Point(port) => Port(port),
            // From the end: the first ports are those of services.
            Choice::Unnamed => Port(unnamed.end() - (self.next % unnamed.len() as u32) as u16),
        });
        (source, destination)
    }
}

fn icmp(ends: (IpAddr, IpAddr), (kind, code): (u8, u8)) -> Headers {
    let protocol = if ends.0.is_ipv4() { 1 } else { 58 };
    headers(ends, protocol, Content::Icmp { kind, code })
}

fn other(ends: (IpAddr, IpAddr), protocol: u8) -> Headers {
    headers(ends, protocol, Content::Other)
}

fn headers((source, destination): (IpAddr, IpAddr), protocol: u8, content: Content) -> Headers {
    Headers { source, destination, protocol, content }
}
