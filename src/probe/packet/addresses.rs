//! Addresses and protocols that a packet can have.

use std::net::IpAddr;

/// True if the host can send to this address without an interface in the call.
pub fn can_be_reached(address: IpAddr) -> bool {
    !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// True if the kernel accepts packets from this address before the filter table (`ip_route_input_slow`: no martians),
/// and can route packets to it.
pub fn is_usable(address: IpAddr) -> bool {
    let plain = !address.is_unspecified() && !address.is_loopback() && !address.is_multicast();
    plain
        && match address {
            IpAddr::V4(address) => !matches!(address.octets()[0], 0 | 240..) && !matches!(address.octets()[3], 0 | 255),
            IpAddr::V6(_) => true,
        }
}

/// True if this is the number of an IPv6 extension header (RFC 7045, section 4), or 59, no next header.
pub fn is_extension_header(protocol: u8) -> bool {
    matches!(protocol, 43 | 44 | 50 | 51 | 59 | 60 | 135)
}
