//! The order that works: each scan at each port, served or not, causes exactly the intended log line.
//!
//! Reasons for the order, all measured on both backends with the first packet of a flow:
//! - conntrack marks NULL, FIN and Xmas INVALID in any situation. They come first, so that no later rule sees them.
//!   None of the three is ever part of a valid connection: a FIN has an ACK (RFC 9293, section 3.10.4).
//! - a bare ACK is NEW while `nf_conntrack_tcp_loose` is 1. Its rule comes after ESTABLISHED, which accepts the ACKs of
//!   real connections, and before any rule that accepts NEW.
//! - the RST with which a scanner's kernel answers a SYN/ACK is ESTABLISHED.
//! - `limit` is on LOG rules only. On a DROP it would let every packet over the limit through.

use super::{default_deny, rule, ssh};
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::Technique;
use crate::sensor::{Sensor, Service};

/// The rules of INPUT, without `-A INPUT`.
///
/// 1. Loopback.
/// 2. NULL, FIN and Xmas.
/// 3. Established connections.
/// 4. ACK.
/// 5. The ports: packets that open a connection.
/// 6. SYN, to any other port.
/// 7. The default deny.
pub fn rules(sensor: &Sensor, family: Family) -> Vec<String> {
    let mut rules = vec![default_deny::loopback()];
    for technique in [Technique::Null, Technique::Fin, Technique::Xmas] {
        rules.extend(log_and_drop(sensor, technique));
    }
    rules.push("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".to_owned());
    rules.extend(log_and_drop(sensor, Technique::Ack));
    rules.extend(ssh::rules(sensor, family, rule::opening));
    rules.extend(rule::open(sensor, rule::opening));
    rules.extend(sensor.honeypot.iter().flat_map(|service| port_rules(sensor, service, "ACCEPT")));
    rules.extend(sensor.watched.iter().flat_map(|service| port_rules(sensor, service, "DROP")));
    rules.extend(log_scan(sensor, Technique::Syn));
    rules.extend(default_deny::rules(sensor.deny, family));
    rules
}

/// Drops the technique, and logs it if the sensor logs it.
fn log_and_drop(sensor: &Sensor, technique: Technique) -> Vec<String> {
    let mut rules: Vec<String> = log_scan(sensor, technique).into_iter().collect();
    rules.push(format!("{} -j DROP", rule::probe_of(technique)));
    rules
}

fn log_scan(sensor: &Sensor, technique: Technique) -> Option<String> {
    let log = rule::log(&sensor.scan_prefix(technique));
    let logged = format!("{} {} {log}", rule::probe_of(technique), rule::limited(&sensor.limit));
    sensor.scans.contains(&technique).then_some(logged)
}

fn port_rules(sensor: &Sensor, service: &Service, verdict: &str) -> Vec<String> {
    let limit = rule::limited(&sensor.limit);
    let log = rule::log(&sensor.port_prefix(service));
    let pair = |port: &Port| {
        let opening = rule::opening(*port);
        [format!("{opening} {limit} {log}"), format!("{opening} -j {verdict}")]
    };
    service.ports.iter().flat_map(pair).collect()
}
