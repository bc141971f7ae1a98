//! Names of numbers in headers (IANA's registries), as far as they occur in firewalls.

/// An EtherType (IEEE 802 Numbers).
pub fn ether_type(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0800 => "IPv4",
        0x0806 => "ARP",
        0x8100 => "VLAN tag",
        0x86dd => "IPv6",
        _ => return None,
    })
}

/// A protocol or next header (Assigned Internet Protocol Numbers).
pub fn protocol(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "Hop-by-Hop Options",
        1 => "ICMP",
        2 => "IGMP",
        4 => "IPv4",
        6 => "TCP",
        17 => "UDP",
        41 => "IPv6",
        43 => "Routing",
        44 => "Fragment",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "ICMPv6",
        59 => "No Next Header",
        60 => "Destination Options",
        132 => "SCTP",
        136 => "UDP-Lite",
        _ => return None,
    })
}
