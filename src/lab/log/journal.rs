//! The whole log of a lab: every line that its LOG rules have written, for any packet. In the kernel's log, which has
//! lines of others, those of the lab are recognized by the MAC address of the prober, or the addresses of the host.

use std::net::IpAddr;

use crate::lab::PROBER_MAC;
use crate::log_line::{LogLine, LoggedPacketHeader};
use crate::net::{Addresses, InterfaceName, Mac};
use crate::probe::canary;

/// True if the line was logged by a rule of this lab's ruleset; canaries are the lab's own.
pub fn is_of_ruleset(text: &str, addresses: &Addresses, interface: &InterfaceName) -> bool {
    let Some(line) = LogLine::parse(text) else { return false };
    line.prefix != canary::PREFIX && is_of_lab(&line, addresses, interface)
}

fn is_of_lab(line: &LogLine, addresses: &Addresses, interface: &InterfaceName) -> bool {
    const LOOPBACK: Mac = Mac([0; 6]);
    if let Some(header) = line.mac() {
        return [PROBER_MAC, LOOPBACK].contains(&header.source);
    }
    let interfaces = [&line.in_interface, &line.out_interface];
    let is_here = interfaces.into_iter().flatten().all(|name| name == interface.as_str() || name == "lo");
    is_here && line.network.as_ref().is_some_and(|network| has_end_in_lab(network, addresses))
}

/// True if one end is in the lab. Packets that the host sends by itself have a link-local source address, or none.
fn has_end_in_lab(network: &LoggedPacketHeader, addresses: &Addresses) -> bool {
    let is_own = |address: IpAddr| {
        let hosts = [IpAddr::from(addresses.v4.host), addresses.v6.host.into()];
        let is_of_link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        hosts.contains(&address) || address.is_loopback() || address.is_unspecified() || is_of_link
    };
    [network.source(), network.destination()].into_iter().flatten().any(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own(line: &str) -> bool {
        is_of_ruleset(line, &Addresses::default(), &InterfaceName::default())
    }

    #[test]
    fn a_line_of_another_namespace_is_not_of_the_lab() {
        let received = |mac: &str, source: &str| {
            format!(
                "x: IN=eth0 OUT= MAC=02:00:5e:10:00:10:{mac}:08:00 SRC={source} DST=203.0.113.10 LEN=28 TOS=0x00 PREC=0x00 \
                 TTL=64 ID=1 PROTO=UDP SPT=1 DPT=2 LEN=8 "
            )
        };
        assert!(is_own(&received("02:00:5e:10:00:66", "198.51.100.1")));
        assert!(!is_own(&received("02:00:5e:10:00:67", "203.0.113.66")));
        let sent = |source: &str, out: &str| {
            format!(
                "x: IN= OUT={out} SRC={source} DST=198.51.100.1 LEN=28 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=UDP SPT=1 DPT=2 LEN=8 "
            )
        };
        assert!(is_own(&sent("203.0.113.10", "eth0")));
        assert!(!is_own(&sent("203.0.113.10", "eth1")) && !is_own(&sent("192.0.2.7", "eth0")));
        assert!(!is_own("usb 1-1: new device"));
    }
}
