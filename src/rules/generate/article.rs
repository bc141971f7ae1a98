//! The article's rules in the article's order, including its blind spots.

use super::{default_deny, rule, ssh};
use crate::net::Family;
use crate::net::port::Port;
use crate::sensor::{Deny, Sensor, Service};

/// The rules of INPUT, without `-A INPUT`.
///
/// 1. Management SSH.
/// 2. Established connections.
/// 3. Ports, each with a LOG and a verdict.
/// 4. Scans, each with a LOG and a verdict.
/// 5. The default deny.
///
/// The article denies TCP only. Denying everything needs rules that it does not have, or the host could not
/// communicate: the loopback rule comes first, because the SYN rule would drop the host's own connections; the ICMP
/// rules come before the last.
pub fn rules(sensor: &Sensor, family: Family) -> Vec<String> {
    let mut rules = match sensor.deny {
        Deny::Tcp => Vec::new(),
        Deny::All => vec![default_deny::loopback()],
    };
    rules.extend(ssh::rules(sensor, family, rule::to_port));
    rules.push("-m state --state RELATED,ESTABLISHED -j ACCEPT".to_owned());
    rules.extend(rule::open(sensor, rule::to_port));
    rules.extend(sensor.honeypot.iter().flat_map(|service| port_rules(sensor, service, "ACCEPT")));
    rules.extend(sensor.watched.iter().flat_map(|service| port_rules(sensor, service, "DROP")));
    rules.extend(scan_rules(sensor));
    rules.extend(default_deny::rules(sensor.deny, family));
    rules
}

fn port_rules(sensor: &Sensor, service: &Service, verdict: &str) -> Vec<String> {
    let limit = rule::limited(&sensor.limit);
    let log = rule::log(&sensor.port_prefix(service));
    let pair = |port: &Port| {
        let to_port = rule::to_port(*port);
        // The article has the limit before the port here, and after the flags below.
        let limited = to_port.replacen("-p tcp", &format!("-p tcp {limit}"), 1);
        [format!("{limited} {log}"), format!("{to_port} -j {verdict}")]
    };
    service.ports.iter().flat_map(pair).collect()
}

fn scan_rules(sensor: &Sensor) -> Vec<String> {
    let limit = rule::limited(&sensor.limit);
    let pair = |technique: &_| {
        let probe = rule::probe_of(*technique);
        let log = rule::log(&sensor.scan_prefix(*technique));
        [format!("{probe} {limit} {log}"), format!("{probe} -j DROP")]
    };
    sensor.scans.iter().flat_map(pair).collect()
}
