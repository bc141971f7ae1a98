//! Who is there? The MAC address that the host gives away in its ARP reply and its neighbour advertisement, as nmap
//! learns it, and whether the host in turn can find a neighbour that it has no entry for.
//!
//! The probes themselves rely on permanent neighbours, which would hide a ruleset that kills NDP: hence this check.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use super::link::Link;
use crate::discovery;
use crate::error::{Doing, Result};
use crate::net::{Addresses, Family, Mac};
use crate::reply::{Body, Reply};

/// What was found out about the host's neighbourhood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Neighbourhood {
    /// The MAC address in the ARP reply; none when there was no reply.
    pub arp: Option<Mac>,
    /// The MAC address in the neighbour advertisement; none when the solicitation stayed unanswered.
    pub advertised: Option<Mac>,
    /// Whether the host's own solicitation went out, its answer came in, and a packet followed.
    pub resolves: bool,
}

/// Asks, in every family.
pub fn explore(link: &mut Link, addresses: &Addresses, families: &[Family]) -> Result<Neighbourhood> {
    let mut found = Neighbourhood::default();
    if families.contains(&Family::Ipv4) {
        let (prober, host) = (addresses.v4.prober, addresses.v4.host);
        let request = discovery::arp_request(link.ends.prober, prober, host);
        found.arp = claim(link, &request, host.into())?;
    }
    if families.contains(&Family::Ipv6) {
        let (prober, host) = (addresses.v6.prober, addresses.v6.host);
        let solicitation = discovery::neighbour_solicitation(link.ends.prober, prober, host);
        found.advertised = claim(link, &solicitation, host.into())?;
        found.resolves = resolves(link, addresses)?;
    }
    Ok(found)
}

/// Sends `question` and takes the MAC address of whoever claims `address`.
fn claim(link: &mut Link, question: &[u8], address: std::net::IpAddr) -> Result<Option<Mac>> {
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

/// Lets the host send a datagram to a neighbour that it does not know yet, and plays that neighbour.
fn resolves(link: &mut Link, addresses: &Addresses) -> Result<bool> {
    let stranger = stranger(addresses);
    let (host, host_mac, prober_mac) = (addresses.v6.host, link.ends.host, link.ends.prober);
    let socket = UdpSocket::bind(SocketAddr::new(host.into(), 0)).doing("open a socket on the host")?;
    const DISCARD: u16 = 9;
    // A rule that forbids the host to send is the ruleset's business: it shows as a neighbour that is not found.
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
fn stranger(addresses: &Addresses) -> Ipv6Addr {
    let taken = [addresses.v6.host, addresses.v6.prober];
    let next = |step: u128| Ipv6Addr::from(u128::from(addresses.v6.prober) ^ step);
    (1..).map(next).find(|address| !taken.contains(address)).expect("a link has more than two addresses")
}
