//! New connections that the rules let in and the sensor does not mean, whatever their source, ports, interface or other
//! fields: found as sets of packets, tried with one packet of each, and said to be unknown where the lab cannot send one.

use std::net::IpAddr;

use super::{Fact, Subject, Tone, intended};
use crate::conntrack::ConntrackState;
use crate::error::Result;
use crate::iptables_save::Listing;
use crate::net::Family;
use crate::path::Fate;
use crate::sensor::Deny;
use crate::space::{Field, Leaf, Region, Sets, Values, Witness, state_places, witnesses};

/// Packets that a rule lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Their family.
    pub family: Family,
    /// The rule or the policy, as `FILE:LINE: TEXT`.
    place: String,
    /// What they are.
    what: String,
    /// The match on their way that the lab cannot fulfil.
    asked: Option<String>,
    /// The packets, and whether one of them was let in.
    region: Region,
    is_let_in: bool,
}

/// All holes in the rules of `subject`.
pub fn measure(subject: &Subject) -> Result<Vec<Hole>> {
    subject.of_each_family(|sets| of_family(subject, sets))
}

fn of_family(subject: &Subject, sets: &Sets) -> Result<Vec<Hole>> {
    let mut open: Vec<Leaf> = Vec::new();
    for unmeant in
        sets.space.universe("filter", "INPUT").iter().flat_map(|all| unmeant(subject, sets.space.family, all))
    {
        let Ok(leaves) = sets.leaves(("filter", "INPUT"), &unmeant) else { return Ok(vec![too_many(sets, unmeant)]) };
        open.extend(leaves.into_iter().filter(|leaf| &*leaf.end == "ACCEPT"));
    }
    let witness = |leaf: &Leaf| witness(sets, &leaf.region, subject);
    let fates = subject.fates(&open.iter().map(witness).collect::<Vec<_>>())?;
    let mut holes: Vec<Hole> = Vec::new();
    for (leaf, fate) in open.into_iter().zip(fates) {
        let hole = hole(sets, leaf, fate == Some(Fate::Accepted));
        match holes.iter_mut().find(|known| known.place == hole.place) {
            Some(known) if !known.is_let_in && hole.is_let_in => *known = hole,
            Some(_) => {}
            None => holes.push(hole),
        }
    }
    Ok(holes)
}

fn too_many(sets: &Sets, region: Region) -> Hole {
    let what = "packets of more kinds than are looked at".to_owned();
    let place = sets.listing.source.name.display().to_string();
    Hole { family: sets.space.family, place, what, asked: None, region, is_let_in: false }
}

fn witness(sets: &Sets, region: &Region, subject: &Subject) -> Option<Witness> {
    witnesses(&sets.space, region, "INPUT", &subject.scenario.host.addresses).into_iter().next()
}

/// SYN, alone and with PSH, URG or both: what listens takes no notice of these (`tcp_rcv_state_process` in net/ipv4/tcp_input.c).
const OPENING: [u128; 4] = [2, 10, 34, 42];

/// The SYNs (and datagrams, where all is denied) over a link that are for no port that the sensor serves, and those for
/// SSH from whom `ssh_from` does not name.
fn unmeant(subject: &Subject, family: Family, all: &Region) -> Vec<Region> {
    let ports = |ports: &mut dyn Iterator<Item = u16>| Values::these(ports.map(u128::from));
    let served = ports(&mut intended(subject.sensor).into_iter().map(|port| port.0));
    let ssh = ports(&mut subject.sensor.ssh.iter().map(|port| port.0));
    let over_link = all.values(Field::In).difference(&Values::these([1]));
    let fresh = state_places(&[ConntrackState::New, ConntrackState::Untracked]);
    let begin = all.with(Field::In, &over_link).and_then(|all| all.with(Field::State, &fresh));
    let of = |protocol: u128| begin.as_ref().and_then(|all| all.with(Field::Protocol, &Values::these([protocol])));
    let syn = of(6).and_then(|all| all.with(Field::Flags, &Values::these(OPENING)));
    let syn = syn.and_then(|all| all.with(Field::Whole, &Values::these([1])));
    let except = |region: Region, field: Field, values: &Values| {
        let rest = region.values(field).difference(values);
        region.with(field, &rest)
    };
    let other = syn.clone().and_then(|syn| except(syn, Field::DestinationPort, &served));
    let strangers = syn.filter(|_| subject.sensor.ssh_from.is_said()).and_then(|syn| {
        let syn = syn.with(Field::DestinationPort, &ssh)?;
        except(syn, Field::Source, &meant(subject, family))
    });
    let datagrams = of(17).filter(|_| subject.sensor.deny == Deny::All);
    [other, strangers, datagrams].into_iter().flatten().collect()
}

/// The addresses that `ssh_from` names.
pub(super) fn meant(subject: &Subject, family: Family) -> Values {
    let range = |text: String| {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let (number, width) = (number(address), if address.is_ipv4() { 32u32 } else { 128 });
        let free: u32 = width - length.parse::<u32>().ok()?;
        let rest = 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
        Some(number & !rest..=number | rest)
    };
    Values::of(subject.sensor.ssh_from.networks(family).iter().filter_map(|network| range(network.to_string())))
}

pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn hole(sets: &Sets, leaf: Leaf, is_let_in: bool) -> Hole {
    let space = &sets.space;
    Hole {
        family: space.family,
        place: place(sets.listing, &leaf, "INPUT"),
        what: space.describe(&leaf.region),
        asked: space.opaque(&leaf.region).map(str::to_owned),
        region: leaf.region,
        is_let_in,
    }
}

/// The rule that ends the way of `leaf`, or the policy of `hook`: `FILE:LINE: TEXT`.
pub(super) fn place(listing: &Listing, leaf: &Leaf, hook: &str) -> String {
    let file = listing.source.name.display();
    let rule = leaf.line.and_then(|line| listing.rules().find(|(.., rule)| rule.line == line));
    let text = rule.map_or_else(|| format!("the policy of {hook}"), |(.., rule)| rule.text.clone());
    let line = leaf.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{file}{line}: {text}")
}

impl Hole {
    /// What it means for a deployment.
    pub fn fact(&self) -> Fact {
        let Hole { family, place, what, .. } = self;
        let family = family.title();
        match (self.is_let_in, &self.asked) {
            (true, _) => Fact::new(
                Tone::Bad,
                format!("{what} is let in over {family}, and the sensor does not mean it: {place}"),
            ),
            (false, Some(asked)) => Fact::new(
                Tone::Unknown,
                format!(
                    "{what} may be let in over {family}, which was not tried, since no probe varies {asked}: {place}"
                ),
            ),
            (false, None) => {
                Fact::new(Tone::Unknown, format!("{what} may be let in over {family}, which was not tried: {place}"))
            }
        }
    }

    /// Whether its packets are datagrams; else they are SYNs.
    pub fn is_udp(&self) -> bool {
        self.region.values(Field::Protocol).contains(17)
    }

    /// Whether it has a packet to one of these ports from anybody over any link.
    pub fn has_port(&self, ports: &crate::port::PortSet) -> bool {
        let ports = Values::of(ports.ranges().map(|range| u128::from(*range.start())..=u128::from(*range.end())));
        !self.region.values(Field::DestinationPort).intersection(&ports).is_empty()
    }
}
