//! Events as kernel 6.18 sends them: `captured-6.18.nftrace` holds the payload of each message (nfgenmsg and
//! attributes, in hexadecimal, from a little-endian machine), read from the netlink group of traces in a separate
//! namespace, in which hand-made SYN and Xmas segments met a ruleset loaded by iptables 1.8.9.

use proptest::prelude::*;

use super::*;
use crate::net::port::Port;
use crate::wire::headers::TracedHeaders;
use crate::wire::packet_id::PacketId;

const CAPTURED: &str = include_str!("captured-6.18.nftrace");

/// The payload of the line that ends with this name.
fn captured(name: &str) -> Vec<u8> {
    let line = CAPTURED.lines().find(|line| line.ends_with(name)).expect("a captured event");
    let digits = line.split(' ').next().expect("its bytes").as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Family, table, chain, kind, handle, verdict, conntrack.
type Facts<'a> = (Family, &'a str, &'a str, TraceEventKind, Option<u64>, Code<'a>, Option<ConntrackState>);

fn assert_reads(name: &str, facts: Facts) {
    let payload = captured(name);
    let event = Event::read(&payload).unwrap_or_else(|| panic!("{name} is not read"));
    let text = |bytes| str::from_utf8(bytes).unwrap();
    let (table, chain) = (text(event.table), text(event.chain));
    assert_eq!((event.family, table, chain, event.kind, event.handle, event.verdict, event.conntrack), facts, "{name}");
}

#[test]
fn every_kind_of_event_is_read() {
    use ConntrackState::New;
    let (v4, v6, rule) = (Family::Ipv4, Family::Ipv6, TraceEventKind::Rule);
    assert_reads("raw PREROUTING rule 3 continue", (v4, "raw", "PREROUTING", rule, Some(3), Code::Continue, None));
    assert_reads("nat PREROUTING rule 2 continue", (v4, "nat", "PREROUTING", rule, Some(2), Code::Continue, Some(New)));
    assert_reads("filter INPUT rule 7 goto G", (v4, "filter", "INPUT", rule, Some(7), Code::Goto(b"G"), Some(New)));
    assert_reads("filter G rule 9 jump SCANS", (v4, "filter", "G", rule, Some(9), Code::Jump(b"SCANS"), None));
    assert_reads("filter SCANS rule 8 return", (v4, "filter", "SCANS", rule, Some(8), Code::Return, None));
    assert_reads("filter G its end", (v4, "filter", "G", rule, None, Code::Continue, None));
    assert_reads("filter INPUT policy drop", (v4, "filter", "INPUT", TraceEventKind::Policy, None, Code::Drop, None));
    assert_reads("ipv6 filter INPUT rule 2 drop (REJECT)", (v6, "filter", "INPUT", rule, Some(2), Code::Drop, None));
}

/// `nf_trace_fill_ct_info` omits the state of an INVALID packet: that is why `explain` infers it.
#[test]
fn the_kernel_does_not_tell_what_is_invalid() {
    let xmas = captured("of an Xmas probe");
    assert_eq!(Event::read(&xmas).expect("an event").conntrack, None);
}

#[test]
fn events_of_one_packet_have_its_number_and_the_first_of_a_hook_its_headers() {
    let number = |name| Event::read(&captured(name)).expect("an event").packet;
    assert_eq!(number("raw PREROUTING rule 3 continue"), number("filter INPUT policy drop"));
    assert_ne!(number("raw PREROUTING rule 3 continue"), number("of an Xmas probe"));
    for (name, flags) in [("filter INPUT rule 7 goto G", 0x02), ("of an Xmas probe", 0x29), ("(REJECT)", 0x02)] {
        let payload = captured(name);
        let event = Event::read(&payload).expect("an event");
        let headers = TracedHeaders::read(event.network.unwrap(), event.transport.unwrap()).expect("headers");
        let tcp = PacketId::from_headers(&headers, event.transport.unwrap()).expect("a TCP header");
        assert_eq!((tcp.flow.port, tcp.flags), (Port(80), flags), "{name}");
    }
    assert_eq!(Event::read(&captured("filter INPUT policy drop")).expect("an event").network, None);
}

#[test]
fn an_event_without_what_every_event_has_is_none() {
    let whole = captured("filter INPUT policy drop");
    assert!(Event::read(&whole).is_some());
    // The policy is the last attribute: family, kind, number, chain, table and policy are all required.
    for length in 0..whole.len() {
        assert_eq!(Event::read(&whole[..length]), None, "{length} bytes");
    }
}

#[test]
fn an_unknown_verdict_is_none() {
    for (number, verdict) in [(0, Code::Drop), (1, Code::Accept), (2, Code::Stolen), (0x10003, Code::Stolen)] {
        assert_eq!(code(number, None), Some(verdict), "{number}");
    }
    for number in [-2, -3, -4, -6, 4, 5, 0xff] {
        assert_eq!(code(number, None), None, "{number}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Event::read(&bytes);
    }

    #[test]
    fn no_damage_to_an_event_is_too_strange(at in 0usize..400, byte: u8, length in 0usize..400, which in 0usize..10) {
        let name = CAPTURED.lines().nth(which).expect("a captured event");
        let mut payload = captured(name);
        payload.truncate(length);
        if let Some(place) = payload.get_mut(at) {
            *place = byte;
        }
        let _ = Event::read(&payload);
    }
}
