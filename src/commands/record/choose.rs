//! Chooses the packets of a recording in addition to scans: of all packets of a sweep, one of each kind for each
//! effect, and for each possible mistake in a rule one that would show it.
//!
//! The packets that would show a mistake are derived (`walk`) and not measured: no lab is built for a mutant here. A
//! wrong result makes a recording longer, or lets a mutant survive, and never makes it false.

use std::collections::{BTreeSet, HashSet};

use super::walk::{ReadOutcome, walk};
use crate::commands::mutate::affected::AffectedPackets;
use crate::net::port::{Port, PortSet};
use crate::net::{Addresses, InterfaceName};
use crate::probe::packet::{Journey, Lead, Packet, Response, Stimulus, Way, What};
use crate::probe::path::Fate;
use crate::probe::scan::Technique;
use crate::rules::interface_names::name_of_each;
use crate::rules::iptables_save::{self, Listing, Rule};
use crate::rules::mutant::mutants;
use crate::rules::sweep::SweepPlan;

/// The sweep of one ruleset.
pub struct RecordSweep {
    /// The rules.
    pub listing: Listing,
    /// The packets of the plan.
    pub plan: SweepPlan,
    /// The packets that were sent.
    pub stimuli: Vec<Stimulus>,
    /// Their results.
    pub responses: Vec<Response>,
}

/// The host and its scans.
pub struct Scanned<'a> {
    /// The name of its interface.
    pub interface: &'a str,
    /// Both ends.
    pub addresses: &'a Addresses,
    /// The ports that are scanned: packets of a scan need no other row there.
    pub ports: &'a PortSet,
    /// A port that represents all unnamed ports, in every family.
    pub sample_port: Option<Port>,
}

/// The packets that need a row, in the order in which they were chosen.
pub fn packets(swept: &RecordSweep, scanned: &Scanned) -> Vec<Packet> {
    let candidates = candidates(swept, scanned);
    let (free, others): (Vec<&PacketCandidate>, Vec<&PacketCandidate>) =
        candidates.iter().partition(|candidate| is_of_a_scan(&candidate.packet, scanned.ports));
    let mut chosen = one_of_each(&others);
    for mutant in mutants(&swept.listing).iter().filter(|mutant| mutant.equivalent.is_none()) {
        let broken =
            Listing::parse_for(swept.listing.backend, swept.listing.family, &mutant.apply(&swept.listing.source));
        let differences = AffectedPackets::between(&swept.listing, &broken);
        let shows = |candidate: &&&PacketCandidate| candidate.is_affected(&differences, &broken, scanned);
        if free.iter().chain(&chosen).any(|candidate| shows(&candidate)) {
            continue;
        }
        chosen.extend(others.iter().find(shows));
    }
    chosen.into_iter().map(|candidate| candidate.packet).collect()
}

/// A packet that a row can expect.
struct PacketCandidate {
    packet: Packet,
    own: Vec<Journey>,
    /// The derived result for each path, if it equals the measured one.
    read: Vec<Option<ReadOutcome>>,
}

impl PacketCandidate {
    /// True if the broken ruleset has another effect on it.
    fn is_affected(&self, differences: &AffectedPackets, broken: &Listing, scanned: &Scanned) -> bool {
        let packet = |journey: &Journey| seen(journey, scanned);
        if !differences.concern(self.own.iter(), packet) {
            return false;
        }
        self.own.iter().zip(&self.read).any(|(journey, read)| {
            let broken = walk(broken, &packet(journey), journey.direction);
            matches!((read, broken), (Some(read), Some(broken)) if *read != broken)
        })
    }
}

fn seen(journey: &Journey, scanned: &Scanned) -> iptables_save::Packet {
    iptables_save::Packet::from_journey(journey, scanned.interface, scanned.addresses.host(journey.headers.family()))
}

/// The packets that a scenario can name and whose connection opens, simple ones first, each once.
fn candidates(swept: &RecordSweep, scanned: &Scanned) -> Vec<PacketCandidate> {
    let mut candidates: Vec<PacketCandidate> = swept
        .stimuli
        .iter()
        .zip(&swept.responses)
        .filter(|(stimulus, response)| response.failed_lead(stimulus.lead).is_none())
        .filter_map(|(stimulus, response)| {
            let packet = swept.plan.packet(stimulus, scanned.addresses).ok()?;
            let packet = swept.plan.representative_of(packet, scanned.sample_port);
            let own = response.own.clone();
            let read = own.iter().map(|journey| as_measured(&swept.listing, journey, scanned)).collect();
            Some(PacketCandidate { packet, own, read })
        })
        .collect();
    candidates.sort_by_key(|candidate| candidate.packet.plainness(scanned.sample_port));
    let mut seen = HashSet::new();
    candidates.retain(|candidate| seen.insert(candidate.packet));
    candidates
}

/// The derived result, if it equals the measured one.
fn as_measured(listing: &Listing, journey: &Journey, scanned: &Scanned) -> Option<ReadOutcome> {
    let read = walk(listing, &seen(journey, scanned), journey.direction)?;
    let lines: Vec<&str> = journey.path.log_prefixes().collect();
    (read.fate == journey.path.fate && read.lines == lines).then_some(read)
}

/// Source or destination of a packet, as far as [`one_of_each`] distinguishes them: other addresses count only if their
/// effect differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direct {
    ToHost,
    FromStranger,
    FromHost,
    Loopback,
}

impl Direct {
    fn from_way(way: Way) -> Direct {
        match way {
            Way::ToHost => Direct::ToHost,
            Way::From(_) => Direct::FromStranger,
            Way::FromHost | Way::FromHostTo(_) => Direct::FromHost,
            Way::OverLoopback | Way::HostToItself => Direct::Loopback,
        }
    }
}

/// The first packet of each kind for each effect.
fn one_of_each<'a>(candidates: &[&'a PacketCandidate]) -> Vec<&'a PacketCandidate> {
    let mut seen = BTreeSet::new();
    let kind = |packet: &Packet| match packet.what() {
        What::Tcp { .. } => 0,
        What::Udp { .. } => 1,
        What::Icmp { .. } => 2,
        What::Protocol(_) => 3,
    };
    let mut is_new = |candidate: &&&PacketCandidate| {
        let end = candidate.own.last().map(|own| own.path.fate).unwrap_or(Fate::Vanished);
        let lines: Vec<String> =
            candidate.own.iter().flat_map(|own| own.path.log_prefixes()).map(str::to_owned).collect();
        seen.insert((
            Direct::from_way(candidate.packet.way()),
            candidate.packet.lead(),
            kind(&candidate.packet),
            end,
            lines,
        ))
    };
    // Over loopback the port of an answer is arbitrary.
    let says_something = |candidate: &&&PacketCandidate| {
        !(Direct::from_way(candidate.packet.way()) == Direct::Loopback && candidate.packet.lead() == Lead::Backward)
            || candidate.packet.what().destination().is_none()
    };
    candidates.iter().filter(says_something).filter(|candidate| is_new(candidate)).copied().collect()
}

/// True if a scan of these ports sends it.
fn is_of_a_scan(packet: &Packet, ports: &PortSet) -> bool {
    let is_scanned = |source: Option<Port>, port| source.is_none() && ports.contains(port);
    let plain = (packet.way(), packet.lead()) == (Way::ToHost, Lead::None);
    plain
        && match packet.what() {
            What::Tcp { flags, source, destination } => {
                let sends = |technique: &Technique| technique.profile().flags == flags;
                is_scanned(source, destination) && Technique::ALL.iter().filter(is_tcp).any(sends)
            }
            What::Udp { source, destination } => is_scanned(source, destination),
            What::Icmp { kind, code, .. } => matches!((kind, code), (8 | 128, 0)),
            What::Protocol(_) => false,
        }
}

fn is_tcp(technique: &&Technique) -> bool {
    technique.protocol() == crate::net::Protocol::Tcp
}

/// The interfaces that rules name, as they are written, apart from `link` and `lo`: packets over them are not recorded.
pub fn other_interfaces(listing: &Listing, link: &InterfaceName) -> BTreeSet<String> {
    let rules: Vec<&Rule> = listing.rules().collect();
    let others = name_of_each(&rules, link).into_iter().filter(|(_, name)| name != link.as_str() && name != "lo");
    others.map(|(pattern, _)| pattern.to_owned()).collect()
}
