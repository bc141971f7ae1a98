//! Frames built by etherparse, which shares no code with the dissector, frames written byte by byte, and malformed
//! ones.

use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};
use proptest::prelude::*;

use super::*;

/// The value of `layer.field` in the first such layer, with its note after a bar.
fn field_text(layers: &[Layer], layer: &str, field: &str) -> Option<String> {
    let layer = layers.iter().find(|found| found.name == layer)?;
    let field = layer.fields.iter().find(|found| found.name == field)?;
    Some(field.note.iter().fold(field.value.clone(), |text, note| format!("{text} | {note}")))
}

fn assert_fields(layers: &[Layer], facts: &[(&str, &str, String)]) {
    for (layer, field, value) in facts {
        assert_eq!(field_text(layers, layer, field).as_deref(), Some(&**value), "{layer}.{field} of {layers:#?}");
    }
}

/// Asserts that the layers cover the frame, fields lie in their layer, and no text controls a terminal.
fn assert_sound(frame: &[u8], layers: &[Layer]) {
    let mut end = 0;
    for layer in layers {
        assert_eq!(layer.bytes.start, end, "{layers:#?}");
        assert!(layer.bytes.end > end);
        end = layer.bytes.end;
        for field in &layer.fields {
            assert!(field.bytes.start >= layer.bytes.start && field.bytes.end <= end, "{field:?} in {:?}", layer.bytes);
            assert!(field.bytes.start < field.bytes.end, "{field:?} is nowhere");
            let texts = field.note.iter().chain([&field.value]);
            assert!(texts.into_iter().all(|text| text.chars().all(|c| matches!(c, ' '..='~'))), "{field:?}");
        }
    }
    assert_eq!(end, frame.len());
}

/// A segment with these header fields.
fn segment(seq: u32, flags: u8, window: u16, options: &[TcpOptionElement]) -> TcpHeader {
    let mut header = TcpHeader::new(40000, 80, seq, window);
    let bit = |place: u8| flags >> place & 1 == 1;
    (header.fin, header.syn, header.rst, header.psh) = (bit(0), bit(1), bit(2), bit(3));
    (header.ack, header.urg, header.ece, header.cwr) = (bit(4), bit(5), bit(6), bit(7));
    header.set_options(options).unwrap();
    header
}

const OPTIONS: [TcpOptionElement; 6] = [
    TcpOptionElement::MaximumSegmentSize(1460),
    TcpOptionElement::SelectiveAcknowledgementPermitted,
    TcpOptionElement::Timestamp(7, 9),
    TcpOptionElement::Noop,
    TcpOptionElement::WindowScale(10),
    TcpOptionElement::SelectiveAcknowledgement((1, 2), [None, None, None]),
];

proptest! {
    #[test]
    fn a_segment_is_told_as_it_was_built(
        seq: u32, flags: u8, window: u16, ttl: u8, payload: Vec<u8>, options in 0..OPTIONS.len(), is_v6: bool,
    ) {
        let header = segment(seq, flags, window, &OPTIONS[..options]);
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [0, 0x0c, 0x29, 1, 2, 3]);
        let builder = match is_v6 {
            true => builder.ipv6([0x20; 16], [0x21; 16], ttl),
            false => builder.ipv4([203, 0, 113, 66], [203, 0, 113, 10], ttl),
        };
        let mut frame = Vec::new();
        builder.tcp_header(header.clone()).write(&mut frame, &payload).unwrap();
        let layers = dissect(&frame, LinkKind::Ethernet);
        assert_sound(&frame, &layers);
        let (ip, hops) = if is_v6 { ("IPv6", "Hop Limit") } else { ("IPv4", "Time to Live") };
        let words = header.header_len() / 4;
        let checksum = &frame[frame.len() - payload.len() - header.header_len() + 16..][..2];
        assert_fields(&layers, &[
            ("Ethernet", "Source Address", "02:00:00:00:00:01".into()),
            ("Ethernet", "EtherType", if is_v6 { "0x86dd | IPv6" } else { "0x0800 | IPv4" }.into()),
            (ip, hops, ttl.to_string()),
            ("TCP", "Source Port", "40000".into()),
            ("TCP", "Sequence Number", seq.to_string()),
            ("TCP", "Data Offset", format!("{words} | {} bytes, in words of 4", header.header_len())),
            ("TCP", "Window", window.to_string()),
            ("TCP", "Checksum", format!("0x{:02x}{:02x} | correct", checksum[0], checksum[1])),
        ]);
        let bits: Vec<String> = CONTROL.iter().map(|name| field_text(&layers, "TCP", name).unwrap()).collect();
        for (place, bit) in bits.iter().enumerate() {
            prop_assert_eq!(bit.starts_with('1'), flags << place & 0x80 != 0);
        }
        for (option, value) in [
            ("Option: Maximum Segment Size", "1460"), ("Option: SACK Permitted", "yes"),
            ("Option: Timestamps", "TSval 7, TSecr 9"), ("Option: No-Operation", "1"),
            ("Option: Window Scale", "10"), ("Option: SACK", "1-2"),
        ].iter().take(options) {
            prop_assert_eq!(field_text(&layers, "TCP", option), Some((*value).to_owned()));
        }
        prop_assert_eq!(layers.last().unwrap().name == "Payload", !payload.is_empty());
    }

    #[test]
    fn hostile_bytes_are_told_and_nothing_more(frame: Vec<u8>, is_ip: bool) {
        let link = if is_ip { LinkKind::Ip } else { LinkKind::Ethernet };
        assert_sound(&frame, &dissect(&frame, link));
    }

    /// Random bytes seldom are a packet: here every byte of one may be another.
    #[test]
    fn broken_frames_are_told_and_nothing_more(
        which in 0..7_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        len: prop::sample::Index,
    ) {
        let mut frame = samples()[which].clone();
        for (place, byte) in changes {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        frame.truncate(len.index(frame.len() + 1));
        assert_sound(&frame, &dissect(&frame, LinkKind::Ethernet));
    }
}

/// Found in CI by the test above.
#[test]
fn an_address_without_length_is_no_field() {
    let mut frame = samples()[1].clone();
    let lengths = 14 + 4;
    frame[lengths..][..2].fill(0);
    let layers = dissect(&frame, LinkKind::Ethernet);
    assert_sound(&frame, &layers);
    assert_eq!(field_text(&layers, "ARP", "Sender Protocol Address"), None, "{layers:#?}");
}

const CONTROL: [&str; 8] = ["CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"];

fn ethernet(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    [&[0, 0x0c, 0x29, 1, 2, 3, 2, 0, 0, 0, 0, 1][..], &ether_type.to_be_bytes(), packet].concat()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A captured `nmap -sX`, from 10.77.0.2 to 10.77.0.1.
const XMAS: &str = "45000028 76b30000 3a06f580 0a4d0002 0a4d0001 92650052 441a5bc8 00000000 50290400 64850000";

fn samples() -> [Vec<u8>; 7] {
    let xmas = unhex(XMAS);
    let arp = unhex("0001 0800 06 04 0001 027700001002 0a4d00d2 000000000000 0a4d00d4");
    let solicitation = unhex(
        "60000000 00203aff fd770000 00000000 00100000 00000002 ff020000 00000000 00000001 ff000077
         87006b26 00000000 fd770000 00000000 00100000 00000077 0101 027700001002",
    );
    let mut unreachable = unhex("45c00044 00000000 40010000 0a4d0001 0a4d0002 0303 0000 00000000");
    unreachable.extend(&xmas);
    let mut extended = unhex("60000000 002c0040 fd77000000000000 0000000000000002 fd77000000000000 0000000000000001");
    extended.extend(unhex("2c00010400000000 3c00000000000001 0600010400000000"));
    extended.extend(&xmas[20..]);
    let mut with_options = unhex("48000028 00010000 40110000 0a4d0002 0a4d0001 94040000 07030400 01000000");
    with_options.extend(unhex("8f310052 00085bbe"));
    let mut fragment = unhex("45000028 76b30005 3a060000 0a4d0002 0a4d0001");
    fragment.extend(&xmas[20..]);
    [
        ethernet(0x0800, &xmas),
        ethernet(0x0806, &arp),
        ethernet(0x86dd, &solicitation),
        ethernet(0x0800, &unreachable),
        ethernet(0x86dd, &extended),
        ethernet(0x0800, &with_options),
        ethernet(0x0800, &fragment),
    ]
}

fn names(layers: &[Layer]) -> Vec<&'static str> {
    layers.iter().map(|layer| layer.name).collect()
}

#[test]
fn every_layer_has_its_name() {
    let found: Vec<String> =
        samples().iter().map(|frame| names(&dissect(frame, LinkKind::Ethernet)).join(" > ")).collect();
    let expected = [
        "Ethernet > IPv4 > TCP",
        "Ethernet > ARP",
        "Ethernet > IPv6 > ICMPv6",
        "Ethernet > IPv4 > ICMP > IPv4 > TCP",
        "Ethernet > IPv6 > IPv6 Hop-by-Hop Options > IPv6 Fragment > IPv6 Destination Options > TCP",
        "Ethernet > IPv4 > UDP",
        "Ethernet > IPv4 > Fragment",
    ];
    assert_eq!(found, expected);
    assert_eq!(names(&dissect(&unhex(XMAS), LinkKind::Ip)), ["IPv4", "TCP"]);
}

#[test]
fn an_xmas_probe_of_nmap_is_told() {
    let layers = dissect(&samples()[0], LinkKind::Ethernet);
    assert_fields(
        &layers,
        &[
            ("IPv4", "Header Checksum", "0xf580 | correct".into()),
            ("IPv4", "Flags", "0x0 | none set".into()),
            ("TCP", "Control bits", "0x29 | FIN, PSH, URG".into()),
            ("TCP", "URG", "1 | Urgent pointer field is significant".into()),
            ("TCP", "ACK", "0".into()),
            ("TCP", "Checksum", "0x6485 | correct".into()),
            ("TCP", "Urgent Pointer", "0".into()),
        ],
    );
    let control = layers[2].fields.iter().find(|field| field.name == "Control bits").unwrap();
    assert_eq!(control.bytes, 47..48);
}

#[test]
fn a_wrong_checksum_is_told_with_the_right_one() {
    let mut frame = samples()[0].clone();
    frame[51] ^= 1;
    let layers = dissect(&frame, LinkKind::Ethernet);
    assert_eq!(field_text(&layers, "TCP", "Checksum").unwrap(), "0x6484 | wrong: it should be 0x6485");
}

#[test]
fn neighbours_are_told() {
    assert_fields(
        &dissect(&samples()[1], LinkKind::Ethernet),
        &[
            ("ARP", "Opcode", "1 | request: who has the target's protocol address?".into()),
            ("ARP", "Target Protocol Address", "10.77.0.212".into()),
        ],
    );
    assert_fields(
        &dissect(&samples()[2], LinkKind::Ethernet),
        &[
            ("ICMPv6", "Type", "135 | Neighbor Solicitation".into()),
            ("ICMPv6", "Checksum", "0x6b26 | correct".into()),
            ("ICMPv6", "Target Address", "fd77::10:0:0:77".into()),
            ("ICMPv6", "Option: Source Link-Layer Address", "02:77:00:00:10:02".into()),
        ],
    );
}

#[test]
fn layers_quoted_by_an_icmp_error_are_marked() {
    let layers = dissect(&samples()[3], LinkKind::Ethernet);
    assert_eq!(layers.iter().map(|layer| layer.is_quoted).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert_eq!(field_text(&layers, "ICMP", "Code").unwrap(), "3 | port unreachable");
    assert_eq!(field_text(&layers[3..], "TCP", "Destination Port").unwrap(), "82");
}

#[test]
fn bytes_after_a_packet_are_padding() {
    let frame = [&samples()[0][..], &[0; 6]].concat();
    let layers = dissect(&frame, LinkKind::Ethernet);
    assert_eq!(names(&layers), ["Ethernet", "IPv4", "TCP", "Padding"]);
    assert_eq!(layers[3].bytes, 54..60);
}

#[test]
fn a_header_that_ends_too_early_says_so() {
    let frame = &samples()[0][..40];
    let layers = dissect(frame, LinkKind::Ethernet);
    assert_eq!(field_text(&layers, "TCP", "Cut short").unwrap(), "441a | the header should go on");
}

/// Layer, field, and its name in tshark.
const TO_TSHARK: [(&str, &str, &str); 22] = [
    ("Ethernet", "Destination Address", "eth.dst"),
    ("Ethernet", "Source Address", "eth.src"),
    ("ARP", "Opcode", "arp.opcode"),
    ("ARP", "Sender Hardware Address", "arp.src.hw_mac"),
    ("ARP", "Target Protocol Address", "arp.dst.proto_ipv4"),
    ("IPv4", "Total Length", "ip.len"),
    ("IPv4", "Time to Live", "ip.ttl"),
    ("IPv4", "Protocol", "ip.proto"),
    ("IPv4", "Source Address", "ip.src"),
    ("IPv4", "Destination Address", "ip.dst"),
    ("IPv6", "Payload Length", "ipv6.plen"),
    ("IPv6", "Hop Limit", "ipv6.hlim"),
    ("IPv6", "Destination Address", "ipv6.dst"),
    ("TCP", "Source Port", "tcp.srcport"),
    ("TCP", "Destination Port", "tcp.dstport"),
    ("TCP", "Window", "tcp.window_size_value"),
    ("TCP", "Urgent Pointer", "tcp.urgent_pointer"),
    ("TCP", "Checksum", "tcp.checksum"),
    ("UDP", "Source Port", "udp.srcport"),
    ("UDP", "Length", "udp.length"),
    ("ICMP", "Code", "icmp.code"),
    ("ICMPv6", "Target Address", "icmpv6.nd.ns.target_address"),
];

/// A capture file (pcap, LINKTYPE_ETHERNET) with these frames.
fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let word = |value: u32| value.to_le_bytes();
    let header = [word(0xa1b2_c3d4), [2, 0, 4, 0], word(0), word(0), word(65535), word(1)].concat();
    let record = |frame: &Vec<u8>| {
        let len = frame.len() as u32;
        [&[word(0), word(0), word(len), word(len)].concat(), &frame[..]].concat()
    };
    [header, frames.iter().flat_map(record).collect()].concat()
}

/// `NAME="VALUE"` in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

/// Comparison with a third implementation. Needs tshark, see `.ci/setup`.
#[test]
#[ignore = "needs tshark: cargo test -- --ignored"]
fn tshark_finds_the_same_values_at_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frames.pcap");
    std::fs::write(&file, pcap(&samples())).unwrap();
    let output = std::process::Command::new("tshark").args(["-T", "pdml", "-r"]).arg(&file).output();
    let pdml = String::from_utf8(output.expect("tshark starts").stdout).unwrap();
    let packets: Vec<&str> = pdml.split("<packet>").skip(1).collect();
    assert_eq!(packets.len(), samples().len());
    let mut compared = std::collections::BTreeSet::new();
    for (frame, packet) in samples().iter().zip(packets) {
        let layers = dissect(frame, LinkKind::Ethernet);
        for (layer, field, name) in TO_TSHARK {
            let Some(layer) = layers.iter().find(|found| found.name == layer && !found.is_quoted) else { continue };
            let field = layer.fields.iter().find(|found| found.name == field).expect("every such layer has it");
            let tag = packet.split("<field").find(|tag| attribute(tag, "name") == Some(name)).expect(name);
            let number = |name| attribute(tag, name).and_then(|text| text.parse::<usize>().ok());
            let bytes = field.bytes.clone();
            assert_eq!((number("pos"), number("size")), (Some(bytes.start), Some(bytes.len())), "{name}");
            assert_eq!(attribute(tag, "show"), Some(&*field.value), "{name}");
            compared.insert(name);
        }
    }
    assert_eq!(compared.len(), TO_TSHARK.len(), "every row of the table was compared: {compared:?}");
}
