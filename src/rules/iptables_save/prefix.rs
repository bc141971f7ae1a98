//! Addresses with their masks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Prefix;
use crate::net::Family;

impl Prefix {
    /// True if it contains `address`; false for an address of the other family.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::from_address(address) == Family::from_address(self.address)
            && bits(address) & self.mask == bits(self.address) & self.mask
    }

    /// The length of the prefix (`/8`); `None` for a mask that is not contiguous.
    pub fn prefix_len(&self) -> Option<u32> {
        let ones = self.mask.leading_ones();
        (ones == self.mask.count_ones()).then_some(ones)
    }

    /// True if it contains every address of its family.
    pub fn is_everything(&self) -> bool {
        self.mask == 0
    }

    /// Parses `10.0.0.1`, `10.0.0.0/8`, `10/8`, `10.0.0.1/255.0.0.255`, `fe80::/10`, `fe80::/ffc0::`; address bits
    /// outside the mask are cleared, as in iptables. `None` for names of hosts and networks.
    pub(super) fn parse(text: &str, family: Family) -> Option<Prefix> {
        let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
        let address = bits(parse_address(address, family)?);
        let mask = mask.map_or(Some(first_bits(family.width())), |mask| parse_mask(mask, family))?;
        Some(Prefix { address: from_bits(address & mask, family), mask })
    }
}

/// `10.0.0.0/8`; a mask that is not contiguous prints as an address, as in iptables-save.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len() {
            Some(len) => write!(f, "{}/{len}", self.address),
            None => write!(f, "{}/{}", self.address, from_bits(self.mask, Family::from_address(self.address))),
        }
    }
}

fn parse_address(text: &str, family: Family) -> Option<IpAddr> {
    family.pick(parse_v4(text).map(IpAddr::V4), text.parse().map(IpAddr::V6).ok())
}

/// Missing bytes are zero: iptables 1.8.9 reads `10/8` as `10.0.0.0/8` (`xtables_numeric_to_ipaddr`).
fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut bytes = [0; 4];
    for (i, byte) in text.split('.').enumerate() {
        *bytes.get_mut(i)? = byte.bytes().all(|byte| byte.is_ascii_digit()).then(|| byte.parse().ok())??;
    }
    Some(bytes.into())
}

fn parse_mask(text: &str, family: Family) -> Option<u128> {
    match text.parse::<u32>() {
        Ok(len) => (len <= family.width()).then(|| first_bits(len)),
        Err(_) if text.contains(['.', ':']) => parse_address(text, family).map(bits),
        Err(_) => None,
    }
}

/// The `len` most significant bits.
fn first_bits(len: u32) -> u128 {
    u128::MAX.checked_shl(u128::BITS - len).unwrap_or_default()
}

/// The first bit of the address is the most significant one, in both families.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn from_bits(bits: u128, family: Family) -> IpAddr {
    family.pick(Ipv4Addr::from_bits((bits >> 96) as u32).into(), Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let family = if text.contains(':') { Family::Ipv6 } else { Family::Ipv4 };
        Prefix::parse(text, family).map(|prefix| prefix.to_string())
    }

    #[test]
    fn prefixes_print_as_iptables_save_prints_them() {
        for (written, printed) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10/8", "10.0.0.0/8"),
            ("0/0", "0.0.0.0/0"),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
            ("10.0.0.1/255.0.0.255", "10.0.0.1/255.0.0.255"),
            ("fe80::1/10", "fe80::/10"),
            ("::1", "::1/128"),
            ("fe80::/ffc0::", "fe80::/10"),
        ] {
            assert_eq!(shown(written).as_deref(), Some(printed), "{written}");
        }
    }

    #[test]
    fn a_malformed_address_is_none() {
        for text in
            ["", "localhost", "10.0.0.0/33", "10.0.0.256", "1.2.3.4.5", "10./8", "::/129", "+1.2.3.4", "1.2.3.4/"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_holds_its_own_family_only() {
        let ten = Prefix::parse("10/8", Family::Ipv4).unwrap();
        assert!(ten.contains("10.255.0.1".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        assert!(!Prefix::parse("::/0", Family::Ipv6).unwrap().contains("10.0.0.1".parse().unwrap()));
    }
}
