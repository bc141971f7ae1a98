//! Frames built by etherparse, or byte by byte, and frames that are broken.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::net::Family;
use crate::wire::tcp_flags::TcpFlags;

const HOST_MAC: [u8; 6] = [0x00, 0x0c, 0x29, 0x4f, 0x8e, 0x35];
const PROBER_MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x66];
const SEQ: u32 = 0x573a_e946;

fn flow(family: Family) -> Flow {
    let (prober, host) = family.pick(("203.0.113.66", "203.0.113.10"), ("2001:db8:113::66", "2001:db8:113::10"));
    Flow {
        protocol: Protocol::Tcp,
        prober: prober.parse().unwrap(),
        prober_port: Port(40000),
        host: host.parse().unwrap(),
        port: Port(80),
    }
}

/// An IP header around `payload`, as Linux sends it (TTL 64).
fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let len = (20 + payload.len()) as u16;
            let mut header = etherparse::Ipv4Header::new(
                payload.len() as u16,
                64,
                etherparse::IpNumber(protocol),
                source.octets(),
                destination.octets(),
            )
            .unwrap();
            header.total_len = len;
            header.header_checksum = header.calc_header_checksum();
            header.to_bytes().to_vec()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => etherparse::Ipv6Header {
            payload_length: payload.len() as u16,
            next_header: etherparse::IpNumber(protocol),
            hop_limit: 64,
            source: source.octets(),
            destination: destination.octets(),
            ..Default::default()
        }
        .to_bytes()
        .to_vec(),
        _ => unreachable!("one family"),
    };
    packet.extend(payload);
    packet
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    let ethertype: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&PROBER_MAC[..], &HOST_MAC, &ethertype, packet].concat()
}

/// The host's answer from the probed port.
fn answer(flow: &Flow, set: impl Fn(&mut etherparse::TcpHeader)) -> Vec<u8> {
    let mut header = etherparse::TcpHeader::new(flow.port.0, flow.prober_port.0, 0, 0);
    set(&mut header);
    ethernet(&ip(flow.host, flow.prober, 6, &header.to_bytes()))
}

fn reset(flow: &Flow, seq: u32, ack: u32) -> Vec<u8> {
    answer(flow, |tcp| {
        (tcp.rst, tcp.ack) = (true, true);
        (tcp.sequence_number, tcp.acknowledgment_number) = (seq, ack);
    })
}

/// The probe, as far as an ICMP error has to quote it.
fn quote(flow: &Flow, seq: u32, segment_len: usize) -> Vec<u8> {
    let header = etherparse::TcpHeader::new(flow.prober_port.0, flow.port.0, seq, 1024).to_bytes();
    let whole = ip(flow.prober, flow.host, 6, &header);
    whole[..whole.len() - header.len() + segment_len].to_vec()
}

/// An ICMP error of the family of `source`.
fn icmp(source: IpAddr, flow: &Flow, kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
    let protocol = if source.is_ipv4() { 1 } else { 58 };
    ethernet(&ip(source, flow.prober, protocol, &[&[kind, code, 0, 0, 0, 0, 0, 0], quote].concat()))
}

fn port_unreachable(family: Family) -> (u8, u8) {
    family.pick((3, 3), (1, 4))
}

fn read(frame: &[u8]) -> Reply {
    Reply::from_ethernet(frame).expect("a frame that can be read")
}

#[test]
fn a_reset_is_read() {
    for family in Family::BOTH {
        let flow = flow(family);
        let reply = read(&reset(&flow, 0, SEQ + 1));
        assert_eq!((reply.mac, reply.source, reply.destination), (Some(Mac(HOST_MAC)), flow.host, flow.prober));
        assert_eq!((reply.ttl, reply.flow()), (64, Some(flow)));
        let Body::Tcp(segment) = reply.body else { panic!("{reply:?}") };
        assert_eq!((segment.seq, segment.ack, segment.flags), (0, SEQ + 1, TcpFlags::RST | TcpFlags::ACK));
    }
}

#[test]
fn a_syn_ack_with_options_is_read_and_padding_is_not() {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(HOST_MAC, PROBER_MAC)
        .ipv4([203, 0, 113, 10], [203, 0, 113, 66], 64)
        .tcp(80, 40000, 7, 64240)
        .syn()
        .ack(SEQ + 1)
        .options_raw(&[2, 4, 5, 0xb4])
        .unwrap()
        .write(&mut frame, b"hi")
        .unwrap();
    // Ethernet pads short frames to 60 bytes: the bytes after the IP packet are not payload.
    frame.resize(80, 0xaa);
    let Body::Tcp(segment) = read(&frame).body else { panic!("no segment") };
    assert_eq!((segment.flags, segment.window), (TcpFlags::SYN | TcpFlags::ACK, 64240));
    assert_eq!((segment.seq, segment.ack), (7, SEQ + 1));
    assert_eq!(segment.payload, b"hi");
}

#[test]
fn an_icmp_error_is_read_with_what_it_quotes() {
    for family in Family::BOTH {
        let flow = flow(family);
        let (kind, code) = port_unreachable(family);
        let reply = read(&icmp(flow.host, &flow, kind, code, &quote(&flow, SEQ, 8)));
        let expected = IcmpError {
            kind,
            code,
            quoted_source: flow.prober,
            quoted_destination: flow.host,
            protocol: Protocol::Tcp,
            source: flow.prober_port,
            destination: flow.port,
            seq: Some(SEQ),
        };
        assert_eq!(reply.body, Body::Unreachable(expected));
        assert_eq!(reply.flow(), Some(flow));
    }
}

#[test]
fn an_icmp_error_that_quotes_too_little_or_no_probe_says_nothing() {
    for family in Family::BOTH {
        let flow = flow(family);
        let (kind, code) = port_unreachable(family);
        for segment_len in 0..8 {
            let reply = read(&icmp(flow.host, &flow, kind, code, &quote(&flow, SEQ, segment_len)));
            assert_eq!(reply.body, Body::Other, "{segment_len} bytes");
        }
        for (protocol, first) in [(132, 0x9c), (1, 0), (58, 129)] {
            let other = ip(flow.prober, flow.host, protocol, &[first, 0x40, 0, 80, 0, 8, 0, 0]);
            assert_eq!(read(&icmp(flow.host, &flow, kind, code, &other)).body, Body::Other, "{protocol}");
        }
    }
}

#[test]
fn an_icmp_error_quotes_datagrams_and_echo_requests_too() {
    for family in Family::BOTH {
        let (kind, code) = port_unreachable(family);
        let udp = Flow { protocol: Protocol::Udp, ..flow(family) };
        let datagram = ip(udp.prober, udp.host, 17, &[0x9c, 0x40, 0, 80, 0, 8, 0, 0]);
        let reply = read(&icmp(udp.host, &udp, kind, code, &datagram));
        assert!(reply.answers(&udp, 0) && !reply.answers(&flow(family), SEQ));
        let (protocol, request) = if family == Family::Ipv4 { (1, 8) } else { (58, 128) };
        let echo = Flow { protocol: Protocol::Icmp, port: Port(0), ..udp };
        let request = ip(echo.prober, echo.host, protocol, &[request, 0, 0, 0, 0x9c, 0x40, 0, 0]);
        let reply = read(&icmp(echo.host, &echo, kind, code, &request));
        assert!(reply.answers(&echo, 0) && !reply.answers(&Flow { prober_port: Port(7), ..echo }, 0));
    }
}

#[test]
fn datagrams_and_echo_replies_are_read() {
    for family in Family::BOTH {
        let udp = Flow { protocol: Protocol::Udp, ..flow(family) };
        let frame = |protocol, bytes: &[u8]| ethernet(&ip(udp.host, udp.prober, protocol, bytes));
        let reply = read(&frame(17, &[0, 80, 0x9c, 0x40, 0, 9, 0, 0, 7]));
        assert!(reply.answers(&udp, 0) && !reply.answers(&flow(family), SEQ));
        assert_eq!(read(&frame(17, &[0, 80, 0x9c, 0x40, 0, 9])).body, Body::Other, "cut short");
        let echo = Flow { protocol: Protocol::Icmp, port: Port(0), ..udp };
        let (protocol, kind) = if family == Family::Ipv4 { (1, 0) } else { (58, 129) };
        assert!(read(&frame(protocol, &[kind, 0, 0, 0, 0x9c, 0x40, 0, 0])).answers(&echo, 0));
        assert!(!read(&frame(protocol, &[kind, 0, 0, 0, 0x9c, 0x41, 0, 0])).answers(&echo, 0));
        assert!(!read(&frame(protocol, &[kind, 0, 0, 0, 0x9c, 0x40, 0, 1])).answers(&echo, 0));
    }
}

#[test]
fn icmp_that_is_no_error_says_nothing() {
    let (v4, v6) = (flow(Family::Ipv4), flow(Family::Ipv6));
    for kind in [4, 5, 8, 12] {
        assert_eq!(read(&icmp(v4.host, &v4, kind, 0, &quote(&v4, SEQ, 20))).body, Body::Other, "{kind}");
    }
    for kind in [128, 133, 135] {
        assert_eq!(read(&icmp(v6.host, &v6, kind, 0, &quote(&v6, SEQ, 20))).body, Body::Other, "{kind}");
    }
}

/// RFC 4861, section 4.4, with the target link-layer address option.
fn advertisement(options: &[u8]) -> Vec<u8> {
    let flow = flow(Family::Ipv6);
    let IpAddr::V6(target) = flow.host else { unreachable!() };
    let message = [&[136, 0, 0, 0, 0x60, 0, 0, 0][..], &target.octets(), options].concat();
    ethernet(&ip(flow.host, flow.prober, 58, &message))
}

#[test]
fn a_neighbour_advertisement_is_read() {
    let option = [&[2, 1][..], &HOST_MAC].concat();
    let behind_another = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &option].concat();
    let expected = |mac| Neighbour { address: flow(Family::Ipv6).host, mac, asker: None };
    for options in [&option, &behind_another] {
        assert_eq!(read(&advertisement(options)).body, Body::Neighbour(expected(Some(Mac(HOST_MAC)))));
    }
    assert_eq!(read(&advertisement(&[])).body, Body::Neighbour(expected(None)));
}

/// pnet multiplies the length octet in eight bits: 32 and more panicked. A length of 0 ends the options.
#[test]
fn an_advertisement_with_a_lying_option_length_gives_no_mac() {
    for len in [0, 2, 31, 32, 33, 64, 255] {
        let Body::Neighbour(neighbour) = read(&advertisement(&[&[2, len][..], &HOST_MAC].concat())).body else {
            panic!("{len}: no advertisement")
        };
        assert_eq!(neighbour.mac, None, "{len}");
    }
}

fn arp_frame(operation: u8) -> Vec<u8> {
    let arp = [&[0, 1, 8, 0, 6, 4, 0, operation][..], &HOST_MAC, &[203, 0, 113, 10], &PROBER_MAC, &[203, 0, 113, 66]]
        .concat();
    [&PROBER_MAC[..], &HOST_MAC, &[8, 6], &arp].concat()
}

#[test]
fn an_arp_reply_is_read_and_a_request_is_not() {
    let flow = flow(Family::Ipv4);
    let reply = read(&arp_frame(2));
    let expected = Neighbour { address: flow.host, mac: Some(Mac(HOST_MAC)), asker: Some(Mac(PROBER_MAC)) };
    assert_eq!((reply.body, reply.source, reply.destination), (Body::Neighbour(expected), flow.host, flow.prober));
    assert_eq!(Reply::from_ethernet(&arp_frame(1)), None);
}

#[test]
fn a_fragment_that_is_not_the_first_is_not_read() {
    let flow = flow(Family::Ipv4);
    let mut frame = reset(&flow, 0, 0);
    frame[14 + 7] = 1;
    assert_eq!(Reply::from_ethernet(&frame), None);
}

/// nmap ignores the numbers of a segment: a RST with any numbers counts.
#[test]
fn a_segment_answers_whatever_its_numbers() {
    for family in Family::BOTH {
        let flow = flow(family);
        for (seq, ack) in [(0, SEQ + 1), (0xdead_beef, 0x1234_5678)] {
            assert!(read(&reset(&flow, seq, ack)).answers(&flow, SEQ));
        }
    }
}

#[test]
fn a_segment_of_another_conversation_does_not_answer() {
    for family in Family::BOTH {
        let flow = flow(family);
        let other_host = if family == Family::Ipv4 { "203.0.113.11" } else { "2001:db8:113::11" }.parse().unwrap();
        for other in [
            Flow { port: Port(81), ..flow },
            Flow { prober_port: Port(40002), ..flow },
            Flow { host: other_host, ..flow },
            Flow { prober: other_host, ..flow },
        ] {
            assert!(!read(&reset(&other, 0, SEQ + 1)).answers(&flow, SEQ), "{other:?}");
        }
    }
}

#[test]
fn an_icmp_error_answers_whoever_sent_it_if_it_quotes_the_number() {
    for family in Family::BOTH {
        let flow = flow(family);
        let (kind, code) = port_unreachable(family);
        let router = if family == Family::Ipv4 { "198.51.100.1" } else { "2001:db8:ffff::1" }.parse().unwrap();
        for sender in [flow.host, router] {
            let answers = |quote: &[u8]| read(&icmp(sender, &flow, kind, code, quote)).answers(&flow, SEQ);
            assert!(answers(&quote(&flow, SEQ, 8)));
            assert!(!answers(&quote(&flow, SEQ ^ 1, 8)));
            assert!(!answers(&quote(&Flow { port: Port(81), ..flow }, SEQ, 8)));
            assert!(!answers(&quote(&Flow { prober_port: Port(40002), ..flow }, SEQ, 8)));
        }
    }
}

#[test]
fn a_neighbour_answers_no_probe() {
    assert!(!read(&arp_frame(2)).answers(&flow(Family::Ipv4), SEQ));
}

/// One sound frame of every kind.
fn sound_frames() -> Vec<Vec<u8>> {
    let both = Family::BOTH.map(|family| {
        let flow = flow(family);
        let (kind, code) = port_unreachable(family);
        [reset(&flow, 0, SEQ + 1), icmp(flow.host, &flow, kind, code, &quote(&flow, SEQ, 20))]
    });
    let option = [&[2, 1][..], &HOST_MAC].concat();
    both.into_iter().flatten().chain([advertisement(&option), arp_frame(2)]).collect()
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Reply::from_ethernet(&bytes);
        let _ = Reply::from_ip(&bytes);
    }

    #[test]
    fn mutated_and_truncated_frames_never_panic(
        frame in proptest::sample::select(sound_frames()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        len in any::<prop::sample::Index>(),
        extra in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut frame = frame;
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let cut = &frame[..len.index(frame.len() + 1)];
        for frame in [cut, &[cut, &extra].concat(), &[&frame[..], &extra].concat()] {
            if let Some(reply) = Reply::from_ethernet(frame) {
                let _ = reply.answers(&flow(Family::Ipv4), SEQ);
            }
        }
    }
}
