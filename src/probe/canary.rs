//! Canaries: packets that prove that an instrument works. Each has a number of its own, so that an old one cannot pass
//! for a new one. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::port::Port;
use crate::net::{Family, Protocol};
use crate::probe::scan::Technique;
use crate::probe::{Ends, Probe, ProbeOverrides};
use crate::wire::reply::Flow;

/// The source address of canaries: documentation ranges (RFC 5737, RFC 3849) that no scenario probes from.
pub const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 202);
/// The same for IPv6.
pub const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xca, 0, 0, 0, 0, 0x202);

/// The log prefix of a canary.
pub const PREFIX: &str = "scanlab canary: ";

/// The flow of canary number `number`: the number is in both ports.
pub fn flow(family: Family, host: IpAddr, number: u32) -> Flow {
    let [high, low] = [(number >> 16) as u16, number as u16];
    Flow { protocol: Protocol::Tcp, prober: source(family), prober_port: Port(high), host, port: Port(low) }
}

/// A canary as a frame: a segment without flags, which the host never answers to this source.
pub fn frame(flow: Flow, ends: &Ends) -> Vec<u8> {
    let ip_id = flow.port.0;
    Probe {
        technique: Technique::Null,
        flow,
        seq: 0,
        ack: 0,
        ttl: 64,
        ip_id,
        flow_label: 0,
        craft: ProbeOverrides::default(),
    }
    .frame(ends)
}

/// The source address of the canaries of a family.
pub fn source(family: Family) -> IpAddr {
    family.pick(SOURCE_V4.into(), SOURCE_V6.into())
}
