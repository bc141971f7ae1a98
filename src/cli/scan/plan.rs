//! The options of a scan, checked: all input is read, and every fault of the command line found, before a lab is built.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::accepted::{self, ListenArgument, Scanned};
use super::addresses::{addresses, check_mac};
use super::formats::{StandardOutput, check_sarif, standard_format};
use super::outputs::Outputs;
use super::report_files::FileFormat;
use super::techniques::techniques;
use super::{ScanOptions, assert_one_standard_input, nmap_report, read};
use crate::cli::listen;
use crate::cli::no_clobber::spare;
use crate::cli::report_target::Drafts;
use crate::cli::services::KnownServices;
use crate::commands::scan::{Discovery, Fresh, LabOrder, PortScan, Unanswered};
use crate::error::{InputError, Result, Source};
use crate::lab::{HostService, Lab, LabOptions, WatchedEvents};
use crate::net::port::PortSet;
use crate::net::port_selection::{PortSelection, SelectedPorts};
use crate::net::{Addresses, Family, Protocol};
use crate::probe::ProbeOverrides;
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED, ScanPass};

/// A scan whose options have been checked.
pub(super) struct ScanPlan {
    /// IPv4 first.
    pub(super) families: Vec<Family>,
    pub(super) rulesets: Vec<(Family, Source)>,
    pub(super) techniques: Vec<Technique>,
    pub(super) addresses: Addresses,
    pub(super) craft: ProbeOverrides,
    pub(super) services: KnownServices,
    pub(super) listening: Vec<HostService>,
    pub(super) ports: SelectedPorts,
    pub(super) outputs: Outputs,
    pub(super) files: Drafts<FileFormat>,
    pub(super) format: StandardOutput,
}

impl ScanPlan {
    /// Reads all input, and finds every fault of the command line before a lab is built.
    pub(super) fn new(options: &ScanOptions) -> Result<ScanPlan> {
        let families = families(options);
        let rulesets = rulesets(options)?;
        families.iter().try_for_each(|family| check_family(&rulesets, *family))?;
        let techniques = techniques(options)?;
        let addresses = addresses(options)?;
        check_target(options, &addresses, &families)?;
        options.evasion.check_families(&families)?;
        let craft = options.evasion.craft();
        check_mac(options.mac)?;
        let services = KnownServices::read()?;
        let ports = ports(options, &techniques, &services)?;
        let listening = match &options.listen {
            Some(ListenArgument::Ports(ports)) => Some(listen::services(ports, |_| None)?),
            Some(ListenArgument::Auto) | None => None,
        };
        let listening = listening.unwrap_or_default();
        let nmaps = options.outputs.paths()?;
        let written = nmaps.iter().chain(options.files.paths()).chain(&options.syslog).chain(&options.pcap);
        spare(rulesets.iter().map(|(_, source)| source.name.as_path()), written)?;
        let outputs = options.outputs.begin()?;
        let files = options.files.begin(&nmaps)?;
        let format = standard_format(options, &outputs)?;
        check_sarif(options)?;
        let plan = ScanPlan {
            families,
            rulesets,
            techniques,
            addresses,
            craft,
            services,
            listening,
            ports,
            outputs,
            files,
            format,
        };
        if plan.speaks_nmap() {
            nmap_report::check_techniques(&plan.techniques)?;
            nmap_report::check_families(&plan.families)?;
        }
        plan.families.iter().try_for_each(|family| Lab::must_have(*family))?;
        Ok(plan)
    }

    /// True if a report is in one of nmap's formats.
    pub(super) fn speaks_nmap(&self) -> bool {
        self.outputs.any() || self.format.is_of_nmap()
    }

    /// The whole scan, with the addresses of `options`.
    pub(super) fn survey(&self, options: &ScanOptions, equipment: LabOptions) -> PortScan {
        PortScan {
            equipment,
            interface: options.interface.clone(),
            mac: options.mac,
            addresses: self.addresses,
            services: self.listening.clone(),
            rulesets: self.rulesets.clone(),
            watch: match self.format {
                _ if options.pcap.is_some() => WatchedEvents::Frames,
                StandardOutput::Html => WatchedEvents::Frames,
                _ if options.files.has(FileFormat::Html) => WatchedEvents::Frames,
                _ if options.trace => WatchedEvents::Paths,
                _ => WatchedEvents::Replies,
            },
            order: if options.syslog.is_some() || options.pcap.is_some() {
                LabOrder::InTurn
            } else {
                LabOrder::SideBySide
            },
            fresh: Fresh::First,
            discovery: self.discovery(options),
            phases: self.phases(),
        }
    }

    /// Services on the scanned ports that the rules accept.
    pub(super) fn accepted(&self, options: &ScanOptions, equipment: &LabOptions) -> Result<Vec<HostService>> {
        let is_scanned = |protocol| self.techniques.iter().any(|technique| technique.protocol() == protocol);
        let ports = |protocol| match is_scanned(protocol) {
            true => self.ports.ports(protocol).clone(),
            false => PortSet::EMPTY,
        };
        let ports = SelectedPorts { tcp: ports(Protocol::Tcp), udp: ports(Protocol::Udp) };
        let survey = self.survey(options, equipment.clone());
        accepted::services(&Scanned { survey: &survey, families: &self.families, ports: &ports })
    }

    /// As in nmap: the source address of the probes sends the solicitation, and -Pn alone changes nothing on a link.
    /// Without nmap's own solicitation (`--send-ip`) the kernel of nmap's machine sends one, and sends no probe without
    /// its answer.
    fn discovery(&self, options: &ScanOptions) -> Option<Discovery> {
        let source = match self.craft.source {
            Some(IpAddr::V6(source)) => source,
            _ => self.addresses.v6.prober,
        };
        let unanswered = match options.leaves_it_to_the_kernel() && options.no_ping {
            true => Unanswered::Silent,
            false => Unanswered::NotScanned,
        };
        (!options.static_neighbour).then_some(Discovery { source, unanswered })
    }

    /// Every technique in every family.
    fn phases(&self) -> Vec<(ScanPass, PortSet)> {
        let mut numbering = PassNumbering::new(SEED);
        let all = self.techniques.iter().flat_map(|of| self.families.iter().map(move |family| (*of, *family)));
        let phase = |(technique, family): (Technique, Family)| {
            let phase = numbering.phase(technique, family, self.addresses).crafted(self.craft);
            (phase, self.ports.ports(technique.protocol()).clone())
        };
        all.map(phase).collect()
    }
}

/// IPv4, as in nmap; with `-6` IPv6, and with both options both families.
fn families(options: &ScanOptions) -> Vec<Family> {
    match (options.ipv4, options.ipv6) {
        (_, false) => vec![Family::Ipv4],
        (false, true) => vec![Family::Ipv6],
        (true, true) => Family::BOTH.to_vec(),
    }
}

fn check_family(rulesets: &[(Family, Source)], family: Family) -> Result<()> {
    if rulesets.iter().any(|(other, _)| *other == family) {
        return Ok(());
    }
    let hint = family.pick("add --rules FILE, or scan over IPv6 with -6", "add --rules6 FILE, or leave out -6");
    Err(InputError::new(format!("no {family} ruleset is given, so there is nothing to scan"), hint).into())
}

/// nmap's command line ends with the targets; the lab has one host only.
fn check_target(options: &ScanOptions, addresses: &Addresses, families: &[Family]) -> Result<()> {
    let hosts: Vec<IpAddr> = families.iter().map(|family| addresses.host(*family)).collect();
    let is_host = |target: &String| target.parse().is_ok_and(|target: IpAddr| hosts.contains(&target));
    match &options.target {
        Some(target) if !is_host(target) => {
            let problem = format!("cannot scan {}: probes go only to the lab's own host", target.escape_debug());
            let hosts = hosts.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" and ");
            let hint = format!("that is {hosts}: name it, or nothing; --host-addr and -6 choose another");
            Err(InputError::new(problem, hint).into())
        }
        _ => Ok(()),
    }
}

/// The ports that are to be scanned.
fn ports(options: &ScanOptions, techniques: &[Technique], services: &KnownServices) -> Result<SelectedPorts> {
    let resolve = |selection: &PortSelection| -> Result<SelectedPorts> {
        let hint = "names come from nmap's nmap-services or /etc/services";
        Ok(selection.resolve(&services.file).map_err(|error| InputError::new(error, hint))?)
    };
    let chosen = match options.top_ports.or(options.fast.then_some(FAST)) {
        Some(count) => services.most_frequent(count)?,
        None => resolve(&options.ports)?,
    };
    let ports = match &options.exclude_ports {
        Some(excluded) => chosen.without(&resolve(excluded)?),
        None => chosen,
    };
    for technique in techniques {
        let protocol = technique.protocol();
        if technique.has_ports() && ports.ports(protocol).is_empty() {
            let problem = format!("no {protocol} port is left for {}", technique.profile().nmap);
            return Err(InputError::new(problem, "check -p and --exclude-ports").into());
        }
    }
    Ok(ports)
}

/// The number of ports that `-F` scans.
const FAST: u16 = 100;

fn rulesets(options: &ScanOptions) -> Result<Vec<(Family, Source)>> {
    let named = [(Family::Ipv4, &options.rules), (Family::Ipv6, &options.rules6)];
    let named: BTreeMap<Family, &PathBuf> =
        named.into_iter().filter_map(|(family, path)| Some((family, path.as_ref()?))).collect();
    if named.is_empty() {
        return Err(InputError::new("no ruleset is given", "add --rules FILE, --rules6 FILE, or both").into());
    }
    assert_one_standard_input(&named)?;
    named.into_iter().map(|(family, path)| Ok((family, read(path)?))).collect()
}
