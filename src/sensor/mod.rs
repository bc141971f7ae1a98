//! The sensor: the intent of its owner for the firewall. Generator and oracle both start here, and share nothing else.

mod host;
mod limit;
mod lines;
mod link_file;
pub mod mac_vendor;
mod parse;
mod prefix;
mod schema;
mod service;
mod ssh_from;
mod sshd_config;
mod table;

use std::fmt;

use crate::net::port::Port;
use crate::net::sysctl::Sysctls;
use crate::net::{Addresses, InterfaceName, Mac};
use crate::probe::scan::Technique;

pub use host::{ReadFile, read_host};
pub use limit::read_limit;
pub use lines::{EntryLines, SensorEntry};
pub use link_file::{Conditions, KeyValue, LinkFile};
pub use parse::{SensorFile, read_sensor};
pub use prefix::{MAX_PREFIX, check_whole_prefix, is_prefix, is_service_name, port_prefix, scan_prefix};
pub use schema::{HostShape, LimitShape, SensorFileShape, SensorShape};
pub use service::{MOST_PORTS, beside};
pub use ssh_from::SshFrom;
pub use sshd_config::{SshServer, ports_of_sshd};
pub use table::{TomlKey, TomlPlace, TomlTable, Value};

/// The intent of a honeypot sensor, or of an ordinary server: the `[sensor]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sensor {
    /// Ports of the management SSH server: accepted, not logged.
    pub ssh: Vec<Port>,
    /// The sources from which they are accepted; for other sources they are unnamed ports.
    pub ssh_from: SshFrom,
    /// Accepted, not logged.
    pub open: Vec<OpenService>,
    /// Logged, then accepted.
    pub honeypot: Vec<Service>,
    /// Logged, then dropped.
    pub watched: Vec<Service>,
    /// Techniques that are logged as scans; subset of [`Technique::LOGGED`], without repetition.
    pub scans: Vec<Technique>,
    /// The limit of every LOG rule; each rule has a bucket of its own.
    pub limit: SensorLimit,
    /// The beginning of every log prefix, such as `<IPT> `.
    pub prefix: String,
    /// The scope of the default deny.
    pub deny: Deny,
    /// The order of the generated rules.
    pub order: RuleOrder,
}

/// A named service: `SMB = [139, 445]`. Every port has a LOG rule of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name, as in the log prefix.
    pub name: String,
    /// Its ports, at least one.
    pub ports: Vec<Port>,
}

/// A service that is accepted and not logged: `DNS = [53, "udp/53"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenService {
    /// The name; no rule has it.
    pub name: String,
    /// Its TCP ports.
    pub tcp: Vec<Port>,
    /// Its UDP ports.
    pub udp: Vec<Port>,
}

/// A rate limit, as the `limit` match counts it (iptables-extensions(8), "limit"): `burst` packets match at once, then
/// one more each time `1 / rate` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SensorLimit {
    /// Packets per `per`.
    pub count: u32,
    /// The unit of time.
    pub per: TimeUnit,
    /// Packets that match at once.
    pub burst: u32,
}

/// The unit of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// `/sec`
    Second,
    /// `/min`
    Minute,
    /// `/hour`
    Hour,
    /// `/day`
    Day,
}

impl TimeUnit {
    /// The suffix that iptables-save prints.
    pub const fn suffix(self) -> &'static str {
        match self {
            TimeUnit::Second => "sec",
            TimeUnit::Minute => "min",
            TimeUnit::Hour => "hour",
            TimeUnit::Day => "day",
        }
    }

    /// Length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            TimeUnit::Second => 1,
            TimeUnit::Minute => 60,
            TimeUnit::Hour => 3600,
            TimeUnit::Day => 86400,
        }
    }
}

/// The scope of the default deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deny {
    /// TCP, as in the article.
    Tcp,
    /// Every protocol; loopback, ICMP errors and NDP stay accepted.
    All,
}

/// The order of the generated rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleOrder {
    /// The order that works.
    Hardened,
    /// The article's rules, in the article's order.
    Article,
}

/// The machine under test: the `[host]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Its MAC address; `None` if the scenario has none.
    pub mac: Option<Mac>,
    /// The `.link` file that sets it, if the scenario names one.
    pub link: Option<LinkFile>,
    /// The vendor that the MAC address should show.
    pub vendor: Option<String>,
    /// Ports with a listener, ascending.
    pub listen: Vec<Port>,
    /// The interface that the rules name.
    pub interface: InterfaceName,
    /// Both ends of the link.
    pub addresses: Addresses,
    /// Sysctls of the host.
    pub sysctls: Sysctls,
}

impl Sensor {
    /// The TCP ports to which connections are accepted: SSH, open services and honeypots, in this order.
    pub fn served(&self) -> impl Iterator<Item = Port> + '_ {
        let honeypot = self.honeypot.iter().flat_map(|service| &service.ports);
        self.ssh.iter().chain(self.open_tcp()).chain(honeypot).copied()
    }

    /// The TCP ports of `open`.
    pub fn open_tcp(&self) -> impl Iterator<Item = &Port> {
        self.open.iter().flat_map(|service| &service.tcp)
    }

    /// The UDP ports of `open`.
    pub fn open_udp(&self) -> impl Iterator<Item = &Port> {
        self.open.iter().flat_map(|service| &service.udp)
    }

    /// True for an ordinary server: nothing is logged.
    pub fn is_ordinary(&self) -> bool {
        self.scans.is_empty() && self.honeypot.is_empty() && self.watched.is_empty()
    }

    /// The log prefix of a port rule: `<IPT> SSH port: `.
    pub fn port_prefix(&self, service: &Service) -> String {
        port_prefix(&self.prefix, &service.name)
    }

    /// The log prefix of a scan rule: `<IPT> Xmas scan: `.
    pub fn scan_prefix(&self, technique: Technique) -> String {
        scan_prefix(&self.prefix, technique)
    }
}

impl fmt::Display for SensorLimit {
    /// `5/min`, without the burst.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.suffix())
    }
}

#[cfg(test)]
mod tests;
