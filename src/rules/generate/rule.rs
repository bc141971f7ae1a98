//! Single rules, in the notation of iptables-save.

use crate::net::Network;
use crate::net::port::Port;
use crate::probe::scan::Technique;
use crate::sensor::{Sensor, SensorLimit};
use crate::wire::tcp_flags::TcpFlags;

/// The default of the limit match, which iptables-save does not print.
const DEFAULT_BURST: u32 = 5;

/// Matches packets from `network`, as the first option of the rule; empty for everywhere, which iptables-save leaves
/// out.
pub fn from(network: Network) -> String {
    if network.is_everything() { String::new() } else { format!("-s {network} ") }
}

/// Matches TCP to `port`.
pub fn to_port(port: Port) -> String {
    format!("-p tcp -m tcp --dport {port}")
}

/// Matches packets that open a connection to `port`. Any other packet to it is a scan: NEW alone would also accept a
/// bare ACK, which conntrack picks up as the middle of a connection while `nf_conntrack_tcp_loose` is 1.
pub fn opening(port: Port) -> String {
    format!("{} --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW", to_port(port))
}

/// Matches UDP to `port`.
fn datagram_to(port: Port) -> String {
    format!("-p udp -m udp --dport {port}")
}

/// Matches the probes of `technique`: all six flags are examined (`ALL`).
pub fn probe_of(technique: Technique) -> String {
    format!("-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG {}", TcpFlags(technique.profile().flags))
}

/// The rules of open services: accepted, not logged. `to` matches accepted packets to a TCP port.
pub fn open(sensor: &Sensor, to: fn(Port) -> String) -> Vec<String> {
    let tcp = sensor.open_tcp().map(|port| to(*port));
    let udp = sensor.open_udp().map(|port| datagram_to(*port));
    tcp.chain(udp).map(|matches| format!("{matches} -j ACCEPT")).collect()
}

/// The limit match.
pub fn limited(limit: &SensorLimit) -> String {
    let burst = match limit.burst {
        DEFAULT_BURST => String::new(),
        burst => format!(" --limit-burst {burst}"),
    };
    format!("-m limit --limit {}{burst}", limit.rate())
}

/// The target that writes a log line. The prefix needs no escape, which `sensor` has checked; it always contains a
/// space, so iptables-save quotes it, too.
pub fn log(prefix: &str) -> String {
    format!("-j LOG --log-prefix \"{prefix}\"")
}
