//! Selects a packet of a set that the lab can send.

use std::net::IpAddr;

use super::region::{PacketField, Region};
use super::universe::Space;
use super::values::Values;
use crate::net::port::Port;
use crate::net::{Addresses, Family, number};
use crate::probe::packet::{Lead, Stimulus, StimulusSender, is_usable};
use crate::wire::headers::{Content, Headers};

/// A packet, and its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPacket {
    /// The interface; the link's if it goes over `lo`.
    pub interface: String,
    /// The packet.
    pub stimulus: Stimulus,
}

/// Packets of `region` that begin at the chain `hook`, one for each possible lead. Empty for packets that the lab
/// cannot send: forwarded ones, and those for which an unsupported match must succeed.
pub fn witnesses(space: &Space, region: &Region, hook: &str, addresses: &Addresses) -> Vec<WitnessPacket> {
    let is_forwarded = hook == "FORWARD";
    let counts = |key: &str| key.contains(" [") && key.starts_with("-m limit");
    // A received packet is unicast to the host.
    let is_met = |key: &str| matches!(hook, "PREROUTING" | "INPUT") && of_unicast(key) == Some(true);
    if is_forwarded || region.answers().any(|(key, answer)| answer && !counts(key) && !is_met(key)) {
        return Vec::new();
    }
    let Some((interface, sender, source, destination)) = ends(space, region, hook, addresses) else {
        return Vec::new();
    };
    let Some((protocol, content)) = content(space, region) else { return Vec::new() };
    let headers = Headers { source, destination, protocol, content };
    let leads = match (content, sender) {
        (Content::Tcp { .. } | Content::Udp { .. }, _) if source != destination => {
            vec![Lead::None, Lead::Handshake, Lead::Backward]
        }
        _ => vec![Lead::None],
    };
    let witness = |lead| WitnessPacket { interface: interface.clone(), stimulus: Stimulus { sender, lead, headers } };
    leads.into_iter().map(witness).collect()
}

/// The interface, the sender, the source and the destination.
fn ends(
    space: &Space,
    region: &Region,
    hook: &str,
    addresses: &Addresses,
) -> Option<(String, StimulusSender, IpAddr, IpAddr)> {
    let (host, prober) = (addresses.host(space.family), addresses.prober(space.family));
    let has = |field: PacketField, address: IpAddr| region.values(field).contains(number(address));
    let is_received = matches!(hook, "PREROUTING" | "INPUT");
    let names = region.values(if is_received { PacketField::In } else { PacketField::Out });
    let link = (0..).zip(&space.names).find(|(place, name)| names.contains(*place) && *name != "lo");
    if let Some((_, link)) = link {
        let (own, others) = if is_received {
            (PacketField::Destination, PacketField::Source)
        } else {
            (PacketField::Source, PacketField::Destination)
        };
        let other =
            if has(others, prober) { Some(prober) } else { first_machine(region.values(others), space.family, host) };
        if let Some(other) = other.filter(|_| has(own, host)) {
            return Some(match is_received {
                true => (link.clone(), StimulusSender::Prober, other, host),
                false => (link.clone(), StimulusSender::Host, host, other),
            });
        }
    }
    let loopback = space.family.loopback();
    let over_lo =
        [loopback, host].into_iter().find(|own| has(PacketField::Source, *own) && has(PacketField::Destination, *own));
    let own = over_lo.filter(|_| names.contains(1))?;
    Some((space.names[0].clone(), StimulusSender::Host, own, own))
}

/// An address of the set that packets can come from.
fn first_machine(values: &Values, family: Family, host: IpAddr) -> Option<IpAddr> {
    const TRIED: u128 = 300;
    let tried = values.ranges().flat_map(|range| (*range.start()..=*range.end()).take(TRIED as usize));
    let mut addresses = tried.map(|number| family.address(number));
    addresses.find(|address| is_usable(*address) && *address != host)
}

/// The protocol and the fields of the payload.
fn content(space: &Space, region: &Region) -> Option<(u8, Content)> {
    let protocols = region.values(PacketField::Protocol);
    let icmp = if space.family == Family::Ipv4 { 1 } else { 58 };
    let common = [6, 17, icmp].into_iter().find(|number| protocols.contains(*number));
    let odd =
        || protocols.ranges().map(|range| *range.start()).find(|number| *number > 1 || space.family == Family::Ipv6);
    let number = common.or_else(odd)?;
    let ports =
        || Some((port(region, PacketField::SourcePort, 45_123)?, port(region, PacketField::DestinationPort, 45_321)?));
    let content = match number {
        6 => {
            let (source, destination) = ports()?;
            let flags = region.values(PacketField::Flags);
            let flags = if flags.contains(2) { 2 } else { *flags.ranges().next()?.start() as u8 };
            Content::Tcp { source, destination, flags }
        }
        17 => {
            let (source, destination) = ports()?;
            Content::Udp { source, destination }
        }
        number if number == icmp => {
            let message = *region.values(PacketField::Message).ranges().next()?.start();
            Content::Icmp { kind: (message / 256) as u8, code: (message % 256) as u8 }
        }
        _ => Content::Other,
    };
    Some((number as u8, content))
}

/// The usual port of a client, if it is in the set; else the first.
fn port(region: &Region, field: PacketField, usual: u128) -> Option<Port> {
    let ports = region.values(field);
    let chosen = if ports.contains(usual) { usual } else { *ports.ranges().next()?.start() };
    Some(Port(chosen as u16))
}

/// The result of a match on the kind of an address or a frame for a unicast packet to the host; `None` for other
/// matches.
pub fn of_unicast(key: &str) -> Option<bool> {
    // A match that is evaluated again after a change of the packet has its index in brackets.
    let key = key.split(" [").next().unwrap_or(key).to_lowercase();
    let words: Vec<&str> = key.split(' ').collect();
    let (words, negated) = match words.as_slice() {
        [load, module, "!", rest @ ..] => ([&[*load, *module], rest].concat(), true),
        _ => (words, false),
    };
    let matches = match words.as_slice() {
        ["-m", "pkttype", "--pkt-type", kind] => matches!(*kind, "host" | "unicast"),
        ["-m", "addrtype", "--dst-type", kinds] => kinds.split(',').any(|kind| kind == "local"),
        _ => return None,
    };
    Some(matches != negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_addresses_and_frames_are_known_of_a_packet_for_the_host() {
        for (key, answer) in [
            ("-m addrtype --dst-type LOCAL", Some(true)),
            ("-m addrtype --dst-type MULTICAST,BROADCAST", Some(false)),
            ("-m addrtype ! --dst-type LOCAL", Some(false)),
            ("-m pkttype --pkt-type multicast", Some(false)),
            ("-m pkttype ! --pkt-type host", Some(false)),
            ("-m addrtype --src-type LOCAL", None),
            ("-m addrtype --dst-type LOCAL --limit-iface-in", None),
            ("-m addrtype --dst-type LOCAL [PREROUTING DOCKER 1 0]", Some(true)),
            ("-m length --length 60", None),
        ] {
            assert_eq!(of_unicast(key), answer, "{key}");
        }
    }
}
