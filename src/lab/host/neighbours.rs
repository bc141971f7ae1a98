//! Neighbour discovery: the MAC address that the host sends in its ARP reply and its neighbour advertisement, as nmap
//! learns it, and whether the host in turn can find a neighbour that it has no entry for.
//!
//! The probes themselves rely on permanent neighbours, which would hide a ruleset that kills NDP: hence this check.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use super::link::ProberLink;
use crate::error::{Context, Result};
use crate::lab::trace::paths::{Paths, Traced};
use crate::net::{Addresses, Family, Mac};
use crate::probe::hidden::{Hidden, NeighbourMessage};
use crate::probe::path::{Fate, Step, StepVerdict};
use crate::wire::discovery;
use crate::wire::frame::Direction;
use crate::wire::headers::Content;
use crate::wire::reply::{Body, Reply};

/// The results of neighbour discovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiscoveredMacs {
    /// The MAC address in the ARP reply; `None` if there was no reply.
    pub arp: Option<Mac>,
    /// The MAC address in the neighbour advertisement; `None` if the solicitation stayed unanswered.
    pub advertised: Option<Mac>,
    /// The reason why the advertisement does not arrive; `None` if it does.
    pub hidden: Option<Hidden>,
    /// True if the host's own solicitation went out, its answer came in, and a packet followed.
    pub resolves: bool,
}

/// Runs neighbour discovery in every family.
pub fn explore(
    link: &mut ProberLink,
    paths: Option<&mut Paths>,
    addresses: &Addresses,
    families: &[Family],
) -> Result<DiscoveredMacs> {
    let mut found = DiscoveredMacs::default();
    if families.contains(&Family::Ipv4) {
        let (prober, host) = (addresses.v4.prober, addresses.v4.host);
        let request = discovery::arp_request(link.ends.prober, prober, host);
        found.arp = claim(link, &request, host.into())?;
    }
    if families.contains(&Family::Ipv6) {
        (found.advertised, found.hidden) = solicit(link, paths, addresses.v6.prober, addresses.v6.host)?;
        found.resolves = resolves(link, addresses)?;
    }
    Ok(found)
}

/// The number of solicitations that nmap sends to a host that does not answer (measured with 7.93).
const TRIES: usize = 2;

/// Solicits `host` as nmap does, from `source`. Returns the MAC address that it advertises, or what hides it.
pub fn solicit(
    link: &mut ProberLink,
    mut paths: Option<&mut Paths>,
    source: Ipv6Addr,
    host: Ipv6Addr,
) -> Result<(Option<Mac>, Option<Hidden>)> {
    paths.iter_mut().try_for_each(|paths| paths.discard().map(drop))?;
    let question = discovery::neighbour_solicitation(link.ends.prober, source, host);
    for _ in 0..TRIES {
        if let Some(mac) = claim(link, &question, host.into())? {
            return Ok((Some(mac), None));
        }
    }
    let traced = paths.map(Paths::read).transpose()?.unwrap_or_default();
    Ok((None, Some(hidden(&traced, source.into(), host.into()))))
}

/// The one that did not arrive: the last solicitation, or its answer.
fn hidden(traced: &[Traced], source: IpAddr, host: IpAddr) -> Hidden {
    let stopped = |message: NeighbourMessage, direction: Direction, sender: IpAddr| {
        let is_it = |packet: &&Traced| {
            let headers = packet.sighting.headers;
            let is_message = matches!(headers.content, Content::Icmp { kind, .. } if kind == message.kind());
            packet.direction == direction && headers.source == sender && is_message
        };
        let path = traced.iter().rev().find(is_it).filter(|packet| packet.path.fate != Fate::Accepted)?;
        let denies =
            |step: &&Step| matches!(step.verdict, StepVerdict::Drop | StepVerdict::Reject | StepVerdict::Stolen);
        Some(Hidden { message, by: path.path.last().filter(denies).cloned() })
    };
    stopped(NeighbourMessage::Solicitation, Direction::In, source)
        .or_else(|| stopped(NeighbourMessage::Advertisement, Direction::Out, host))
        .unwrap_or_default()
}

/// Sends `question`. Returns the MAC address that a reply gives for `address`.
fn claim(link: &mut ProberLink, question: &[u8], address: std::net::IpAddr) -> Result<Option<Mac>> {
    let mut mac = None;
    link.send(question)?;
    link.fence(|_, reply| {
        match reply.body {
            Body::Neighbour(claim) if claim.address == address => mac = claim.mac,
            _ => {}
        }
        Ok(())
    })?;
    Ok(mac)
}

/// Makes the host send a datagram to a neighbour that it does not know yet, and answers as that neighbour. True if the
/// datagram arrives.
fn resolves(link: &mut ProberLink, addresses: &Addresses) -> Result<bool> {
    let stranger = unused_address(addresses);
    let (host, host_mac, prober_mac) = (addresses.v6.host, link.ends.host, link.ends.prober);
    let socket = UdpSocket::bind(SocketAddr::new(host.into(), 0)).context("open a socket on the host")?;
    const DISCARD: u16 = 9;
    // A rule that drops the host's packet shows as a neighbour that is not found.
    let _ = socket.send_to(&[], SocketAddr::new(stranger.into(), DISCARD));
    link.fence(|_, _| Ok(()))?;
    link.send(&discovery::neighbour_advertisement(prober_mac, host_mac, stranger, host))?;
    let mut arrived = false;
    link.fence(|_, reply| {
        arrived |= is_datagram(&reply, stranger);
        Ok(())
    })?;
    Ok(arrived)
}

fn is_datagram(reply: &Reply, to: Ipv6Addr) -> bool {
    matches!(reply.body, Body::Datagram(_)) && reply.destination == to
}

/// An address of the link that is neither the host's nor the prober's.
fn unused_address(addresses: &Addresses) -> Ipv6Addr {
    let taken = [addresses.v6.host, addresses.v6.prober];
    let next = |step: u128| Ipv6Addr::from(u128::from(addresses.v6.prober) ^ step);
    (1..).map(next).find(|address| !taken.contains(address)).expect("a link has more than two addresses")
}
