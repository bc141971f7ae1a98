//! One interface of this machine: its name, MAC addresses and IP addresses, from dumps of rtnetlink(7).

use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressScope};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::RouteAttribute;
use rtnetlink::{Handle, RouteMessageBuilder, new_connection};
use tokio::runtime;

use crate::error::{CannotMeasure, Context, Error, InputError, Result};
use crate::net::{InterfaceName, Mac};

/// The facts of an interface.
pub struct LiveInterface {
    pub name: InterfaceName,
    pub mac: Option<Mac>,
    pub permanent_mac: Option<Mac>,
    /// With their prefix lengths, widest scope first.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Reads the named interface, or else the one of the default route.
pub fn read(name: Option<&InterfaceName>) -> Result<LiveInterface> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(async {
        let (connection, handle, _) = new_connection().context("open a route netlink socket")?;
        let connection = tokio::spawn(connection);
        let found = query(&handle, name).await;
        connection.abort();
        found
    })
}

async fn query(handle: &Handle, name: Option<&InterfaceName>) -> Result<LiveInterface> {
    let wanted = match name {
        Some(_) => None,
        None => Some(default_route(handle).await?),
    };
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await.map_err(|error| failed("list the interfaces", error))? {
        let own_name = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        });
        let own_name = own_name.unwrap_or_default();
        let is_it = name.map_or(wanted == Some(link.header.index), |name| name.as_str() == own_name);
        if !is_it {
            continue;
        }
        let name = own_name.parse().map_err(|error| InputError::new(error, "name another one with --interface"))?;
        let (mut mac, mut permanent_mac) = (None, None);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Address(bytes) => mac = as_mac(bytes),
                LinkAttribute::PermAddress(bytes) => permanent_mac = as_mac(bytes),
                _ => {}
            }
        }
        let addresses = addresses(handle, link.header.index).await?;
        return Ok(LiveInterface { name, mac, permanent_mac, addresses });
    }
    let name = name.map(ToString::to_string).unwrap_or_default();
    Err(InputError::new(format!("this machine has no interface {name}"), "see `ip link`; name one with --interface")
        .into())
}

async fn default_route(handle: &Handle) -> Result<u32> {
    let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
    for message in [v4, v6] {
        let mut routes = handle.route().get(message).execute();
        while let Some(route) = routes.try_next().await.map_err(|error| failed("list the routes", error))? {
            let out = route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            });
            let is_main = route.header.table == 254;
            if let (0, true, Some(index)) = (route.header.destination_prefix_length, is_main, out) {
                return Ok(index);
            }
        }
    }
    let hint = "name the interface to scan with --interface";
    Err(InputError::new("this machine has no default route, so it is not clear which interface is meant", hint).into())
}

async fn addresses(handle: &Handle, index: u32) -> Result<Vec<(IpAddr, u8)>> {
    let mut found: Vec<(AddressScope, IpAddr, u8)> = Vec::new();
    let mut messages = handle.address().get().set_link_index_filter(index).execute();
    while let Some(message) = messages.try_next().await.map_err(|error| failed("list the addresses", error))? {
        let of = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Local(address) => Some((0, *address)),
            AddressAttribute::Address(address) => Some((1, *address)),
            _ => None,
        };
        let own = message.attributes.iter().filter_map(of).min_by_key(|(rank, _)| *rank);
        found.extend(own.map(|(_, address)| (message.header.scope, address, message.header.prefix_len)));
    }
    found.sort_by_key(|(scope, ..)| u8::from(*scope));
    Ok(found.into_iter().map(|(_, address, len)| (address, len)).collect())
}

fn as_mac(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac).filter(|mac| mac.is_assignable())
}

fn failed(operation: &str, error: rtnetlink::Error) -> Error {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        error => std::io::Error::other(error),
    };
    CannotMeasure::System { operation: operation.to_owned(), source }.into()
}
