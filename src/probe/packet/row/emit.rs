//! Prints a packet.

use std::fmt;

use super::{Packet, Way, What};
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::packet::Lead;
use crate::wire::tcp_flags::TcpFlags;

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}{}", what(self.what), way(self.way), lead(self.way, self.lead)))
    }
}

fn what(what: What) -> String {
    match what {
        What::Tcp { flags, source, destination } => {
            format!("tcp {}{} to {destination}", flag_names(flags), from(source))
        }
        What::Udp { source, destination } => format!("udp{} to {destination}", from(source)),
        What::Icmp { family: Family::Ipv4, kind, code } => format!("icmp {kind}/{code}"),
        What::Icmp { family: Family::Ipv6, kind, code } => format!("icmpv6 {kind}/{code}"),
        What::Protocol(number) => format!("protocol {number}"),
    }
}

fn flag_names(flags: u8) -> String {
    if flags == TcpFlags::ALL { "ALL".to_owned() } else { TcpFlags(flags).to_string() }
}

fn from(source: Option<Port>) -> String {
    source.map(|port| format!(" from {port}")).unwrap_or_default()
}

fn way(way: Way) -> String {
    match way {
        Way::ToHost => String::new(),
        Way::From(address) => format!(" from {address}"),
        Way::FromHost => " from host".to_owned(),
        Way::FromHostTo(address) => format!(" from host to {address}"),
        Way::OverLoopback => " over lo".to_owned(),
        Way::HostToItself => " from host over lo".to_owned(),
    }
}

/// The words for the lead. The opener is named only if it is not the sender.
fn lead(way: Way, lead: Lead) -> &'static str {
    match lead {
        Lead::None => "",
        Lead::Backward => " answer",
        Lead::Handshake if !way.is_from_host() => " established by host",
        Lead::Forward | Lead::Handshake => " established",
    }
}
