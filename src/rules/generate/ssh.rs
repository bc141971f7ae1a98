//! Access to SSH: one rule for each port and each network that it is reachable from. Packets from other sources go on
//! to the rules for unnamed ports.

use super::rule;
use crate::net::Family;
use crate::net::port::Port;
use crate::sensor::Sensor;

/// The rules of `family`; empty if SSH is closed over it. `to` matches accepted packets to a port.
pub fn rules(sensor: &Sensor, family: Family, to: fn(Port) -> String) -> Vec<String> {
    let networks = sensor.ssh_from.networks(family);
    let of_port = |port: &Port| {
        let port = to(*port);
        let rule = move |network| format!("{}{port} -j ACCEPT", rule::from(network));
        networks.iter().copied().map(rule).collect::<Vec<_>>()
    };
    sensor.ssh.iter().flat_map(of_port).collect()
}
