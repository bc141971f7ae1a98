//! The scans of `check`, and the ports that they try.

use super::{PredeploySubject, ScannedPorts, listener};
use crate::commands::scan::{Fresh, LabOrder, PortScan};
use crate::lab::{HOST_MAC, Lab, WatchedEvents};
use crate::net::port::{Port, PortSet};
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED};
use crate::rules::iptables_save::{Clause, Match, Rule};
use crate::rules::sweep::SweepPlan;
use crate::sensor::Sensor;

/// The number of ports, from 1 on, in the scan whose lines are counted: as many as nmap scans by default.
pub(super) const SCAN: u16 = 1000;

/// The scan: every technique that a sensor can log, at the first thousand ports; and a SYN at ports that rules name.
pub(super) fn scan(subject: &PredeploySubject, tried: &PortSet) -> PortScan {
    let thousand: PortSet = [1..=SCAN].into_iter().collect();
    let with_named: PortSet = thousand.ranges().chain(tried.ranges()).collect();
    survey(subject, WatchedEvents::Replies, Fresh::EachPhase, &Technique::LOGGED, |technique| match technique {
        Technique::Syn => with_named.clone(),
        _ => thousand.clone(),
    })
}

pub(super) fn doors(subject: &PredeploySubject, tried: &PortSet) -> PortScan {
    let open = subject.sensor.open_udp().copied();
    let udp: Vec<Port> = UDP.into_iter().map(Port).chain(boundaries(subject)).chain(open).collect();
    let fresh = if tried.len() > SINGLY { Fresh::EachPhase } else { Fresh::EachProbe };
    survey(subject, WatchedEvents::Paths, fresh, &[Technique::Syn, Technique::Udp], |technique| match technique {
        Technique::Udp => udp.iter().copied().collect(),
        _ => tried.clone(),
    })
}

/// A probe of each technique that a sensor can log, at a port that no rule names.
pub(super) fn scans_of(subject: &PredeploySubject) -> PortScan {
    let listings = subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let plans: Vec<SweepPlan> =
        listings.map(|listing| SweepPlan::new(&listing, &subject.scenario.host.addresses)).collect();
    let port = SweepPlan::sample_port(plans.iter(), &intended(subject.sensor)).unwrap_or(Port(u16::MAX));
    let one: PortSet = [port].into_iter().collect();
    survey(subject, WatchedEvents::Replies, Fresh::EachProbe, &Technique::LOGGED, |_| one.clone())
}

/// The number of ports above which probes of one technique share their limits: each renewal waits for the kernel.
const SINGLY: usize = 256;

fn survey(
    subject: &PredeploySubject,
    watch: WatchedEvents,
    fresh: Fresh,
    techniques: &[Technique],
    ports: impl Fn(Technique) -> PortSet,
) -> PortScan {
    let host = &subject.scenario.host;
    let mut numbering = PassNumbering::new(SEED);
    let families = Lab::families();
    let all = techniques.iter().flat_map(|technique| families.iter().map(move |family| (*technique, *family)));
    let phase = |(technique, family)| (numbering.phase(technique, family, host.addresses), ports(technique));
    PortScan {
        equipment: subject.equipment.clone(),
        interface: host.interface.clone(),
        mac: host.mac.unwrap_or(HOST_MAC),
        addresses: host.addresses,
        services: host.listen.iter().map(|port| listener(*port)).collect(),
        rulesets: subject.rulesets.to_vec(),
        watch,
        order: LabOrder::SideBySide,
        fresh,
        discovery: None,
        phases: all.map(phase).collect(),
    }
}

/// UDP ports of usual services on a Pi: DNS, DHCP, NTP, SNMP, SSDP, mDNS; and one without a usual service.
const UDP: [u16; 7] = [53, 68, 123, 161, 1900, 5353, 40_000];

/// Matches that can match ports without naming them.
const OPAQUE: [&str; 5] = ["u32", "bpf", "set", "string", "cgroup"];

pub(super) fn ports(subject: &PredeploySubject) -> PortSet {
    let listings = || subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let mut opaque = listings().map(|listing| listing.rules().any(may_ask_for_any_port));
    if subject.ports == ScannedPorts::All || opaque.any(|is_opaque| is_opaque) {
        return [1..=u16::MAX].into_iter().collect();
    }
    boundaries(subject).into_iter().chain(intended(subject.sensor)).collect()
}

/// True if a rule may distinguish ports that are not next to one of its boundaries.
pub(super) fn may_ask_for_any_port(rule: &Rule) -> bool {
    let names_all = |clause: &Clause| match &clause.ask {
        Match::DestinationPorts(ports) => {
            !clause.negated && ports.ranges().all(|range| range.end() - range.start() <= 1)
        }
        _ => false,
    };
    rule.modules.iter().any(|module| OPAQUE.contains(&module.name.as_str())) && !rule.clauses.iter().any(names_all)
}

/// The ports on either side of every boundary in the rules, for any protocol.
pub(super) fn boundaries(subject: &PredeploySubject) -> Vec<Port> {
    let listings = subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let points = listings.flat_map(|listing| {
        let points = SweepPlan::new(&listing, &subject.scenario.host.addresses).services();
        points.iter().collect::<Vec<_>>()
    });
    points.collect()
}

/// The TCP ports that the sensor accepts.
pub(super) fn intended(sensor: &Sensor) -> Vec<Port> {
    sensor.served().collect()
}
