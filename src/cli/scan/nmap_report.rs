//! From what was seen to a report in nmap's words.

use super::services::Services;
use super::{Options, Plan};
use crate::error::{InputError, Result};
use crate::lab::LinkMode;
use crate::net::Family;
use crate::observation::Observation;
use crate::port::Transport;
use crate::probe::Probe;
use crate::report::Host;
use crate::report::nmap::{
    HostReason, Moment, NmapReport, PortRow, Presentation, Reasons, Scan, ScanKind, ScannedHost, Shown,
};
use crate::scan::{Reason, Technique};

/// What a report is made of.
pub struct Facts<'a> {
    pub options: &'a Options,
    pub plan: &'a Plan,
    pub link: LinkMode,
    pub host: &'a Host,
    pub seen: &'a [(Probe, Observation)],
    pub start: Moment,
    pub end: Moment,
}

/// nmap's reports have room for one state of a port in each transport.
///
/// # Errors
/// Several techniques of one transport.
pub fn check_techniques(techniques: &[Technique]) -> Result<()> {
    let tcp: Vec<&str> = techniques
        .iter()
        .filter(|technique| ScanKind::from(**technique).transport() == Transport::Tcp)
        .map(|technique| technique.profile().nmap)
        .collect();
    if tcp.len() < 2 {
        return Ok(());
    }
    let problem = format!("a report of nmap holds one TCP technique, not {}", tcp.join(" and "));
    Err(InputError::new(problem, "name one of them, or report with --format table or --format json").into())
}

/// The report.
pub fn nmap_report(facts: &Facts) -> NmapReport {
    let (options, plan) = (facts.options, facts.plan);
    NmapReport {
        arguments: arguments(),
        start: facts.start,
        end: facts.end,
        scans: plan.techniques.iter().map(|technique| scan(*technique, facts)).collect(),
        host: scanned_host(facts),
        ports: facts.seen.iter().map(|(probe, observation)| row(probe, observation, &plan.services)).collect(),
        presentation: Presentation {
            verbosity: options.verbosity,
            reasons: if options.reason { Reasons::Shown } else { Reasons::Hidden },
            shown: if options.open { Shown::Open } else { Shown::All },
        },
        data_files: plan.services.nmap_folder.map(str::to_owned),
    }
}

/// As they were typed, but for the folder of the program.
fn arguments() -> Vec<String> {
    let typed = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("scanlab".to_owned()).chain(typed).collect()
}

fn scan(technique: Technique, facts: &Facts) -> Scan {
    let kind = ScanKind::from(technique);
    Scan { kind, flags: facts.options.evasion.scanflags, ports: facts.plan.ports.of(kind.transport()).clone() }
}

fn scanned_host(facts: &Facts) -> ScannedHost {
    let reason = host_reason(facts);
    let shows_mac = match (facts.link, reason) {
        (LinkMode::Tun, _) => false,
        (LinkMode::Tap, HostReason::UserSet) => {
            facts.seen.iter().any(|(probe, observation)| shows_mac(probe, observation))
        }
        (LinkMode::Tap, HostReason::ArpResponse | HostReason::NeighbourResponse) => true,
    };
    ScannedHost {
        address: facts.plan.addresses.host(facts.plan.family),
        mac: Some(facts.host.mac).filter(|_| shows_mac),
        vendor: facts.host.vendor.clone(),
        reason,
    }
}

/// Neighbour discovery is what the lab's fence asks for, at the end of every batch. As with nmap, `-Pn` alone does not
/// keep it from being asked.
fn host_reason(facts: &Facts) -> HostReason {
    match (facts.link, facts.plan.family) {
        (LinkMode::Tun, _) => HostReason::UserSet,
        (LinkMode::Tap, _) if facts.options.disable_arp_ping || facts.options.send_ip => HostReason::UserSet,
        (LinkMode::Tap, Family::Ipv4) => HostReason::ArpResponse,
        (LinkMode::Tap, Family::Ipv6) => HostReason::NeighbourResponse,
    }
}

/// Who has not asked learns the address from the first frame of the host; a connect shows no frames.
fn shows_mac(probe: &Probe, observation: &Observation) -> bool {
    let verdict = observation.verdict;
    let is_from_host = verdict.reason_ip.is_none() && verdict.reason != Reason::NoResponse;
    is_from_host && probe.technique != Technique::Connect
}

fn row(probe: &Probe, observation: &Observation, services: &Services) -> PortRow {
    let verdict = observation.verdict;
    let (transport, port) = (ScanKind::from(probe.technique).transport(), probe.flow.port);
    PortRow {
        transport,
        port,
        state: verdict.state,
        reason: verdict.reason,
        ttl: verdict.reason_ttl,
        from: verdict.reason_ip,
        service: services.file.name_of(transport, port).map(str::to_owned),
    }
}
