//! Reads the `[host]` table: the machine under test, and the link that the probes come over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::link_file::LinkFile;
use super::service::{MOST_PORTS, beside, read_port};
use super::table::{TomlTable, Value};
use super::{Host, Sensor};
use crate::error::{Result, Source};
use crate::net::port::Port;
use crate::net::sysctl::Sysctls;
use crate::net::{Addresses, InterfaceName, Mac, Subnet};

/// Reads a file that a scenario names; compiled-in files are in no folder.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Result<Source>;

/// Reads a `[host]`. By default the host listens where the sensor serves.
pub fn read_host(table: Option<TomlTable<'_>>, sensor: Option<&Sensor>, read: ReadFile<'_>) -> Result<Host> {
    let Some(mut table) = table else { return Ok(Host { listen: served(sensor), ..Host::default() }) };
    let (mac, link) = read_mac(&mut table, read)?;
    let vendor = read_vendor(&mut table)?;
    let listen = table.take("listen").map_or(Ok(served(sensor)), read_listen)?;
    let interface = table.take("interface").map_or(Ok(InterfaceName::default()), |value| read_interface(&value))?;
    let addresses = read_addresses(&mut table)?;
    let sysctls = read_sysctls(&mut table)?;
    table.finish()?;
    Ok(Host { mac, link, vendor, listen, interface, addresses, sysctls })
}

fn served(sensor: Option<&Sensor>) -> Vec<Port> {
    let Some(sensor) = sensor else { return Vec::new() };
    ascending(sensor.served().collect())
}

fn ascending(mut ports: Vec<Port>) -> Vec<Port> {
    ports.sort();
    ports.dedup();
    ports
}

fn read_mac(table: &mut TomlTable<'_>, read: ReadFile<'_>) -> Result<(Option<Mac>, Option<LinkFile>)> {
    let source = table.source;
    match (table.take("mac"), table.take("link")) {
        (Some(_), Some(link)) => {
            Err(link.error("`mac` and `link` both give the MAC address", "keep one of them").into())
        }
        (Some(mac), None) => Ok((Some(parse_mac(&mac)?), None)),
        (None, Some(link)) => {
            let file = LinkFile::parse(&read(&beside(source, Path::new(link.text()?)))?)?;
            Ok((Some(file.mac), Some(file)))
        }
        (None, None) => Ok((None, None)),
    }
}

fn parse_mac(value: &Value<'_>) -> Result<Mac> {
    let text = value.text()?;
    let hint = "write six pairs of hexadecimal digits, like 00:0c:29:4f:8e:35";
    let mac: Mac =
        text.parse().map_err(|_| value.error(format!("`{}` is not a MAC address", text.escape_debug()), hint))?;
    if mac.is_assignable() {
        return Ok(mac);
    }
    let hint = "an interface's own address is neither multicast (odd first byte) nor all zero";
    Err(value.error(format!("no interface can have the address {mac}"), hint).into())
}

fn read_vendor(table: &mut TomlTable<'_>) -> Result<Option<String>> {
    let Some(value) = table.take("vendor") else { return Ok(None) };
    let vendor = value.text()?.trim();
    if vendor.is_empty() {
        return Err(value.error("`vendor` is empty", "name the vendor, like \"VMware\", or remove the key").into());
    }
    Ok(Some(vendor.to_owned()))
}

fn read_listen(value: Value<'_>) -> Result<Vec<Port>> {
    let spot = value.spot();
    let ports = ascending(value.into_one_or_many().iter().map(read_port).collect::<Result<_>>()?);
    if ports.len() > MOST_PORTS {
        let problem = format!("`listen` names {} ports, but a lab listens on at most {MOST_PORTS}", ports.len());
        return Err(spot.error(problem, "each needs an open file: keep only the ports that are probed").into());
    }
    Ok(ports)
}

fn read_interface(value: &Value<'_>) -> Result<InterfaceName> {
    let hint = "name it as the rules do, like \"eth0\"";
    Ok(value.text()?.parse().map_err(|error| value.error(error, hint))?)
}

/// `"net.ipv4.tcp_ecn" = 0`, or without quotes, which TOML reads as a table in a table.
fn read_sysctls(table: &mut TomlTable<'_>) -> Result<Sysctls> {
    let mut sysctls = Sysctls::default();
    if let Some(table) = table.take_table("sysctls")? {
        let source = format!("[host.sysctls] of {}", table.source.name.display());
        read_sysctls_below("", table, &source, &mut sysctls)?;
    }
    Ok(sysctls)
}

fn read_sysctls_below(above: &str, table: TomlTable<'_>, source: &str, sysctls: &mut Sysctls) -> Result<()> {
    for value in table.into_entries() {
        let name = format!("{above}{}", value.key.name);
        if value.is_table() {
            read_sysctls_below(&format!("{name}."), value.into_table()?, source, sysctls)?;
            continue;
        }
        let number = value.number()?.to_string();
        sysctls.set(&name, &number, source).map_err(|(problem, hint)| value.error(problem, hint))?;
    }
    Ok(())
}

fn read_addresses(table: &mut TomlTable<'_>) -> Result<Addresses> {
    let mut host = Pair::take(table, "addresses")?;
    let mut prober = Pair::take(table, "prober")?;
    let default = Addresses::default();
    Ok(Addresses {
        v4: read_subnet(host.v4.take(), prober.v4.take(), default.v4)?,
        v6: read_subnet(host.v6.take(), prober.v6.take(), default.v6)?,
    })
}

/// The values of `{ v4 = .., v6 = .. }`.
#[derive(Default)]
struct Pair<'a> {
    v4: Option<Value<'a>>,
    v6: Option<Value<'a>>,
}

impl<'a> Pair<'a> {
    fn take(table: &mut TomlTable<'a>, key: &'static str) -> Result<Pair<'a>> {
        let Some(mut table) = table.take_table(key)? else { return Ok(Pair::default()) };
        let pair = Pair { v4: table.take("v4"), v6: table.take("v6") };
        table.finish()?;
        Ok(pair)
    }
}

/// An address of either family, with the differences that this file needs.
trait Address: Copy + PartialEq + std::fmt::Display + std::str::FromStr {
    const BITS: u32;
    const EXAMPLE: &'static str;
    fn to_bits(self) -> u128;
    /// A unicast address that another machine of the link can write to.
    fn is_reachable_unicast(self) -> bool;
}

impl Address for Ipv4Addr {
    const BITS: u32 = 32;
    const EXAMPLE: &'static str = "203.0.113.10/24";

    fn to_bits(self) -> u128 {
        u128::from(u32::from(self))
    }

    /// 0/8 and 240/4 are reserved: RFC 6890.
    fn is_reachable_unicast(self) -> bool {
        let reserved = self.octets()[0] == 0 || self.octets()[0] >= 240;
        !(reserved || self.is_loopback() || self.is_multicast())
    }
}

impl Address for Ipv6Addr {
    const BITS: u32 = 128;
    const EXAMPLE: &'static str = "2001:db8:113::10/64";

    fn to_bits(self) -> u128 {
        u128::from(self)
    }

    /// A link-local address would need a scope, and an IPv4-mapped address never appears in a packet.
    fn is_reachable_unicast(self) -> bool {
        let special = self.is_unspecified() || self.is_loopback() || self.is_multicast();
        !(special || self.is_unicast_link_local() || matches!(self.to_canonical(), IpAddr::V4(_)))
    }
}

fn read_subnet<A: Address>(
    host: Option<Value<'_>>,
    prober: Option<Value<'_>>,
    default: Subnet<A>,
) -> Result<Subnet<A>> {
    let mut subnet = default;
    if let Some(value) = &host {
        (subnet.host, subnet.prefix_len) = read_host_address(value)?;
    }
    if let Some(value) = &prober {
        subnet.prober = read_address(value, value.text()?)?;
    }
    match prober.as_ref().or(host.as_ref()) {
        Some(value) => neighbours(value, subnet),
        None => Ok(subnet),
    }
}

fn read_host_address<A: Address>(value: &Value<'_>) -> Result<(A, u8)> {
    let text = value.text()?;
    let hint = format!("write it like {}", A::EXAMPLE);
    let no_length = || value.error(format!("`{}` has no prefix length", text.escape_debug()), &hint);
    let (address, length) = text.split_once('/').ok_or_else(no_length)?;
    let address: A = read_address(value, address)?;
    let length = length.parse().ok().filter(|length| (1..=A::BITS - 2).contains(&u32::from(*length)));
    let length: u8 = length.ok_or_else(|| {
        value.error(format!("`{}` has a prefix length that leaves no room", text.escape_debug()), hint)
    })?;
    Ok((address, length))
}

fn read_address<A: Address>(value: &Value<'_>, text: &str) -> Result<A> {
    let hint = format!("write it like {}", A::EXAMPLE.split('/').next().unwrap_or_default());
    let address: A = text
        .parse()
        .map_err(|_| value.error(format!("`{}` is not an address of this family", text.escape_debug()), hint))?;
    if address.is_reachable_unicast() {
        return Ok(address);
    }
    let problem = format!("{address} is not an address that a machine on a link can have");
    Err(value.error(problem, "use a global or private unicast address").into())
}

/// 1. Both have to be addresses of machines in their network.
/// 2. Both have to be in the same network, so that there is no router between them.
/// 3. They have to differ.
fn neighbours<A: Address>(value: &Value<'_>, subnet: Subnet<A>) -> Result<Subnet<A>> {
    let Subnet { host, prefix_len, prober } = subnet;
    let host_bits = A::BITS - u32::from(prefix_len);
    let of_machine = |address: A| {
        let machine = address.to_bits() & ((1 << host_bits) - 1);
        machine != 0 && (A::BITS == 128 || machine != (1 << host_bits) - 1)
    };
    if let Some(address) = [host, prober].into_iter().find(|address| !of_machine(*address)) {
        let problem = format!("{address} is the address of the whole network /{prefix_len}");
        return Err(value.error(problem, "use the address of one machine in it").into());
    }
    if host.to_bits() >> host_bits != prober.to_bits() >> host_bits {
        let problem = format!("the prober {prober} is not in the network of the host {host}/{prefix_len}");
        return Err(value.error(problem, "name one that is, with `prober = { v4 = \"..\", v6 = \"..\" }`").into());
    }
    if host == prober {
        return Err(value.error(format!("the host and the prober are both {host}"), "give them two addresses").into());
    }
    Ok(subnet)
}
