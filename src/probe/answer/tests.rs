use std::net::IpAddr;

use super::*;
use crate::net::port::Port;
use crate::net::{Addresses, Family};
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED};

fn probe(technique: Technique) -> Probe {
    PassNumbering::new(SEED).phase(technique, Family::Ipv4, Addresses::default()).probe(Port(80), 0)
}

fn reply(probe: &Probe, seq: u32, ack: u32, flags: u8) -> Reply {
    let flow = probe.flow;
    let (source, destination) = (flow.port, flow.prober_port);
    let segment = TcpSegment { source, destination, seq, ack, flags, window: 0, scales: false, payload: Vec::new() };
    Reply { mac: None, source: flow.host, destination: flow.prober, ttl: 64, body: Body::Tcp(segment) }
}

const RST_ACK: u8 = TcpFlags::RST | TcpFlags::ACK;
const SYN_ACK: u8 = TcpFlags::SYN | TcpFlags::ACK;

/// Numbered as in `tcp_v4_send_reset` (net/ipv4/tcp_ipv4.c) and `nf_reject_ip_tcphdr_put`.
#[test]
fn a_reset_numbered_as_the_kernel_does_is_an_answer() {
    for (technique, counted) in
        [(Technique::Syn, 1), (Technique::Connect, 1), (Technique::Fin, 1), (Technique::Xmas, 1), (Technique::Null, 0)]
    {
        let probe = probe(technique);
        let right = probe.seq.wrapping_add(counted);
        assert!(probe.is_answered_by(&reply(&probe, 0, right, RST_ACK)), "{technique}");
        for wrong in [right.wrapping_sub(1), right.wrapping_add(1), 0] {
            assert!(!probe.is_answered_by(&reply(&probe, 0, wrong, RST_ACK)), "{technique}");
        }
        assert!(!probe.is_answered_by(&reply(&probe, right, 0, TcpFlags::RST)), "{technique}");
    }
}

#[test]
fn a_reset_of_an_acknowledgment_takes_its_number() {
    let probe = probe(Technique::Ack);
    assert!(probe.is_answered_by(&reply(&probe, probe.ack, 0, TcpFlags::RST)));
    for wrong in [probe.ack.wrapping_sub(1), probe.ack.wrapping_add(1), 0] {
        assert!(!probe.is_answered_by(&reply(&probe, wrong, 0, TcpFlags::RST)));
    }
}

#[test]
fn a_syn_ack_acknowledges_the_syn() {
    let probe = probe(Technique::Syn);
    let right = probe.seq.wrapping_add(1);
    assert!(probe.is_answered_by(&reply(&probe, 0xdead_beef, right, SYN_ACK)));
    assert!(!probe.is_answered_by(&reply(&probe, 0xdead_beef, probe.seq, SYN_ACK)));
}

#[test]
fn right_numbers_do_not_make_up_for_a_wrong_sender() {
    let probe = probe(Technique::Syn);
    let stranger: IpAddr = [198, 51, 100, 99].into();
    let right = reply(&probe, 0, probe.seq.wrapping_add(1), RST_ACK);
    assert!(!probe.is_answered_by(&Reply { source: stranger, ..right }));
}
