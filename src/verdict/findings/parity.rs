//! Packets that one family accepts and the other does not. The rulesets of IPv4 and IPv6 are independent, and a host is
//! as open as the more open of the two.
//!
//! The same packets are sent in both families, to every port that either ruleset distinguishes, without a connection
//! and from the prober; the results are measured.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::Serialize;

use super::FindingsSubject;
use crate::error::{Result, Source};
use crate::lab::{Lab, LimitOverride};
use crate::net::port::{Port, PortSet};
use crate::net::{Addresses, Family};
use crate::probe::packet::{Lead, Response, Stimulus, StimulusSender};
use crate::probe::path::{Fate, Step};
use crate::probe::scan::Technique;
use crate::rules::iptables_save::Listing;
use crate::rules::sweep::SweepPlan;
use crate::text::group::{grouped, merged};
use crate::wire::frame::Direction;
use crate::wire::headers::{Content, Headers};

/// Packets that one family accepts and the other does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Disparity {
    /// The family that accepts them.
    pub lets_in: Family,
    /// The kinds of packet: `tcp syn`, `udp`, `icmp echo request`.
    pub packets: Vec<String>,
    /// Their destination ports; empty for packets without ports.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ports: String,
    /// The deciding rule or policy over IPv4.
    pub ipv4: LastStep,
    /// The deciding rule or policy over IPv6.
    pub ipv6: LastStep,
}

/// The last rule or policy on a packet's path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Decision")]
pub struct LastStep {
    /// The file; `None` if the ruleset has no such chain, and the kernel's own policy decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its text.
    pub text: String,
}

/// Compares the families of `subject`; empty if it has one ruleset only, which `lint` reports.
pub fn compare(subject: &FindingsSubject, listings: &[Listing]) -> Result<Vec<Disparity>> {
    let of = |family| listings.iter().find(|listing| listing.family == family);
    let (Some(v4), Some(v6)) = (of(Family::Ipv4), of(Family::Ipv6)) else { return Ok(Vec::new()) };
    let questions = questions(&ports(&[v4, v6], subject.addresses));
    let mut decided = Vec::new();
    for family in Family::BOTH {
        let stimuli: Vec<Stimulus> = questions.iter().map(|question| question.stimulus(family, subject)).collect();
        decided.push(decisions(subject, family, &stimuli)?);
    }
    let mut disparities: Vec<(Disparity, Vec<RangeInclusive<u16>>)> = Vec::new();
    for ((question, (fate4, ipv4)), (fate6, ipv6)) in questions.iter().zip(&decided[0]).zip(&decided[1]) {
        let lets_in = match (fate4, fate6) {
            (Admission::KeptOut, Admission::LetIn) => Family::Ipv6,
            (Admission::LetIn, Admission::KeptOut) => Family::Ipv4,
            (Admission::LetIn, Admission::LetIn) | (Admission::KeptOut, Admission::KeptOut) => continue,
        };
        let (packets, ports) = (vec![question.kind.name()], String::new());
        let one = Disparity { lets_in, packets, ports, ipv4: ipv4.clone(), ipv6: ipv6.clone() };
        disparities.push((one, question.ports.iter().cloned().collect()));
    }
    Ok(together(grouped(disparities)))
}

/// Merges packets with the same results. Those that IPv6 accepts come first, since they are more often overlooked.
fn together(disparities: Vec<(Disparity, Vec<Vec<RangeInclusive<u16>>>)>) -> Vec<Disparity> {
    let with_ports = |(one, ports): (Disparity, Vec<Vec<RangeInclusive<u16>>>)| Disparity {
        ports: ports.concat().into_iter().collect::<PortSet>().to_string(),
        ..one
    };
    let is_like =
        |one: &Disparity, other: &Disparity| Disparity { packets: one.packets.clone(), ..other.clone() } == *one;
    let add = |one: &mut Disparity, other: Disparity| one.packets.extend(other.packets);
    let mut gaps = merged(disparities.into_iter().map(with_ports), is_like, add);
    gaps.sort_by_key(|one| one.lets_in == Family::Ipv4);
    gaps
}

/// One packet that is sent in both families.
struct ParityPacket {
    kind: TrafficKind,
    /// The ports that it represents, by its first; `None` for a packet without ports.
    ports: Option<RangeInclusive<u16>>,
    /// A different source port for each, so that conntrack assigns no packet to another's flow.
    source: Port,
}

#[derive(Debug, Clone, Copy)]
enum TrafficKind {
    Tcp(Technique),
    Udp,
    EchoRequest,
}

impl TrafficKind {
    fn name(self) -> String {
        match self {
            TrafficKind::Tcp(technique) => format!("tcp {technique}"),
            TrafficKind::Udp => "udp".to_owned(),
            TrafficKind::EchoRequest => "icmp echo request".to_owned(),
        }
    }
}

impl ParityPacket {
    fn stimulus(&self, family: Family, subject: &FindingsSubject) -> Stimulus {
        let (source, destination) =
            (self.source, self.ports.as_ref().map_or(self.source, |ports| Port(*ports.start())));
        let (protocol, content) = match (self.kind, family) {
            (TrafficKind::Tcp(technique), _) => {
                (6, Content::Tcp { source, destination, flags: technique.profile().flags })
            }
            (TrafficKind::Udp, _) => (17, Content::Udp { source, destination }),
            (TrafficKind::EchoRequest, Family::Ipv4) => (1, Content::Icmp { kind: 8, code: 0 }),
            (TrafficKind::EchoRequest, Family::Ipv6) => (58, Content::Icmp { kind: 128, code: 0 }),
        };
        let (source, destination) = (subject.addresses.prober(family), subject.addresses.host(family));
        let headers = Headers { source, destination, protocol, content };
        Stimulus { sender: StimulusSender::Prober, lead: Lead::None, headers }
    }
}

/// The techniques that a ruleset may distinguish.
const TECHNIQUES: [Technique; 5] = [Technique::Syn, Technique::Null, Technique::Fin, Technique::Xmas, Technique::Ack];

fn questions(ports: &[RangeInclusive<u16>]) -> Vec<ParityPacket> {
    let kinds = TECHNIQUES.into_iter().map(TrafficKind::Tcp).chain([TrafficKind::Udp]);
    let to_ports = kinds.flat_map(|kind| ports.iter().map(move |ports| (kind, Some(ports.clone()))));
    let all = to_ports.chain([(TrafficKind::EchoRequest, None)]);
    // Above the ports that rules usually name, and repeated if they run out.
    let sources = (20_000..=u16::MAX).cycle().map(Port);
    all.zip(sources).map(|((kind, ports), source)| ParityPacket { kind, ports, source }).collect()
}

/// Ranges of ports within which neither ruleset distinguishes ports: from each boundary to the next.
fn ports(listings: &[&Listing], addresses: &Addresses) -> Vec<RangeInclusive<u16>> {
    let points =
        listings.iter().flat_map(|listing| SweepPlan::new(listing, addresses).services().iter().collect::<Vec<_>>());
    let points: BTreeSet<u16> = points.map(|port| port.0).collect();
    let ends = points.iter().skip(1).map(|next| next - 1).chain([u16::MAX]);
    points.iter().zip(ends).map(|(first, last)| *first..=last).collect()
}

/// The acceptance of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    LetIn,
    KeptOut,
}

/// Sends the packets in a lab for each family, so that no state of one affects the other. Limits are disabled.
fn decisions(subject: &FindingsSubject, family: Family, stimuli: &[Stimulus]) -> Result<Vec<(Admission, LastStep)>> {
    let responses = Lab::run(&subject.spec(subject.interface), |lab| lab.sweep(stimuli, &[], LimitOverride::Wide))?;
    let source = subject.rulesets.iter().find(|(other, _)| *other == family).map(|(_, source)| *source);
    Ok(responses.iter().map(|response| decision(response, source)).collect())
}

fn decision(response: &Response, source: Option<&Source>) -> (Admission, LastStep) {
    let received = response.own.iter().find(|journey| journey.direction == Direction::In);
    let path = received.map(|journey| &journey.path);
    let entry = match path.map(|path| path.fate) {
        Some(Fate::Accepted) => Admission::LetIn,
        Some(Fate::Dropped | Fate::Rejected | Fate::Stolen | Fate::Vanished | Fate::Left(_)) | None => {
            Admission::KeptOut
        }
    };
    let step: Option<&Step> = path.and_then(|path| path.deciding());
    let line = step.and_then(|step| step.line);
    let file = line.and(source).map(|source| source.name.display().to_string());
    let text = step.map_or_else(|| "no rule".to_owned(), |step| step.text.clone());
    (entry, LastStep { file, line, text })
}
