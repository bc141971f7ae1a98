//! `scanlab scan`: the view of a scanner on a ruleset. Same engine as `run`, without expectations. Options and reports
//! are nmap's, as far as they have a meaning here.

mod evasion;
mod live_outputs;
pub(crate) mod nmap_args;
mod nmap_report;
mod outputs;
mod report_files;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::evasion::EvasionArguments;
use self::nmap_args::left_to_nmap;
use self::nmap_report::{NmapReportFacts, nmap_report};
use self::outputs::{NmapFormat, OutputArguments, Outputs};
use self::report_files::{FileFormat, ScanReportArguments};
use super::capture_file::CaptureFile;
use super::equipment::{EquipmentArguments, LinkArgument};
use super::no_clobber::spare;
use super::report_target::Drafts;
use super::services::KnownServices;
use super::syslog::SyslogFile;
use super::timestamp;
use crate::commands::scan::{Discovery, Fresh, LabOrder, PortScan, PortScanResult, Unanswered};
use crate::error::{InputError, Result, Source};
use crate::lab::{Capture, HOST_MAC, HostService, Lab, LabOptions, LinkMode, WatchedEvents};
use crate::net::port::PortSet;
use crate::net::port_selection::{PortSelection, SelectedPorts};
use crate::net::{Addresses, Family, InterfaceName, Mac, Network};
use crate::probe::ProbeOverrides;
use crate::probe::hidden::Hidden;
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED, ScanPass};
use crate::report::nmap::{self, Addressee, NmapReport, UnixTime};
use crate::report::{self, HiddenHost, HostStatus, HostSummary, Report};
use crate::text::ci_escape::Inert;
use crate::verdict::findings::{self, FindingsSubject, RulesetFindings};

/// The options of `scanlab scan`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct ScanOptions {
    /// IPv4 ruleset, iptables-save text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,
    #[arg(long, value_name = "LIST", value_delimiter = ',', help = technique_names())]
    scan: Vec<Technique>,
    #[arg(short = 's', value_name = "LETTERS", hide_short_help = true, help = technique_letters())]
    nmap: Vec<String>,
    /// The host's address: nothing else can be scanned
    #[arg(value_name = "TARGET", hide_short_help = true)]
    target: Option<String>,
    /// Ports, in nmap's syntax: numbers, ranges, names, T: and U:, [only those with a name]
    #[arg(short, long, value_name = "PORTS", default_value = "1-1024", allow_hyphen_values = true)]
    ports: PortSelection,
    /// Ports that are left out, in the same syntax
    #[arg(long, value_name = "PORTS", allow_hyphen_values = true)]
    exclude_ports: Option<PortSelection>,
    /// The 100 ports that are open most often, by nmap's own file
    #[arg(short = 'F', conflicts_with_all = ["ports", "top_ports"], hide_short_help = true)]
    fast: bool,
    /// The ports that are open most often, by nmap's own file
    #[arg(long, value_name = "NUMBER", conflicts_with = "ports", value_parser = clap::value_parser!(u16).range(1..))]
    top_ports: Option<u16>,
    /// Scan over IPv6; with -4 over both
    #[arg(short = '6')]
    ipv6: bool,
    /// Scan over IPv4, as it is done without -6
    #[arg(short = '4')]
    ipv4: bool,
    /// Ports on which something listens, as -p names them; TCP unless U: stands before them
    #[arg(long, value_name = "PORTS", allow_hyphen_values = true)]
    listen: Option<PortSelection>,
    /// The interface that the rules speak of
    #[arg(long, value_name = "NAME", default_value_t)]
    interface: InterfaceName,
    /// The host's address and prefix length
    #[arg(long, value_name = "ADDRESS/LEN")]
    host_addr: Option<String>,
    /// The address that the probes come from
    #[arg(long, value_name = "ADDRESS")]
    prober_addr: Option<IpAddr>,
    /// The host's MAC address
    #[arg(long, value_name = "MAC", default_value_t = HOST_MAC)]
    mac: Mac,
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// What lies between prober and host: Ethernet frames, or bare IP packets
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
    /// Look the vendor up in the IEEE's own file or in nmap's
    #[arg(long, value_name = "FILE")]
    oui_file: Option<PathBuf>,
    /// Show the rules that every probe met, and those that no packet can reach
    #[arg(long)]
    trace: bool,
    /// How to report
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<ScanFormat>,
    #[command(flatten)]
    files: ScanReportArguments,
    #[command(flatten)]
    outputs: OutputArguments,
    /// Show only ports that are, or may be, open
    #[arg(long)]
    open: bool,
    /// Show reasons in nmap's normal output (table and json always do)
    #[arg(long)]
    reason: bool,
    /// More of nmap's output; twice: still more
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbosity: u8,
    /// Report as an nmap that has not asked its neighbours
    #[arg(long, hide_short_help = true)]
    disable_arp_ping: bool,
    /// The same
    #[arg(long, hide_short_help = true)]
    send_ip: bool,
    /// Scan with the host's MAC address known, as a router that the host has talked to: nobody looks for the host
    #[arg(long)]
    static_neighbour: bool,
    /// As nmap's -Pn: the host is taken to be up
    #[arg(long, hide = true)]
    no_ping: bool,
    #[command(flatten)]
    evasion: EvasionArguments,
    /// Write the log lines to this file as rsyslog would, for psad, fail2ban or CrowdSec
    #[arg(long, value_name = "FILE")]
    syslog: Option<PathBuf>,
    /// Write every frame to this file, with what became of it as a comment: pcapng, for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

impl ScanOptions {
    /// True if nmap itself would send no ARP or neighbour solicitation (`--disable-arp-ping`, `--send-ip`).
    fn leaves_it_to_the_kernel(&self) -> bool {
        self.disable_arp_ping || self.send_ip
    }
}

/// The format of a report on a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScanFormat {
    /// for people
    Table,
    /// as nmap prints it
    Nmap,
    /// as nmap -oX writes it
    Xml,
    /// as nmap -oG writes it
    Grepable,
    /// for programs: schema 1
    Json,
    /// a page to look at, in one file
    Html,
    /// SARIF 2.1.0, for code scanning: of --trace what no packet can reach, and lint
    Sarif,
}

/// Scans, and reports the results.
pub fn scan(options: ScanOptions) -> Result<ExitCode> {
    let plan = ScanPlan::new(&options)?;
    options.equipment.admit_sizes(plan.rulesets.iter().map(|(_, source)| source))?;
    super::warn_of_no_filter(plan.rulesets.iter().map(|(family, source)| (*family, source)));
    super::warn_of_missing_families(plan.rulesets.iter().map(|(family, source)| (*family, source)));
    options.evasion.say_what_a_connect_leaves_out(&plan.techniques);
    let vendors = super::run::vendors(options.oui_file.as_deref())?;
    let flavours = options.equipment.find_all(options.link.into(), Capture::usual)?;
    let link = options.link.into();
    let mac = LinkMode::has_macs(link).then_some(options.mac);
    let host = HostSummary {
        mac,
        vendor: mac.and_then(|mac| vendors.lookup(mac).nmap),
        interface: options.interface.to_string(),
        addresses: plan.families.iter().map(|family| plan.addresses.host(*family).to_string()).collect(),
    };
    let mut syslog = options.syslog.as_deref().map(SyslogFile::open).transpose()?;
    let mut pcap = options.pcap.as_deref().map(CaptureFile::begin).transpose()?;
    let (mut nmap, mut reports) = (None, Vec::new());
    for equipment in flavours {
        let survey = plan.survey(&options, equipment);
        let start = UnixTime(timestamp::now()?);
        // With two flavours, the lines and nmap's report are those of the first.
        let mut found = live_outputs::perform(&survey, syslog.take(), pcap.take())?;
        let facts = NmapReportFacts {
            options: &options,
            plan: &plan,
            link,
            host: &host,
            groups: &found.groups,
            hidden: found.hidden.is_some(),
            start,
            end: UnixTime(timestamp::now()?),
        };
        if plan.speaks_nmap() {
            found.hidden.iter().for_each(|hidden| say_who_hides(hidden, &survey));
            nmap.get_or_insert_with(|| nmap_report(&facts));
        }
        if options.open {
            found.groups.retain(|group| nmap::may_be_open(group.observation.verdict.state));
        }
        reports.push(report(&survey, found, &host, options.trace)?);
    }
    let report = Report::of_flavours(reports);
    if plan.speaks_nmap() {
        report.notes().iter().for_each(|note| super::eprint_notice(&format!("note: {note}")));
    }
    let in_words_of_nmap = |format| nmap.iter().map(|nmap| in_words_of_nmap(nmap, format)).collect::<String>();
    plan.outputs.write(|format| Inert::new(&in_words_of_nmap(format)))?;
    plan.files.write(|format| Inert::new(&in_file(&report, format)))?;
    super::print(&match plan.format {
        StandardOutput::Nmap(format) => in_words_of_nmap(format),
        StandardOutput::Terminal => nmap.iter().map(|nmap| nmap::normal(nmap, Addressee::Terminal)).collect(),
        StandardOutput::Table => scan_text(&report),
        StandardOutput::Json => report::to_json(&report),
        StandardOutput::Html => report::page(&report),
        StandardOutput::Sarif => report::sarif(&report),
    })?;
    Ok(if report.flavours_differ() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The report of one flavour.
fn report(survey: &PortScan, found: PortScanResult, host: &HostSummary, trace: bool) -> Result<Report> {
    let findings = if trace { Some(findings(survey)?) } else { None };
    let lint = trace.then(|| super::check::lint(&survey.equipment, &survey.rulesets));
    let environment = super::environment(&survey.equipment, found.pinned_sysctls);
    let hidden = found.hidden.map(|hidden| hidden_host(hidden, survey));
    Ok(Report { findings, lint, hidden, ..Report::of_scan(host.clone(), &found.groups, environment) })
}

fn hidden_host(hidden: Hidden, survey: &PortScan) -> HiddenHost {
    let scanned = survey.discovery.is_some_and(|discovery| discovery.unanswered == Unanswered::Silent);
    HiddenHost {
        address: survey.addresses.v6.host.into(),
        status: if scanned { HostStatus::Up } else { HostStatus::Down },
        why: why_hidden(&hidden, survey),
        hidden,
    }
}

fn why_hidden(hidden: &Hidden, survey: &PortScan) -> String {
    let source = survey.rulesets.iter().find(|(family, _)| *family == Family::Ipv6).map(|(_, source)| source);
    hidden.reason(source.map(|source| source.name.as_path()))
}

/// A notice, since nmap's formats have no place for the rule.
fn say_who_hides(hidden: &Hidden, survey: &PortScan) {
    super::eprint_notice(&format!("note: {} is hidden: {}", survey.addresses.v6.host, why_hidden(hidden, survey)));
}

/// A scan whose options have been checked.
struct ScanPlan {
    /// IPv4 first.
    families: Vec<Family>,
    rulesets: Vec<(Family, Source)>,
    techniques: Vec<Technique>,
    addresses: Addresses,
    craft: ProbeOverrides,
    services: KnownServices,
    listening: Vec<HostService>,
    ports: SelectedPorts,
    outputs: Outputs,
    files: Drafts<FileFormat>,
    format: StandardOutput,
}

impl ScanPlan {
    /// Reads all input, and finds every fault of the command line before a lab is built.
    fn new(options: &ScanOptions) -> Result<ScanPlan> {
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
        let listening = options.listen.as_ref().map(|listen| super::listen::services(listen, |_| None)).transpose()?;
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
    fn speaks_nmap(&self) -> bool {
        self.outputs.any() || self.format.is_of_nmap()
    }

    /// The whole scan, with the addresses of `options`.
    fn survey(&self, options: &ScanOptions, equipment: LabOptions) -> PortScan {
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
    Err(InputError::new(format!("no {family} ruleset is named, so nothing would be proved"), hint).into())
}

/// The report on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StandardOutput {
    Table,
    Json,
    Html,
    Sarif,
    /// As nmap prints it to a terminal.
    Terminal,
    /// As nmap writes it to a file.
    Nmap(NmapFormat),
}

impl StandardOutput {
    fn is_of_nmap(self) -> bool {
        matches!(self, StandardOutput::Terminal | StandardOutput::Nmap(_))
    }
}

fn standard_format(options: &ScanOptions, outputs: &Outputs) -> Result<StandardOutput> {
    Ok(match (options.format, outputs.standard) {
        (Some(_), Some(_)) => {
            let problem = "standard output holds one report, not two";
            return Err(InputError::new(problem, "leave out --format, or name a file in the place of `-`").into());
        }
        (None, Some(format)) => StandardOutput::Nmap(format),
        (None | Some(ScanFormat::Table), None) => StandardOutput::Table,
        (Some(ScanFormat::Json), None) => StandardOutput::Json,
        (Some(ScanFormat::Html), None) => StandardOutput::Html,
        (Some(ScanFormat::Sarif), None) => StandardOutput::Sarif,
        (Some(ScanFormat::Nmap), None) => StandardOutput::Terminal,
        (Some(ScanFormat::Xml), None) => StandardOutput::Nmap(NmapFormat::Xml),
        (Some(ScanFormat::Grepable), None) => StandardOutput::Nmap(NmapFormat::Grepable),
    })
}

/// Refuses SARIF without `--trace`: such a scan has no result that belongs to a line.
fn check_sarif(options: &ScanOptions) -> Result<()> {
    let is_sarif = options.format == Some(ScanFormat::Sarif) || options.files.has(FileFormat::Sarif);
    if !is_sarif || options.trace {
        return Ok(());
    }
    let hint = "add --trace: SARIF tells, at file and line, which rules no packet can reach, and what lint finds";
    Err(InputError::new("without --trace a scan has nothing to say in SARIF", hint).into())
}

fn in_file(report: &Report, format: FileFormat) -> String {
    match format {
        FileFormat::Table => scan_text(report),
        FileFormat::Json => report::to_json(report),
        FileFormat::Html => report::page(report),
        FileFormat::Sarif => report::sarif(report),
    }
}

fn in_words_of_nmap(report: &NmapReport, format: NmapFormat) -> String {
    match format {
        NmapFormat::Normal => nmap::normal(report, Addressee::File),
        NmapFormat::Xml => nmap::xml(report),
        NmapFormat::Grepable => nmap::grepable(report),
    }
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
        let hint = "names are those of nmap's nmap-services or of /etc/services";
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
            return Err(InputError::new(problem, "look at -p and --exclude-ports").into());
        }
    }
    Ok(ports)
}

/// The number of ports that `-F` scans.
const FAST: u16 = 100;

/// The rules that no packet can reach, in both families.
fn findings(survey: &PortScan) -> Result<RulesetFindings> {
    findings::measure(&FindingsSubject {
        equipment: &survey.equipment,
        interface: &survey.interface,
        mac: survey.mac,
        addresses: &survey.addresses,
        rulesets: &survey.rulesets.iter().map(|(family, source)| (*family, source)).collect::<Vec<_>>(),
    })
}

fn scan_text(report: &Report) -> String {
    let parts = [
        Some(report::flavours_block(report, super::width())).filter(|block| !block.is_empty()),
        Some(report::scan_table(report, super::width())),
        report.findings.as_ref().map(|findings| report::findings_table(findings, super::width())),
        report.lint.as_ref().map(|lint| report::lint_table(lint, super::width())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn rulesets(options: &ScanOptions) -> Result<Vec<(Family, Source)>> {
    let named = [(Family::Ipv4, &options.rules), (Family::Ipv6, &options.rules6)];
    let named: BTreeMap<Family, &PathBuf> =
        named.into_iter().filter_map(|(family, path)| Some((family, path.as_ref()?))).collect();
    if named.is_empty() {
        return Err(InputError::new("no ruleset is named", "add --rules FILE, --rules6 FILE, or both").into());
    }
    assert_one_standard_input(&named)?;
    named.into_iter().map(|(family, path)| Ok((family, read(path)?))).collect()
}

/// Fails if both families are to be read from standard input.
pub(super) fn assert_one_standard_input(named: &BTreeMap<Family, &PathBuf>) -> Result<()> {
    if named.len() == 2 && named.values().all(|path| path.as_os_str() == "-") {
        return Err(InputError::new("standard input holds one ruleset, not two", "name a file for one of them").into());
    }
    Ok(())
}

/// Reads a ruleset; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Source> {
    if path.as_os_str() != "-" {
        return Source::read(path);
    }
    Source::read_from(path, std::io::stdin().lock())
}

fn technique_names() -> String {
    format!("Scan techniques: {}", Technique::ALL.map(Technique::name).join(", "))
}

fn technique_letters() -> String {
    let options = Technique::ALL.map(|technique| technique.profile().nmap);
    let letters: Vec<&str> = options.into_iter().filter(|option| option.starts_with("-s")).collect();
    format!("The same in nmap's letters: {}", letters.join(", "))
}

/// The techniques, each once, in the order given; a SYN scan by default, as in nmap.
fn techniques(options: &ScanOptions) -> Result<Vec<Technique>> {
    let mut techniques = options.scan.clone();
    for letter in options.nmap.iter().flat_map(|letters| letters.chars()) {
        let option = format!("-s{letter}");
        let found = Technique::ALL.into_iter().find(|technique| technique.profile().nmap == option);
        let unknown = || {
            let known = Technique::ALL.map(|technique| technique.profile().nmap).join(", ");
            let hint = match letter {
                'V' | 'C' => left_to_nmap(&option, "it asks no service what it is"),
                'n' | 'L' | 'P' => left_to_nmap(&option, "without probes to ports nothing would be proved"),
                'I' => {
                    left_to_nmap(&option, "all probes come from the prober itself; the lab has no zombie but the host")
                }
                'O' | 'Y' | 'Z' => left_to_nmap(&option, "only TCP, UDP and ICMP echo are scanned"),
                _ => format!("use {known}"),
            };
            InputError::new(format!("{} is no scan technique of scanlab", option.escape_debug()), hint)
        };
        techniques.push(found.ok_or_else(unknown)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    techniques.retain(|technique| seen.insert(*technique));
    Ok(if techniques.is_empty() { vec![Technique::Syn] } else { techniques })
}

/// The default addresses, with the options of the command line applied.
fn addresses(options: &ScanOptions) -> Result<Addresses> {
    let mut addresses = Addresses::default();
    if let Some(text) = &options.host_addr {
        put_host_address(&mut addresses, text)?;
    }
    if let Some(prober) = options.prober_addr {
        put_prober_address(&mut addresses, prober);
    }
    Family::BOTH.into_iter().try_for_each(|family| check_addresses(&addresses, family))?;
    Ok(addresses)
}

/// Sets the host's address to `text`, an address with a prefix length.
pub(super) fn put_host_address(addresses: &mut Addresses, text: &str) -> Result<()> {
    let (host, prefix_len) = parse_address(text)?;
    match host {
        IpAddr::V4(host) => (addresses.v4.host, addresses.v4.prefix_len) = (host, prefix_len),
        IpAddr::V6(host) => (addresses.v6.host, addresses.v6.prefix_len) = (host, prefix_len),
    }
    Ok(())
}

/// Sets the prober's address.
pub(super) fn put_prober_address(addresses: &mut Addresses, prober: IpAddr) {
    match prober {
        IpAddr::V4(prober) => addresses.v4.prober = prober,
        IpAddr::V6(prober) => addresses.v6.prober = prober,
    }
}

/// Fails for an address that no interface can have.
pub(super) fn check_mac(mac: Mac) -> Result<()> {
    if mac.is_assignable() {
        return Ok(());
    }
    let hint = "an interface's address is not all zero, and its first byte is even";
    Err(InputError::new(format!("{mac} cannot be the address of an interface"), hint).into())
}

fn parse_address(text: &str) -> Result<(IpAddr, u8)> {
    let parse = || {
        let (address, prefix_len) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix_len: u8 = prefix_len.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (1..=most).contains(&prefix_len).then_some((address, prefix_len))
    };
    let problem = format!("`{}` is not an address with a prefix length", text.escape_debug());
    Ok(parse().ok_or_else(|| InputError::new(problem, "write it like 203.0.113.10/24"))?)
}

/// Fails unless the prober is a neighbour of the host: the link has no router.
pub(super) fn check_addresses(addresses: &Addresses, family: Family) -> Result<()> {
    let (host, prober, link) = (addresses.host(family), addresses.prober(family), addresses.link(family));
    let is_of_all = |address: &IpAddr| {
        Network::new(*address, link.length().into()).is_some_and(|network| network.is_of_all(*address))
    };
    let unusable = [host, prober].into_iter().find(is_of_all);
    let problem = match unusable {
        Some(address) => format!("{address} is the network itself, or its broadcast address, and no host's"),
        None if host == prober => format!("host and prober have the same address, {host}"),
        None if !link.contains(prober) => {
            format!("the prober {prober} is not in the host's network {host}/{}", link.length())
        }
        None if !is_on_links(host) || !is_on_links(prober) => {
            format!("{host} and {prober} must be unicast addresses that a packet on a link can have")
        }
        None => return Ok(()),
    };
    Err(InputError::new(problem, "choose both with --host-addr ADDRESS/LEN and --prober-addr ADDRESS").into())
}

/// True for a unicast address, except 0/8, which is "this network" (RFC 6890), and IPv4-mapped IPv6 addresses, which
/// the host would not answer (RFC 4291, section 2.5.5.2).
fn is_on_links(address: IpAddr) -> bool {
    let is_of_this_network = matches!(address, IpAddr::V4(address) if address.octets()[0] == 0);
    let is_mapped = address.to_canonical() != address;
    let is_unicast = !(address.is_multicast() || address.is_unspecified() || address.is_loopback());
    is_unicast && !is_of_this_network && !is_mapped
}
