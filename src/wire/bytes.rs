//! Fields of packet headers, in network byte order; `None` if the bytes end before the field does.

use std::net::IpAddr;

/// 16 bits at byte `at`.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// 32 bits at byte `at`.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The IPv4 address at byte `at`.
pub fn ipv4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    Some(IpAddr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?))
}

/// The IPv6 address at byte `at`.
pub fn ipv6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    Some(IpAddr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?))
}
