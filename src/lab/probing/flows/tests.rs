use super::*;
use crate::net::port::Port;
use crate::net::{Addresses, Family};
use crate::probe::ProbeOverrides;
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED};

fn probes(craft: ProbeOverrides, techniques: &[Technique]) -> Vec<Probe> {
    let mut numbering = PassNumbering::new(SEED);
    let phases = techniques.iter().map(|of| numbering.phase(*of, Family::Ipv4, Addresses::default()).crafted(craft));
    phases.flat_map(|mut phase| phase.probes(&"22-24".parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// The batches of a list: their sizes, and whether conntrack is flushed before each.
fn cuts(mut probes: &[Probe]) -> Vec<(usize, bool)> {
    let mut flows = Flows::default();
    let mut cuts = Vec::new();
    while !probes.is_empty() {
        let ProbeBatch { count, meets_an_old_flow } = flows.together(probes);
        cuts.push((count, meets_an_old_flow));
        probes = &probes[count..];
    }
    cuts
}

#[test]
fn techniques_that_share_a_source_port_are_sent_apart_and_conntrack_forgets_in_between() {
    let from_53 = ProbeOverrides { source_port: Some(Port(53)), ..ProbeOverrides::default() };
    let techniques = [Technique::Syn, Technique::Fin, Technique::Ack];
    assert_eq!(cuts(&probes(from_53, &techniques)), [(3, false), (3, true), (3, true)]);
    assert_eq!(cuts(&probes(ProbeOverrides::default(), &techniques)), [(9, false)]);
}

/// Conntrack never confuses a datagram with a segment.
#[test]
fn protocols_never_meet() {
    let from_53 = ProbeOverrides { source_port: Some(Port(53)), ..ProbeOverrides::default() };
    assert_eq!(cuts(&probes(from_53, &[Technique::Syn, Technique::Udp, Technique::Echo])), [(7, false)]);
}
