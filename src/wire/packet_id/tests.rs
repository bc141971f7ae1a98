//! Headers as a trace contains them; those of the first tests are from `trace/captured-6.18.nftrace`.

use proptest::prelude::*;

use super::*;

/// 203.0.113.66:40041 to 203.0.113.10:80, identification 41.
const XMAS: [u8; 40] = [
    0x45, 0, 0, 0x28, 0, 0x29, 0, 0, 0x40, 6, 0x02, 0x5a, 203, 0, 113, 66, 203, 0, 113, 10, // IPv4
    0x9c, 0x69, 0, 0x50, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x29, 4, 0, 0x96, 0xb3, 0, 0, // TCP
];

/// 2001:db8:113::66:40000 to 2001:db8:113::10:80.
const SYN_V6: [u8; 60] = [
    0x60, 0, 0, 0, 0, 0x14, 6, 0x40, // IPv6
    0x20, 0x01, 0x0d, 0xb8, 0x01, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66, // source
    0x20, 0x01, 0x0d, 0xb8, 0x01, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, // destination
    0x9c, 0x40, 0, 0x50, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 4, 0, 0xb1, 0x43, 0, 0, // TCP
];

fn tcp(source: u16, destination: u16, flags: u16) -> (Protocol, u16, u16, u16) {
    (Protocol::Tcp, source, destination, flags)
}

fn headers(network: &[u8], transport: &[u8]) -> TracedHeaders {
    TracedHeaders::read(network, transport).expect("a network header")
}

fn seen(network: &[u8], transport: &[u8]) -> Option<(Protocol, u16, u16, u16)> {
    let PacketId { flow, flags, .. } = PacketId::from_headers(&headers(network, transport), transport)?;
    Some((flow.protocol, flow.prober_port.0, flow.port.0, flags))
}

#[test]
fn an_ipv4_segment_is_seen_whole() {
    let of = PacketId::from_headers(&headers(&XMAS[..20], &XMAS[20..]), &XMAS[20..]).expect("a flow");
    let addresses = ("203.0.113.66".parse().unwrap(), "203.0.113.10".parse().unwrap());
    assert_eq!((of.flow.prober, of.flow.host, of.ip_id), (addresses.0, addresses.1, Some(41)));
    assert_eq!(seen(&XMAS[..20], &XMAS[20..]), Some(tcp(40041, 80, 0x29)));
}

#[test]
fn an_ipv6_segment_is_seen_whole() {
    let of = PacketId::from_headers(&headers(&SYN_V6[..40], &SYN_V6[40..]), &SYN_V6[40..]).expect("a flow");
    let addresses = ("2001:db8:113::66".parse().unwrap(), "2001:db8:113::10".parse().unwrap());
    assert_eq!((of.flow.prober, of.flow.host, of.ip_id), (addresses.0, addresses.1, None));
    assert_eq!(seen(&SYN_V6[..40], &SYN_V6[40..]), Some(tcp(40000, 80, 0x02)));
}

/// ECE and CWR are in the octet, AE is above it (RFC 9768, figure 2). No rule looks at them.
#[test]
fn the_flags_of_congestion_are_seen() {
    for (octets, flags) in [([0x50, 0xc2], 0xc2), ([0x51, 0x02], 0x102), ([0x5e, 0x02], 0x02)] {
        let mut segment = XMAS[20..].to_vec();
        segment[12..14].copy_from_slice(&octets);
        assert_eq!(seen(&XMAS[..20], &segment), Some(tcp(40041, 80, flags)));
        let content = headers(&XMAS[..20], &segment).headers.content;
        assert!(matches!(content, Content::Tcp { flags: 0x02, .. }), "{content:?}");
    }
}

/// Captured from `nmap -PE` and Linux's answer: the identifier is in the place of the prober's port.
#[test]
fn datagrams_and_echo_messages_have_a_flow() {
    let seen = |header: &[u8], protocol_at: usize, protocol: u8, transport: &[u8]| {
        let mut header = header.to_vec();
        header[protocol_at] = protocol;
        seen(&header, transport).map(|(protocol, source, destination, _)| (protocol, source, destination))
    };
    let v4 = |protocol, transport: &[u8]| seen(&XMAS[..20], 9, protocol, transport);
    let v6 = |protocol, transport: &[u8]| seen(&SYN_V6[..40], 6, protocol, transport);
    assert_eq!(v4(17, &[0x8f, 0x31, 0, 0x52, 0, 8, 0x5b, 0xbe]), Some((Protocol::Udp, 0x8f31, 0x52)));
    assert_eq!(v4(1, &[8, 0, 0xa7, 0xf7, 0x50, 8, 0, 0]), Some((Protocol::Icmp, 0x5008, 0)));
    assert_eq!(v4(1, &[0, 0, 0xaf, 0xf7, 0x50, 8, 0, 0]), Some((Protocol::Icmp, 0, 0x5008)));
    assert_eq!(v4(1, &[3, 3, 0xaf, 0xf7, 0, 0, 0, 0]), None);
    assert_eq!(v6(58, &[128, 0, 0xbe, 0x33, 0x63, 0x7b, 0, 0]), Some((Protocol::Icmp, 0x637b, 0)));
    assert_eq!(v6(58, &[129, 0, 0xbd, 0x33, 0x63, 0x7b, 0, 0]), Some((Protocol::Icmp, 0, 0x637b)));
    assert_eq!((v4(58, &[128, 0, 0, 0, 0, 7, 0, 0]), v6(1, &[8, 0, 0, 0, 0, 7, 0, 0])), (None, None));
}

/// RFC 792 and RFC 4443, section 2.1.
#[test]
fn icmp_errors_are_told_from_the_rest() {
    let is_error = |header: &[u8], protocol: usize, number: u8, kind: u8| {
        let mut header = header.to_vec();
        header[protocol] = number;
        headers(&header, &[kind, 0, 0, 0]).headers.is_icmp_error()
    };
    let v4 = |kind| is_error(&XMAS[..20], 9, 1, kind);
    let v6 = |kind| is_error(&SYN_V6[..40], 6, 58, kind);
    assert_eq!([3, 4, 5, 11, 12].map(v4), [true; 5]);
    assert_eq!([0, 8, 13, 128].map(v4), [false; 4]);
    assert_eq!([1, 2, 3, 4, 127].map(v6), [true; 5]);
    assert_eq!([128, 135, 136, 255].map(v6), [false; 4]);
}

#[test]
fn headers_that_are_too_short_are_none() {
    for length in 0..20 {
        assert_eq!(TracedHeaders::read(&XMAS[..length], &XMAS[20..]), None, "{length} bytes");
    }
    for length in 0..40 {
        assert_eq!(TracedHeaders::read(&SYN_V6[..length], &SYN_V6[40..]), None, "{length} bytes");
    }
    // A cut transport header has no ports, but the packet is still identified.
    for length in 0..14 {
        assert_eq!(seen(&XMAS[..20], &XMAS[20..20 + length]), None, "{length} bytes");
    }
}

proptest! {
    #[test]
    fn no_headers_are_too_strange(
        version in prop_oneof![Just(0x45u8), Just(0x60u8), any::<u8>()],
        mut network in proptest::collection::vec(any::<u8>(), 0..64),
        transport in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        network.iter_mut().take(1).for_each(|first| *first = version);
        let _ = TracedHeaders::read(&network, &transport).and_then(|of| PacketId::from_headers(&of, &transport));
    }
}
