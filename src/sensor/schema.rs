//! The shape of `[sensor]` and `[host]` as a JSON Schema, for editors. Constraints that a schema cannot express (two
//! services on one port, a prefix that is too long with its service's name) are reported by the reader, with their
//! place.
//!
//! The reader parses files by hand for the sake of its messages; `tests/documents/schema.rs` compares its keys with
//! these.

// Never constructed: these types exist for their schema.
#![allow(dead_code)]

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// A sensor's file: the intent, and the machine that it is for.
#[derive(JsonSchema)]
#[schemars(title = "scanlab sensor, schema 1")]
#[serde(deny_unknown_fields)]
pub struct SensorFileShape {
    sensor: SensorShape,
    host: Option<HostShape>,
}

/// The intent of its owner for the firewall.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, rename = "Sensor")]
pub struct SensorShape {
    /// Ports of the management SSH server: accepted, not logged. "auto" reads them from sshd_config; an empty list locks
    /// you out.
    ssh: SshShape,
    /// The sshd_config from which "auto" reads the port of the SSH server; /etc/ssh/sshd_config by default.
    sshd_config: Option<String>,
    /// The networks or addresses from which SSH is accepted, of either family. If only one family has entries, SSH is
    /// closed over the other. Everywhere by default.
    ssh_from: Option<NetworksShape>,
    /// Services of an ordinary server, accepted and not logged: a name, and its port or ports, such as 80 or "udp/53".
    open: Option<BTreeMap<String, OpenPortsShape>>,
    /// Services that are logged, then accepted: a name, which is in the log prefix, and its port or ports.
    honeypot: Option<BTreeMap<String, PortsShape>>,
    /// Services that are logged, then dropped: a name, which is in the log prefix, and its port or ports.
    watched: Option<BTreeMap<String, PortsShape>>,
    /// Techniques that are logged as scans. All of them by default; none for an ordinary server, which has `open` and
    /// neither `honeypot` nor `watched`.
    #[schemars(extend("uniqueItems" = true))]
    scans: Option<Vec<LoggedScan>>,
    /// The rate limit of each LOG rule; 5/min with a burst of 5 by default.
    limit: Option<LimitShape>,
    /// The beginning of every log prefix, ending with a blank; `"<IPT> "` by default.
    #[schemars(length(max = 29), regex(pattern = "^[^-].* $|^ $"))]
    prefix: Option<String>,
    /// The scope of the default deny.
    deny: Option<DenyShape>,
    /// The order of the rules.
    order: Option<OrderShape>,
}

#[derive(JsonSchema)]
#[serde(untagged, rename = "Ssh")]
enum SshShape {
    Ports(PortsShape),
    Auto(Auto),
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Auto {
    /// Read from sshd_config.
    Auto,
}

/// A port, or a list of ports.
#[derive(JsonSchema)]
#[serde(untagged, rename = "Ports")]
enum PortsShape {
    One(#[schemars(range(min = 1, max = 65535))] u16),
    Many(#[schemars(extend("items" = {"type": "integer", "minimum": 1, "maximum": 65535}))] Vec<u16>),
}

/// A port, or a list of ports.
#[derive(JsonSchema)]
#[serde(untagged, rename = "OpenPorts")]
enum OpenPortsShape {
    One(OpenPortShape),
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    Many(Vec<OpenPortShape>),
}

/// A TCP port as a number, such as 80, or with its protocol, such as "udp/53".
#[derive(JsonSchema)]
#[serde(untagged, rename = "OpenPort")]
enum OpenPortShape {
    Number(#[schemars(range(min = 1, max = 65535))] u16),
    WithProtocol(#[schemars(regex(pattern = "^(tcp|udp)/[0-9]+$"))] String),
}

/// A network, an address, or a list of them.
#[derive(JsonSchema)]
#[serde(untagged, rename = "Networks")]
enum NetworksShape {
    One(NetworkShape),
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    Many(Vec<NetworkShape>),
}

/// Such as 192.0.2.0/24, 2001:db8:aaaa::/48 or 192.0.2.7.
#[derive(JsonSchema)]
#[serde(rename = "Network")]
#[schemars(extend("pattern" = "^[0-9A-Fa-f:.]+(/[0-9]+)?$"))]
struct NetworkShape(String);

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum LoggedScan {
    /// FIN, PSH and URG: `nmap -sX`.
    Xmas,
    /// No flag at all: `nmap -sN`.
    Null,
    /// FIN alone: `nmap -sF`.
    Fin,
    /// A lone SYN: `nmap -sS`.
    Syn,
    /// ACK alone: `nmap -sA`.
    Ack,
}

/// A rate, as for the limit match.
#[derive(JsonSchema)]
#[serde(untagged, rename = "Limit")]
pub enum LimitShape {
    /// With the default burst of iptables, 5.
    Rate(RateSchema),
    /// With a burst.
    Full(FullLimit),
}

/// Such as 5/min.
#[derive(JsonSchema)]
#[serde(rename = "LimitRate")]
#[schemars(extend("pattern" = "^[0-9]+/"))]
pub struct RateSchema(String);

#[derive(JsonSchema)]
#[serde(deny_unknown_fields, rename = "LimitAndBurst")]
pub struct FullLimit {
    /// Such as 5/min.
    rate: Option<RateSchema>,
    /// The number of packets that match before the rate applies.
    #[schemars(range(min = 1, max = 10000))]
    burst: Option<u32>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase", rename = "Deny")]
enum DenyShape {
    /// TCP only, as in the article.
    Tcp,
    /// Every protocol; loopback, ICMP errors and neighbour discovery stay accepted.
    All,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase", rename = "Order")]
enum OrderShape {
    /// The order that works.
    Hardened,
    /// The rules of the article, in its order.
    Article,
}

/// The machine under test, and the link that the probes come over.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, rename = "Host")]
#[schemars(extend("not" = {"required": ["mac", "link"]}))]
pub struct HostShape {
    /// Its MAC address.
    mac: Option<String>,
    /// The systemd .link file that gives it its MAC address.
    link: Option<String>,
    /// The vendor that its MAC address should show, as nmap prints it.
    #[schemars(length(min = 1))]
    vendor: Option<String>,
    /// The ports with a listener; by default those that the sensor serves.
    listen: Option<PortsShape>,
    /// Its interface; eth0 by default.
    #[schemars(length(min = 1, max = 15))]
    interface: Option<String>,
    /// Its addresses, with the length of their prefix.
    addresses: Option<AddressesShape>,
    /// The source addresses of probes.
    prober: Option<AddressesShape>,
    /// Sysctls that affect packets, with their values on this host.
    sysctls: Option<BTreeMap<String, SysctlShape>>,
}

/// A value; or, for a name without quotes, the rest of the name.
#[derive(JsonSchema)]
#[serde(untagged, rename = "Sysctl")]
pub enum SysctlShape {
    /// The value.
    Value(i64),
    /// The names below.
    Below(BTreeMap<String, SysctlShape>),
}

/// An address of each family.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, rename = "Addresses")]
pub struct AddressesShape {
    v4: Option<String>,
    v6: Option<String>,
}
