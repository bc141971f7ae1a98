//! The addresses of host and prober, as the command line names them.

use std::net::IpAddr;

use super::ScanOptions;
use crate::error::{InputError, Result};
use crate::net::{Addresses, Family, Mac, Network};

/// The default addresses, with the options of the command line applied.
pub(super) fn addresses(options: &ScanOptions) -> Result<Addresses> {
    let mut addresses = Addresses::default();
    if let Some(text) = &options.host_addr {
        put_host_address(&mut addresses, text)?;
    }
    if let Some(prober) = options.prober_addr {
        put_prober_address(&mut addresses, prober);
    }
    Family::BOTH.into_iter().try_for_each(|family| check_addresses(&addresses, family))?;
    Ok(addresses)
}

/// Sets the host's address to `text`, an address with a prefix length.
pub fn put_host_address(addresses: &mut Addresses, text: &str) -> Result<()> {
    let (host, prefix_len) = parse_address(text)?;
    match host {
        IpAddr::V4(host) => (addresses.v4.host, addresses.v4.prefix_len) = (host, prefix_len),
        IpAddr::V6(host) => (addresses.v6.host, addresses.v6.prefix_len) = (host, prefix_len),
    }
    Ok(())
}

/// Sets the prober's address.
pub fn put_prober_address(addresses: &mut Addresses, prober: IpAddr) {
    match prober {
        IpAddr::V4(prober) => addresses.v4.prober = prober,
        IpAddr::V6(prober) => addresses.v6.prober = prober,
    }
}

/// Fails for an address that no interface can have.
pub fn check_mac(mac: Mac) -> Result<()> {
    if mac.is_assignable() {
        return Ok(());
    }
    let hint = "an interface's address is not all zero, and its first byte is even";
    Err(InputError::new(format!("{mac} cannot be the address of an interface"), hint).into())
}

fn parse_address(text: &str) -> Result<(IpAddr, u8)> {
    let parse = || {
        let (address, prefix_len) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix_len: u8 = prefix_len.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (1..=most).contains(&prefix_len).then_some((address, prefix_len))
    };
    let problem = format!("`{}` is not an address with a prefix length", text.escape_debug());
    Ok(parse().ok_or_else(|| InputError::new(problem, "write it like 203.0.113.10/24"))?)
}

/// Fails unless the prober is a neighbour of the host: the link has no router.
pub fn check_addresses(addresses: &Addresses, family: Family) -> Result<()> {
    let (host, prober, link) = (addresses.host(family), addresses.prober(family), addresses.link(family));
    let is_of_all = |address: &IpAddr| {
        Network::new(*address, link.length().into()).is_some_and(|network| network.is_of_all(*address))
    };
    let unusable = [host, prober].into_iter().find(is_of_all);
    let problem = match unusable {
        Some(address) => format!(
            "{address} is the address of the network, or its broadcast address, not that of a \
                                  host"
        ),
        None if host == prober => format!("host and prober have the same address, {host}"),
        None if !link.contains(prober) => {
            format!("the prober {prober} is not in the host's network {host}/{}", link.length())
        }
        None if !is_on_links(host) || !is_on_links(prober) => {
            format!("{host} and {prober} must be unicast addresses that a packet on a link can have")
        }
        None => return Ok(()),
    };
    Err(InputError::new(problem, "choose both with --host-addr ADDRESS/LEN and --prober-addr ADDRESS").into())
}

/// True for a unicast address, except 0/8, which is "this network" (RFC 6890), and IPv4-mapped IPv6 addresses, which
/// the host would not answer (RFC 4291, section 2.5.5.2).
fn is_on_links(address: IpAddr) -> bool {
    let is_of_this_network = matches!(address, IpAddr::V4(address) if address.octets()[0] == 0);
    let is_mapped = address.to_canonical() != address;
    let is_unicast = !(address.is_multicast() || address.is_unspecified() || address.is_loopback());
    is_unicast && !is_of_this_network && !is_mapped
}
