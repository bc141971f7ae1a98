//! The other end of the link as a machine of its own: a second fresh network namespace that has only an interface with
//! the prober's addresses. Its packets can go nowhere but into the lab, which forwards them.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Runtime};

use super::interface::{FRAME_MAX, Interface};
use super::namespace::Isolated;
use super::netcfg::{self, LinkSetup};
use super::pinned_sysctls;
use crate::error::{CannotMeasure, Context, Result};
use crate::net::sysctl::Sysctls;
use crate::net::{Addresses, Subnet};

/// The time limit for an IPv6 address, on a machine that is busy with other work.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes the other end of the `link` of the host, with these addresses besides the prober's.
pub fn create(isolated: &Isolated, link: LinkSetup, more: &[IpAddr]) -> Result<Interface> {
    pinned_sysctls::pin(isolated, &Sysctls::default())?;
    let interface = Interface::create(isolated, link.interface, link.mode)?;
    let addresses = turned(link.addresses);
    let (runtime, own) = (runtime()?, turned_link(link, &addresses));
    netcfg::set_up(isolated, &runtime, own)?;
    netcfg::add_addresses(isolated, &runtime, own, more)?;
    wait_for_addresses()?;
    open_low_ports(isolated)?;
    discard_pending(&interface)?;
    Ok(interface)
}

/// The runtime of a thread at the other end.
pub fn runtime() -> Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build().context("start the runtime of the other end")
}

/// The addresses of the link as seen from the other end.
pub fn turned(addresses: &Addresses) -> Addresses {
    let Addresses { v4, v6 } = *addresses;
    Addresses {
        v4: Subnet { host: v4.prober, prober: v4.host, ..v4 },
        v6: Subnet { host: v6.prober, prober: v6.host, ..v6 },
    }
}

/// The `link` as seen from the other end, with the addresses that [`turned`] returns.
pub fn turned_link<'a>(link: LinkSetup<'a>, addresses: &'a Addresses) -> LinkSetup<'a> {
    LinkSetup { host: link.prober, prober: link.host, addresses, ..link }
}

/// Waits until every IPv6 address can be a source, and receives.
fn wait_for_addresses() -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !are_ready().context("look at the addresses of the other end")? {
        if Instant::now() > deadline {
            let what = "an IPv6 address of the other end".to_owned();
            return Err(CannotMeasure::Deadline { what, seconds: PATIENCE.as_secs() }.into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// True if no address is tentative, and each has a local route, which a work queue of the kernel adds later
/// (`addrconf_dad_completed` in net/ipv6/addrconf.c). Columns of if_inet6: address, index, prefix length, scope, flags;
/// of ipv6_route: destination and its length, source and its length, next hop, metric, two counters, flags.
fn are_ready() -> io::Result<bool> {
    const TENTATIVE: u32 = 0x40;
    /// RTF_LOCAL of linux/ipv6_route.h
    const LOCAL: u32 = 0x8000_0000;
    // Without IPv6 there is no such file, and no address to wait for.
    let read = |name| match fs::read_to_string(format!("/proc/thread-self/net/{name}")) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        table => table,
    };
    let (addresses, routes) = (read("if_inet6")?, read("ipv6_route")?);
    let is_set = |line: &str, column, flag| {
        let flags = line.split_ascii_whitespace().nth(column).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & flag != 0)
    };
    let is_local = |address: &str| routes.lines().any(|route| route.starts_with(address) && is_set(route, 8, LOCAL));
    let mut lines = addresses.lines();
    Ok(lines.all(|line| !is_set(line, 4, TENTATIVE) && line.split(' ').next().is_some_and(is_local)))
}

/// Lets programs bind low ports, as `nmap -sT -g 53` does: this needs a capability that a tool does not have, or
/// ip_unprivileged_port_start of ip(7), which each network namespace has for itself since Linux 4.11.
fn open_low_ports(isolated: &Isolated) -> Result<()> {
    isolated.assert("the sysctls of the other end")?;
    match fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0") {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        written => written.context("let programs of the other end bind low ports"),
    }
}

/// Discards the packets that the kernel sent when the interface came up.
fn discard_pending(interface: &Interface) -> Result<()> {
    let mut buffer = vec![0; FRAME_MAX];
    while interface.receive(&mut buffer)?.is_some() {}
    Ok(())
}
