//! A description of a set of packets: the common values, and one example of values that vary.

use super::region::{PacketField, Region};
use super::universe::Space;
use crate::net::conntrack::ConntrackState;
use crate::wire::tcp_flags::TcpFlags;

impl Space {
    /// The first unsupported match on the path of `region`, as written.
    pub fn opaque<'r>(&self, region: &'r Region) -> Option<&'r str> {
        region.answers().next().map(|(key, _)| key.split(" [").next().unwrap_or(key))
    }

    /// `tcp from port 0 to port 80, over other0, NEW`
    pub fn describe(&self, region: &Region) -> String {
        let all = &self.everything;
        let first = |field: PacketField| {
            let values = region.values(field);
            let is_any = values == all.values(field);
            values.ranges().next().filter(|_| !is_any).map(|range| *range.start())
        };
        let protocol = first(PacketField::Protocol);
        let mut words = vec![protocol.map_or_else(|| "a packet".to_owned(), protocol_name)];
        words.extend(
            first(PacketField::Message)
                .filter(|_| matches!(protocol, Some(1 | 58)))
                .map(|message| format!("{}/{}", message / 256, message % 256)),
        );
        words.extend(first(PacketField::Flags).filter(|_| protocol == Some(6)).map(flags));
        words.extend(first(PacketField::Whole).filter(|whole| *whole == 0).map(|_| "in a later fragment".to_owned()));
        words.extend(first(PacketField::Source).map(|number| format!("from {}", self.family.address(number))));
        words.extend(first(PacketField::SourcePort).map(|port| format!("from port {port}")));
        words.extend(first(PacketField::Destination).map(|number| format!("to {}", self.family.address(number))));
        words.extend(first(PacketField::DestinationPort).map(|port| format!("to port {port}")));
        let name = |place: u128| self.names.get(place as usize).map_or("another interface", String::as_str);
        words.extend(first(PacketField::In).map(|place| format!("over {}", name(place))));
        words.extend(first(PacketField::Out).map(|place| format!("out over {}", name(place))));
        let state = |place: u128| ConntrackState::ALL.get(place as usize).map_or("", |state| state.as_str());
        words.extend(first(PacketField::State).map(|place| format!("that is {}", state(place))));
        words.join(" ")
    }
}

fn protocol_name(number: u128) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        number => format!("protocol {number}"),
    }
}

fn flags(octet: u128) -> String {
    let names = TcpFlags(octet as u8).six_names();
    if names.is_empty() { "without flags".to_owned() } else { names.join(",") }
}
