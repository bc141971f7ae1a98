//! Link, addresses and neighbours of the lab, over rtnetlink(7). The only module that uses the `rtnetlink` crate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMetric, RouteScope};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder, new_connection};
use tokio::runtime::Runtime;

use super::namespace::Isolated;
use crate::error::{CannotMeasure, Context, Error, Result};
use crate::lab::LinkMode;
use crate::net::{Addresses, Family, InterfaceName, Mac};

/// The configuration of the host's end of the link.
#[derive(Debug, Clone, Copy)]
pub struct LinkSetup<'a> {
    /// The interface, which exists already.
    pub interface: &'a InterfaceName,
    /// The kind of link. On a TUN there are no MAC addresses to set, and no neighbours to find: the kernel makes it
    /// `POINTOPOINT,NOARP`, and sends every packet that has a route.
    pub mode: LinkMode,
    /// The MAC address that it gets.
    pub host: Mac,
    /// The MAC address of the prober, for the permanent neighbours.
    pub prober: Mac,
    /// The addresses of both ends.
    pub addresses: &'a Addresses,
    /// The families to set up.
    pub families: &'a [Family],
}

/// Brings up `lo` and the interface, with addresses, and with the prober as a permanent neighbour: the answer to a
/// probe must not wait for ARP or NDP, which are checked on their own.
pub fn set_up(isolated: &Isolated, runtime: &Runtime, setup: LinkSetup) -> Result<()> {
    isolated.assert("setting up the link")?;
    connected(runtime, async |handle| configure(handle, setup).await)
}

/// Gives the interface more addresses, each in a network of its own.
pub fn add_addresses(isolated: &Isolated, runtime: &Runtime, setup: LinkSetup, more: &[IpAddr]) -> Result<()> {
    isolated.assert("adding addresses")?;
    connected(runtime, async |handle| {
        let index = index_of(handle, setup.interface.as_str()).await?;
        for address in more {
            add_address(handle, index, *address, Family::from_address(*address).pick(32, 128)).await?;
        }
        Ok(())
    })
}

/// Makes `strangers` reachable for the host: adds a default route over the interface, without a gateway, and on a TAP
/// the prober as a permanent neighbour for each of their addresses.
pub fn reach(isolated: &Isolated, runtime: &Runtime, setup: LinkSetup, strangers: &[IpAddr]) -> Result<()> {
    isolated.assert("adding routes")?;
    connected(runtime, async |handle| route(handle, setup, strangers).await)
}

/// Makes TCP acknowledge each segment of `peers` at once: adds a route for each, with `quickack`, see ip-route(8).
pub fn acknowledge_at_once(isolated: &Isolated, runtime: &Runtime, setup: LinkSetup, peers: &[IpAddr]) -> Result<()> {
    isolated.assert("adding routes")?;
    connected(runtime, async |handle| add_quick_routes(handle, setup, peers).await)
}

/// Makes the prober a permanent neighbour for each of `addresses`, which are on the link, so that the host need not
/// discover it.
pub fn add_permanent_neighbours(
    isolated: &Isolated,
    runtime: &Runtime,
    setup: LinkSetup,
    addresses: &[IpAddr],
) -> Result<()> {
    isolated.assert("adding neighbours")?;
    connected(runtime, async |handle| add_neighbours(handle, setup, addresses).await)
}

/// Runs `work` with a new netlink connection to the namespace of this thread.
fn connected<T>(runtime: &Runtime, work: impl AsyncFnOnce(&Handle) -> Result<T>) -> Result<T> {
    runtime.block_on(async {
        let (connection, handle, _) = new_connection().context("open a route netlink socket")?;
        let connection = tokio::spawn(connection);
        let done = work(&handle).await;
        connection.abort();
        done
    })
}

async fn add_neighbours(handle: &Handle, setup: LinkSetup<'_>, addresses: &[IpAddr]) -> Result<()> {
    let index = index_of(handle, setup.interface.as_str()).await?;
    for address in addresses {
        add_neighbour(handle, index, *address, setup).await?;
    }
    Ok(())
}

async fn route(handle: &Handle, setup: LinkSetup<'_>, strangers: &[IpAddr]) -> Result<()> {
    let index = index_of(handle, setup.interface.as_str()).await?;
    for family in setup.families {
        let message = match family {
            Family::Ipv4 => {
                RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index).scope(RouteScope::Link).build()
            }
            Family::Ipv6 => RouteMessageBuilder::<Ipv6Addr>::new().output_interface(index).build(),
        };
        let added = handle.route().add(message).replace().execute().await;
        added.map_err(|error| failed("add a default route", error))?;
    }
    for stranger in strangers.iter().filter(|address| setup.families.contains(&Family::from_address(**address))) {
        add_neighbour(handle, index, *stranger, setup).await?;
    }
    Ok(())
}

async fn add_quick_routes(handle: &Handle, setup: LinkSetup<'_>, peers: &[IpAddr]) -> Result<()> {
    let index = index_of(handle, setup.interface.as_str()).await?;
    for peer in peers {
        let mut message = match peer {
            IpAddr::V4(peer) => {
                let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(*peer, 32);
                route.output_interface(index).scope(RouteScope::Link).build()
            }
            IpAddr::V6(peer) => {
                let route = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(*peer, 128);
                route.output_interface(index).build()
            }
        };
        message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::QuickAck(1)]));
        let added = handle.route().add(message).replace().execute().await;
        added.map_err(|error| failed(&format!("add a route to {peer}"), error))?;
    }
    Ok(())
}

/// Removes the permanent neighbours, so that both ends find each other by ARP and NDP, as over a cable.
pub fn forget_neighbours(isolated: &Isolated, runtime: &Runtime, setup: LinkSetup) -> Result<()> {
    isolated.assert("forgetting neighbours")?;
    connected(runtime, async |handle| forget(handle, setup).await)
}

async fn forget(handle: &Handle, setup: LinkSetup<'_>) -> Result<()> {
    let index = index_of(handle, setup.interface.as_str()).await?;
    for family in setup.families {
        let address = setup.addresses.prober(*family);
        let neighbour = handle.neighbours().add(index, address).message_mut().clone();
        let removed = handle.neighbours().del(neighbour).execute().await;
        removed.map_err(|error| failed(&format!("remove the neighbour {address}"), error))?;
    }
    Ok(())
}

/// Sets the length of the interface's queue to `frames`, or to the most that this kernel allows.
pub fn widen_queue(isolated: &Isolated, runtime: &Runtime, interface: &InterfaceName, frames: u32) -> Result<()> {
    isolated.assert("widening the queue")?;
    connected(runtime, async |handle| widen(handle, interface, frames).await)
}

async fn widen(handle: &Handle, interface: &InterfaceName, frames: u32) -> Result<()> {
    let index = index_of(handle, interface.as_str()).await?;
    let set = async |frames: u32| {
        let link = LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::TxQueueLen(frames)).build();
        handle.link().set(link).execute().await
    };
    let widened = match set(frames).await {
        Err(error) if is_out_of_range(&error) => set(frames.min(LONGEST_QUEUE)).await,
        widened => widened,
    };
    widened.map_err(|error| failed(&format!("give {interface} a queue of {frames} frames"), error))
}

/// The longest queue of kernels that limit it. Measured: Debian's 6.12.117 and 7.3.4 accept 32767, and refuse 32768
/// (ERANGE), over netlink, ioctl and sysfs alike; 6.18.44 accepts any length that memory allows.
const LONGEST_QUEUE: u32 = i16::MAX as u32;

fn is_out_of_range(error: &rtnetlink::Error) -> bool {
    let rtnetlink::Error::NetlinkError(message) = error else { return false };
    message.to_io().raw_os_error() == Some(Errno::ERANGE as i32)
}

/// The length of the interface's queue, in frames.
pub fn queue_length(runtime: &Runtime, interface: &InterfaceName) -> Result<u32> {
    connected(runtime, async |handle| {
        let found = handle.link().get().match_name(interface.to_string()).execute().try_next().await;
        let link = found.map_err(|error| failed(&format!("look at the queue of {interface}"), error))?;
        let length = |attribute: &LinkAttribute| match attribute {
            LinkAttribute::TxQueueLen(length) => Some(*length),
            _ => None,
        };
        Ok(link.iter().flat_map(|link| &link.attributes).find_map(length).unwrap_or_default())
    })
}

async fn configure(handle: &Handle, setup: LinkSetup<'_>) -> Result<()> {
    let loopback = index_of(handle, "lo").await?;
    let link = LinkUnspec::new_with_index(loopback).up().build();
    handle.link().set(link).execute().await.map_err(|error| failed("bring up lo", error))?;

    let index = index_of(handle, setup.interface.as_str()).await?;
    if setup.mode.has_macs() {
        let link = LinkUnspec::new_with_index(index).address(setup.host.0.to_vec()).build();
        handle.link().set(link).execute().await.map_err(|error| failed("set the MAC address", error))?;
    }
    if setup.families.contains(&Family::Ipv6) {
        let link = LinkUnspec::new_with_index(index).append_extra_attribute(no_address_of_its_own()).build();
        handle.link().set(link).execute().await.map_err(|error| failed("prevent link-local addresses", error))?;
    }
    let link = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(link).execute().await.map_err(|error| failed("bring up the interface", error))?;

    for family in setup.families {
        add_address(handle, index, setup.addresses.host(*family), setup.addresses.link(*family).length()).await?;
        add_neighbour(handle, index, setup.addresses.prober(*family), setup).await?;
    }
    Ok(())
}

/// Disables link-local addresses by `addr_gen_mode` (ip-sysctl.rst): the kernel must send nothing by itself.
fn no_address_of_its_own() -> LinkAttribute {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])])
}

async fn index_of(handle: &Handle, name: &str) -> Result<u32> {
    let operation = format!("find the interface {name}");
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    let link = links.try_next().await.map_err(|error| failed(&operation, error))?;
    link.map(|link| link.header.index).ok_or_else(|| failed(&operation, rtnetlink::Error::RequestFailed))
}

async fn add_address(handle: &Handle, index: u32, address: IpAddr, prefix_len: u8) -> Result<()> {
    let mut request = handle.address().add(index, address, prefix_len);
    // An address does not answer during duplicate address detection (RFC 4862, section 5.4).
    request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    request.execute().await.map_err(|error| failed(&format!("add the address {address}"), error))
}

async fn add_neighbour(handle: &Handle, index: u32, address: IpAddr, setup: LinkSetup<'_>) -> Result<()> {
    if !setup.mode.has_macs() {
        return Ok(());
    }
    let request = handle.neighbours().add(index, address).link_layer_address(&setup.prober.0);
    let request = request.state(NeighbourState::Permanent).replace();
    request.execute().await.map_err(|error| failed(&format!("add the neighbour {address}"), error))
}

fn failed(operation: &str, error: rtnetlink::Error) -> Error {
    let source = match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        error => std::io::Error::other(error),
    };
    CannotMeasure::System { operation: operation.to_owned(), source }.into()
}
