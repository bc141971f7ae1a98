//! The fence of a link without ARP: a packet that the lab's own table logs to a socket of the lab (nfnetlink_log), and
//! drops, before any rule of iptables can see it.
//!
//! 1. Its chain has priority -460 of PREROUTING. The first hook of iptables is raw, at -300; defragmentation is at -400
//!    (linux/netfilter_ipv4.h). iptables-restore can set neither priorities nor tables of other names.
//! 2. Routes and reverse path filters are checked after PREROUTING (`ip_rcv_finish` in net/ipv4/ip_input.c), so that
//!    the machine's settings cannot drop it either.
//! 3. It is recognized by its payload. A rule that logs to the same group (`-j NFLOG`) sends other packets to the
//!    socket; they are skipped.
//!
//! An IPv4 packet serves both families, because the kernel processes packets in the order in which they arrive.

use std::net::Ipv4Addr;

use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};

/// The log group of fences. Only one socket of a namespace can listen to a group.
pub const GROUP: u16 = 0xfe4c;

/// The source address of fences: one for documentation (RFC 5737).
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 203);

/// The protocol of fences: "Use for experimentation and testing" (RFC 3692, section 2.1).
pub const PROTOCOL: u8 = 253;

/// The beginning of the payload of a fence: no other packet of that protocol has it.
pub const MAGIC: [u8; 8] = *b"scanlab|";

const HEADER: usize = 20;
const NUMBER: usize = HEADER + MAGIC.len();
const LENGTH: usize = NUMBER + 4;

/// Builds fence number `number`, to `host`.
pub fn packet(host: Ipv4Addr, number: u32) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[HEADER..NUMBER].copy_from_slice(&MAGIC);
    bytes[NUMBER..].copy_from_slice(&number.to_be_bytes());
    let mut ip = MutableIpv4Packet::new(&mut bytes).expect("the buffer holds an IPv4 header");
    ip.set_version(4);
    ip.set_header_length((HEADER / 4) as u8);
    ip.set_total_length(LENGTH as u16);
    ip.set_flags(Ipv4Flags::DontFragment);
    ip.set_ttl(64);
    ip.set_next_level_protocol(IpNextHeaderProtocol(PROTOCOL));
    ip.set_source(SOURCE);
    ip.set_destination(host);
    let checksum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(checksum);
    bytes
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket};

    use super::*;

    #[test]
    fn a_second_opinion_finds_a_whole_packet() {
        let host = Ipv4Addr::new(203, 0, 113, 10);
        let bytes = packet(host, 0x0102_0304);
        let Some(NetSlice::Ipv4(ip)) = SlicedPacket::from_ip(&bytes).expect("an IP packet").net else {
            panic!("{bytes:?}")
        };
        let header = ip.header().to_header();
        assert_eq!((header.source, header.destination), (SOURCE.octets(), host.octets()));
        assert_eq!((header.protocol.0, header.header_checksum), (PROTOCOL, header.calc_header_checksum()));
        assert_eq!(ip.payload().payload, b"scanlab|\x01\x02\x03\x04");
    }

    #[test]
    fn fences_differ_in_their_number() {
        assert_ne!(packet(SOURCE, 1), packet(SOURCE, 2));
    }
}
