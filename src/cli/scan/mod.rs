//! `scanlab scan`: the view of a scanner on a ruleset. Same engine as `run`, without expectations. Options and reports
//! are nmap's, as far as they have a meaning here.

mod accepted;
pub(super) mod addresses;
mod evasion;
mod formats;
mod live_outputs;
pub(crate) mod nmap_args;
mod nmap_report;
mod outputs;
mod plan;
mod report_files;
mod techniques;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::accepted::ListenArgument;
use self::evasion::EvasionArguments;
use self::formats::{ScanFormat, StandardOutput, in_file, in_words_of_nmap, scan_text};
use self::nmap_report::{NmapReportFacts, nmap_report};
use self::outputs::OutputArguments;
use self::plan::ScanPlan;
use self::report_files::ScanReportArguments;
use self::techniques::{technique_letters, technique_names};
use super::capture_file::CaptureFile;
use super::equipment::{EquipmentArguments, LinkArgument};
use super::syslog::SyslogFile;
use super::timestamp;
use crate::commands::scan::{PortScan, PortScanResult, Unanswered};
use crate::error::{InputError, Result, Source};
use crate::lab::{Capture, HOST_MAC, LinkMode};
use crate::net::port_selection::PortSelection;
use crate::net::{Family, InterfaceName, Mac};
use crate::probe::hidden::Hidden;
use crate::probe::scan::Technique;
use crate::report::nmap::{self, Addressee, UnixTime};
use crate::report::{self, HiddenHost, HostStatus, HostSummary, Report};
use crate::rules::lint::LintFinding;
use crate::text::ci_escape::Inert;
use crate::text::escape::visible_lines;
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
    /// Ports to leave out, in the same syntax
    #[arg(long, value_name = "PORTS", allow_hyphen_values = true)]
    exclude_ports: Option<PortSelection>,
    /// The 100 ports that are open most often, according to nmap's own file
    #[arg(short = 'F', conflicts_with_all = ["ports", "top_ports"], hide_short_help = true)]
    fast: bool,
    /// The ports that are open most often, according to nmap's own file
    #[arg(long, value_name = "NUMBER", conflicts_with = "ports", value_parser = clap::value_parser!(u16).range(1..))]
    top_ports: Option<u16>,
    /// Scan over IPv6; with -4 over both
    #[arg(short = '6')]
    ipv6: bool,
    /// Scan over IPv4, the default
    #[arg(short = '4')]
    ipv4: bool,
    /// Listening ports, in the syntax of -p; TCP unless prefixed with U:. `auto`: the scanned ports that the rules accept
    #[arg(long, value_name = "PORTS", allow_hyphen_values = true)]
    listen: Option<ListenArgument>,
    /// The interface on which packets arrive, as the rules name it
    #[arg(long, value_name = "NAME", default_value_t)]
    interface: InterfaceName,
    /// The host's address and prefix length
    #[arg(long, value_name = "ADDRESS/LEN")]
    host_addr: Option<String>,
    /// The source address of the probes
    #[arg(long, value_name = "ADDRESS")]
    prober_addr: Option<IpAddr>,
    /// The host's MAC address
    #[arg(long, value_name = "MAC", default_value_t = HOST_MAC)]
    mac: Mac,
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// The link between prober and host: Ethernet frames, or bare IP packets
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
    /// Look up the vendor in this file, in the IEEE's or nmap's format
    #[arg(long, value_name = "FILE")]
    oui_file: Option<PathBuf>,
    /// Show the path of every probe through the rules, and the rules that no packet can reach
    #[arg(long)]
    trace: bool,
    /// Output format
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
    /// More of nmap's output; -vv: even more
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbosity: u8,
    /// Report as nmap does without ARP ping; no effect on probes
    #[arg(long, hide_short_help = true)]
    disable_arp_ping: bool,
    /// The same
    #[arg(long, hide_short_help = true)]
    send_ip: bool,
    /// Scan with the host's MAC address known, without asking for it first
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
    /// Write every frame to this file, with its path and log lines as a comment: pcapng, for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

impl ScanOptions {
    /// True if nmap itself would send no ARP or neighbour solicitation (`--disable-arp-ping`, `--send-ip`).
    fn leaves_it_to_the_kernel(&self) -> bool {
        self.disable_arp_ping || self.send_ip
    }
}

/// Scans, and reports the results.
pub fn scan(options: ScanOptions) -> Result<ExitCode> {
    let mut plan = ScanPlan::new(&options)?;
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
    if options.listen == Some(ListenArgument::Auto) {
        plan.listening = plan.accepted(&options, &flavours[0])?;
    }
    let mut closed = None;
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
        if options.listen.is_none() {
            closed = closed.or_else(|| accepted::note(&survey, &found.groups));
        }
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
        report.notes().iter().chain(&closed).for_each(|note| super::eprint_notice(&format!("note: {note}")));
        if !options.trace {
            report.lint.iter().flatten().for_each(eprint_lint);
        }
    }
    let in_words_of_nmap = |format| nmap.iter().map(|nmap| in_words_of_nmap(nmap, format)).collect::<String>();
    plan.outputs.write(|format| Inert::new(&in_words_of_nmap(format)))?;
    plan.files.write(|format| Inert::new(&in_file(&report, format, closed.as_deref())))?;
    super::print(&match plan.format {
        StandardOutput::Nmap(format) => in_words_of_nmap(format),
        StandardOutput::Terminal => nmap.iter().map(|nmap| nmap::normal(nmap, Addressee::Terminal)).collect(),
        StandardOutput::Table => scan_text(&report, closed.as_deref()),
        StandardOutput::Json => report::to_json(&report),
        StandardOutput::Html => report::page(&report),
        StandardOutput::Sarif => report::sarif(&report),
    })?;
    Ok(if report.flavours_differ() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// A notice, since nmap's formats have no place for advice on a rule.
fn eprint_lint(finding: &LintFinding) {
    let LintFinding { file, line, rule, message, .. } = finding;
    super::eprint_notice(&visible_lines(&format!("note: {}:{line}: {rule}: {message}", file.display())));
}

/// The report of one flavour.
fn report(survey: &PortScan, found: PortScanResult, host: &HostSummary, trace: bool) -> Result<Report> {
    let findings = if trace { Some(findings(survey)?) } else { None };
    let mut lint = super::check::lint(&survey.equipment, &survey.rulesets);
    if !trace {
        lint.retain(|finding| finding.rule.changes_verdict());
    }
    let lint = (trace || !lint.is_empty()).then_some(lint);
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

/// Fails if both families are to be read from standard input.
pub(super) fn assert_one_standard_input(named: &BTreeMap<Family, &PathBuf>) -> Result<()> {
    if named.len() == 2 && named.values().all(|path| path.as_os_str() == "-") {
        return Err(InputError::new("standard input can have only one ruleset", "name a file for one of them").into());
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
