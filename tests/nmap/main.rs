//! Comparisons with real nmap.

#[path = "../support/mod.rs"]
mod support;

mod dialect;
mod parity;
mod paths;
mod random;
mod techniques;

/// Every `--reject-with` of iptables (iptables-extensions(8), REJECT).
const REJECTS_V4: [&str; 8] = [
    "icmp-net-unreachable",
    "icmp-host-unreachable",
    "icmp-proto-unreachable",
    "icmp-port-unreachable",
    "icmp-net-prohibited",
    "icmp-host-prohibited",
    "icmp-admin-prohibited",
    "tcp-reset",
];

/// Every `--reject-with` of ip6tables.
const REJECTS_V6: [&str; 7] = [
    "icmp6-no-route",
    "icmp6-adm-prohibited",
    "icmp6-addr-unreachable",
    "icmp6-port-unreachable",
    "icmp6-policy-fail",
    "icmp6-reject-route",
    "tcp-reset",
];
