//! `scanlab scan`: what a scan sees of a ruleset. Same engine as `run`, no expectations.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::Format;
use super::equipment::{EquipmentArguments, LinkArgument};
use crate::error::{InputError, Result, Source};
use crate::findings::{self, Findings, Subject};
use crate::lab::{Backend, Blueprint, HOST_MAC, Lab, Service, Watch};
use crate::net::{Addresses, Family, InterfaceName, Mac};
use crate::phase::{Numbering, SEED};
use crate::port::PortSet;
use crate::probe::Probe;
use crate::report::{self, Host, Report};
use crate::scan::Technique;

/// The options of `scanlab scan`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct Options {
    /// IPv4 ruleset, iptables-save text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,
    /// Scan techniques: syn, connect, null, fin, xmas, ack
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    scan: Vec<Technique>,
    /// The same in nmap's letters: -sS, -sT, -sN, -sF, -sX, -sA
    #[arg(short = 's', value_name = "LETTERS", hide_short_help = true)]
    nmap: Vec<String>,
    /// Ports, in nmap's syntax
    #[arg(short, long, value_name = "PORTS", default_value = "1-1024", allow_hyphen_values = true)]
    ports: PortSet,
    /// Scan over IPv6
    #[arg(short = '6')]
    ipv6: bool,
    /// Ports on which something listens
    #[arg(long, value_name = "PORTS", allow_hyphen_values = true)]
    listen: Option<PortSet>,
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
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Scans, and reports what was seen.
pub fn scan(options: Options) -> Result<ExitCode> {
    let family = if options.ipv6 { Family::Ipv6 } else { Family::Ipv4 };
    let rulesets = rulesets(&options)?;
    if !rulesets.iter().any(|(other, _)| *other == family) {
        let hint = match family {
            Family::Ipv4 => "add --rules FILE, or scan over IPv6 with -6",
            Family::Ipv6 => "add --rules6 FILE, or leave out -6",
        };
        return Err(InputError::new(format!("no {family} ruleset is named, so nothing would be proved"), hint).into());
    }
    let techniques = techniques(&options)?;
    let addresses = addresses(&options, family)?;
    check_mac(options.mac)?;
    let vendors = super::run::vendors(options.oui_file.as_deref())?;
    let equipment = options.equipment.find(options.link.into())?;
    let listen = options.listen.iter().flat_map(PortSet::iter);
    let services: Vec<Service> = listen.map(|port| Service { port, greeting: None }).collect();
    let blueprint = Blueprint {
        equipment: &equipment,
        interface: &options.interface,
        mac: options.mac,
        addresses: &addresses,
        services: &services,
        rulesets: &rulesets.iter().map(|(family, source)| (*family, source)).collect::<Vec<_>>(),
        watch: watch(options.trace, equipment.backend()),
        fault: None,
    };
    let probes = probes(&techniques, family, addresses, &options.ports);
    let (observations, weather) = Lab::run(&blueprint, |lab| Ok((lab.send(&probes)?, lab.weather.clone())))?;
    let host = Host {
        mac: options.mac,
        vendor: vendors.lookup(options.mac).nmap,
        interface: options.interface.to_string(),
        addresses: vec![addresses.host(family).to_string()],
    };
    let seen: Vec<_> = probes.into_iter().zip(observations).collect();
    let findings = if options.trace { Some(findings(&blueprint)?) } else { None };
    let lint = options.trace.then(|| super::check::lint(&rulesets));
    let report = Report { findings, lint, ..Report::of_scan(host, &seen, super::environment(&equipment, weather)) };
    super::print(&match options.format {
        Format::Table => scan_text(&report),
        Format::Json => report::to_json(&report),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// x_tables has no paths to show.
fn watch(trace: bool, backend: Backend) -> Watch {
    match (trace, backend) {
        (false, _) => Watch::Replies,
        (true, Backend::Nft) => Watch::Paths,
        (true, Backend::Legacy) => Watch::Verdicts,
    }
}

/// What nothing can reach in the rulesets of the scan, in both families.
fn findings(blueprint: &Blueprint) -> Result<Findings> {
    let Blueprint { equipment, interface, mac, addresses, rulesets, .. } = *blueprint;
    findings::measure(&Subject { equipment, interface, mac, addresses, rulesets })
}

fn scan_text(report: &Report) -> String {
    let parts = [
        Some(report::scan_table(report, super::width())),
        report.findings.as_ref().map(|findings| report::findings_table(findings, super::width())),
        report.lint.as_ref().map(|lint| report::lint_table(lint, super::width())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn probes(techniques: &[Technique], family: Family, addresses: Addresses, ports: &PortSet) -> Vec<Probe> {
    let mut numbering = Numbering::new(SEED);
    let phases = techniques.iter().map(|technique| numbering.phase(*technique, family, addresses));
    phases.flat_map(|mut phase| ports.iter().map(move |port| phase.probe(port, 0)).collect::<Vec<_>>()).collect()
}

fn rulesets(options: &Options) -> Result<Vec<(Family, Source)>> {
    let named = [(Family::Ipv4, &options.rules), (Family::Ipv6, &options.rules6)];
    let named: BTreeMap<Family, &PathBuf> =
        named.into_iter().filter_map(|(family, path)| Some((family, path.as_ref()?))).collect();
    if named.is_empty() {
        return Err(InputError::new("no ruleset is named", "add --rules FILE, --rules6 FILE, or both").into());
    }
    assert_one_standard_input(&named)?;
    named.into_iter().map(|(family, path)| Ok((family, read(path)?))).collect()
}

/// Fails when both families are to be read from standard input.
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

/// Named techniques, each once, in the order given; a SYN scan when none is named, as with nmap.
fn techniques(options: &Options) -> Result<Vec<Technique>> {
    let mut techniques = options.scan.clone();
    for letter in options.nmap.iter().flat_map(|letters| letters.chars()) {
        let option = format!("-s{letter}");
        let found = Technique::ALL.into_iter().find(|technique| technique.profile().nmap == option);
        let unknown = || {
            let known = Technique::ALL.map(|technique| technique.profile().nmap).join(", ");
            InputError::new(
                format!("{} is no scan technique of scanlab", option.escape_debug()),
                format!("use {known}"),
            )
        };
        techniques.push(found.ok_or_else(unknown)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    techniques.retain(|technique| seen.insert(*technique));
    Ok(if techniques.is_empty() { vec![Technique::Syn] } else { techniques })
}

/// The default addresses, with what was named put in its place.
fn addresses(options: &Options, family: Family) -> Result<Addresses> {
    let mut addresses = Addresses::default();
    if let Some(text) = &options.host_addr {
        put_host_address(&mut addresses, text)?;
    }
    if let Some(prober) = options.prober_addr {
        put_prober_address(&mut addresses, prober);
    }
    check_addresses(&addresses, family)?;
    Ok(addresses)
}

/// Puts the host at `text`, an address with a prefix length.
pub(super) fn put_host_address(addresses: &mut Addresses, text: &str) -> Result<()> {
    let (host, prefix_len) = parse_address(text)?;
    match host {
        IpAddr::V4(host) => (addresses.v4.host, addresses.v4.prefix_len) = (host, prefix_len),
        IpAddr::V6(host) => (addresses.v6.host, addresses.v6.prefix_len) = (host, prefix_len),
    }
    Ok(())
}

/// Puts the prober at `prober`.
pub(super) fn put_prober_address(addresses: &mut Addresses, prober: IpAddr) {
    match prober {
        IpAddr::V4(prober) => addresses.v4.prober = prober,
        IpAddr::V6(prober) => addresses.v6.prober = prober,
    }
}

/// Fails for what no interface can have.
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
        (prefix_len <= most).then_some((address, prefix_len))
    };
    let problem = format!("`{}` is not an address with a prefix length", text.escape_debug());
    Ok(parse().ok_or_else(|| InputError::new(problem, "write it like 203.0.113.10/24"))?)
}

/// The prober must be a neighbour of the host: nothing else is on the link.
pub(super) fn check_addresses(addresses: &Addresses, family: Family) -> Result<()> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let prefix_len = match family {
        Family::Ipv4 => addresses.v4.prefix_len,
        Family::Ipv6 => addresses.v6.prefix_len,
    };
    let (host, prober) = (addresses.host(family), addresses.prober(family));
    let differ = (bits(host) ^ bits(prober)).checked_shr(128 - u32::from(prefix_len)).unwrap_or(0);
    let unusable = |address: IpAddr| address.is_multicast() || address.is_unspecified() || address.is_loopback();
    let problem = match () {
        () if host == prober => format!("host and prober have the same address, {host}"),
        () if differ != 0 => format!("the prober {prober} is not in the host's network {host}/{prefix_len}"),
        () if unusable(host) || unusable(prober) => format!("{host} and {prober} must be unicast addresses"),
        () => return Ok(()),
    };
    Err(InputError::new(problem, "choose both with --host-addr ADDRESS/LEN and --prober-addr ADDRESS").into())
}
