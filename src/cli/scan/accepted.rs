//! Ports that the rules accept, and on which nothing listens: they look closed.

use std::str::FromStr;

use crate::cli::listen;
use crate::commands::scan::{Fresh, NoObserver, PortScan};
use crate::error::Result;
use crate::lab::{HostService, WatchedEvents};
use crate::net::port::PortSet;
use crate::net::port_selection::{PortSelection, PortSelectionError, SelectedPorts};
use crate::net::{Family, Protocol};
use crate::probe::probe_group::ProbeGroup;
use crate::probe::scan::{FilterVerdict, PortState, Technique};
use crate::probe::scan_pass::{PassNumbering, SEED};
use crate::sensor::MOST_PORTS;
use crate::text::count::counted;

/// The value of `--listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListenArgument {
    /// The scanned ports that the rules accept.
    Auto,
    /// These ports.
    Ports(PortSelection),
}

impl FromStr for ListenArgument {
    type Err = PortSelectionError;

    fn from_str(text: &str) -> std::result::Result<Self, PortSelectionError> {
        if text == "auto" { Ok(ListenArgument::Auto) } else { text.parse().map(ListenArgument::Ports) }
    }
}

/// A scan, and what it scans.
pub(super) struct Scanned<'a> {
    pub(super) survey: &'a PortScan,
    pub(super) families: &'a [Family],
    /// The ports of techniques that are scanned.
    pub(super) ports: &'a SelectedPorts,
}

/// Services on the scanned ports that the filter accepts, found by a SYN or a datagram to each, with its path.
pub(super) fn services(scanned: &Scanned) -> Result<Vec<HostService>> {
    let accepted = |technique: Technique| -> Result<PortSet> {
        let groups = first_pass(scanned, technique)?;
        let in_filter = groups.iter().filter(|group| group.observation.filter == Some(FilterVerdict::Accept));
        Ok(in_filter.flat_map(|group| group.ports().ranges().collect::<Vec<_>>()).collect())
    };
    let (tcp, udp) = (accepted(Technique::Syn)?, accepted(Technique::Udp)?);
    let count = tcp.len() + udp.len();
    if count > MOST_PORTS {
        let accepts = counted(count, "port");
        let lab = format!("a lab listens on at most {MOST_PORTS}: the first of them");
        crate::cli::eprint_notice(&format!("note: the rules accept {accepts}, and {lab}"));
    }
    let tcp: PortSet = tcp.iter().take(MOST_PORTS).collect();
    let udp: PortSet = udp.iter().take(MOST_PORTS - tcp.len()).collect();
    let ports = SelectedPorts { tcp, udp };
    Ok(listen::services_on(&ports, |_| None))
}

/// A probe of `technique` to each port of its protocol that is scanned, with fresh limits for the first.
fn first_pass(scanned: &Scanned, technique: Technique) -> Result<Vec<ProbeGroup>> {
    let Scanned { survey, families, ports } = scanned;
    // Port 0 is scanned, and nothing can listen on it.
    let ports: PortSet = ports.ports(technique.protocol()).iter().filter(|port| port.0 != 0).collect();
    let mut numbering = PassNumbering::new(SEED);
    let phase = |family: &Family| (numbering.phase(technique, *family, survey.addresses), ports.clone());
    let phases = families.iter().map(phase).collect();
    let watch = WatchedEvents::Paths;
    let scan = PortScan { watch, phases, fresh: Fresh::EachPhase, services: Vec::new(), ..(*survey).clone() };
    if ports.is_empty() { Ok(Vec::new()) } else { Ok(scan.perform(&NoObserver)?.groups) }
}

/// A note on TCP ports that are closed since nothing listens; `None` if there are none.
pub(super) fn note(survey: &PortScan, groups: &[ProbeGroup]) -> Option<String> {
    let is_open_in_filter = |group: &&ProbeGroup| {
        let is_tcp = matches!(group.first.technique, Technique::Syn | Technique::Connect);
        let filter = group.observation.filter;
        is_tcp
            && group.observation.verdict.state == PortState::Closed
            && filter.is_none_or(|of| of == FilterVerdict::Accept)
    };
    // Nothing can listen on port 0.
    let ports = groups.iter().filter(is_open_in_filter).flat_map(|group| group.ports().iter().collect::<Vec<_>>());
    let closed: PortSet = ports.filter(|port| port.0 != 0).collect();
    if closed.is_empty() {
        return None;
    }
    let has_paths = survey.watch != WatchedEvents::Replies;
    // A connect is refused by an ICMP error as well.
    let rejects = survey.rulesets.iter().any(|(family, source)| {
        let listing = survey.equipment.listing(*family, source);
        listing.rules().any(|rule| rule.target.as_ref().is_some_and(|target| target.name == "REJECT"))
    });
    let ports = closed.listed(",");
    let cause = match rejects && !has_paths {
        true => "a rule refuses them, or the rules accept them and nothing listens (--trace shows which)",
        false => "the rules accept them, and nothing listens in the lab",
    };
    Some(format!("{} {ports}: closed since {cause}; `--listen auto` listens there", Protocol::Tcp.as_str()))
}
