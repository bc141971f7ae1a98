//! The names of TCP flags, as iptables has them.

/// The six flags that rules look at, the lowest bit first (RFC 9293, section 3.1); iptables-save prints them in this order.
pub const TCP_FLAGS: [&str; 6] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];

/// The names of the flags that are set in `octet`, the lowest bit first. CWR and ECE have none: no rule looks at them.
pub fn tcp_flag_names(octet: u8) -> Vec<&'static str> {
    (0u8..).zip(TCP_FLAGS).filter(|(bit, _)| octet >> bit & 1 == 1).map(|(_, name)| name).collect()
}
