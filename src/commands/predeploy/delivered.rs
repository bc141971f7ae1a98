//! The packets from a link that reach a socket of the host: the kernel drops others, whatever the rules are, and tables
//! before and after the filter stop some.

use super::PredeploySubject;
use crate::net::{Addresses, Family, number};
use crate::rules::space::{PacketField, Region, Sets, TooMany, Values, of_unicast};

/// Those packets of `region`, at the chain `hook`, that the kernel does not drop.
///
/// IPv4 has martians (`ip_route_input_slow` in net/ipv4/route.c, after PREROUTING), IPv6 the checks of `ip6_rcv_core`.
/// TCP ignores segments to more than one host (`tcp_v4_rcv`, `tcp_v6_rcv`: PACKET_HOST).
pub fn deliverable(subject: &PredeploySubject, family: Family, hook: &str, region: &Region) -> Option<Region> {
    let except = |region: Region, field: PacketField, values: &Values| {
        let rest = region.values(field).difference(values);
        region.with(field, &rest)
    };
    let region = except(region.clone(), PacketField::Source, &no_source(subject, family))?;
    // Before routing, nat can change the destination.
    if hook != "INPUT" {
        return Some(region);
    }
    let region = except(region, PacketField::Destination, &no_destination(subject, family))?;
    match is_tcp(&region) {
        true => except(region, PacketField::Destination, &for_many(family, &subject.scenario.host.addresses)),
        false => Some(region),
    }
}

fn is_tcp(region: &Region) -> bool {
    const TCP: u128 = 6;
    region.values(PacketField::Protocol) == &Values::these([TCP])
}

/// True if matches on the kind of an address or a frame had results, before the filter, that a unicast segment for the
/// host does not have.
pub fn is_for_many(region: &Region) -> bool {
    is_tcp(region) && region.answers().any(|(key, answer)| of_unicast(key) == Some(!answer))
}

fn no_source(subject: &PredeploySubject, family: Family) -> Values {
    let own = number(subject.scenario.host.addresses.host(family));
    let multicast = multicast(family);
    match family {
        Family::Ipv4 if is_set(subject, "accept_local") => multicast,
        Family::Ipv4 => multicast.union(&Values::these([own, u32::MAX.into()])).union(&loopback(subject, family)),
        Family::Ipv6 => multicast.union(&loopback(subject, family)),
    }
}

fn no_destination(subject: &PredeploySubject, family: Family) -> Values {
    match family {
        Family::Ipv4 => loopback(subject, family),
        // Scopes 0 (reserved) and 1 (one interface) of multicast.
        Family::Ipv6 => {
            let scopes = [0xff00_u128, 0xff01].map(|first| first << 112..=(first << 112 | (u128::MAX >> 16)));
            loopback(subject, family).union(&Values::from_ranges(scopes))
        }
    }
}

/// Loopback addresses that no packet from a link may have; with `route_localnet` it may, over IPv4.
fn loopback(subject: &PredeploySubject, family: Family) -> Values {
    match family {
        Family::Ipv4 if is_set(subject, "route_localnet") => Values::these([]),
        Family::Ipv4 => Values::from_ranges([0x7f00_0000..=0x7fff_ffff]),
        Family::Ipv6 => Values::these([1]),
    }
}

/// True if this sysctl is on for any interface.
fn is_set(subject: &PredeploySubject, name: &str) -> bool {
    let end = format!(".{name}");
    subject.equipment.sysctls.iter().any(|(name, value)| name.ends_with(&end) && value != "0")
}

fn multicast(family: Family) -> Values {
    family.pick(Values::from_ranges([0xe000_0000..=0xefff_ffff]), Values::from_ranges([0xff00_u128 << 112..=u128::MAX]))
}

/// Multicast and broadcast addresses.
fn for_many(family: Family, addresses: &Addresses) -> Values {
    let link = addresses.link(family);
    if family == Family::Ipv6 {
        return multicast(family);
    }
    let broadcast = Some(link.last()).filter(|last| link.is_of_all(*last)).map(number);
    multicast(family).union(&Values::these(broadcast.into_iter().chain([u32::MAX.into()])))
}

/// Tables other than filter that a packet to the host passes.
const OTHERS: [(&str, &str); 4] =
    [("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "INPUT"), ("security", "INPUT")];

/// Those packets of `region` that no rule of the other tables certainly stops.
pub fn passed_by_others(sets: &Sets, region: &Region) -> Vec<Region> {
    let pass = |all: Vec<Region>, place| all.into_iter().flat_map(|region| passed_by(sets, region, place)).collect();
    OTHERS.into_iter().fold(vec![region.clone()], pass)
}

fn passed_by(sets: &Sets, region: Region, place: (&str, &str)) -> Vec<Region> {
    let passed = |part: &Region| -> Result<Vec<Region>, TooMany> {
        let leaves = sets.leaves(place, part)?.into_iter().filter(|leaf| !is_stop(&leaf.end));
        Ok(leaves.map(|leaf| leaf.region.changed(PacketField::State, region.values(PacketField::State))).collect())
    };
    let universe = sets.space.universe(place.0, place.1);
    let parts = universe.iter().filter_map(|all| {
        // In raw, conntrack has not yet seen the packet.
        let seen = if place.0 == "raw" { all } else { &region };
        all.intersection(&region.changed(PacketField::State, seen.values(PacketField::State)))
    });
    let found = parts.map(|part| passed(&part)).collect::<Result<Vec<_>, _>>();
    found.map_or_else(|TooMany| vec![region.clone()], |found| found.concat())
}

fn is_stop(end: &str) -> bool {
    matches!(end.split(' ').next(), Some("DROP" | "REJECT"))
}
