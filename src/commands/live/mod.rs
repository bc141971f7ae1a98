//! This machine: its rules, the ports of its SSH server, its interface and addresses. This room only reads: netlink
//! dumps, files, and the programs that print rules.
//!
//! There is one unavoidable side effect: if nf_tables was never used, `iptables-save` (nft) makes the kernel load its
//! modules. The program for x_tables only requests existing tables, and is not started if there are none.

mod interface;
mod others;
mod rules;
mod udev;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::{fs, io};

use crate::error::{Context, Result, Source};
use crate::lab::Iptables;
use crate::net::sysctl::Sysctls;
use crate::net::{Addresses, Family, InterfaceName, Mac, Subnet};
use crate::sensor::SshServer;

pub use self::others::Other;
pub use self::udev::Device;

/// The default configuration file of sshd, see sshd(8).
const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";

/// The facts of this machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The rules of each family, as `iptables-save` prints them.
    pub rulesets: Vec<(Family, Source)>,
    /// Other firewalls on this machine.
    pub others: Vec<Other>,
    /// The configured addresses and ports of its SSH server; `None` if it has none.
    pub ssh: Option<SshServer>,
    /// The named interface, or the one of the default route.
    pub interface: InterfaceName,
    /// Its MAC address, if it has one.
    pub mac: Option<Mac>,
    /// The one in the hardware, if the kernel knows it.
    pub permanent_mac: Option<Mac>,
    /// Its device.
    pub device: Device,
    /// The `.link` files of systemd in the order in which they are tried.
    pub link_files: Vec<Source>,
    /// Its sysctls that differ from a lab's usual values and affect single packets.
    pub sysctls: Sysctls,
    /// Its addresses, routable ones first.
    pub addresses: Vec<IpAddr>,
    /// Bits of the network part of the first address of each family.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// Its host name.
    pub host_name: String,
}

impl Machine {
    /// Reads the machine. The default for `interface` is the one of the default route.
    ///
    /// # Errors
    ///
    /// If a part cannot be read: no value is guessed.
    pub fn read(iptables: &Iptables, interface: Option<&InterfaceName>) -> Result<Machine> {
        let found = interface::read(interface)?;
        let rulesets = rules::read(iptables)?;
        let config = Path::new(SSHD_CONFIG);
        let ssh = if config.exists() { Some(SshServer::read(config)?) } else { None };
        let host_name = fs::read_to_string("/proc/sys/kernel/hostname").context("read the name of this machine")?;
        let prefixes = found.addresses.clone();
        Ok(Machine {
            others: others::read(iptables.backend, &rulesets),
            rulesets,
            ssh,
            device: Device::read(&found.name),
            sysctls: Sysctls::of_machine(found.name.as_str(), sysctl)
                .map_err(|(problem, _)| io::Error::other(problem))
                .context("give a lab this machine's sysctls")?,
            link_files: udev::link_files()?,
            interface: found.name,
            mac: found.mac,
            permanent_mac: found.permanent_mac,
            addresses: found.addresses.into_iter().map(|(address, _)| address).collect(),
            prefixes,
            host_name: host_name.trim().to_owned(),
        })
    }

    /// Its own addresses, each with a neighbour that scans it.
    pub fn link_addresses(&self) -> Addresses {
        let mut addresses = Addresses::default();
        if let Some((IpAddr::V4(host), length)) = self.address(Family::Ipv4) {
            let prefix_len = if (1..=30).contains(&length) { length } else { 24 };
            let prober = (1..4).map(|step| Ipv4Addr::from_bits(host.to_bits() ^ step));
            let subnet = |prober| Subnet { host, prefix_len, prober };
            let is_machine =
                |prober: &Ipv4Addr| Addresses { v4: subnet(host), ..addresses }.is_on_link((*prober).into());
            addresses.v4 = prober.into_iter().find(is_machine).map_or(addresses.v4, subnet);
        }
        if let Some((IpAddr::V6(host), length)) = self.address(Family::Ipv6) {
            let prefix_len = if (1..=126).contains(&length) { length } else { 64 };
            let other = Ipv6Addr::from_bits(host.to_bits() ^ 1);
            let prober = if other.to_bits() & 3 == 0 { Ipv6Addr::from_bits(host.to_bits() ^ 2) } else { other };
            addresses.v6 = Subnet { host, prefix_len, prober };
        }
        addresses
    }

    /// Its first address of a family that a lab can have, with its prefix length.
    pub fn address(&self, family: Family) -> Option<(IpAddr, u8)> {
        self.prefixes
            .iter()
            .copied()
            .find(|(address, _)| Family::from_address(*address) == family && is_usable(*address))
    }
}

/// The value of a sysctl; `None` if the machine does not have it.
fn sysctl(name: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new("/proc/sys").join(name.replace('.', "/"))).ok()?;
    Some(value.trim().to_owned())
}

/// False for a link-local address, which would need a scope.
fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}
