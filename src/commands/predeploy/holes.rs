//! New connections that the rules accept and the sensor does not intend, and those to served ports that nat sends to another
//! machine, for any source, port, interface and other field: found as sets of packets, tested with one packet of each, and
//! reported as unknown if the lab cannot send one.

use super::scans::intended;
use super::{Assessment, Fact, Families, PredeploySubject, RelatedChecks, delivered};
use crate::error::Result;
use crate::net::conntrack::ConntrackState;
use crate::net::{Family, Network, number};
use crate::probe::left_the_world::LeftTheWorld;
use crate::probe::path::Fate;
use crate::rules::iptables_save::Listing;
use crate::rules::space::{
    Leaf, Led, PacketField, Region, Sets, Space, TooMany, Values, WitnessPacket, state_places, witnesses,
};
use crate::sensor::Deny;
use crate::text::group::merged;

/// Chains that a received packet passes, in the order in which it does.
pub(super) const RECEIVED: [(&str, &str); 6] = [
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("nat", "PREROUTING"),
    ("mangle", "INPUT"),
    ("filter", "INPUT"),
    ("security", "INPUT"),
];

/// Packets that a rule accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Their family.
    pub family: Family,
    /// The rule or the policy, as `FILE:LINE: TEXT`.
    place: String,
    /// The line of the rule that redirects them to another port or machine, or to a program.
    led_by: Option<usize>,
    /// True if the sensor serves the ports that they are for.
    is_served: bool,
    /// A description of the packets.
    what: String,
    /// The reason why the lab sends none of them.
    because: Option<String>,
    /// True if one of them was sent.
    is_tried: bool,
    /// The packets.
    region: Region,
    /// The result of one of them; `None` if none was sent, or if the one that was sent was not accepted.
    passed: Option<Passed>,
}

/// The result of a packet that no rule stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// It was accepted.
    In,
    /// It left the modelled world.
    Out(LeftTheWorld),
}

/// All holes in the rules of `subject`.
pub fn measure(subject: &PredeploySubject) -> Result<Vec<Hole>> {
    subject.of_each_family(|sets| of_family(subject, sets))
}

fn of_family(subject: &PredeploySubject, sets: &Sets) -> Result<Vec<Hole>> {
    let found = [accepted, led, served_elsewhere, handed]
        .iter()
        .map(|find| find(subject, sets))
        .collect::<std::result::Result<Vec<_>, _>>();
    let found = match found {
        Ok(found) => found.concat(),
        Err(TooMany) => return Ok(vec![too_many(sets)]),
    };
    let witness = |hole: &Hole| witness(sets, &hole.region, subject);
    let fates = subject.fates(&found.iter().map(witness).collect::<Vec<_>>())?;
    let seen = |(hole, fate): (Hole, Option<Fate>)| {
        // The kernel found no route to the address that the nat rule sets, so these packets go nowhere.
        if hole.led_by.is_some() && fate == Some(Fate::Vanished) {
            return None;
        }
        let passed = match fate {
            Some(Fate::Accepted) => Some(Passed::In),
            Some(Fate::Left(left)) if hole.led_by.is_some() => Some(Passed::Out(left)),
            _ => None,
        };
        Some(Hole { passed, is_tried: fate.is_some(), ..hole })
    };
    let worse = |known: &mut Hole, hole: Hole| {
        if known.passed.is_none() && hole.passed.is_some() {
            *known = hole
        }
    };
    Ok(merged(found.into_iter().zip(fates).filter_map(seen), |one, other| one.place == other.place, worse))
}

/// The packets that the filter accepts.
fn accepted(subject: &PredeploySubject, sets: &Sets) -> std::result::Result<Vec<Hole>, TooMany> {
    let mut found = Vec::new();
    for start in starts(subject, sets, ("filter", "INPUT")) {
        let leaves = sets.leaves(("filter", "INPUT"), &start)?;
        let accepted = leaves.iter().filter(|leaf| &*leaf.end == "ACCEPT" && !delivered::is_for_many(&leaf.region));
        for leaf in accepted {
            let passed = delivered::passed_by_others(sets, &leaf.region);
            found.extend(passed.iter().map(|region| hole(subject, sets, leaf, region)));
        }
    }
    Ok(found)
}

/// The packets that nat redirects to another port or machine: the filter sees other packets than those that were sent.
fn led(subject: &PredeploySubject, sets: &Sets) -> std::result::Result<Vec<Hole>, TooMany> {
    let host = subject.scenario.host.addresses.host(sets.space.family);
    let mut found = Vec::new();
    for start in starts(subject, sets, ("nat", "PREROUTING")) {
        let of = |led: &Led| Hole { led_by: led.leaf.line, ..hole(subject, sets, &led.leaf, &led.region) };
        found.extend(sets.led(&start, host)?.iter().map(of));
    }
    Ok(found)
}

/// New connections to ports that the sensor serves, apart from SSH (`kept_out`), that nat sends to another machine.
fn served_elsewhere(subject: &PredeploySubject, sets: &Sets) -> std::result::Result<Vec<Hole>, TooMany> {
    let host = subject.scenario.host.addresses.host(sets.space.family);
    let ssh: Vec<u16> = subject.sensor.ssh.iter().map(|port| port.0).collect();
    let ports = intended(subject.sensor).into_iter().map(|port| port.0).filter(|port| !ssh.contains(port));
    let ports = Values::these(ports.map(u128::from));
    let mut found = Vec::new();
    for all in sets.space.universe("nat", "PREROUTING") {
        let new = new_over_link(&all).and_then(|new| syns(&new));
        let Some(start) = new.and_then(|new| new.with(PacketField::DestinationPort, &ports)) else { continue };
        let elsewhere = sets.led(&start, host)?.into_iter().filter(|led| !led.is_for_host);
        found.extend(elsewhere.map(|led| Hole {
            led_by: led.leaf.line,
            is_served: true,
            ..hole(subject, sets, &led.leaf, &led.region)
        }));
    }
    Ok(found)
}

/// The packets that a rule passes to a program outside the lab. A queue with bypass lets a packet go on to the filter.
fn handed(subject: &PredeploySubject, sets: &Sets) -> std::result::Result<Vec<Hole>, TooMany> {
    let mut found = Vec::new();
    for place in RECEIVED {
        let is_handed = |leaf: &&Leaf| {
            let is_passed_by = leaf.end.contains("--queue-bypass") && place != ("filter", "INPUT");
            PROGRAMS.iter().any(|target| leaf.end.split(' ').next() == Some(target)) && !is_passed_by
        };
        for start in starts(subject, sets, place) {
            let leaves = sets.leaves(place, &start)?;
            let of = |leaf: &Leaf| Hole { led_by: leaf.line, ..hole(subject, sets, leaf, &leaf.region) };
            found.extend(leaves.iter().filter(is_handed).map(of));
        }
    }
    Ok(found)
}

/// The targets that pass a packet to a program.
const PROGRAMS: [&str; 3] = ["NFQUEUE", "QUEUE", "TPROXY"];

fn starts(subject: &PredeploySubject, sets: &Sets, (table, hook): (&str, &str)) -> Vec<Region> {
    let (family, all) = (sets.space.family, sets.space.universe(table, hook));
    let unintended = all.iter().flat_map(|all| unintended(subject, family, all));
    unintended.filter_map(|region| delivered::deliverable(subject, family, hook, &region)).collect()
}

fn too_many(sets: &Sets) -> Hole {
    let space = &sets.space;
    Hole {
        family: space.family,
        place: sets.listing.source.name.display().to_string(),
        led_by: None,
        is_served: false,
        what: "more kinds of packets than can be judged".to_owned(),
        because: None,
        is_tried: false,
        region: space.everything.clone(),
        passed: None,
    }
}

fn witness(sets: &Sets, region: &Region, subject: &PredeploySubject) -> Option<WitnessPacket> {
    witnesses(&sets.space, region, "INPUT", &subject.scenario.host.addresses).into_iter().next()
}

/// SYN, alone and with PSH, URG or both, which listeners ignore (`tcp_rcv_state_process` in net/ipv4/tcp_input.c).
const OPENING: [u128; 4] = [2, 10, 34, 42];

/// The SYNs (and datagrams, if everything is denied) over a link to ports that the sensor does not serve, and those to
/// SSH from sources outside `ssh_from`.
fn unintended(subject: &PredeploySubject, family: Family, all: &Region) -> Vec<Region> {
    let ports = |ports: &mut dyn Iterator<Item = u16>| Values::these(ports.map(u128::from));
    let served = ports(&mut intended(subject.sensor).into_iter().map(|port| port.0));
    let ssh = ports(&mut subject.sensor.ssh.iter().map(|port| port.0));
    let begin = new_over_link(all);
    let syn = begin.as_ref().and_then(syns);
    let except = |region: Region, field: PacketField, values: &Values| {
        let rest = region.values(field).difference(values);
        region.with(field, &rest)
    };
    let other = syn.clone().and_then(|syn| except(syn, PacketField::DestinationPort, &served));
    let strangers = syn.filter(|_| subject.sensor.ssh_from.is_said()).and_then(|syn| {
        let syn = syn.with(PacketField::DestinationPort, &ssh)?;
        except(syn, PacketField::Source, &meant(subject, family))
    });
    let rest = begin.iter().filter(|_| subject.sensor.deny == Deny::All).flat_map(|all| but_tcp(all, family));
    let udp = ports(&mut subject.sensor.open_udp().map(|port| port.0));
    let is_udp = |region: &Region| region.values(PacketField::Protocol) == &Values::these([17]);
    let rest = rest.filter_map(|region| match is_udp(&region) {
        true => except(region, PacketField::DestinationPort, &udp),
        false => Some(region),
    });
    [other, strangers].into_iter().flatten().chain(rest).collect()
}

/// The packets that come over a link and begin a connection.
fn new_over_link(all: &Region) -> Option<Region> {
    let over_link = all.values(PacketField::In).difference(&Values::these([1]));
    let fresh = state_places(&[ConntrackState::New, ConntrackState::Untracked]);
    all.with(PacketField::In, &over_link).and_then(|all| all.with(PacketField::State, &fresh))
}

/// Those that open a TCP connection.
fn syns(all: &Region) -> Option<Region> {
    let wanted = [(PacketField::Protocol, &[6][..]), (PacketField::Flags, &OPENING), (PacketField::Whole, &[1])];
    let narrowed = |region: Region, (field, numbers): (PacketField, &[u128])| {
        region.with(field, &Values::these(numbers.iter().copied()))
    };
    wanted.into_iter().try_fold(all.clone(), narrowed)
}

/// Datagrams, and packets of every other protocol but TCP, without IPv6 extension headers (`ipv6_ext_hdr`), and without
/// the ICMP that a host needs.
fn but_tcp(all: &Region, family: Family) -> impl Iterator<Item = Region> {
    let (icmp, headers): (u128, &[u128]) = family.pick((1, &[]), (58, &[0, 43, 44, 51, 59, 60]));
    let kept = |field: PacketField, values: &Values| all.with(field, &all.values(field).difference(values));
    let apart = Values::these(headers.iter().copied().chain([6, 17, icmp]));
    let of = |protocol: u128| all.with(PacketField::Protocol, &Values::these([protocol]));
    let messages = Values::from_ranges(needed(family).iter().map(|kind| kind * 256..=kind * 256 + 255));
    let echo = of(icmp)
        .and_then(|all| all.with(PacketField::Message, &all.values(PacketField::Message).difference(&messages)));
    [of(17), echo, kept(PacketField::Protocol, &apart)].into_iter().flatten()
}

/// Types of ICMP that a host needs: errors (RFC 1122, section 3.2.2), and in IPv6 the discovery of neighbours, routers
/// and listeners (RFC 4890, section 4.4.1).
fn needed(family: Family) -> &'static [u128] {
    family.pick(&[3, 4, 11, 12], &[1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 143])
}

/// The addresses of `ssh_from`.
pub(super) fn meant(subject: &PredeploySubject, family: Family) -> Values {
    Values::from_ranges(subject.sensor.ssh_from.networks(family).iter().map(Network::range))
}

fn hole(subject: &PredeploySubject, sets: &Sets, leaf: &Leaf, region: &Region) -> Hole {
    let space = &sets.space;
    Hole {
        family: space.family,
        place: place(sets.listing, leaf, "INPUT"),
        led_by: None,
        is_served: false,
        what: space.describe(region),
        because: because(subject, space, region),
        is_tried: false,
        region: region.clone(),
        passed: None,
    }
}

fn because(subject: &PredeploySubject, space: &Space, region: &Region) -> Option<String> {
    let opaque = space.opaque(region).map(|fields| format!("no probe varies {fields}"));
    let host = number(subject.scenario.host.addresses.host(space.family));
    let is_for_host = region.values(PacketField::Destination).contains(host);
    opaque.or_else(|| (!is_for_host).then(|| "probes go to the address of [host] only".to_owned()))
}

/// The rule that decides on `leaf`, or the policy of `hook`: `FILE:LINE: TEXT`.
pub(super) fn place(listing: &Listing, leaf: &Leaf, hook: &str) -> String {
    let file = listing.source.name.display();
    let rule = leaf.line.and_then(|line| listing.rules().find(|rule| rule.line == line));
    let text = rule.map_or_else(|| format!(":{hook} {}", leaf.end), |rule| rule.text.clone());
    let line = leaf.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{file}{line}: {text}")
}

impl Hole {
    /// Its assessment for a deployment.
    pub fn fact(&self) -> Fact {
        let Hole { family, place, what, .. } = self;
        let about = Families::from(*family);
        let family = family.title();
        let (tone, text) = match self.passed {
            Some(Passed::Out(left)) if self.is_served => (Assessment::Unknown, format!("{what} over {family}: {left}")),
            None if self.is_served => {
                let text = format!("{what} over {family} may go to another machine, {}", self.tried());
                (Assessment::Unknown, text)
            }
            Some(Passed::In) => {
                (Assessment::Bad, format!("{what} is accepted over {family}, but the sensor file does not allow it"))
            }
            Some(Passed::Out(left)) => {
                (Assessment::Bad, format!("{what} over {family}: {left}, but the sensor file does not allow it"))
            }
            None => (Assessment::Unknown, format!("{what} may be accepted over {family}, {}", self.tried())),
        };
        Fact::new(tone, text).by(vec![place.clone()]).about(&about, RelatedChecks::None)
    }

    fn tried(&self) -> String {
        match (&self.because, self.is_tried) {
            (_, true) if self.is_served => "although the one that was sent did not".to_owned(),
            (_, true) => "although the one that was sent was not accepted".to_owned(),
            (Some(because), false) => format!("which was not tried, since {because}"),
            (None, false) => "which was not tried".to_owned(),
        }
    }

    /// The line of the rule that redirects them to another port or machine, or to a program.
    pub fn led_by(&self) -> Option<usize> {
        self.led_by
    }

    /// True if the sensor serves the ports that its packets are for.
    pub fn is_served(&self) -> bool {
        self.is_served
    }

    /// True if its packets are UDP.
    pub fn is_udp(&self) -> bool {
        self.has_protocol(17)
    }

    /// True if it contains a packet of this protocol, from any source over any link.
    pub fn has_protocol(&self, number: u8) -> bool {
        self.region.values(PacketField::Protocol).contains(number.into())
    }

    /// True if it contains an ICMP message of this type.
    pub fn has_message(&self, kind: u8) -> bool {
        self.region.values(PacketField::Message).contains(u128::from(kind) * 256)
    }

    /// True if it contains a packet to one of these ports, from any source over any link.
    pub fn has_port(&self, ports: &crate::net::port::PortSet) -> bool {
        let ports =
            Values::from_ranges(ports.ranges().map(|range| u128::from(*range.start())..=u128::from(*range.end())));
        !self.region.values(PacketField::DestinationPort).intersection(&ports).is_empty()
    }
}
