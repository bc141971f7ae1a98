//! Who gets in over SSH: one rule for each port and each network that it is reached from. What comes from elsewhere meets the
//! rules for ports without a name.

use super::rule;
use crate::net::Family;
use crate::net::port::Port;
use crate::sensor::Sensor;

/// The rules of `family`; none where nobody gets in. `to` matches what gets in at a port.
pub fn rules(sensor: &Sensor, family: Family, to: fn(Port) -> String) -> Vec<String> {
    let networks = sensor.ssh_from.networks(family);
    let of_port = |port: &Port| {
        let port = to(*port);
        let rule = move |network| format!("{}{port} -j ACCEPT", rule::from(network));
        networks.iter().copied().map(rule).collect::<Vec<_>>()
    };
    sensor.ssh.iter().flat_map(of_port).collect()
}
