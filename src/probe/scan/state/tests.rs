//! The complete decision tables of nmap 7.93: the result of each technique for each answer, as measured.

use proptest::prelude::*;

use super::*;
use crate::net::port::Port;
use crate::wire::reply::{Datagram, Echo, TcpSegment};

const V4: &str = "203.0.113.10";
const V6: &str = "2001:db8:113::10";
const ROUTER: &str = "198.51.100.1";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn reply(source: &str, body: Body) -> Reply {
    let destination = if source.contains(':') { "2001:db8:113::66" } else { "203.0.113.66" };
    Reply { mac: None, source: address(source), destination: address(destination), ttl: 61, body }
}

fn segment(flags: u8, window: u16) -> Body {
    let (source, destination) = (Port(80), Port(40000));
    Body::Tcp(TcpSegment { source, destination, seq: 1, ack: 2, flags, window, scales: false, payload: Vec::new() })
}

fn icmp_error(host: &str, kind: u8, code: u8) -> Body {
    let quoted = address(host);
    Body::Unreachable(IcmpError {
        kind,
        code,
        quoted_source: quoted,
        quoted_destination: quoted,
        protocol: Protocol::Tcp,
        source: Port(40000),
        destination: Port(80),
        seq: Some(0),
    })
}

/// `state reason`, or `-` for an answer that nmap ignores.
fn read(technique: Technique, host: &str, body: Body) -> String {
    interpret(technique, address(host), &reply(host, body))
        .map_or_else(|| "-".to_owned(), |verdict| format!("{} {}", verdict.state, verdict.reason))
}

/// The techniques of TCP, in the order of reports.
const SEGMENTS: [Technique; 8] = [
    Technique::Syn,
    Technique::Connect,
    Technique::Null,
    Technique::Fin,
    Technique::Xmas,
    Technique::Ack,
    Technique::Maimon,
    Technique::Window,
];

/// One row of the table, in the order of [`SEGMENTS`].
fn row(host: &str, body: &Body) -> [String; 8] {
    SEGMENTS.map(|technique| read(technique, host, body.clone()))
}

#[test]
fn segments() {
    const FIN: u8 = TcpFlags::FIN;
    const SYN: u8 = TcpFlags::SYN;
    const RST: u8 = TcpFlags::RST;
    const PSH: u8 = TcpFlags::PSH;
    const ACK: u8 = TcpFlags::ACK;
    let open = ["open syn-ack", "open syn-ack", "-", "-", "-", "-", "-", "-"];
    let split = ["open split-handshake-syn", "open split-handshake-syn", "-", "-", "-", "-", "-", "-"];
    let reset = [
        "closed reset",
        "closed conn-refused",
        "closed reset",
        "closed reset",
        "closed reset",
        "unfiltered reset",
        "closed reset",
        "closed reset",
    ];
    let ignored = ["-"; 8];
    let table = [
        (SYN | ACK, open),
        (SYN | ACK | RST, open),
        (SYN, split),
        (RST, reset),
        (RST | ACK, reset),
        (SYN | RST, reset),
        (ACK, ignored),
        (FIN | ACK, ignored),
        (PSH | ACK, ignored),
        (0, ignored),
    ];
    for (flags, expected) in table {
        for host in [V4, V6] {
            for window in [0, 1024] {
                let mut expected = expected;
                if expected == reset && window != 0 {
                    expected[7] = "open reset";
                }
                assert_eq!(row(host, &segment(flags, window)), expected, "flags {flags:#04x} from {host}");
            }
        }
    }
}

#[test]
fn silence() {
    let read = |technique| {
        let verdict = no_response(technique);
        assert_eq!((verdict.reason_ttl, verdict.reason_ip), (None, None));
        format!("{} {}", verdict.state, verdict.reason)
    };
    assert_eq!(
        Technique::ALL.map(read),
        [
            "filtered no-response",
            "filtered no-response",
            "open|filtered no-response",
            "open|filtered no-response",
            "open|filtered no-response",
            "filtered no-response",
            "open|filtered no-response",
            "filtered no-response",
            "open|filtered no-response",
            "filtered no-response",
        ]
    );
}

/// Compares the results of the raw techniques for an ICMP error, which are all the same, and that of connect.
fn check_icmp(host: &str, table: &[(u8, u8, &str, &str)]) {
    let mut unused = 0;
    for kind in 0..=255 {
        for code in 0..=255 {
            let row = row(host, &icmp_error(host, kind, code));
            let listed = table.iter().find(|(k, c, ..)| (*k, *c) == (kind, code));
            let (raw, connect) = listed.map_or(("-", "-"), |(_, _, raw, connect)| (*raw, *connect));
            assert_eq!(row, [raw, connect, raw, raw, raw, raw, raw, raw], "{host}: type {kind} code {code}");
            unused += usize::from(listed.is_none());
        }
    }
    assert_eq!(unused, 65536 - table.len());
}

#[test]
fn icmp_errors() {
    check_icmp(
        V4,
        &[
            (3, 0, "filtered net-unreach", "filtered net-unreach"),
            (3, 1, "filtered host-unreach", "filtered host-unreach"),
            (3, 2, "filtered proto-unreach", "filtered proto-unreach"),
            (3, 3, "filtered port-unreach", "closed conn-refused"),
            (3, 6, "-", "filtered net-unreach"),
            (3, 9, "filtered net-prohibited", "filtered net-unreach"),
            (3, 10, "filtered host-prohibited", "filtered host-unreach"),
            (3, 13, "filtered admin-prohibited", "filtered host-unreach"),
            (11, 0, "filtered time-exceeded", "filtered host-unreach"),
            (11, 1, "filtered time-exceeded", "filtered host-unreach"),
        ],
    );
}

#[test]
fn icmpv6_errors() {
    check_icmp(
        V6,
        &[
            (1, 0, "filtered no-route", "filtered net-unreach"),
            (1, 1, "filtered admin-prohibited", "filtered admin-prohibited"),
            (1, 2, "filtered beyond-scope", "filtered host-unreach"),
            (1, 3, "filtered host-unreach", "filtered host-unreach"),
            (1, 4, "filtered port-unreach", "closed conn-refused"),
            (1, 5, "filtered admin-prohibited", "filtered admin-prohibited"),
            (1, 6, "filtered reject-route", "filtered admin-prohibited"),
            (4, 0, "open param-problem", "-"),
            (4, 1, "filtered param-problem", "-"),
        ],
    );
}

const FOREIGN_V6: &str = "2001:db8:ffff::1";

/// The results of UDP and echo for an ICMP error of the host itself, and of a router; for all others as in
/// `check_icmp`.
#[test]
fn a_host_that_speaks_for_itself_is_believed_by_udp_and_echo() {
    let of = |technique, host: &str, sender: &str, kind, code| {
        interpret(technique, address(host), &reply(sender, icmp_error(host, kind, code)))
            .map_or_else(|| "-".to_owned(), |verdict| format!("{} {}", verdict.state, verdict.reason))
    };
    let rows = |host, router, kind, code| {
        [(Technique::Udp, host), (Technique::Udp, router), (Technique::Echo, host), (Technique::Echo, router)]
            .map(|(technique, sender)| of(technique, host, sender, kind, code))
    };
    let port = ["closed port-unreach", "filtered port-unreach", "unfiltered port-unreach", "filtered port-unreach"];
    assert_eq!(rows(V4, ROUTER, 3, 3), port);
    assert_eq!(rows(V6, FOREIGN_V6, 1, 4), port);
    let protocol =
        ["filtered proto-unreach", "filtered proto-unreach", "unfiltered proto-unreach", "filtered proto-unreach"];
    assert_eq!(rows(V4, ROUTER, 3, 2), protocol);
    for kind in 0..=255 {
        for code in 0..=255 {
            for (host, router) in [(V4, ROUTER), (V6, FOREIGN_V6)] {
                if [(V4, 3, 2), (V4, 3, 3), (V6, 1, 4)].contains(&(host, kind, code)) {
                    continue;
                }
                let as_segments = of(Technique::Xmas, host, host, kind, code);
                let same = [&as_segments; 4].map(|state| state.clone());
                assert_eq!(rows(host, router, kind, code), same, "{host}: type {kind} code {code}");
            }
        }
    }
}

#[test]
fn a_datagram_is_an_open_port_and_an_echo_reply_a_host_that_is_up() {
    for host in [V4, V6] {
        let datagram = Body::Datagram(Datagram { source: Port(53), destination: Port(40000) });
        assert_eq!(read(Technique::Udp, host, datagram), "open udp-response");
        assert_eq!(read(Technique::Echo, host, Body::EchoReply(Echo { id: 7, seq: 0 })), "unfiltered echo-reply");
    }
}

#[test]
fn other_frames_decide_nothing() {
    assert_eq!(row(V4, &Body::Other), ["-"; 8]);
}

#[test]
fn the_ttl_is_that_of_the_packet_and_connect_sees_none() {
    for technique in SEGMENTS {
        let verdict = interpret(technique, address(V4), &reply(V4, segment(TcpFlags::RST, 0))).unwrap();
        let expected = (technique != Technique::Connect).then_some(61);
        assert_eq!((verdict.reason_ttl, verdict.reason_ip), (expected, None), "{technique}");
    }
}

#[test]
fn a_router_that_decides_is_named_and_connect_sees_none() {
    for technique in Technique::ALL {
        let verdict = interpret(technique, address(V4), &reply(ROUTER, icmp_error(V4, 3, 13))).unwrap();
        let expected = (technique != Technique::Connect).then(|| address(ROUTER));
        assert_eq!(verdict.reason_ip, expected, "{technique}");
    }
}

#[test]
fn states_and_verdicts_are_read_as_they_are_written() {
    for state in PortState::ALL {
        // An unknown state is reported, but cannot be expected.
        let read = Some(state).filter(|state| *state != PortState::Unknown);
        assert_eq!(state.to_string().parse::<PortState>().ok(), read);
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for verdict in super::super::FilterVerdict::ALL {
        assert_eq!(verdict.to_string().parse(), Ok(verdict));
    }
    assert!("Open".parse::<PortState>().is_err());
}

proptest! {
    /// A flag more or less never makes a port open to a technique that sends no SYN.
    #[test]
    fn only_a_technique_that_sends_syn_finds_open_ports_by_tcp(flags: u8, window: u16) {
        for technique in SEGMENTS.into_iter().skip(2) {
            let by_window = technique == Technique::Window && window != 0;
            prop_assert!(by_window || !read(technique, V4, segment(flags, window)).starts_with("open "));
        }
    }
}
