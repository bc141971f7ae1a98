//! The order that works: each scan at each port, served or not, leaves the one line that is meant for it.
//!
//! What decides the order, all measured on both backends (flow-first packets):
//! - conntrack calls NULL, FIN and Xmas INVALID, whatever went before. They come first: no later rule may see them.
//!   None of the three is ever part of a healthy connection: a FIN carries an ACK (RFC 9293, section 3.10.4).
//! - a bare ACK is NEW while `nf_conntrack_tcp_loose` is 1. It is judged after ESTABLISHED, to which the ACKs of real
//!   connections belong, and before any rule that accepts NEW.
//! - the RST with which a scanner's kernel answers a SYN/ACK is ESTABLISHED.
//! - `limit` stands on LOG only. On a DROP it would let every packet over the limit through.

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
/// 5. The ports: what opens a connection.
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
    rules.extend(sensor.honeypot.iter().flat_map(|service| port_rules(sensor, service, "ACCEPT")));
    rules.extend(sensor.watched.iter().flat_map(|service| port_rules(sensor, service, "DROP")));
    rules.extend(log_scan(sensor, Technique::Syn));
    rules.extend(default_deny::rules(sensor.deny, family));
    rules
}

/// Dropped in any case; logged when the sensor logs it.
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
