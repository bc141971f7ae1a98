//! Packets of SSH connections that the sensor intends and the rules keep out, for any address and port of the client:
//! the SYN, and later packets of either side. Found as sets of packets, and tested with one packet of each.

use super::{Assessment, Fact, Families, PredeploySubject, RelatedChecks, holes, time_dependent};
use crate::error::Result;
use crate::net::conntrack::ConntrackState;
use crate::net::port::PortSet;
use crate::net::{Family, number};
use crate::probe::left_the_world::LeftTheWorld;
use crate::probe::packet::{Lead, Stimulus};
use crate::probe::path::Fate;
use crate::rules::space::{
    Leaf, Led, PacketField, Region, Sets, TooMany, Values, WitnessPacket, of_unicast, state_places, witnesses,
};
use crate::text::group::merged;

/// Clients that a rule keeps out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOut {
    family: Family,
    segment: ConnectionSegment,
    /// The rule or the policy, as `FILE:LINE: TEXT`.
    place: String,
    /// The packets in words.
    what: String,
    /// The match on their path that the lab cannot fulfil.
    opaque: Option<String>,
    /// The number of addresses that are kept out, and of their ports.
    addresses: u128,
    ports: u128,
    /// The number of addresses that counts as small among the intended ones.
    few: u128,
    /// The ports of the SSH server.
    ssh: PortSet,
    /// True if one of the packets was sent.
    is_tried: bool,
    /// True if it was kept out.
    is_kept_out: bool,
    /// The reason why its fate is not known, if it left the lab.
    left: Option<LeftTheWorld>,
}

/// The segments of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionSegment {
    /// The client's first segment.
    Syn,
    /// A later segment of the client.
    OfClient,
    /// A segment of the host.
    OfHost,
}

/// Chains that a packet of the host passes.
const SENT: [(&str, &str); 5] =
    [("raw", "OUTPUT"), ("mangle", "OUTPUT"), ("filter", "OUTPUT"), ("security", "OUTPUT"), ("mangle", "POSTROUTING")];

/// All clients that the rules of `subject` keep out.
pub fn measure(subject: &PredeploySubject) -> Result<Vec<KeptOut>> {
    subject.of_each_family(|sets| of_family(subject, sets))
}

fn of_family(subject: &PredeploySubject, sets: &Sets) -> Result<Vec<KeptOut>> {
    let segments = [ConnectionSegment::Syn, ConnectionSegment::OfClient, ConnectionSegment::OfHost].into_iter();
    let places = segments.flat_map(|segment| segment.chains().iter().map(move |place| (segment, *place)));
    let (found, packets): (Vec<KeptOut>, Vec<Option<WitnessPacket>>) =
        places.flat_map(|(segment, place)| at(subject, sets, segment, place)).unzip();
    let fates = subject.fates(&packets)?;
    let all = found.into_iter().zip(fates).map(|(one, fate)| {
        let is_kept_out = matches!(fate, Some(Fate::Dropped | Fate::Rejected));
        let left = fate.and_then(Fate::left);
        KeptOut { is_tried: fate.is_some(), is_kept_out, left, ..one }
    });
    let all = merged(all, |one, other| one.place == other.place && one.segment == other.segment, KeptOut::add);
    let is_news = |(number, one): &(usize, &KeptOut)| !all[..*number].iter().any(|before| before.says(one));
    Ok(all.iter().enumerate().filter(is_news).map(|(_, one)| one.clone()).collect())
}

/// The clients that may be kept out in this chain, each with a packet to test it.
fn at(
    subject: &PredeploySubject,
    sets: &Sets,
    segment: ConnectionSegment,
    (table, hook): (&str, &str),
) -> Vec<(KeptOut, Option<WitnessPacket>)> {
    let universe = sets.space.universe(table, hook);
    let meant = universe.iter().filter_map(|all| segment.meant(subject, sets.space.family, all, table));
    let found = meant.flat_map(|meant| match sets.leaves((table, hook), &meant) {
        Err(TooMany) => vec![(too_many(subject, sets, segment), None)],
        Ok(leaves) => {
            // Conntrack sees some packets of the connections only, so it is unknown which of them are NEW or
            // ESTABLISHED.
            let is_partly = leaves.iter().any(is_exempted) && !leaves.iter().all(is_exempted);
            let exempted = leaves.iter().filter(|leaf| is_partly && is_exempted(leaf));
            // Name the rule that exempts, not the one that ends the path through the table.
            let exempted = exempted.cloned().map(|mut leaf| {
                leaf.line = leaf.exempted_by;
                leaf
            });
            let exempted = exempted.map(|leaf| (kept_out(subject, sets, segment, (&leaf, hook)).0, None));
            let arrived = if table == "nat" { led_to_ssh(subject, sets, &meant) } else { Vec::new() };
            let is_tried = |leaf: &&Leaf| time_dependent::is_tried_at_each_moment(sets.listing, &leaf.region);
            let leaves = leaves.iter().filter(|leaf| is_kept_out(leaf) && segment.can_be(&leaf.region));
            let leaves = leaves.filter(|leaf| !is_tried(leaf));
            let leaves = leaves.flat_map(|leaf| without(leaf, &arrived));
            exempted.chain(leaves.map(|leaf| kept_out(subject, sets, segment, (&leaf, hook)))).collect()
        }
    });
    found.collect()
}

/// The packets of `meant` that nat redirects to the SSH server, with the address or port that it sets.
fn led_to_ssh(subject: &PredeploySubject, sets: &Sets, meant: &Region) -> Vec<Region> {
    let ssh = Values::these(subject.sensor.ssh.iter().map(|port| u128::from(port.0)));
    let host = subject.scenario.host.addresses.host(sets.space.family);
    // If there are too many sets, each redirection counts as keeping out.
    let led = sets.led(meant, host).unwrap_or_default().into_iter();
    let is_ssh = |led: &Led| led.ports.as_ref().is_none_or(|ports| ports.difference(&ssh).is_empty());
    led.filter(|led| led.is_for_host && is_ssh(led)).map(|led| led.region).collect()
}

/// The packets of `leaf` that are not in `arrived`.
fn without<'a>(leaf: &Leaf<'a>, arrived: &[Region]) -> Vec<Leaf<'a>> {
    let outside = |all: Vec<Region>, one: &Region| all.iter().flat_map(|region| region.difference(one)).collect();
    let rest = arrived.iter().fold(vec![leaf.region.clone()], outside);
    let of = |region| {
        let mut leaf = leaf.clone();
        leaf.region = region;
        leaf
    };
    rest.into_iter().map(of).collect()
}

fn is_exempted(leaf: &Leaf) -> bool {
    leaf.exempted_by.is_some()
}

const SYN: u128 = 2;
const SYN_ACK: u128 = 18;
/// ACK, alone and with PSH, FIN or both.
const LATER: [u128; 4] = [16, 24, 17, 25];

impl ConnectionSegment {
    const fn chains(self) -> &'static [(&'static str, &'static str)] {
        match self {
            ConnectionSegment::Syn | ConnectionSegment::OfClient => &holes::RECEIVED,
            ConnectionSegment::OfHost => &SENT,
        }
    }

    /// The segments over the link between SSH and intended clients, from a port that clients use (RFC 6056, section
    /// 3.2).
    pub(super) fn meant(self, subject: &PredeploySubject, family: Family, all: &Region, table: &str) -> Option<Region> {
        let host = number(subject.scenario.host.addresses.host(family));
        let ssh = Values::these(subject.sensor.ssh.iter().map(|port| u128::from(port.0)));
        let clients = holes::meant(subject, family).intersection(&clients(family)).difference(&Values::these([host]));
        let (host, ports, link) = (Values::these([host]), Values::from_ranges([1024..=65_535]), Values::these([0]));
        let ends = match self {
            ConnectionSegment::Syn | ConnectionSegment::OfClient => [
                (PacketField::In, link),
                (PacketField::Source, clients),
                (PacketField::SourcePort, ports),
                (PacketField::Destination, host),
                (PacketField::DestinationPort, ssh),
            ],
            ConnectionSegment::OfHost => [
                (PacketField::Out, link),
                (PacketField::Source, host),
                (PacketField::SourcePort, ssh),
                (PacketField::Destination, clients),
                (PacketField::DestinationPort, ports),
            ],
        };
        let wanted = [
            (PacketField::State, self.states(all, table)),
            (PacketField::Protocol, Values::these([6])),
            (PacketField::Flags, self.flags()),
            (PacketField::Whole, Values::these([1])),
        ];
        let both = ends.iter().chain(&wanted);
        both.cloned().try_fold(all.clone(), |region, (field, values)| region.with(field, &values))
    }

    fn flags(self) -> Values {
        match self {
            ConnectionSegment::Syn => Values::these([SYN]),
            ConnectionSegment::OfClient => Values::these(LATER),
            ConnectionSegment::OfHost => Values::these(LATER.into_iter().chain([SYN_ACK])),
        }
    }

    /// The conntrack states. In raw, conntrack has not yet seen a received packet.
    fn states(self, all: &Region, table: &str) -> Values {
        match self {
            _ if table == "raw" => all.values(PacketField::State).clone(),
            ConnectionSegment::Syn => state_places(&[ConntrackState::New]),
            ConnectionSegment::OfClient | ConnectionSegment::OfHost => state_places(&[ConntrackState::Established]),
        }
    }

    /// True if the matches on the path can have these results: packets that the host receives are for its own IP and
    /// MAC address.
    pub(super) fn can_be(self, region: &Region) -> bool {
        let is_received = self != ConnectionSegment::OfHost;
        let cannot = |(key, answer): (&str, bool)| {
            is_received && of_unicast(key) == Some(!answer) || of_plain(key) == Some(!answer)
        };
        !region.answers().any(cannot)
    }

    /// The packets before it, and the chain at which it begins.
    const fn sent(self) -> (Lead, &'static str) {
        match self {
            ConnectionSegment::Syn => (Lead::None, "INPUT"),
            ConnectionSegment::OfClient => (Lead::Forward, "INPUT"),
            ConnectionSegment::OfHost => (Lead::Backward, "OUTPUT"),
        }
    }

    const fn clients(self) -> (PacketField, PacketField) {
        match self {
            ConnectionSegment::Syn | ConnectionSegment::OfClient => (PacketField::Source, PacketField::SourcePort),
            ConnectionSegment::OfHost => (PacketField::Destination, PacketField::DestinationPort),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            ConnectionSegment::Syn => "a new SSH connection that the sensor file allows is kept out",
            ConnectionSegment::OfClient => "packets of the client in an SSH connection are kept out",
            ConnectionSegment::OfHost => "packets of the host in an SSH connection are held back",
        }
    }
}

/// Addresses of machines (RFC 6890): not this network, loopback, link-local, benchmarks, multicast and above.
fn clients(family: Family) -> Values {
    match family {
        Family::Ipv4 => {
            let v4 = |[first, last]: [[u8; 4]; 2]| u32::from_be_bytes(first).into()..=u32::from_be_bytes(last).into();
            let others = [
                [[0, 0, 0, 0], [0, 255, 255, 255]],
                [[127, 0, 0, 0], [127, 255, 255, 255]],
                [[169, 254, 0, 0], [169, 254, 255, 255]],
                [[198, 18, 0, 0], [198, 19, 255, 255]],
                [[224, 0, 0, 0], [255, 255, 255, 255]],
            ];
            Values::from_ranges([0..=u128::from(u32::MAX)]).difference(&Values::from_ranges(others.map(v4)))
        }
        Family::Ipv6 => {
            let prefix = |first: u128, length: u32| first << 112..=(first << 112 | (u128::MAX >> length));
            Values::from_ranges([prefix(0x2000, 3), prefix(0xfc00, 7)])
        }
    }
}

/// The result of a match on later fragments or on IPv6 extension headers for a whole packet without them, as in SSH;
/// `None` for other matches. Without its header such a match fails, also with `!` before an option.
fn of_plain(key: &str) -> Option<bool> {
    let words: Vec<&str> = key.split(" [").next().unwrap_or(key).split(' ').collect();
    match words.as_slice() {
        ["-f" | "--fragment" | "--fragments"] | ["-m", "rt" | "hbh" | "dst" | "frag", ..] => Some(false),
        ["!", "-f" | "--fragment" | "--fragments"] => Some(true),
        _ => None,
    }
}

/// True if the packet does not reach the SSH server: any end of its path but ACCEPT, including a change of its
/// destination. Limits are measured by connections in a row (`lockout`).
fn is_kept_out(leaf: &Leaf) -> bool {
    let counts = |key: &str| COUNTING.iter().any(|name| key.contains(&format!("-m {name}")));
    &*leaf.end != "ACCEPT" && !leaf.region.answers().any(|(key, _)| counts(key))
}

const COUNTING: [&str; 5] = ["limit", "hashlimit", "recent", "connlimit", "quota"];

fn kept_out(
    subject: &PredeploySubject,
    sets: &Sets,
    segment: ConnectionSegment,
    (leaf, hook): (&Leaf, &str),
) -> (KeptOut, Option<WitnessPacket>) {
    let space = &sets.space;
    let (lead, begins) = segment.sent();
    let found = witnesses(space, &leaf.region, begins, &subject.scenario.host.addresses).into_iter().next();
    let packet = found.map(|found| WitnessPacket { stimulus: Stimulus { lead, ..found.stimulus }, ..found });
    let (address, port) = segment.clients();
    let kept_out = KeptOut {
        family: space.family,
        segment,
        place: holes::place(sets.listing, leaf, hook),
        what: space.describe(&leaf.region),
        opaque: space.opaque(&leaf.region).map(str::to_owned),
        addresses: size(leaf.region.values(address)),
        ports: size(leaf.region.values(port)),
        few: few(space.family).min(size(&holes::meant(subject, space.family)) >> 8),
        ssh: subject.sensor.ssh.iter().copied().collect(),
        is_tried: false,
        is_kept_out: false,
        left: None,
    };
    (kept_out, packet)
}

fn too_many(subject: &PredeploySubject, sets: &Sets, segment: ConnectionSegment) -> KeptOut {
    let space = &sets.space;
    KeptOut {
        family: space.family,
        segment,
        place: sets.listing.source.name.display().to_string(),
        what: "SSH: more kinds of packets than can be judged".to_owned(),
        opaque: None,
        addresses: size(&holes::meant(subject, space.family)),
        ports: u128::from(u16::MAX),
        few: few(space.family),
        ssh: subject.sensor.ssh.iter().copied().collect(),
        is_tried: false,
        is_kept_out: false,
        left: None,
    }
}

/// The number of source ports below which a client simply tries another one.
const FEW_PORTS: u128 = 1024;

impl KeptOut {
    fn add(&mut self, other: KeptOut) {
        let addresses = self.addresses.saturating_add(other.addresses);
        let ports = self.ports.max(other.ports);
        if !self.is_kept_out && other.is_kept_out {
            *self = other;
        }
        (self.addresses, self.ports) = (addresses, ports);
    }

    /// True if `later` adds nothing: a client that cannot open a connection sends no later packets.
    fn says(&self, later: &KeptOut) -> bool {
        self.place == later.place && self.addresses >= later.addresses && self.tone() <= later.tone()
    }

    /// The assessment; a list of single machines or small networks (fail2ban) is a note only.
    fn tone(&self) -> Assessment {
        match self.is_kept_out {
            false => Assessment::Unknown,
            true if self.addresses <= self.few || self.ports <= FEW_PORTS => Assessment::Note,
            true => Assessment::Bad,
        }
    }

    /// Its assessment for a deployment, in words.
    pub fn fact(&self) -> Fact {
        let KeptOut { family, place, what, .. } = self;
        let about = Families::from(*family);
        let fact = |text| {
            Fact::new(self.tone(), text)
                .by(vec![place.clone()])
                .about(&about, RelatedChecks::Connections(self.ssh.clone()))
        };
        let family = family.title();
        if self.is_kept_out {
            return fact(format!("{} over {family}: {what}", self.segment.name()));
        }
        if let Some(left) = self.left {
            return Fact::new(self.tone(), format!("{what} over {family}: {left}: {place}"));
        }
        let tried = match (&self.opaque, self.is_tried) {
            (_, true) => "although the one that was sent got through".to_owned(),
            (Some(opaque), false) => format!("which was not tried, since no probe varies {opaque}"),
            (None, false) => "which was not tried".to_owned(),
        };
        fact(format!("{what} may be kept out over {family}, {tried}"))
    }
}

/// A network of IPv4, or a site of IPv6 (RFC 6177).
fn few(family: Family) -> u128 {
    family.pick(1 << 8, 1 << 80)
}

fn size(values: &Values) -> u128 {
    let each = values.ranges().map(|range| (range.end() - range.start()).saturating_add(1));
    each.fold(0, u128::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_packet_has_no_header_of_ipv6_and_is_no_fragment() {
        for (key, answer) in [
            ("-f", Some(false)),
            ("! -f", Some(true)),
            ("-m rt --rt-type 0", Some(false)),
            ("-m rt ! --rt-type 0 [INPUT DROP 1 0]", Some(false)),
            ("-m ipv6header --header none", None),
            ("-m length --length 60", None),
        ] {
            assert_eq!(of_plain(key), answer, "{key}");
        }
    }
}
