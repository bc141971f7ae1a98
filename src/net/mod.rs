//! Families, addresses, networks, MAC addresses and interface names: the nouns of a link.

pub mod conntrack;
mod network;
pub mod port;
pub mod port_selection;
pub(crate) mod rate;
pub mod services_file;
pub(crate) mod sysctl;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use network::{Network, NetworkError};

/// An address family. netfilter keeps a ruleset of its own for each, see ip6tables(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4, filtered by `iptables`.
    Ipv4,
    /// IPv6, filtered by `ip6tables`.
    Ipv6,
}

impl Family {
    /// Both families, in the order in which reports show them.
    pub const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The family of an address.
    pub fn from_address(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }

    /// The value of this family, of one for each.
    pub fn pick<T>(self, v4: T, v6: T) -> T {
        match self {
            Family::Ipv4 => v4,
            Family::Ipv6 => v6,
        }
    }

    /// The loopback address.
    pub fn loopback(self) -> IpAddr {
        self.pick(Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
    }

    /// Its name as people write it.
    pub fn title(self) -> &'static str {
        self.pick("IPv4", "IPv6")
    }

    /// Bits of an address.
    pub fn width(self) -> u32 {
        self.pick(Ipv4Addr::BITS, Ipv6Addr::BITS)
    }

    /// All addresses, as numbers.
    pub fn numbers(self) -> RangeInclusive<u128> {
        0..=u128::MAX >> (u128::BITS - self.width())
    }

    /// The address of this number.
    pub fn address(self, number: u128) -> IpAddr {
        self.pick(Ipv4Addr::from_bits(number as u32).into(), Ipv6Addr::from_bits(number).into())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.pick("ipv4", "ipv6"))
    }
}

/// An address as a number.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The protocol of a probe, a service or a flow above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// ICMP (RFC 792) in IPv4, ICMPv6 (RFC 4443) in IPv6. It has no ports.
    Icmp,
}

impl Protocol {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An Ethernet address (IEEE 802, EUI-48). Prints in lower case with colons, as the kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// True if the I/G bit is set (multicast or broadcast): never an interface's own address.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// True if the U/L bit is set (locally administered): the address was not assigned by a vendor (IEEE 802c).
    pub fn is_locally_administered(self) -> bool {
        self.0[0] & 2 == 2
    }

    /// True if an interface can have this address: not multicast, not all zero.
    pub fn is_assignable(self) -> bool {
        !self.is_multicast() && self.0 != [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The error for a text that is not an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address: write six pairs of hexadecimal digits, like 00:0c:29:4f:8e:35")]
pub struct MacError(pub String);

/// Parses `00:0c:29:4f:8e:35`, `00-0C-29-4F-8E-35`, `000c.294f.8e35` and `000c294f8e35`.
impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let error = || MacError(text.to_owned());
        let group = match text.bytes().find(|byte| !byte.is_ascii_hexdigit()) {
            Some(b':' | b'-') => 2,
            Some(b'.') => 4,
            Some(_) => return Err(error()),
            None => 12,
        };
        let groups: Vec<&str> = text.split([':', '-', '.']).collect();
        let separators: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_hexdigit()).collect();
        let uniform = separators.windows(2).all(|pair| pair[0] == pair[1]);
        if !uniform || groups.len() * group != 12 || groups.iter().any(|digits| digits.len() != group) {
            return Err(error());
        }
        let value = u64::from_str_radix(&groups.concat(), 16).map_err(|_| error())?;
        let [_, _, mac @ ..] = value.to_be_bytes();
        Ok(Mac(mac))
    }
}

impl JsonSchema for Mac {
    fn schema_name() -> Cow<'static, str> {
        "Mac".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$" })
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of a network interface: one that the kernel accepts (`dev_valid_name` of net/core/dev.c: 1 to 15 bytes, no
/// `/`, `:` or white space, not `.` or `..`), and that all other programs read in the same way. ASCII letters, digits
/// and `_-.@` mean the same to a shell, to systemd.link(5) and to a log line. `%` and `+` are patterns to the kernel
/// and to iptables, a dash at the start begins an option, and `lo`, `all` and `default` have other meanings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for InterfaceName {
    /// `eth0`.
    fn default() -> Self {
        InterfaceName("eth0".to_owned())
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The error for a text that cannot name the lab's interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` cannot name an interface: use 1 to 15 of the letters a to z and A to Z, digits and `_-.@`, with no dash at the start, and not lo, all or default",
    .0.escape_debug()
)]
pub struct InterfaceNameError(pub String);

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, InterfaceNameError> {
        let reserved = ["lo", "all", "default", ".", ".."].contains(&text);
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte));
        if text.is_empty() || text.len() > 15 || reserved || text.starts_with('-') || !is_plain {
            return Err(InterfaceNameError(text.to_owned()));
        }
        Ok(InterfaceName(text.to_owned()))
    }
}

/// The two ends of the lab's link in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet<A> {
    /// The host under test.
    pub host: A,
    /// Bits of the network part.
    pub prefix_len: u8,
    /// The source of the probes; in the same network, so that no router is needed.
    pub prober: A,
}

/// Addresses of the link: documentation ranges (RFC 5737, RFC 3849), so that a leaked packet could reach no real host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// IPv4.
    pub v4: Subnet<Ipv4Addr>,
    /// IPv6.
    pub v6: Subnet<Ipv6Addr>,
}

impl Default for Addresses {
    /// `203.0.113.10/24` probed from `203.0.113.66`, and `2001:db8:113::10/64` from `2001:db8:113::66`.
    fn default() -> Self {
        let v6 = |last| Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, last);
        Addresses {
            v4: Subnet { host: Ipv4Addr::new(203, 0, 113, 10), prefix_len: 24, prober: Ipv4Addr::new(203, 0, 113, 66) },
            v6: Subnet { host: v6(0x10), prefix_len: 64, prober: v6(0x66) },
        }
    }
}

impl Addresses {
    /// The address of the host under test in `family`.
    pub fn host(&self, family: Family) -> IpAddr {
        family.pick(self.v4.host.into(), self.v6.host.into())
    }

    /// The network of the link in `family`.
    pub fn link(&self, family: Family) -> Network {
        let length = family.pick(self.v4.prefix_len, self.v6.prefix_len);
        Network::new(self.host(family), length.into()).expect("prefix lengths are checked where they are read")
    }

    /// True if `address` is a unicast address on the link and not the host's own.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        let family = Family::from_address(address);
        let link = self.link(family);
        let unicast = !(address.is_multicast() || address.is_unspecified() || address.is_loopback());
        unicast && address != self.host(family) && link.contains(address) && !link.is_of_all(address)
    }

    /// True if a packet from `address` passes over the link to the rules of the host: not from its own address, and not
    /// from an address that the kernel treats as martian (`ip_route_input_slow`, `fib_validate_source`).
    pub fn may_send(&self, address: IpAddr) -> bool {
        let is_reserved = matches!(address, IpAddr::V4(address) if matches!(address.octets()[0], 0 | 240..));
        let is_unusable = address.is_unspecified() || address.is_loopback() || address.is_multicast();
        let is_of_all = self.link(Family::Ipv4).is_of_all(address);
        address != self.host(Family::from_address(address)) && !(is_unusable || is_reserved || is_of_all)
    }

    /// The source address of the probes in `family`.
    pub fn prober(&self, family: Family) -> IpAddr {
        family.pick(self.v4.prober.into(), self.v6.prober.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_in_the_four_usual_forms() {
        let mac = Mac([0x00, 0x0c, 0x29, 0x4f, 0x8e, 0x35]);
        for text in ["00:0c:29:4f:8e:35", "00-0C-29-4F-8E-35", "000c.294f.8e35", "000C294F8E35"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "00:0c:29:4f:8e:35");
    }

    #[test]
    fn a_malformed_mac_is_refused() {
        for text in [
            "",
            "00:0c:29:4f:8e",
            "00:0c:29:4f:8e:35:00",
            "00:0c-29:4f:8e:35",
            "0:c:29:4f:8e:35",
            "zz:0c:29:4f:8e:35",
            "000c294f8e3",
            "é0:0c:29:4f:8e:35",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_on_the_link_exclude_unusable_ones() {
        let addresses = Addresses::default();
        let is_on_link = |text: &&str| addresses.is_on_link(text.parse().unwrap());
        assert!(["203.0.113.66", "203.0.113.1", "2001:db8:113::66", "2001:db8:113::1:2:3"].iter().all(is_on_link));
        let not = [
            "203.0.113.10",
            "203.0.113.0",
            "203.0.113.255",
            "203.0.112.66",
            "224.0.0.1",
            "127.0.0.1",
            "::1",
            "ff02::1",
            "2001:db8:113::10",
            "2001:db8:114::66",
        ];
        assert!(!not.iter().any(is_on_link));
    }

    #[test]
    fn addresses_that_no_other_machine_has_may_not_send() {
        let may_send = |text: &&str| Addresses::default().may_send(text.parse().unwrap());
        assert!(["203.0.113.66", "192.0.2.0", "192.0.2.255", "2001:db8::7"].iter().all(may_send));
        let not = ["203.0.113.10", "203.0.113.0", "203.0.113.255", "0.0.0.1", "127.0.0.1", "224.0.0.1", "240.0.0.1"];
        assert!(!not.iter().chain(&["2001:db8:113::10", "::", "::1", "ff02::1"]).any(may_send));
    }

    #[test]
    fn an_interface_name_that_the_kernel_or_a_shell_reads_otherwise_is_refused() {
        let by_the_kernel =
            ["", ".", "..", "a/b", "a:1", "eth 0", "eth0\n", "eth%d", "sixteen-bytes-xx", "lo", "all", "default"];
        let by_others = ["-A", "eth+", "e+h", "wl\u{e4}n", "a\0", "a\u{7f}", "OriginalName=a"];
        for text in by_the_kernel.into_iter().chain(by_others) {
            assert!(text.parse::<InterfaceName>().is_err(), "{text:?}");
        }
        for special in "|&;<>()$`\\\"'*?[]#~=%!{}^,".chars() {
            for text in [format!("{special}eth0"), format!("e{special}h"), format!("eth0{special}")] {
                assert!(text.parse::<InterfaceName>().is_err(), "{text:?}");
            }
        }
        for text in ["eth0", "wlan0", "br-lan.7", "enx001122334455", "veth_a@if3", "x", "fifteen-bytes-x"] {
            assert!(text.parse::<InterfaceName>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn an_interface_name_has_no_character_that_a_shell_reads() {
        let accepted = |c: &char| format!("e{c}0").parse::<InterfaceName>().is_ok();
        let all: String = ('\0'..='\u{ff}').filter(accepted).collect();
        let shell = std::process::Command::new("sh").args(["-c", &format!("printf %s {all}")]).output().unwrap();
        assert_eq!((String::from_utf8(shell.stdout).unwrap(), all.len()), (all, 26 + 26 + 10 + 4));
    }
}
