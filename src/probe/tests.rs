//! Every crafted frame read back by etherparse, which shares no code with pnet; and equality with captures of nmap 7.93.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::net::port::Port;

const ENDS: Ends = Ends { prober: Mac([2, 0, 0, 0, 0, 1]), host: Mac([0, 0x0c, 0x29, 1, 2, 3]) };

/// The fields that etherparse reads in a frame whose lengths and checksums it found correct.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    flow: Flow,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    options: Vec<u8>,
    ttl: u8,
    /// Identification and DF of IPv4.
    ip_id: Option<(u16, bool)>,
    flow_label: Option<u32>,
}

impl Read {
    fn frame(frame: &[u8]) -> Read {
        let sliced = SlicedPacket::from_ethernet(frame).expect("an Ethernet frame");
        let ethernet = sliced.link.as_ref().and_then(|link| link.to_header()).and_then(|link| link.ethernet2());
        let ethernet = ethernet.expect("an Ethernet header");
        assert_eq!((ethernet.source, ethernet.destination), (ENDS.prober.0, ENDS.host.0));
        Read::sliced(&sliced, frame.len() - ETHERNET_HEADER)
    }

    fn packet(packet: &[u8]) -> Read {
        Read::sliced(&SlicedPacket::from_ip(packet).expect("an IP packet"), packet.len())
    }

    fn sliced(sliced: &SlicedPacket, packet_len: usize) -> Read {
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("no TCP in {sliced:?}") };
        assert_eq!((tcp.payload(), tcp.urgent_pointer(), tcp.ns()), (&[][..], 0, false));
        let (prober_port, port) = (Port(tcp.source_port()), Port(tcp.destination_port()));
        let flow = |prober: IpAddr, host| Flow { protocol: Protocol::Tcp, prober, prober_port, host, port };
        let read = |flow, ttl, ip_id, flow_label| Read {
            flow,
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            flags: tcp.header_slice()[13],
            window: tcp.window_size(),
            options: tcp.options().to_vec(),
            ttl,
            ip_id,
            flow_label,
        };
        match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                assert_eq!(usize::from(header.total_len), packet_len);
                assert_eq!((header.dscp.value(), header.ecn.value(), header.more_fragments), (0, 0, false));
                assert_eq!(tcp.checksum(), v4_checksum(tcp, header.source, header.destination));
                let flow = flow(header.source.into(), IpAddr::from(header.destination));
                read(flow, header.time_to_live, Some((header.identification, header.dont_fragment)), None)
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header().to_header();
                assert_eq!(usize::from(header.payload_length) + 40, packet_len);
                assert_eq!(header.traffic_class, 0);
                assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv6(header.source, header.destination).unwrap());
                let flow = flow(header.source.into(), IpAddr::from(header.destination));
                read(flow, header.hop_limit, None, Some(header.flow_label.value()))
            }
            net => panic!("no IP but {net:?}"),
        }
    }

    fn probe(&self, technique: Technique) -> Probe {
        Probe {
            technique,
            flow: self.flow,
            seq: self.seq,
            ack: self.ack,
            ttl: self.ttl,
            ip_id: self.ip_id.map_or(0, |(id, _)| id),
            flow_label: self.flow_label.unwrap_or(0),
            craft: ProbeOverrides::default(),
        }
    }
}

fn v4_checksum(tcp: &TcpSlice, source: [u8; 4], destination: [u8; 4]) -> u16 {
    tcp.calc_checksum_ipv4(source, destination).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// IP packets captured from nmap 7.93, 10.77.0.2 to port 82 of 10.77.0.1.
const CAPTURED_V4: [(Technique, &str); 7] = [
    (
        Technique::Syn,
        "4500002c c35b0000 2a06b8d4 0a4d0002 0a4d0001 e03a0052 573ae946 00000000 60020400 5e7c0000 020405b4",
    ),
    (Technique::Ack, "45000028 72b60000 3506fe7d 0a4d0002 0a4d0001 b7e90052 00000000 056ae1c4 50100400 f7cd0000"),
    (Technique::Fin, "45000028 3ba10000 2b063f93 0a4d0002 0a4d0001 876d0052 486ee33e 00000000 50010400 e3da0000"),
    (Technique::Null, "45000028 ad6f0000 3106c7c4 0a4d0002 0a4d0001 cf720052 d391809f 00000000 50000400 73520000"),
    (Technique::Xmas, "45000028 76b30000 3a06f580 0a4d0002 0a4d0001 92650052 441a5bc8 00000000 50290400 64850000"),
    (Technique::Maimon, "45000028 d37d0000 2e06a4b6 0a4d0002 0a4d0001 e49e0052 00000000 b16e7763 50110400 89740000"),
    (Technique::Window, "45000028 4ec90000 3406236b 0a4d0002 0a4d0001 97470052 00000000 af50911c 50100400 bf310000"),
];

/// The same, fd77::2 to port 82 of fd77::1; first the IP header up to the addresses, then the segment.
const CAPTURED_V6: [(Technique, &str, &str); 7] = [
    (Technique::Syn, "60000000 001806ff", "e0020052 b2dbf7f8 00000000 60020400 0e0b0000 020405b4"),
    (Technique::Ack, "60000000 001406ff", "a5600052 00000000 6d60df9b 50100400 be330000"),
    (Technique::Fin, "60000000 001406ff", "a8aa0052 8d4f49ca 00000000 50010400 30db0000"),
    (Technique::Null, "60000000 001406ff", "e5f40052 729b5be2 00000000 50000400 fc2d0000"),
    (Technique::Xmas, "60000000 001406ff", "f6c90052 f9f16cbb 00000000 50290400 53000000"),
    (Technique::Maimon, "60000000 001406ff", "a0c00052 00000000 105c2612 50110400 d9600000"),
    (Technique::Window, "60000000 001406ff", "87f20052 00000000 195daf57 50100400 5fe90000"),
];

const ADDRESSES_V6: &str = "fd770000 00000000 00000000 00000002 fd770000 00000000 00000000 00000001";

fn captures() -> Vec<(Technique, Vec<u8>)> {
    let v4 = CAPTURED_V4.map(|(technique, packet)| (technique, bytes(packet)));
    let v6 =
        CAPTURED_V6.map(|(technique, start, segment)| (technique, bytes(&format!("{start} {ADDRESSES_V6} {segment}"))));
    v4.into_iter().chain(v6).collect()
}

#[test]
fn every_raw_probe_equals_nmaps_bit_for_bit() {
    for (technique, captured) in captures() {
        let probe = Read::packet(&captured).probe(technique);
        assert_eq!(probe.frame(&ENDS)[ETHERNET_HEADER..], captured, "{technique} {:?}", probe.family());
    }
}

fn flow_of(protocol: Protocol, ends: [&str; 2], prober_port: u16, port: u16) -> Flow {
    let [prober, host] = ends.map(|end| end.parse().unwrap());
    Flow { protocol, prober, prober_port: Port(prober_port), host, port: Port(port) }
}

const OLD_V4: [&str; 2] = ["10.77.0.2", "10.77.0.1"];
const OLD_V6: [&str; 2] = ["fd77::2", "fd77::1"];
const LAB_V4: [&str; 2] = ["203.0.113.66", "203.0.113.10"];
const LAB_V6: [&str; 2] = ["2001:db8:113::66", "2001:db8:113::10"];
const LAB_ADDRESSES_V6: &str = "20010db8 01130000 00000000 00000066 20010db8 01130000 00000000 00000010";

/// Captured from `nmap -sU`, `nmap -PE`, and from both and a SYN with `--badsum`, `--scanflags`, `-g` and `--ttl`.
#[test]
fn datagrams_echo_requests_and_what_is_crafted_equal_nmaps_bit_for_bit() {
    use Protocol::{Icmp, Tcp, Udp};
    let bad = ProbeOverrides { badsum: true, ..ProbeOverrides::default() };
    let odd = ProbeOverrides {
        scanflags: Some(0xd2),
        source_port: Some(Port(53)),
        ttl: Some(9),
        ..ProbeOverrides::default()
    };
    let plain = ProbeOverrides::default();
    let numbers = |seq, ack| (seq, ack);
    let none = numbers(0, 0);
    let v6 = |start: &str, addresses: &str, rest: &str| format!("{start} {addresses} {rest}");
    for (technique, flow, (seq, ack), ttl, ip_id, craft, captured) in [
        (
            Technique::Udp,
            flow_of(Udp, OLD_V4, 0x8f31, 0x52),
            none,
            0x25,
            0xa334,
            plain,
            "4500001c a3340000 2511de00 0a4d0002 0a4d0001 8f310052 00085bbe".to_owned(),
        ),
        (
            Technique::Udp,
            flow_of(Udp, OLD_V6, 0xc99d, 0x52),
            none,
            255,
            0,
            plain,
            v6("60000000 000811ff", ADDRESSES_V6, "c99d0052 00083afc"),
        ),
        (
            Technique::Echo,
            flow_of(Icmp, LAB_V4, 20488, 0),
            none,
            47,
            44775,
            plain,
            "4500001c aee70000 2f0164ac cb007142 cb00710a 0800a7f7 50080000".to_owned(),
        ),
        (
            Technique::Echo,
            flow_of(Icmp, LAB_V6, 25467, 0),
            none,
            255,
            0,
            plain,
            v6("60000000 00083aff", LAB_ADDRESSES_V6, "8000be33 637b0000"),
        ),
        (
            Technique::Syn,
            flow_of(Tcp, LAB_V4, 0x8b07, 23),
            numbers(0xfa24_7d5c, 0),
            38,
            39726,
            bad,
            "4500002c 9b2e0000 26068150 cb007142 cb00710a 8b070017 fa247d5c 00000000 60020400 18390000 020405b4"
                .to_owned(),
        ),
        (
            Technique::Udp,
            flow_of(Udp, LAB_V4, 47491, 9),
            none,
            48,
            27377,
            bad,
            "4500001c 6af10000 3011a792 cb007142 cb00710a b9830009 0008cd03".to_owned(),
        ),
        (
            Technique::Syn,
            flow_of(Tcp, LAB_V4, 53, 23),
            numbers(0x78b4_9ff4, 0xccc1_ba8d),
            9,
            30961,
            odd,
            "4500002c 78f10000 0906c08d cb007142 cb00710a 00350017 78b49ff4 ccc1ba8d 60d20400 7ac40000 020405b4"
                .to_owned(),
        ),
    ] {
        let probe = Probe { technique, flow, seq, ack, ttl, ip_id, flow_label: 0xabcde, craft };
        assert_eq!(probe.frame(&ENDS)[ETHERNET_HEADER..], bytes(&captured), "{technique} {craft:?}");
    }
}

/// Captured from `nmap -sT --ttl 9`: in IPv4 the whole connection has this TTL; in IPv6 the option has no effect.
#[test]
fn of_what_is_crafted_a_connect_takes_the_ttl_in_ipv4() {
    let craft = ProbeOverrides { scanflags: Some(0), badsum: true, ttl: Some(9), ..ProbeOverrides::default() };
    for (family, ttl) in [(Family::Ipv4, 9), (Family::Ipv6, 64)] {
        let probe = Probe { craft, ..sample(Technique::Connect, family) };
        for frame in [probe.frame(&ENDS), probe.handshake_ack(&syn_ack(&probe), &ENDS)] {
            assert_eq!(Read::frame(&frame).ttl, ttl);
        }
        assert_eq!(Read::frame(&probe.frame(&ENDS)).flags, TcpFlags::SYN);
    }
}

/// Captured from `nmap -sT`: everything but the ports, the numbers, and the time stamps, which the lab leaves out on
/// purpose.
#[test]
fn a_connect_has_the_look_of_linux() {
    let v4 = "4500003c a4ee4000 40068131 0a4d0002 0a4d0001 839c0052 ae45dfd6 00000000 a002faf0 14cb0000 \
              020405b4 0402080a 0f160b10 00000000 0103030a";
    let captured = bytes(v4);
    // The captured checksum is a partial one (offloaded), so etherparse reads the crafted frame only.
    let probe = Probe { ttl: 1, ..sample(Technique::Connect, Family::Ipv4) };
    let read = Read::frame(&probe.frame(&ENDS));
    assert_eq!(read.ttl, captured[8]);
    assert_eq!(read.ip_id, Some((probe.ip_id, true)));
    assert_eq!(read.flags, captured[33]);
    assert_eq!(read.window.to_be_bytes(), captured[34..36]);
    assert_eq!(read.options[..4], captured[40..44]);
    assert_eq!(read.options[9..], captured[57..]);

    let probe = sample(Technique::Connect, Family::Ipv6);
    let read = Read::frame(&probe.frame(&ENDS));
    assert_eq!((read.ttl, read.flow_label, read.window), (64, Some(probe.flow_label), 0xfd20));
    assert_eq!(read.options[..4], [2, 4, 0x05, 0xa0]);
}

fn sample(technique: Technique, family: Family) -> Probe {
    let (prober, host): (IpAddr, IpAddr) = match family {
        Family::Ipv4 => (Ipv4Addr::new(203, 0, 113, 66).into(), Ipv4Addr::new(203, 0, 113, 10).into()),
        Family::Ipv6 => (
            Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x66).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x10).into(),
        ),
    };
    let flow = Flow { protocol: technique.protocol(), prober, prober_port: Port(40000), host, port: Port(80) };
    Probe {
        technique,
        flow,
        seq: 0x0102_0304,
        ack: 0,
        ttl: 42,
        ip_id: 4660,
        flow_label: 0xabcde,
        craft: ProbeOverrides::default(),
    }
}

/// A SYN/ACK of the host: ISN 0xffff_ffff, so that the numbers that follow have to wrap.
fn syn_ack(probe: &Probe) -> TcpSegment {
    TcpSegment {
        source: probe.flow.port,
        destination: probe.flow.prober_port,
        seq: u32::MAX,
        ack: probe.seq.wrapping_add(1),
        flags: TcpFlags::SYN | TcpFlags::ACK,
        window: 65160,
        scales: true,
        payload: Vec::new(),
    }
}

#[test]
fn a_half_open_connection_is_closed_as_a_kernel_does() {
    for family in Family::BOTH {
        let probe = sample(Technique::Syn, family);
        let read = Read::frame(&probe.reset_after(&syn_ack(&probe), &ENDS));
        assert_eq!((read.seq, read.ack, read.flags, read.window), (probe.seq + 1, 0, TcpFlags::RST, 0));
        assert_eq!((read.flow, read.ttl, read.options.len()), (probe.flow, 64, 0));
        assert!(read.ip_id.is_none_or(|id| id == (0, true)), "{:?}", read.ip_id);
    }
}

#[test]
fn a_connect_goes_on_and_aborts_with_numbers_that_follow() {
    for family in Family::BOTH {
        let probe = sample(Technique::Connect, family);
        let syn_ack = syn_ack(&probe);
        let third = Read::frame(&probe.handshake_ack(&syn_ack, &ENDS));
        assert_eq!((third.seq, third.ack, third.flags), (probe.seq + 1, 0, TcpFlags::ACK));
        let abort = Read::frame(&probe.abort(&syn_ack, 21, &ENDS));
        assert_eq!((abort.seq, abort.ack, abort.flags), (probe.seq + 1, 21, TcpFlags::RST | TcpFlags::ACK));
        for read in [third, abort] {
            assert_eq!((read.flow, read.ttl), (probe.flow, 64));
            assert!(read.ip_id.is_none_or(|id| id == (probe.ip_id + 1, true)), "{:?}", read.ip_id);
            assert!(read.flow_label.is_none_or(|label| label == probe.flow_label));
        }
    }
}

/// The one's complement sum over the IP payload and its pseudo header: all ones if the checksum is correct (RFC 1071).
fn sum(frame: &[u8]) -> u16 {
    let (addresses, protocol, content) = match frame[12..14] {
        [8, 0] => (&frame[26..34], frame[23], &frame[34..]),
        _ => (&frame[22..54], frame[20], &frame[54..]),
    };
    let length = (content.len() as u16).to_be_bytes();
    let pseudo = if protocol == 1 { Vec::new() } else { [addresses, &[0, protocol], &length].concat() };
    let words = |bytes: &[u8]| bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum::<u32>();
    let mut sum = words(&pseudo) + words(content);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn any_craft() -> impl Strategy<Value = ProbeOverrides> {
    (any::<Option<u8>>(), any::<bool>()).prop_map(|(scanflags, badsum)| ProbeOverrides {
        scanflags,
        badsum,
        ..ProbeOverrides::default()
    })
}

fn any_probe() -> impl Strategy<Value = Probe> {
    probe_of(&[
        Technique::Syn,
        Technique::Connect,
        Technique::Null,
        Technique::Fin,
        Technique::Xmas,
        Technique::Ack,
        Technique::Maimon,
        Technique::Window,
    ])
}

fn probe_of(techniques: &'static [Technique]) -> impl Strategy<Value = Probe> {
    let v4 = any::<([u8; 4], [u8; 4])>().prop_map(|(prober, host)| (IpAddr::from(prober), IpAddr::from(host)));
    let v6 = any::<([u8; 16], [u8; 16])>().prop_map(|(prober, host)| (IpAddr::from(prober), IpAddr::from(host)));
    let numbers = any::<(u16, u16, u32, u32, u8, u16)>();
    (proptest::sample::select(techniques), prop_oneof![v4, v6], numbers, 0_u32..1 << 20).prop_map(
        |(technique, (prober, host), (prober_port, port, seq, ack, ttl, ip_id), flow_label)| {
            let protocol = technique.protocol();
            let flow = Flow { protocol, prober, prober_port: Port(prober_port), host, port: Port(port) };
            Probe { technique, flow, seq, ack, ttl, ip_id, flow_label, craft: ProbeOverrides::default() }
        },
    )
}

proptest! {
    #[test]
    fn a_second_opinion_reads_what_was_meant(probe in any_probe()) {
        let read = Read::frame(&probe.frame(&ENDS));
        prop_assert_eq!((read.flow, read.seq, read.ack), (probe.flow, probe.seq, probe.ack));
        prop_assert_eq!(read.flags, probe.flags());
        let is_connect = probe.technique == Technique::Connect;
        prop_assert_eq!(read.ttl, if is_connect { 64 } else { probe.ttl });
        match probe.family() {
            Family::Ipv4 => prop_assert_eq!(read.ip_id, Some((probe.ip_id, is_connect))),
            Family::Ipv6 => {
                prop_assert_eq!(read.flow_label, Some(if is_connect { probe.flow_label } else { 0 }));
            }
        }
        if !is_connect {
            prop_assert_eq!(read.window, 1024);
            let mss: &[u8] = if probe.flags() & TcpFlags::SYN != 0 { &[2, 4, 5, 0xb4] } else { &[] };
            prop_assert_eq!(read.options, mss);
        }
    }

    #[test]
    fn any_flags_are_sent_with_a_right_checksum_or_a_wrong_one(probe in any_probe(), craft in any_craft()) {
        let probe = Probe { craft, ..probe };
        let frame = probe.frame(&ENDS);
        let is_crafted = probe.technique != Technique::Connect;
        prop_assert_eq!(sum(&frame) == 0xffff, !(craft.badsum && is_crafted));
        if !craft.badsum {
            let read = Read::frame(&frame);
            prop_assert_eq!(read.flags, craft.scanflags.filter(|_| is_crafted).unwrap_or(probe.flags()));
            prop_assert_eq!(read.options.len() == 4 || !is_crafted, read.flags & TcpFlags::SYN != 0);
        }
    }

    #[test]
    fn a_second_opinion_reads_datagrams_and_echo_requests(
        probe in probe_of(&[Technique::Udp, Technique::Echo]),
        badsum: bool,
    ) {
        let probe = Probe { craft: ProbeOverrides { badsum, ..ProbeOverrides::default() }, ..probe };
        let frame = probe.frame(&ENDS);
        let right = sum(&frame) == 0xffff;
        prop_assert_eq!(right, !badsum);
        let sliced = SlicedPacket::from_ethernet(&frame).expect("an Ethernet frame");
        let numbers = match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => {
                prop_assert_eq!((udp.length(), udp.payload().len()), (8, 0));
                prop_assert!(udp.checksum() != 0, "0 would be none");
                (udp.source_port(), udp.destination_port())
            }
            Some(TransportSlice::Icmpv4(icmp)) => {
                prop_assert_eq!((icmp.type_u8(), icmp.code_u8(), icmp.payload().len()), (8, 0, 0));
                let [a, b, c, d] = icmp.bytes5to8();
                (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            Some(TransportSlice::Icmpv6(icmp)) => {
                prop_assert_eq!((icmp.type_u8(), icmp.code_u8(), icmp.payload().len()), (128, 0, 0));
                let [a, b, c, d] = icmp.bytes5to8();
                (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            other => panic!("neither UDP nor ICMP: {other:?}"),
        };
        prop_assert_eq!(numbers, (probe.flow.prober_port.0, probe.flow.port.0));
    }

    /// The reading of the frame asserts that its checksums are right.
    #[test]
    fn frames_after_a_probe_have_correct_checksums(probe in any_probe(), seq: u32, ack: u32, greeting in 0_usize..2000) {
        let syn_ack = TcpSegment { seq, ack, ..syn_ack(&probe) };
        for frame in [
            probe.reset_after(&syn_ack, &ENDS),
            probe.handshake_ack(&syn_ack, &ENDS),
            probe.abort(&syn_ack, greeting, &ENDS),
        ] {
            let read = Read::frame(&frame);
            prop_assert_eq!((read.flow, read.seq), (probe.flow, ack));
        }
    }
}
