//! Addresses and protocols that a packet can have.

use std::net::IpAddr;

/// Whether the host can send there without being told through which interface.
pub fn can_be_reached(address: IpAddr) -> bool {
    !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether a packet from there is let in by the kernel before any rule of the filter table (`ip_route_input_slow`: no
/// martians), and one to there finds its way.
pub fn is_usable(address: IpAddr) -> bool {
    let plain = !address.is_unspecified() && !address.is_loopback() && !address.is_multicast();
    plain
        && match address {
            IpAddr::V4(address) => !matches!(address.octets()[0], 0 | 240..) && !matches!(address.octets()[3], 0 | 255),
            IpAddr::V6(_) => true,
        }
}

/// Whether IPv6 has an extension header with this number (RFC 7045, section 4), or nothing that follows (59).
pub fn is_extension_header(protocol: u8) -> bool {
    matches!(protocol, 43 | 44 | 50 | 51 | 59 | 60 | 135)
}
