//! Converts the results of a scan into a report in nmap's words.

use super::{ScanOptions, ScanPlan};
use crate::cli::services::KnownServices;
use crate::error::{InputError, Result};
use crate::lab::LinkMode;
use crate::net::Family;
use crate::net::Protocol;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::probe_group::ProbeGroup;
use crate::probe::scan::{Reason, Technique};
use crate::report::HostSummary;
use crate::report::nmap::{
    Advice, HostReason, NmapReport, PortRow, Presentation, Reasons, Scan, ScannedHost, Shown, UnixTime,
};

/// The facts for a report.
pub struct NmapReportFacts<'a> {
    pub options: &'a ScanOptions,
    pub plan: &'a ScanPlan,
    pub link: LinkMode,
    pub host: &'a HostSummary,
    pub groups: &'a [ProbeGroup],
    /// True if the host did not answer a neighbour solicitation.
    pub hidden: bool,
    pub start: UnixTime,
    pub end: UnixTime,
}

/// nmap's reports have one state for each port and protocol.
///
/// # Errors
/// If there are several techniques of one protocol.
pub fn check_techniques(techniques: &[Technique]) -> Result<()> {
    if let Some(technique) = techniques.iter().find(|technique| !technique.has_ports()) {
        let problem = format!("nmap's formats report ports, and {} has none", technique.profile().nmap);
        return Err(InputError::new(problem, "use --format table or --format json").into());
    }
    let tcp: Vec<&str> = techniques
        .iter()
        .filter(|technique| technique.protocol() == Protocol::Tcp)
        .map(|technique| technique.profile().nmap)
        .collect();
    if tcp.len() < 2 {
        return Ok(());
    }
    let problem = format!("nmap's formats can report only one TCP technique, not {}", tcp.join(" and "));
    Err(InputError::new(problem, "name one of them, or use --format table or --format json").into())
}

/// nmap scans one host at a time, and a host is an address.
///
/// # Errors
/// If both families are scanned.
pub fn check_families(families: &[Family]) -> Result<()> {
    if families.len() < 2 {
        return Ok(());
    }
    let hint = "leave out -4 or -6, or use --format table or --format json";
    Err(InputError::new("nmap's formats can report the ports of only one address", hint).into())
}

/// The report.
pub fn nmap_report(facts: &NmapReportFacts) -> NmapReport {
    let (options, plan) = (facts.options, facts.plan);
    NmapReport {
        arguments: arguments(),
        start: facts.start,
        end: facts.end,
        scans: plan.techniques.iter().map(|technique| scan(*technique, facts)).collect(),
        host: scanned_host(facts),
        ports: facts.groups.iter().flat_map(|group| rows(group, &plan.services)).collect(),
        presentation: Presentation {
            advice: if options.no_ping { Advice::None } else { Advice::TryPn },
            verbosity: options.verbosity,
            reasons: if options.reason { Reasons::Shown } else { Reasons::Hidden },
            shown: if options.open { Shown::Open } else { Shown::All },
        },
        data_files: plan.services.nmap_folder.map(str::to_owned),
    }
}

/// As they were typed, without the folder of the program.
fn arguments() -> Vec<String> {
    let typed = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("scanlab".to_owned()).chain(typed).collect()
}

fn scan(technique: Technique, facts: &NmapReportFacts) -> Scan {
    let ports = facts.plan.ports.ports(technique.protocol()).clone();
    Scan { technique, flags: facts.options.evasion.scanflags, ports }
}

fn scanned_host(facts: &NmapReportFacts) -> ScannedHost {
    let reason = host_reason(facts);
    let shows_mac = match (facts.link, reason) {
        (LinkMode::Tun, _) => false,
        (LinkMode::Tap, HostReason::NoResponse) => false,
        (LinkMode::Tap, HostReason::UserSet) => {
            facts.groups.iter().any(|group| shows_mac(&group.first, &group.observation))
        }
        (LinkMode::Tap, HostReason::ArpResponse | HostReason::NeighbourResponse) => true,
    };
    ScannedHost {
        address: facts.plan.addresses.host(facts.plan.families[0]),
        mac: facts.host.mac.filter(|_| shows_mac),
        vendor: facts.host.vendor.clone(),
        reason,
    }
}

/// The reason why the host is up or down. No rule of iptables filters ARP, so over IPv4 the host answers. As in nmap,
/// `-Pn` alone does not suppress the solicitation.
fn host_reason(facts: &NmapReportFacts) -> HostReason {
    let options = facts.options;
    match (facts.link, facts.plan.families[0]) {
        (LinkMode::Tun, _) => HostReason::UserSet,
        (LinkMode::Tap, _) if facts.hidden && !(options.leaves_it_to_the_kernel() && options.no_ping) => {
            HostReason::NoResponse
        }
        (LinkMode::Tap, _) if options.leaves_it_to_the_kernel() || options.static_neighbour => HostReason::UserSet,
        (LinkMode::Tap, Family::Ipv4) => HostReason::ArpResponse,
        (LinkMode::Tap, Family::Ipv6) => HostReason::NeighbourResponse,
    }
}

/// True if the scan learns the MAC address: without a solicitation, from the first frame of the host; a connect scan
/// sees no frames.
fn shows_mac(probe: &Probe, observation: &Observation) -> bool {
    let verdict = observation.verdict;
    let is_from_host = verdict.reason_ip.is_none() && verdict.reason != Reason::NoResponse;
    is_from_host && !probe.technique.is_full_connect()
}

fn rows(group: &ProbeGroup, services: &KnownServices) -> Vec<PortRow> {
    let (verdict, protocol) = (group.observation.verdict, group.first.technique.protocol());
    let row = |port| PortRow {
        protocol,
        port,
        state: verdict.state,
        reason: verdict.reason,
        ttl: verdict.reason_ttl,
        from: verdict.reason_ip,
        service: services.file.name_of(protocol, port).map(str::to_owned),
    };
    group.ports().iter().map(row).collect()
}
