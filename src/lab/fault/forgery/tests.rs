//! A forgery must be rejected for the one property that is wrong in it: rejected for another reason, it proves nothing.

use super::*;
use crate::net::port::Port;
use crate::net::{Addresses, Mac};
use crate::probe::scan_pass::{PassNumbering, SEED};
use crate::wire::reply::Reply;

const ENDS: Ends = Ends { prober: Mac([2, 0, 0, 0, 0, 1]), host: Mac([2, 0, 0, 0, 0, 2]) };

fn probes() -> Vec<Probe> {
    let mut numbering = PassNumbering::new(SEED);
    let cells = Family::BOTH.into_iter().flat_map(|family| Technique::DERIVED.map(|technique| (family, technique)));
    cells.map(|(family, scan)| numbering.phase(scan, family, Addresses::default()).probe(Port(80), 0)).collect()
}

fn forged_segment(probe: &Probe) -> ForgedSegment {
    ForgedSegment::from_ethernet(&probe.frame(&ENDS), &ENDS).expect("a probe")
}

fn read(frame: &[u8]) -> Reply {
    let reply = Reply::from_ethernet(frame).expect("a forged frame can be read");
    assert_eq!(reply.mac, Some(ENDS.host));
    reply
}

#[test]
fn the_numbers_are_all_that_is_wrong() {
    for probe in probes() {
        for frame in [forged_segment(&probe).stale_syn_ack(), forged_segment(&probe).reset_out_of_window()] {
            let reply = read(&frame);
            assert!(reply.answers(&probe.flow, probe.seq), "{probe:?}");
            assert!(!probe.is_answered_by(&reply), "{probe:?}");
        }
    }
}

#[test]
fn the_sender_is_all_that_is_wrong() {
    for probe in probes() {
        let reply = read(&forged_segment(&probe).reset_of_a_stranger());
        assert!(!probe.is_answered_by(&reply), "{probe:?}");
        assert!(probe.is_answered_by(&Reply { source: probe.flow.host, ..reply }), "{probe:?}");
    }
}

#[test]
fn canaries_and_resets_are_left_alone() {
    let host = Addresses::default().host(Family::Ipv4);
    let canary = canary::frame(canary::flow(Family::Ipv4, host, 7), &ENDS);
    assert!(ForgedSegment::from_ethernet(&canary, &ENDS).is_none());
    for probe in probes() {
        let reset = probe.segment(1, 0, TcpFlags::RST, &ENDS);
        assert!(ForgedSegment::from_ethernet(&reset, &ENDS).is_none(), "{probe:?}");
    }
}
