//! Frames of neighbour discovery: ARP (RFC 826) and NDP (RFC 4861), with the layout of nmap's host discovery (42 and 86
//! bytes). Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, MutableArpPacket};
use pnet_packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NdpOption, NdpOptionTypes, NeighborAdvertFlags,
};
use pnet_packet::icmpv6::{self, Icmpv6Packet, Icmpv6Types};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::MutableIpv6Packet;

use crate::net::Mac;

const ETHERNET_HEADER: usize = 14;
const ARP_PACKET: usize = 28;
const IPV6_HEADER: usize = 40;
/// A solicitation or advertisement with one link-layer address option.
const NEIGHBOUR_MESSAGE: usize = 24 + 8;

/// "Who has `target`? Tell `sender`": nmap's first packet to a host on its own link.
pub fn arp_request(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(mac, Mac::BROADCAST, EtherTypes::Arp, ARP_PACKET);
    let mut arp = MutableArpPacket::new(&mut frame[ETHERNET_HEADER..]).expect("the buffer holds an ARP packet");
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_hw_addr(MacAddr::from(mac.0));
    arp.set_sender_proto_addr(sender);
    arp.set_target_proto_addr(target);
    frame
}

/// "`address` is at `mac`": the answer to `asker`.
pub fn arp_reply(mac: Mac, address: Ipv4Addr, asker: Mac) -> Vec<u8> {
    let mut frame = arp_request(mac, address, address);
    let mut arp = MutableArpPacket::new(&mut frame[ETHERNET_HEADER..]).expect("the buffer holds an ARP packet");
    arp.set_operation(ArpOperations::Reply);
    arp.set_target_hw_addr(MacAddr::from(asker.0));
    // Linux answers an ARP probe, which has no sender address, to 0.0.0.0.
    arp.set_target_proto_addr(Ipv4Addr::UNSPECIFIED);
    frame
}

/// An ARP probe (RFC 5227, section 1.1): its sender address is 0.0.0.0, so that it changes no neighbour table. Linux
/// answers it to the sender's MAC address (`arp_process` in net/ipv4/arp.c).
pub fn arp_probe(mac: Mac, target: Ipv4Addr) -> Vec<u8> {
    arp_request(mac, Ipv4Addr::UNSPECIFIED, target)
}

/// A neighbour solicitation to the solicited-node multicast address of `target`.
pub fn neighbour_solicitation(mac: Mac, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let mut frame = neighbour_frame(mac, multicast_mac(group), sender, group);
    let bytes = &mut frame[ETHERNET_HEADER + IPV6_HEADER..];
    let mut message = MutableNeighborSolicitPacket::new(bytes).expect("the buffer holds a solicitation");
    message.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
    message.set_target_addr(target);
    message.set_options(&[link_layer_option(NdpOptionTypes::SourceLLAddr, mac)]);
    write_checksum(bytes, sender, group);
    frame
}

/// "`target` is at `mac`": the answer to the solicitation that `host` at `host_mac` sent.
pub fn neighbour_advertisement(mac: Mac, host_mac: Mac, target: Ipv6Addr, host: Ipv6Addr) -> Vec<u8> {
    let mut frame = neighbour_frame(mac, host_mac, target, host);
    let bytes = &mut frame[ETHERNET_HEADER + IPV6_HEADER..];
    let mut message = MutableNeighborAdvertPacket::new(bytes).expect("the buffer holds an advertisement");
    message.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
    message.set_flags(NeighborAdvertFlags::Solicited | NeighborAdvertFlags::Override);
    message.set_target_addr(target);
    message.set_options(&[link_layer_option(NdpOptionTypes::TargetLLAddr, mac)]);
    write_checksum(bytes, target, host);
    frame
}

/// RFC 4291, section 2.7.1: `ff02::1:ff` and the low 24 bits.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// RFC 2464, section 7: `33:33` and the low 32 bits.
fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// Hop limit 255 proves that no router forwarded it (RFC 4861, section 7.1).
fn neighbour_frame(mac: Mac, to: Mac, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut frame = ethernet(mac, to, EtherTypes::Ipv6, IPV6_HEADER + NEIGHBOUR_MESSAGE);
    let mut ip = MutableIpv6Packet::new(&mut frame[ETHERNET_HEADER..]).expect("the buffer holds an IPv6 header");
    ip.set_version(6);
    ip.set_payload_length(NEIGHBOUR_MESSAGE as u16);
    ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
    ip.set_hop_limit(255);
    ip.set_source(source);
    ip.set_destination(destination);
    frame
}

fn link_layer_option(kind: icmpv6::ndp::NdpOptionType, mac: Mac) -> NdpOption {
    NdpOption { option_type: kind, length: 1, data: mac.0.to_vec() }
}

/// Writes the checksum through a plain ICMPv6 packet, since the typed packets of NDP have no checksum field.
fn write_checksum(bytes: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr) {
    let message = Icmpv6Packet::new(bytes).expect("the buffer holds an ICMPv6 message");
    let checksum = icmpv6::checksum(&message, &source, &destination);
    debug_assert_eq!(message.packet().len(), NEIGHBOUR_MESSAGE);
    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
}

fn ethernet(from: Mac, to: Mac, ethertype: EtherType, payload: usize) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_HEADER + payload];
    let mut header = MutableEthernetPacket::new(&mut frame).expect("the buffer holds an Ethernet header");
    header.set_source(MacAddr::from(from.0));
    header.set_destination(MacAddr::from(to.0));
    header.set_ethertype(ethertype);
    frame
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket};

    use super::*;

    const PROBER: Mac = Mac([0x02, 0x77, 0x00, 0x00, 0x10, 0x02]);

    fn hex(frame: &[u8]) -> String {
        frame.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Captured from nmap 7.93: `nmap -sn 10.77.0.212`.
    #[test]
    fn an_arp_request_equals_nmaps() {
        let frame = arp_request(PROBER, Ipv4Addr::new(10, 77, 0, 208), Ipv4Addr::new(10, 77, 0, 212));
        assert_eq!(
            hex(&frame),
            "ffffffffffff0277000010020806000108000604000102770000\
             10020a4d00d00000000000000a4d00d4"
        );
    }

    /// Captured from nmap 7.93: `nmap -6 -sn fd77::10:0:0:77`.
    #[test]
    fn a_solicitation_equals_nmaps() {
        let frame =
            neighbour_solicitation(PROBER, "fd77::10:0:0:2".parse().unwrap(), "fd77::10:0:0:77".parse().unwrap());
        assert_eq!(
            hex(&frame),
            "3333ff00007702770000100286dd6000000000203afffd770000000000000010000000000002\
             ff0200000000000000000001ff00007787006b2600000000fd7700000000000000100000000000770101027700001002"
        );
    }

    #[test]
    fn a_second_opinion_finds_the_checksums_right() {
        let (prober, host) = ("2001:db8::66".parse().unwrap(), "2001:db8::10".parse().unwrap());
        let host_mac = Mac([0, 0x0c, 0x29, 1, 2, 3]);
        for frame in
            [neighbour_solicitation(PROBER, prober, host), neighbour_advertisement(PROBER, host_mac, prober, host)]
        {
            let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("{frame:?}") };
            let Some(etherparse::TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("{frame:?}") };
            assert!(icmp.is_checksum_valid(ip.header().source(), ip.header().destination()));
        }
    }
}
