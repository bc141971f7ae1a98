//! Lines captured on kernel 6.18 (iptables 1.8.9 and nft 1.0.6, in a namespace of their own), and properties.

use proptest::prelude::*;

use super::kmsg::KmsgRecord;
use super::*;
use crate::net::{Family, Mac};
use crate::port::Port;

/// One record a line: crafted frames of every kind, logged by rules with every option of the LOG target.
const CAPTURED: &str = include_str!("captured-6.18.kmsg");

fn captured() -> Vec<String> {
    CAPTURED.lines().map(|record| KmsgRecord::parse(record.as_bytes()).expect("a captured record").text).collect()
}

fn captured_line(part: &str) -> LogLine {
    let line = captured().into_iter().find(|line| line.contains(part)).expect("a captured line");
    LogLine::parse(&line).expect("a LOG line")
}

#[test]
fn captured_lines_print_as_the_kernel_printed_them() {
    for line in captured() {
        assert_eq!(LogLine::parse(&line).expect(&line).to_string(), line);
    }
}

#[test]
fn captured_lines_are_understood_to_the_end() {
    let rest: Vec<String> = captured().iter().filter_map(|line| LogLine::parse(line)).map(|line| line.rest).collect();
    let mut odd: Vec<&str> = rest.iter().map(String::as_str).filter(|rest| !rest.is_empty()).collect();
    odd.sort_unstable();
    assert_eq!(odd, ["OPT ( )", "OPT (TRUNCATED)"]);
}

#[test]
fn a_xmas_probe_is_read() {
    let line = captured_line("URG PSH FIN");
    assert_eq!(line.prefix, "<IPT> Xmas scan: ");
    assert_eq!((line.in_interface.as_deref(), line.out_interface), (Some("eth0"), None));
    let network = line.network.unwrap();
    let tcp = network.tcp().unwrap();
    assert_eq!(network.source(), Some("203.0.113.66".parse().unwrap()));
    assert_eq!((tcp.source, tcp.destination, tcp.octet()), (Port(40000), Port(80), 0x29));
}

#[test]
fn the_link_header_is_destination_first() {
    let expected = MacHeader {
        destination: Mac([0x00, 0x0c, 0x29, 0x4f, 0x8e, 0x35]),
        source: Mac([0x02, 0x11, 0x22, 0x33, 0x44, 0x66]),
        ethertype: 0x0800,
    };
    assert_eq!(captured_line("URG PSH FIN").mac(), Some(expected));
    assert_eq!(captured_line("macd: ").mac(), Some(expected));
    assert_eq!(captured_line("IN=tun0").mac(), None);
}

#[test]
fn an_icmp_error_nests_the_packet_that_it_quotes() {
    let Some(Network::Ipv4(packet)) = captured_line("TYPE=3 CODE=4").network else { panic!("no IPv4") };
    let Some(Transport::Icmp(error)) = packet.transport else { panic!("no ICMP") };
    let quoted = error.quoted.unwrap();
    assert_eq!(error.mtu, Some(1400));
    assert_eq!(quoted.tcp().unwrap().source, Port(80));
}

#[test]
fn the_owner_and_the_mark_of_a_local_packet_are_read() {
    let line = captured_line("uid: ");
    assert_eq!((line.owner, line.mark, line.link), (Some(Owner { uid: 0, gid: 0 }), Some(0x2a), None));
}

#[test]
fn a_prefix_without_a_trailing_space_is_told_from_the_kernels_own_words() {
    assert_eq!(captured_line("PORTSCAN").prefix, "PORTSCAN");
    assert_eq!(captured_line("eth9").prefix, "IN=eth9 OUT= MAC= SRC=9.9.9.9");
    assert_eq!(captured_line("caf").prefix, "café \\ x: ");
    assert_eq!(captured_line("TRACE: filter").prefix, "TRACE: filter:INPUT:rule:1 ");
}

#[test]
fn a_log_daemon_may_strip_the_last_space() {
    for line in captured() {
        let (whole, stripped) = (LogLine::parse(&line), LogLine::parse(line.trim_end()));
        assert_eq!(whole, stripped, "{line}");
    }
}

#[test]
fn a_cut_line_keeps_what_it_had() {
    let line = LogLine::parse("x: IN=eth0 OUT= MAC= SRC=203.0.113.66 DST=203.0.113.10 LEN=40 TOS=0x00 PR").unwrap();
    assert_eq!((line.prefix.as_str(), line.network), ("x: ", None));
    assert_eq!(line.rest, "SRC=203.0.113.66 DST=203.0.113.10 LEN=40 TOS=0x00 PR");
}

#[test]
fn a_quote_in_a_quote_is_not_followed() {
    let header = "SRC=1.1.1.1 DST=1.1.1.1 LEN=1 TOS=0x00 PREC=0x00 TTL=1 ID=1 PROTO=ICMP TYPE=3 CODE=3 [";
    let text = format!("IN= OUT= {}", header.repeat(100_000));
    assert_eq!(LogLine::parse(&text).unwrap().to_string(), text);
}

#[test]
fn what_is_no_line_is_refused() {
    for text in ["", "IN=", "IN=eth0", "IN=eth0 OUT", "IN=a-name-of-sixteen OUT= ", "usb 1-1: new device", "ÄIN=é"] {
        assert_eq!(LogLine::parse(text), None, "{text}");
    }
}

fn tcp() -> BoxedStrategy<TcpHeader> {
    let sequence = proptest::option::of((any::<u32>(), any::<u32>()).prop_map(|(seq, ack)| Sequence { seq, ack }));
    let ports = (any::<u16>(), any::<u16>());
    (ports, sequence, any::<u16>(), any::<u8>(), 0u16..0x200, any::<u16>(), options())
        .prop_map(|((source, destination), sequence, window, reserved, flags, urgent_pointer, options)| TcpHeader {
            source: Port(source),
            destination: Port(destination),
            sequence,
            window,
            reserved,
            flags,
            urgent_pointer,
            options,
        })
        .boxed()
}

fn options() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 1..40))
}

fn udp() -> impl Strategy<Value = UdpHeader> {
    (any::<bool>(), any::<u16>(), any::<u16>(), any::<u16>()).prop_map(|(lite, source, destination, length)| {
        UdpHeader { lite, source: Port(source), destination: Port(destination), length }
    })
}

fn detail() -> impl Strategy<Value = IcmpDetail> {
    prop_oneof![
        Just(IcmpDetail::None),
        any::<u32>().prop_map(|bytes| IcmpDetail::Incomplete { bytes }),
        (any::<u16>(), any::<u16>()).prop_map(|(id, seq)| IcmpDetail::Echo { id, seq }),
        any::<u8>().prop_map(IcmpDetail::Parameter),
        any::<std::net::Ipv4Addr>().prop_map(IcmpDetail::Gateway),
        any::<u32>().prop_map(IcmpDetail::Pointer),
    ]
}

fn icmp(quoted: BoxedStrategy<Option<Box<Network>>>) -> BoxedStrategy<Icmp> {
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    let mtu = proptest::option::of(any::<u32>());
    (family, any::<u8>(), any::<u8>(), detail(), quoted, mtu)
        .prop_map(|(family, kind, code, detail, quoted, mtu)| Icmp { family, kind, code, detail, quoted, mtu })
        .boxed()
}

fn protocol() -> impl Strategy<Value = Protocol> {
    use Protocol::{Ah, Esp, Icmp, Icmpv6, Tcp, Udp, UdpLite};
    prop_oneof![
        proptest::sample::select(vec![Tcp, Udp, UdpLite, Icmp, Icmpv6, Ah, Esp]),
        any::<u8>().prop_map(Protocol::Number),
    ]
}

fn transport(quoted: BoxedStrategy<Option<Box<Network>>>) -> BoxedStrategy<Transport> {
    let incomplete = |(protocol, bytes)| Transport::Incomplete { protocol, bytes };
    prop_oneof![
        tcp().prop_map(Transport::Tcp),
        udp().prop_map(Transport::Udp),
        icmp(quoted).prop_map(Transport::Icmp),
        any::<u32>().prop_map(|spi| Transport::Ah { spi }),
        any::<u32>().prop_map(|spi| Transport::Esp { spi }),
        (protocol(), any::<u32>()).prop_map(incomplete),
        protocol().prop_map(Transport::Named),
    ]
    .boxed()
}

fn ipv4(transport: BoxedStrategy<Transport>) -> BoxedStrategy<Network> {
    let addresses = (any::<std::net::Ipv4Addr>(), any::<std::net::Ipv4Addr>());
    let numbers = (any::<u32>(), any::<u8>(), any::<u8>(), any::<u16>());
    let bits = (any::<bool>(), any::<bool>(), any::<bool>(), 0u16..0x2000);
    (addresses, numbers, bits, options(), proptest::option::of(transport))
        .prop_map(
            |((source, destination), (length, tos, ttl, id), (ce, df, mf, fragment_offset), options, transport)| {
                Network::Ipv4(Ipv4 {
                    source,
                    destination,
                    length,
                    tos: tos & 0xfe,
                    ttl,
                    id,
                    reserved_bit: ce,
                    dont_fragment: df,
                    more_fragments: mf,
                    fragment_offset,
                    options,
                    transport,
                })
            },
        )
        .boxed()
}

fn extension() -> impl Strategy<Value = Extension> {
    let fragment = || {
        (any::<u16>(), any::<bool>(), any::<u32>()).prop_map(|(offset, more, id)| FragmentHeader { offset, more, id })
    };
    prop_oneof![
        fragment().prop_map(Extension::Fragment),
        Just(Extension::Listed(ListedExtension::Unnamed)),
        fragment().prop_map(|header| Extension::Listed(ListedExtension::Fragment(header))),
        any::<u32>().prop_map(|spi| Extension::Listed(ListedExtension::Ah { spi })),
        any::<u32>().prop_map(|spi| Extension::Listed(ListedExtension::Esp { spi })),
    ]
}

fn ipv6(transport: BoxedStrategy<Transport>) -> BoxedStrategy<Network> {
    let addresses = (any::<std::net::Ipv6Addr>(), any::<std::net::Ipv6Addr>());
    let numbers = (any::<u32>(), any::<u8>(), any::<u8>(), 0u32..0x10_0000);
    let extensions = proptest::collection::vec(extension(), 0..3);
    (addresses, numbers, extensions, proptest::option::of(transport))
        .prop_map(|((source, destination), (length, traffic_class, hop_limit, flow_label), extensions, transport)| {
            Network::Ipv6(Ipv6 {
                source,
                destination,
                length,
                traffic_class,
                hop_limit,
                flow_label,
                extensions,
                transport,
            })
        })
        .boxed()
}

fn arp() -> BoxedStrategy<Network> {
    let address = (any::<[u8; 6]>(), any::<std::net::Ipv4Addr>());
    let addresses = proptest::option::of((address.clone(), address)).prop_map(|pair| {
        pair.map(|((source_mac, source), (destination_mac, destination))| ArpAddresses {
            source_mac: Mac(source_mac),
            source,
            destination_mac: Mac(destination_mac),
            destination,
        })
    });
    (any::<u16>(), any::<u16>(), any::<u16>(), addresses)
        .prop_map(|(hardware, protocol, opcode, addresses)| Network::Arp(Arp { hardware, protocol, opcode, addresses }))
        .boxed()
}

fn network() -> BoxedStrategy<Network> {
    let quoted =
        prop_oneof![ipv4(transport(Just(None).boxed())), ipv6(transport(Just(None).boxed()))].prop_map(Box::new);
    let quoting = proptest::option::of(quoted).boxed();
    prop_oneof![4 => ipv4(transport(quoting.clone())), 4 => ipv6(transport(quoting)), 1 => arp()].boxed()
}

fn link() -> BoxedStrategy<LinkHeader> {
    let ends = (any::<std::net::Ipv4Addr>(), any::<std::net::Ipv4Addr>());
    let tunnel = proptest::option::of(ends.prop_map(|(source, destination)| Tunnel { source, destination }));
    let vlan = (any::<u16>(), any::<u16>()).prop_map(|(protocol, tag)| Vlan { protocol, tag });
    let mac = (any::<[u8; 6]>(), any::<[u8; 6]>(), any::<u16>()).prop_map(|(destination, source, ethertype)| {
        MacHeader { destination: Mac(destination), source: Mac(source), ethertype }
    });
    prop_oneof![
        (proptest::collection::vec(any::<u8>(), 0..20), tunnel)
            .prop_map(|(bytes, tunnel)| LinkHeader::Plain { bytes, tunnel }),
        (mac, proptest::option::of(vlan)).prop_map(|(mac, vlan)| LinkHeader::Decoded { mac, vlan }),
    ]
    .boxed()
}

fn interface_name() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[a-z][a-z0-9@.-]{0,14}")
}

/// Any prefix up to 127 bytes, most of them made of pieces of lines.
fn prefix() -> BoxedStrategy<String> {
    let pieces = [
        "IN=",
        "IN=eth0 ",
        "OUT=",
        " OUT= ",
        "I",
        "IN=eth0 OUT= MAC= ",
        "SRC=9.9.9.9 ",
        "DST=",
        "PHYSIN=eth1 ",
        "PROTO=TCP ",
        "[",
        "] ",
        " ",
        "URGP=0 ",
        "MAC=00:0c ",
        "<IPT> ",
        "é",
    ];
    let made =
        proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..7).prop_map(|parts| parts.concat());
    prop_oneof![made, "\\PC{0,30}"].boxed()
}

fn line() -> BoxedStrategy<LogLine> {
    let interfaces = (interface_name(), interface_name(), interface_name(), interface_name());
    let owner = proptest::option::of((any::<u32>(), any::<u32>()).prop_map(|(uid, gid)| Owner { uid, gid }));
    let line =
        (prefix(), interfaces, proptest::option::of(link()), network(), owner, proptest::option::of(any::<u32>()));
    line.prop_map(|(prefix, (input, output, physical_in, physical_out), link, network, owner, mark)| LogLine {
        prefix,
        in_interface: input,
        out_interface: output,
        physical_in,
        physical_out,
        link,
        network: Some(network),
        owner,
        mark,
        rest: String::new(),
    })
    .boxed()
}

/// The kernel stops at an ESP extension header and prints no space after ARP: nothing follows either on a real line.
fn ends_the_line(network: &Network) -> bool {
    let text = network.to_string();
    matches!(network, Network::Arp(_)) || text.contains("ESP SPI=") && text.contains(" )")
}

fn printable_by_the_kernel() -> BoxedStrategy<LogLine> {
    line()
        .prop_map(|mut line| {
            if line.network.as_ref().is_some_and(ends_the_line) {
                (line.owner, line.mark) = (None, None);
            }
            line
        })
        .boxed()
}

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_printed(line in printable_by_the_kernel()) {
        prop_assert_eq!(LogLine::parse(&line.to_string()), Some(line));
    }

    #[test]
    fn no_prefix_hides_the_kernels_own_words(prefix in prefix(), which in any::<proptest::sample::Index>()) {
        let lines = captured();
        let body = LogLine::parse(which.get::<String>(&lines)).unwrap().body().to_string();
        let line = LogLine::parse(&format!("{prefix}{body}")).unwrap();
        prop_assert_eq!(&line.prefix, &prefix);
        prop_assert_eq!(line.body().to_string(), body);
    }

    #[test]
    fn nothing_of_a_mutated_line_is_lost(
        which in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        removed in 0usize..12,
        inserted in "[ -~é]{0,6}",
    ) {
        let lines = captured();
        let mut text: Vec<char> = which.get::<String>(&lines).chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + removed).min(text.len()), inserted.chars());
        let text: String = text.into_iter().collect();
        if let Some(line) = LogLine::parse(&text) {
            let printed = line.to_string();
            prop_assert_eq!(printed.trim_end(), text.trim_end());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", tail in "(IN=|OUT=| |\\[|SRC=|PROTO=ICMP |TYPE=3 CODE=3 |\\PC){0,40}") {
        LogLine::parse(&text);
        LogLine::parse(&format!("IN=a OUT=b {tail}"));
    }
}
