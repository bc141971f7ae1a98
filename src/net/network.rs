//! Networks: addresses with a common prefix, and their neighbours outside.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Family, number};

/// A network: its first address and the length of its prefix. Prints as in iptables-save, `192.0.2.7/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

/// The number of addresses that are offered from each end of a network: some may be unusable, such as the host's own.
const OFFERED: u128 = 4;

impl Network {
    /// Every address of `family`.
    pub fn everything(family: Family) -> Network {
        Network(family.pick(IpNet::V4(Default::default()), IpNet::V6(Default::default())))
    }

    /// The network of this length that contains `address`; `None` if the family has no such length.
    pub fn new(address: IpAddr, length: u32) -> Option<Network> {
        let network = IpNet::new(address, length.try_into().ok()?).ok()?;
        Some(Network(network.trunc()))
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        Family::from_address(self.0.addr())
    }

    /// The length of its prefix.
    pub fn length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// True if it contains every address of its family.
    pub fn is_everything(&self) -> bool {
        self.length() == 0
    }

    /// True if it contains `address`; false for an address of the other family.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// True if it contains all addresses of `other`.
    pub fn covers(&self, other: &Network) -> bool {
        self.0.contains(&other.0)
    }

    /// Its last address.
    pub fn last(&self) -> IpAddr {
        self.0.broadcast()
    }

    /// True for the own address of an IPv4 network, and its broadcast address (RFC 919), which no packet may come from.
    /// Networks of two addresses or one have neither (RFC 3021).
    pub fn is_of_all(&self, address: IpAddr) -> bool {
        let has_both = self.family() == Family::Ipv4 && self.length() < 31;
        has_both && [self.0.network(), self.last()].contains(&address)
    }

    /// Its addresses as numbers.
    pub fn range(&self) -> RangeInclusive<u128> {
        number(self.0.network())..=number(self.last())
    }

    /// Addresses that machines in it may have: the first ones, then some in its middle.
    pub fn first_machines(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (start, end) = self.of_machines();
        let steps = (0..OFFERED).map(move |step| start.saturating_add(step)).filter(move |number| *number <= end);
        steps.chain(self.middle_machines()).map(|number| self.family().address(number))
    }

    /// As [`Self::first_machines`], from its end.
    pub fn last_machines(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (start, end) = self.of_machines();
        let steps = (0..OFFERED).map(move |step| end.saturating_sub(step)).filter(move |number| *number >= start);
        steps.chain(self.middle_machines()).map(|number| self.family().address(number))
    }

    /// The addresses right before it, nearest first.
    pub fn before(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (first, family) = (*self.range().start(), self.family());
        (1..=OFFERED).filter_map(move |step| Some(family.address(first.checked_sub(step)?)))
    }

    /// The addresses right after it, nearest first.
    pub fn after(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let (last, family) = (*self.range().end(), self.family());
        let number = move |step| last.checked_add(step).filter(|number| family.numbers().contains(number));
        (1..=OFFERED).filter_map(move |step| Some(family.address(number(step)?)))
    }

    /// Addresses from its middle, for a network that begins or ends with addresses that no machine has, such as
    /// 127.0.0.0/8.
    fn middle_machines(&self) -> impl Iterator<Item = u128> {
        let (start, end) = self.of_machines();
        let middle = start + (end - start) / 2;
        (1..=OFFERED).map(move |step| middle.saturating_add(step)).filter(move |number| *number <= end)
    }

    /// The first and the last address that a machine may have. The first address of an IPv4 network is its own, the
    /// last one its broadcast (RFC 919); the first one of an IPv6 network is that of any of its routers (RFC 4291,
    /// section 2.6.1). Networks of two addresses or one have none of these (RFC 3021, RFC 6164).
    fn of_machines(&self) -> (u128, u128) {
        let (first, last) = self.range().into_inner();
        match self.family() {
            _ if last - first < 2 => (first, last),
            Family::Ipv4 => (first + 1, last - 1),
            Family::Ipv6 => (first + 1, last),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The error for a text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It contains no address.
    #[error("`{}` is neither an address nor a network", .0.escape_debug())]
    Address(String),
    /// The text after the slash is not a prefix length.
    #[error("`{}` has no prefix length that {family} has", .text.escape_debug())]
    Length {
        /// The text.
        text: String,
        /// The family of its address.
        family: Family,
    },
    /// It is an address within a network, and not the network's own.
    #[error("{address} is not the first address of {network}")]
    HostBits {
        /// The address.
        address: IpAddr,
        /// The network that contains it.
        network: Network,
    },
}

impl NetworkError {
    /// The correct notation.
    pub fn hint(&self) -> String {
        match self {
            NetworkError::Address(_) => {
                "write it like 192.0.2.0/24, 2001:db8:aaaa::/48 or 192.0.2.7; names are not looked up".to_owned()
            }
            NetworkError::Length { family, .. } => format!("a prefix length is a number from 0 to {}", family.width()),
            NetworkError::HostBits { address, network } => {
                format!("write {network} for the network, or {address} for this one address")
            }
        }
    }
}

/// Parses `192.0.2.0/24`, and `192.0.2.7` for one address. Bits after the prefix have to be 0: otherwise the one
/// address may be meant.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address(text.to_owned()))?;
        let family = Family::from_address(address);
        let length = match length {
            None => Some(family.width()),
            Some(length) => length.bytes().all(|byte| byte.is_ascii_digit()).then(|| length.parse().ok()).flatten(),
        };
        let network = length.and_then(|length| Network::new(address, length));
        let network = network.ok_or_else(|| NetworkError::Length { text: text.to_owned(), family })?;
        if network.0.addr() == address { Ok(network) } else { Err(NetworkError::HostBits { address, network }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn first(mut addresses: impl Iterator<Item = IpAddr>) -> String {
        addresses.next().map_or("none".to_owned(), |address| address.to_string())
    }

    #[test]
    fn a_network_prints_as_iptables_save_prints_it() {
        for (written, printed) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:aaaa:0::/48", "2001:db8:aaaa::/48"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(written).to_string(), printed);
        }
    }

    #[test]
    fn a_malformed_network_is_an_error_with_a_hint() {
        let complaint = |text: &str| {
            let error = text.parse::<Network>().unwrap_err();
            format!("{error}: {}\n", error.hint())
        };
        let texts = ["office", "", "/24", "10/8", "10.0.0.0/33", "::/129", "10.0.0.0/255.0.0.0", "10.0.0.0/+8"];
        let all: String = texts.into_iter().chain(["192.0.2.7/24", "2001:db8::7/64"]).map(complaint).collect();
        insta::assert_snapshot!(all, @"
        `office` is neither an address nor a network: write it like 192.0.2.0/24, 2001:db8:aaaa::/48 or 192.0.2.7; names are not looked up
        `` is neither an address nor a network: write it like 192.0.2.0/24, 2001:db8:aaaa::/48 or 192.0.2.7; names are not looked up
        `/24` is neither an address nor a network: write it like 192.0.2.0/24, 2001:db8:aaaa::/48 or 192.0.2.7; names are not looked up
        `10/8` is neither an address nor a network: write it like 192.0.2.0/24, 2001:db8:aaaa::/48 or 192.0.2.7; names are not looked up
        `10.0.0.0/33` has no prefix length that ipv4 has: a prefix length is a number from 0 to 32
        `::/129` has no prefix length that ipv6 has: a prefix length is a number from 0 to 128
        `10.0.0.0/255.0.0.0` has no prefix length that ipv4 has: a prefix length is a number from 0 to 32
        `10.0.0.0/+8` has no prefix length that ipv4 has: a prefix length is a number from 0 to 32
        192.0.2.7 is not the first address of 192.0.2.0/24: write 192.0.2.0/24 for the network, or 192.0.2.7 for this one address
        2001:db8::7 is not the first address of 2001:db8::/64: write 2001:db8::/64 for the network, or 2001:db8::7 for this one address
        ");
    }

    #[test]
    fn a_network_holds_its_own_addresses_only() {
        let net = network("192.0.2.0/24");
        assert!(["192.0.2.0", "192.0.2.255"].iter().all(|text| net.contains(text.parse().unwrap())));
        assert!(!["192.0.1.255", "192.0.3.0", "::192.0.2.1"].iter().any(|text| net.contains(text.parse().unwrap())));
        assert!(network("0.0.0.0/0").covers(&net) && net.covers(&net) && net.covers(&network("192.0.2.7")));
        assert!(!net.covers(&network("192.0.0.0/16")) && !network("::/0").covers(&net));
        assert_eq!(Network::everything(Family::Ipv6), network("::/0"));
    }

    #[test]
    fn its_ends_and_what_is_beside_them_are_addresses_of_machines() {
        for (text, ends) in [
            ("192.0.2.0/24", "192.0.1.255 192.0.2.1 192.0.2.254 192.0.3.0"),
            ("192.0.2.8/31", "192.0.2.7 192.0.2.8 192.0.2.9 192.0.2.10"),
            ("192.0.2.7", "192.0.2.6 192.0.2.7 192.0.2.7 192.0.2.8"),
            ("0.0.0.0/0", "none 0.0.0.1 255.255.255.254 none"),
            (
                "2001:db8:aaaa::/48",
                "2001:db8:aaa9:ffff:ffff:ffff:ffff:ffff 2001:db8:aaaa::1 \
                 2001:db8:aaaa:ffff:ffff:ffff:ffff:ffff 2001:db8:aaab::",
            ),
            ("::/0", "none ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff none"),
        ] {
            let net = network(text);
            let found =
                [first(net.before()), first(net.first_machines()), first(net.last_machines()), first(net.after())];
            assert_eq!(found.join(" "), ends, "{text}");
        }
        let middle = |text: &str| network(text).first_machines().last().unwrap().to_string();
        assert_eq!((middle("0.0.0.0/1").as_str(), middle("192.0.2.7").as_str()), ("64.0.0.3", "192.0.2.7"));
    }
}
