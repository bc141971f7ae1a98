//! Lines captured on kernel 6.18 (`captured-6.18.kmsg`), rendered from equivalent packets; and hostile packets.
//! `tests/kernel/capture.rs` compares the kernel's own lines with the rendered ones, packet by packet.

use proptest::prelude::*;

use super::*;
use crate::log_line::LogLine;
use crate::log_line::kmsg::KmsgRecord;

const ETHERNET_V4: &[u8] = &[0x00, 0x0c, 0x29, 0x4f, 0x8e, 0x35, 0x02, 0x11, 0x22, 0x33, 0x44, 0x66, 0x08, 0x00];

/// 203.0.113.66 to 203.0.113.10, IP ID 4660, TTL 57.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len() as u16).to_be_bytes();
    let header =
        [0x45, 0, length[0], length[1], 0x12, 0x34, 0, 0, 57, protocol, 0, 0, 203, 0, 113, 66, 203, 0, 113, 10];
    [&header, payload].concat()
}

/// Port 40000 to port 80.
fn tcp(reserved: u8, flags: u8, urgent: u8) -> Vec<u8> {
    vec![0x9c, 0x40, 0, 80, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1, 0x50 | reserved, flags, 4, 0, 0, 0, 0, urgent]
}

fn packet<'a>(prefix: &'a str, packet: &'a [u8]) -> LoggedPacket<'a> {
    LoggedPacket {
        prefix: prefix.as_bytes(),
        in_interface: Some("eth0"),
        out_interface: None,
        link_header: ETHERNET_V4,
        link_type: Some(1),
        owner: Some(Owner { uid: 0, gid: 0 }),
        mark: 0,
        family: Family::Ipv4,
        packet,
    }
}

fn captured(part: &str) -> String {
    let captured = include_str!("../captured-6.18.kmsg");
    let records = captured.lines().map(|line| KmsgRecord::parse(line.as_bytes()).expect("a record").text);
    records.into_iter().find(|text| text.contains(part)).expect("a captured line")
}

fn assert_renders(logged: LoggedPacket, flags: LogFlags, part: &str) {
    assert_eq!(logged.line(flags, AccurateEcn::Flag), captured(part));
}

#[test]
fn captured_lines_are_rendered_to_the_byte() {
    let xmas = ipv4(6, &tcp(0, 0x29, 0));
    assert_renders(packet("<IPT> Xmas scan: ", &xmas), LogFlags::NONE, "URG PSH FIN");
    let cut = ipv4(6, &tcp(0, 0x29, 0)[..10]);
    assert_renders(packet("<IPT> Xmas scan: ", &cut), LogFlags::NONE, "TCP INCOMPLETE [10 bytes]");
    let echo = ipv4(1, &[8, 0, 0, 0, 0, 77, 0, 3]);
    assert_renders(packet("<IPT> Xmas scan: ", &echo), LogFlags::NONE, "ID=77 SEQ=3");
    let syn = ipv4(6, &tcp(0, 2, 0));
    assert_renders(packet("macd: ", &syn), LogFlags::MACDECODE, "macd: ");
    let decoded = LogFlags::from_bits(u8::MAX);
    assert_renders(packet("dec: ", &syn), decoded, "dec: ");
}

#[test]
fn the_lowest_reserved_bit_is_a_flag_in_new_kernels_only() {
    let bytes = ipv4(6, &tcp(0x0f, 0, 0));
    let line = |accurate_ecn| packet("", &bytes).line(LogFlags::NONE, accurate_ecn);
    assert!(line(AccurateEcn::Flag).contains("RES=0x38 AE URGP=0 "));
    assert!(line(AccurateEcn::Reserved).contains("RES=0x3c URGP=0 "));
}

#[test]
fn a_looped_back_packet_is_rendered_without_a_link_header() {
    let bytes = ipv4(17, &[0, 1, 0, 2, 0, 8, 0, 0]);
    let heard = LoggedPacket { link_header: &bytes[..14], ..packet("", &bytes) };
    assert!(heard.line(LogFlags::NONE, AccurateEcn::Flag).starts_with("IN=eth0 OUT= MAC= SRC="));
    assert!(heard.line(LogFlags::MACDECODE, AccurateEcn::Flag).starts_with("IN=eth0 OUT= SRC="));
}

#[test]
fn a_line_is_no_longer_than_the_kernels_buffer() {
    let options = [0, 0, 1, 4, 0, 0, 0, 0].repeat(300);
    let header = [&[0x60, 0, 0, 0, 0x09, 0x60, 0, 64][..], &[0; 32][..], &options[..]].concat();
    let logged = LoggedPacket { family: Family::Ipv6, ..packet("", &header) };
    assert_eq!(logged.line(LogFlags::IP_OPTIONS, AccurateEcn::Flag).len(), LONGEST);
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (
        0u8..16,
        any::<u16>(),
        proptest::sample::select(vec![1u8, 6, 17, 50, 51, 136, 2]),
        proptest::collection::vec(any::<u8>(), 0..90),
    );
    let v4 = v4.prop_map(|(length, fragment, protocol, rest)| {
        let fragment = fragment.to_be_bytes();
        [&[0x40 | length, 0, 0, 99, 0, 1, fragment[0] & 0xe0, fragment[1] & 1, 64, protocol, 0, 0], &rest[..]].concat()
    });
    let v6 = (
        proptest::sample::select(vec![0u8, 6, 17, 43, 44, 50, 51, 58, 59, 60, 136]),
        proptest::collection::vec(any::<u8>(), 0..32),
        proptest::collection::vec(
            (proptest::sample::select(vec![0u8, 6, 17, 43, 44, 50, 51, 58, 59, 60]), 0u8..3, any::<[u8; 6]>()),
            0..6,
        ),
    );
    let v6 = v6.prop_map(|(next, addresses, extensions)| {
        let extensions: Vec<u8> =
            extensions.iter().flat_map(|(next, length, rest)| [&[*next, *length], &rest[..]].concat()).collect();
        [&[0x60, 1, 2, 3, 0, 60, next, 64], &addresses[..], &extensions[..]].concat()
    });
    prop_oneof![v4, v6, proptest::collection::vec(any::<u8>(), 0..120)]
}

proptest! {
    #[test]
    fn every_packet_renders_and_what_is_rendered_can_be_read(
        bytes in hostile(),
        cut in any::<proptest::sample::Index>(),
        bits in any::<u8>(),
        ipv6 in any::<bool>(),
        link in proptest::collection::vec(any::<u8>(), 0..20),
        link_type in proptest::option::of(0u16..3),
        prefix in "\\PC{0,20}",
        mark in any::<u32>(),
    ) {
        let bytes = &bytes[..cut.index(bytes.len() + 1)];
        let family = if ipv6 { Family::Ipv6 } else { Family::Ipv4 };
        let logged = LoggedPacket { family, link_header: &link, link_type, mark, ..packet(&prefix, bytes) };
        let line = logged.line(LogFlags::from_bits(bits), AccurateEcn::Flag);
        let read = LogLine::parse(&line).expect("a line");
        let printed = read.to_string();
        prop_assert_eq!(printed.trim_end(), line.trim_end());
        prop_assert_eq!(read.prefix, prefix);
        prop_assert_eq!(read.in_interface.as_deref(), Some("eth0"));
    }
}
