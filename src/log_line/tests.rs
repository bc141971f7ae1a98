//! Lines captured on kernel 6.18 (iptables 1.8.9 and nft 1.0.6, in a namespace of their own), and properties.

use proptest::prelude::*;

use super::kmsg::KmsgRecord;
use super::syslog::SyslogLine;
use super::*;
use crate::net::port::Port;
use crate::net::{Family, Mac};

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
    let Some(LoggedPacketHeader::Ipv4(packet)) = captured_line("TYPE=3 CODE=4").network else { panic!("no IPv4") };
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
fn a_text_that_is_not_a_log_line_is_refused() {
    for text in ["", "IN=", "IN=eth0", "IN=eth0 OUT", "IN=a-name-of-sixteen OUT= ", "usb 1-1: new device", "ÄIN=é"] {
        assert_eq!(LogLine::parse(text), None, "{text}");
    }
}

const BODY: &str = "IN=eth0 OUT= MAC=00:0c:29:4f:8e:35:02:11:22:33:44:66:08:00 SRC=203.0.113.66 DST=203.0.113.10 LEN=40 \
                    TOS=0x00 PREC=0x00 TTL=57 ID=4660 PROTO=TCP SPT=40000 DPT=80 WINDOW=1024 RES=0x00 SYN URGP=0 ";

/// The parts of a header: time, host, seconds since boot.
type Told = (Option<&'static str>, Option<&'static str>, Option<u64>);

/// The headers that manuals, daemons and tools show.
const HEADERS: [(&str, Told); 30] = [
    ("", (None, None, None)),
    ("Nov 23 16:01:30 sensor kernel: ", (Some("Nov 23 16:01:30"), Some("sensor"), None)),
    ("Nov  3 06:01:30 sensor kernel: [  123.456789] ", (Some("Nov  3 06:01:30"), Some("sensor"), Some(123))),
    ("Nov 23 16:01:30 2001:db8::1 kernel: ", (Some("Nov 23 16:01:30"), Some("2001:db8::1"), None)),
    ("Nov 23 16:01:30 kernel: ", (Some("Nov 23 16:01:30"), None, None)),
    ("Nov 23 2026 16:01:30: sensor kernel: ", (Some("Nov 23 2026 16:01:30:"), Some("sensor"), None)),
    ("<4>Nov 23 16:01:30 sensor kernel: ", (Some("Nov 23 16:01:30"), Some("sensor"), None)),
    (
        "2026-11-23T16:01:30.123456+00:00 sensor kernel: [12345.678901] ",
        (Some("2026-11-23T16:01:30.123456+00:00"), Some("sensor"), Some(12_345)),
    ),
    (
        "2026-11-23T16:01:30Z sensor.example.org kernel: ",
        (Some("2026-11-23T16:01:30Z"), Some("sensor.example.org"), None),
    ),
    (
        "<4>1 2026-11-23T16:01:30.123Z sensor kernel - - - [   12.345678] ",
        (Some("2026-11-23T16:01:30.123Z"), Some("sensor"), Some(12)),
    ),
    // journalctl -o short-precise, short-iso, short-full, short-unix, short-monotonic.
    ("Nov 23 16:01:30.123456 sensor kernel: ", (Some("Nov 23 16:01:30.123456"), Some("sensor"), None)),
    ("2026-11-23T16:01:30+0000 sensor kernel: ", (Some("2026-11-23T16:01:30+0000"), Some("sensor"), None)),
    ("Mon 2026-11-23 16:01:30 UTC sensor kernel: ", (Some("Mon 2026-11-23 16:01:30 UTC"), Some("sensor"), None)),
    ("Mon 2026-11-23 16:01:30 CET sensor kernel: ", (Some("Mon 2026-11-23 16:01:30 CET"), Some("sensor"), None)),
    ("1795449690.123456 sensor kernel: ", (Some("1795449690.123456"), Some("sensor"), None)),
    ("[  123.456789] sensor kernel: ", (None, Some("sensor"), Some(123))),
    // dmesg, alone and with --raw, --ctime, --time-format iso, --decode; and with CONFIG_PRINTK_CALLER.
    ("[  123.456789] ", (None, None, Some(123))),
    ("<4>[  123.456789] ", (None, None, Some(123))),
    ("[Mon Nov 23 16:01:30 2026] ", (Some("[Mon Nov 23 16:01:30 2026]"), None, None)),
    ("2026-11-23T16:01:30,123456+00:00 ", (Some("2026-11-23T16:01:30,123456+00:00"), None, None)),
    ("kern  :warn  : [  123.456789] ", (None, None, Some(123))),
    ("[  123.456789][    C0] ", (None, None, Some(123))),
    ("[123456.789012][ T1234] ", (None, None, Some(123_456))),
    // BusyBox, OpenWrt's logread, syslogd of the BSDs.
    ("Nov 23 16:01:30 sensor kern.warn kernel: ", (Some("Nov 23 16:01:30"), Some("sensor"), None)),
    ("Mon Nov 23 16:01:30 2026 kern.warn kernel: [  123.456789] ", (Some("Mon Nov 23 16:01:30 2026"), None, Some(123))),
    ("Nov 23 16:01:30 <kern.warn> sensor kernel: ", (Some("Nov 23 16:01:30"), Some("sensor"), None)),
    // ulogd: through syslog, and its LOGEMU file.
    ("Nov 23 16:01:30 sensor ulogd[412]: ", (Some("Nov 23 16:01:30"), Some("sensor"), None)),
    ("Nov 23 16:01:30 sensor ", (Some("Nov 23 16:01:30"), Some("sensor"), None)),
    ("2026-11-23 16:01:30 sensor kernel: ", (Some("2026-11-23 16:01:30"), Some("sensor"), None)),
    ("kernel: ", (None, None, None)),
];

/// Prefixes as ufw, firewalld, Shorewall, OpenWrt and the sensor write them.
const PREFIXES: [&str; 8] = [
    "<IPT> Xmas scan: ",
    "[UFW BLOCK] ",
    "FINAL_REJECT: ",
    "Shorewall:net2fw:DROP:",
    "REJECT wan in: ",
    "",
    "iptables denied: ",
    "DROP",
];

#[test]
fn headers_of_every_kind_are_told_from_the_prefix() {
    for (header, (time, host, seconds)) in HEADERS {
        for prefix in PREFIXES {
            let text = format!("{header}{prefix}{BODY}");
            let read = SyslogLine::parse(&text).expect("a line");
            assert_eq!((read.header.text.as_str(), read.line.prefix.as_str()), (header, prefix), "{text}");
            assert_eq!((read.header.time.as_deref(), read.header.host.as_deref()), (time, host), "{text}");
            assert_eq!(read.header.uptime.map(|uptime| uptime.as_secs()), seconds, "{text}");
            assert_eq!(read.to_string(), text);
        }
    }
}

#[test]
fn colours_of_dmesg_and_line_ends_are_left_out() {
    let text = format!("\u{1b}[32m[  123.456789] \u{1b}[0m\u{1b}[33m<IPT> SYN scan: \u{1b}[0m{BODY}\r\n");
    let read = SyslogLine::parse(&text).expect("a line");
    assert_eq!(read.to_string(), format!("[  123.456789] <IPT> SYN scan: {BODY}"));
    // Found by `just soak`: a colour in the middle of another.
    let read = SyslogLine::parse(&format!("\u{1b}[\u{1b}[1mm\u{1b}[x{BODY}")).expect("a line");
    assert_eq!(read.to_string(), format!("\u{1b}[x{BODY}"));
}

/// Each line is parsed to its end, with these facts.
#[test]
fn log_lines_shown_in_manuals_are_parsed_to_the_end() {
    let v4 = "SRC=198.51.100.7 DST=203.0.113.10 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=47300 DF ";
    let v6 = "SRC=2001:0db8:0000:0000:0000:0000:0000:0001 DST=ff02:0000:0000:0000:0000:0000:0000:0001 LEN=64 TC=0 HOPLIMIT=255 FLOWLBL=0 ";
    let lines = [
        format!("DROP IN=eth1 OUT=eth2 {v4}PROTO=UDP SPT=1900 DPT=1900 LEN=40"),
        format!("OUT: IN= OUT=eth0 {v4}PROTO=TCP SPT=44847 DPT=35 WINDOW=32304 RES=0x00 ECE CWR SYN URGP=0 UID=1000 GID=1000 ").replace("ECE CWR", "CWR ECE"),
        format!("IN=br0 OUT=br0 PHYSIN=eth0 PHYSOUT=eth1 {v4}PROTO=TCP SPT=1 DPT=2 WINDOW=1 RES=0x00 SYN URGP=0 OPT (020405B40402) MARK=0x1f "),
        format!("IN=eth0 OUT= MACSRC=02:11:22:33:44:66 MACDST=00:0c:29:4f:8e:35 VPROTO=8100 VID=7 MACPROTO=0800 {v4}PROTO=2 "),
        format!("IN=eth0 OUT= MAC= {v4}PROTO=ICMP TYPE=8 CODE=0 ID=61055 SEQ=256 "),
        format!("IN=eth0 OUT= MAC= {v4}PROTO=ICMP TYPE=3 CODE=3 [{v4}PROTO=UDP SPT=35080 DPT=33434 LEN=48 ] "),
        format!("IN=eth0 OUT= MAC= {v4}PROTO=TCP INCOMPLETE [8 bytes] "),
        format!("IN=eth0 OUT= MAC= {v4}FRAG:185 PROTO=UDP "),
        format!("IN=eth0 OUT= MAC= {v4}PROTO=UDPLITE SPT=1 DPT=2 LEN=8 "),
        format!("IN=eth0 OUT= MAC= {v4}PROTO=AH SPI=0xabcd "),
        format!("IN=eth0 OUT= MAC= {v4}PROTO=132 "),
        format!("IN=eth0 OUT= MAC= {v4}PROTO=33 MARK=0x1 "),
        format!("IN=eth0 OUT= MAC= {v6}PROTO=ICMPv6 TYPE=135 CODE=0 "),
        format!("IN=eth0 OUT= MAC= {v6}PROTO=UDP SPT=546 DPT=547 LEN=24 "),
        "IN=eth0 OUT= ARP HTYPE=1 PTYPE=0x0800 OPCODE=1 MACSRC=02:11:22:33:44:66 IPSRC=203.0.113.66 MACDST=00:00:00:00:00:00 IPDST=203.0.113.10".to_owned(),
    ];
    for line in lines {
        let text = format!("Nov 23 16:01:30 sensor kernel: {line}");
        let read = SyslogLine::parse(&text).expect("a line");
        assert_eq!(read.line.rest, "", "{text}");
        assert!(read.line.network.is_some(), "{text}");
        assert_eq!(read.to_string().trim_end(), text.trim_end());
    }
}

fn spelt_otherwise(text: &str) -> LogLine {
    SyslogLine::parse(&format!("Nov 23 16:01:30 sensor {text}")).expect("a line").line
}

#[test]
fn ulogd_spells_some_things_otherwise() {
    let line = spelt_otherwise(
        "IN=eth0 OUT= MAC=00:0C:29:4F:8E:35:02:11:22:33:44:66:08:00  SRC=203.0.113.66 DST=203.0.113.10 LEN=40 TOS=00 \
         PREC=0x00 TTL=57 ID=4660 PROTO=TCP SPT=40000 DPT=80 SEQ=7 ACK=0 WINDOW=1024 SYN URGP=0 ",
    );
    let tcp = line.network.as_ref().and_then(LoggedPacketHeader::tcp).expect("TCP");
    assert_eq!((tcp.octet(), tcp.sequence, line.rest.as_str()), (0x02, Some(Sequence { seq: 7, ack: 0 }), ""));
    assert!(line.mac().is_some());

    let line = spelt_otherwise(
        "IN=eth0 OUT= SRC=2001:db8::66 DST=2001:db8::10 LEN=60 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=UDP SPT=1 DPT=2 LEN=20 ",
    );
    assert_eq!(line.network.and_then(|network| network.source()), Some("2001:db8::66".parse().unwrap()));

    let line = spelt_otherwise(
        "IN=eth0 OUT= SRC=203.0.113.66 DST=203.0.113.10 LEN=60 TOS=00 PREC=00 TTL=64 ID=1 PROTO=SCTP SPT=5 DPT=6 ",
    );
    assert_eq!(line.network.unwrap().transport().unwrap().protocol(), LoggedProtocol::Number(132));
    assert_eq!(line.rest, "SPT=5 DPT=6 ");
}

#[test]
fn ebtables_tells_addresses_in_words() {
    let line = spelt_otherwise(
        "kernel: who-has IN=eth0 OUT=eth1 MAC source = 02:11:22:33:44:66 MAC dest = ff:ff:ff:ff:ff:ff proto = 0x0806 \
         ARP HTYPE=1, PTYPE=0x0800, OPCODE=1 ARP MAC SRC=02:11:22:33:44:66 ARP IP SRC=203.0.113.66 \
         ARP MAC DST=00:00:00:00:00:00 ARP IP DST=203.0.113.10",
    );
    assert_eq!(line.mac().map(|mac| mac.ethertype), Some(0x0806));
    assert_eq!(line.network.and_then(|network| network.source()), Some("203.0.113.66".parse().unwrap()));

    let line = spelt_otherwise(
        "kernel: IN=eth0 OUT= MAC source = 02:11:22:33:44:66 MAC dest = 00:0c:29:4f:8e:35 proto = 0x0800 \
         IP SRC=203.0.113.66 IP DST=203.0.113.10, IP tos=0x00, IP proto=6 SPT=1 DPT=2",
    );
    assert_eq!(line.mac().map(|mac| mac.ethertype), Some(0x0800));
    assert!(line.rest.starts_with("IP SRC=203.0.113.66"), "{}", line.rest);
}

#[test]
fn a_truncated_or_misspelt_log_line_keeps_its_rest() {
    for tail in ["PROTO=TCP SPT=39935 DINDOW=32304 RES=0x00 SYN URGP=0", "PROTO=TCP SPT=39935 DP", "PROTO"] {
        let line = spelt_otherwise(&format!(
            "kernel: x IN=lo OUT= MAC= SRC=127.0.0.1 DST=127.0.0.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF {tail}"
        ));
        assert_eq!(line.rest, tail);
        assert!(line.network.is_some());
    }
    let line = spelt_otherwise("kernel: x IN=lo OUT= MAC=xx:xx SRC=a.b.c.d DST=w.x.y.z LEN=60");
    assert_eq!(line.rest, "MAC=xx:xx SRC=a.b.c.d DST=w.x.y.z LEN=60");
    assert_eq!(SyslogLine::parse("Nov 23 16:01:30 sensor sshd[1]: Accepted publickey"), None);
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

fn icmp(quoted: BoxedStrategy<Option<Box<LoggedPacketHeader>>>) -> BoxedStrategy<Icmp> {
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    let mtu = proptest::option::of(any::<u32>());
    (family, any::<u8>(), any::<u8>(), detail(), quoted, mtu)
        .prop_map(|(family, kind, code, detail, quoted, mtu)| Icmp { family, kind, code, detail, quoted, mtu })
        .boxed()
}

fn protocol() -> impl Strategy<Value = LoggedProtocol> {
    use LoggedProtocol::{Ah, Esp, Icmp, Icmpv6, Tcp, Udp, UdpLite};
    prop_oneof![
        proptest::sample::select(vec![Tcp, Udp, UdpLite, Icmp, Icmpv6, Ah, Esp]),
        any::<u8>().prop_map(LoggedProtocol::Number),
    ]
}

fn transport(quoted: BoxedStrategy<Option<Box<LoggedPacketHeader>>>) -> BoxedStrategy<Transport> {
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

fn ipv4(transport: BoxedStrategy<Transport>) -> BoxedStrategy<LoggedPacketHeader> {
    let addresses = (any::<std::net::Ipv4Addr>(), any::<std::net::Ipv4Addr>());
    let numbers = (any::<u32>(), any::<u8>(), any::<u8>(), any::<u16>());
    let bits = (any::<bool>(), any::<bool>(), any::<bool>(), 0u16..0x2000);
    (addresses, numbers, bits, options(), proptest::option::of(transport))
        .prop_map(
            |((source, destination), (length, tos, ttl, id), (ce, df, mf, fragment_offset), options, transport)| {
                LoggedPacketHeader::Ipv4(Ipv4 {
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

fn extension() -> impl Strategy<Value = ExtensionHeader> {
    let fragment = || {
        (any::<u16>(), any::<bool>(), any::<u32>()).prop_map(|(offset, more, id)| FragmentHeader { offset, more, id })
    };
    prop_oneof![
        fragment().prop_map(ExtensionHeader::Fragment),
        Just(ExtensionHeader::Listed(ListedExtension::Unnamed)),
        fragment().prop_map(|header| ExtensionHeader::Listed(ListedExtension::Fragment(header))),
        any::<u32>().prop_map(|spi| ExtensionHeader::Listed(ListedExtension::Ah { spi })),
        any::<u32>().prop_map(|spi| ExtensionHeader::Listed(ListedExtension::Esp { spi })),
    ]
}

fn ipv6(transport: BoxedStrategy<Transport>) -> BoxedStrategy<LoggedPacketHeader> {
    let addresses = (any::<std::net::Ipv6Addr>(), any::<std::net::Ipv6Addr>());
    let numbers = (any::<u32>(), any::<u8>(), any::<u8>(), 0u32..0x10_0000);
    let extensions = proptest::collection::vec(extension(), 0..3);
    (addresses, numbers, extensions, proptest::option::of(transport))
        .prop_map(|((source, destination), (length, traffic_class, hop_limit, flow_label), extensions, transport)| {
            LoggedPacketHeader::Ipv6(Ipv6 {
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

fn arp() -> BoxedStrategy<LoggedPacketHeader> {
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
        .prop_map(|(hardware, protocol, opcode, addresses)| {
            LoggedPacketHeader::Arp(Arp { hardware, protocol, opcode, addresses })
        })
        .boxed()
}

fn network() -> BoxedStrategy<LoggedPacketHeader> {
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

/// Found by `just fuzz logs`: a port without a name was accepted, and lost when the line was printed.
#[test]
fn a_port_of_a_bridge_without_a_name_stays_where_it_was() {
    for text in ["x IN=eth0 OUT= PHYSIN= MARK=0x1 ", "x IN=eth0 OUT= PHYSIN=a PHYSOUT= MARK=0x1 "] {
        assert_eq!(LogLine::parse(text).unwrap().to_string(), text);
    }
}

/// The kernel stops at an ESP extension header and prints no space after ARP: a real line ends there.
fn ends_the_line(network: &LoggedPacketHeader) -> bool {
    let text = network.to_string();
    matches!(network, LoggedPacketHeader::Arp(_)) || text.contains("ESP SPI=") && text.contains(" )")
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
    fn a_logged_line_that_is_printed_is_read_as_itself(
        which in any::<proptest::sample::Index>(),
        header in proptest::sample::select(HEADERS.to_vec()),
        noise in "(Nov|Mon|[0-9]{0,4}|:|kernel:|\\[|\\] | |<4>|T|-|\u{1b}\\[|m|\\PC){0,12}",
    ) {
        let lines = captured();
        for text in [format!("{}{}", header.0, which.get::<String>(&lines)), format!("{noise}{}{}", header.0, which.get::<String>(&lines))] {
            let read = SyslogLine::parse(&text).expect("a captured line");
            prop_assert_eq!(SyslogLine::parse(&read.to_string()), Some(read));
        }
    }

    #[test]
    fn log_line_parsers_given_any_text_do_not_panic(text in "\\PC{0,200}", tail in "(IN=|OUT=| |\\[|SRC=|PROTO=ICMP |TYPE=3 CODE=3 |\\PC){0,40}") {
        LogLine::parse(&text);
        SyslogLine::parse(&text);
        SyslogLine::parse(&format!("IN=a OUT=b {tail}"));
        LogLine::parse(&format!("IN=a OUT=b {tail}"));
    }
}
