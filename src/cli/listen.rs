//! `--listen`: the ports of the host that have a listener, in nmap's syntax. A port is TCP unless it follows `U:`.

use super::services::KnownServices;
use crate::error::{InputError, Result};
use crate::lab::HostService;
use crate::net::Protocol;
use crate::net::port::Port;
use crate::net::port_selection::{PortSelection, SelectedPorts};
use crate::sensor::MOST_PORTS;

/// The answer of a UDP service: without one, the port would look like one behind a DROP rule (nmap reference guide,
/// `-sU`: "Occasionally, a service will respond with a UDP packet, proving that it is open").
const ANSWER: &str = "scanlab\n";

/// The services on these ports; a TCP service sends `greeting`.
///
/// # Errors
/// If a name is unknown, and for port 0.
pub fn services(
    selection: &PortSelection,
    greeting: impl Fn(Port) -> Option<&'static str>,
) -> Result<Vec<HostService>> {
    let names = if selection.needs_names() { KnownServices::read()? } else { KnownServices::default() };
    let ports = selection.clone().tcp_by_default().resolve(&names.file).map_err(|error| {
        InputError::new(format!("--listen: {error}"), "names come from nmap's nmap-services or /etc/services")
    })?;
    if ports.tcp.contains(Port(0)) || ports.udp.contains(Port(0)) {
        // bind(2) interprets 0 as "any free port", so the service would listen on an unknown port.
        return Err(InputError::new("nothing can listen on port 0", "name ports from 1 to 65535").into());
    }
    let count = ports.tcp.len() + ports.udp.len();
    if count > MOST_PORTS {
        let problem = format!("--listen names {count} ports, but a lab listens on at most {MOST_PORTS}");
        return Err(InputError::new(problem, "each needs an open file: name only the ports that are probed").into());
    }
    Ok(services_on(&ports, greeting))
}

/// The services on these ports, none of which is 0; a TCP service sends `greeting`.
pub fn services_on(ports: &SelectedPorts, greeting: impl Fn(Port) -> Option<&'static str>) -> Vec<HostService> {
    let tcp = ports.tcp.iter().map(|port| HostService { protocol: Protocol::Tcp, port, greeting: greeting(port) });
    let udp = ports.udp.iter().map(|port| HostService { protocol: Protocol::Udp, port, greeting: Some(ANSWER) });
    tcp.chain(udp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(text: &str) -> String {
        let services = services(&text.parse().unwrap(), |_| None);
        let word = |service: &HostService| format!("{} {}", service.protocol, service.port);
        services.map_or_else(
            |error| format!("! {error}"),
            |services| services.iter().map(word).collect::<Vec<_>>().join(", "),
        )
    }

    #[test]
    fn services_are_read_as_nmap_reads_ports() {
        assert_eq!(listening("T:22,U:53,T:80-81"), "tcp 22, tcp 80, tcp 81, udp 53");
        assert_eq!(listening("22,22"), "tcp 22");
    }

    #[test]
    fn more_ports_than_a_lab_has_files_for_are_refused() {
        assert!(listening("1-1000").starts_with("tcp 1, "));
        assert!(listening("1-900,U:1-101").contains("--listen names 1001 ports, but a lab listens on at most 1000"));
    }

    #[test]
    fn nothing_listens_on_port_zero() {
        for text in ["0", "U:0-2", "22,0"] {
            assert!(listening(text).contains("nothing can listen on port 0"), "{text}: {}", listening(text));
        }
    }
}
