//! `scanlab exec`: a real tool against a ruleset, observed. The tool runs in a namespace of its own behind a relay;
//! when it has ended, the effect of the ruleset on its frames is reported.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::ReportFormat;
use super::atomic_file::AtomicFile;
use super::capture_file::CaptureFile;
use super::equipment::{EquipmentArguments, LinkArgument};
use super::no_clobber::spare;
use crate::commands::run;
use crate::error::{InputError, Result, Source};
use crate::intent::plan;
use crate::intent::scenario::{RulesetFiles, Scenario};
use crate::lab::{
    HOST_MAC, HostService, Lab, LabOptions, LabSpec, PinnedSysctls, Privileges, Stop, StopOnDrop, ToolCommand,
    ToolOutput,
};
use crate::net::port::Port;
use crate::net::port_selection::PortSelection;
use crate::net::sysctl::Sysctls;
use crate::net::{Addresses, Family, InterfaceName, Mac, Protocol};
use crate::probe::tool_run::{ToolRun, ToolStatus};
use crate::report::{self, CaptureInterface, Exec, HostSummary};
use crate::sensor::{EntryLines, SensorFile};
use crate::text::ci_escape::Inert;

/// The end of `exec --help`.
pub const AFTER_HELP: &str = "\
The tool runs in a network namespace of its own, which contains only the host under test: no route \
leads anywhere else. Processes that it starts end with it, and it ends with scanlab. A tool that \
runs until it is stopped needs --timeout: a signal ends scanlab without a report.

The tool may open raw sockets, read files and write to its own empty /tmp. --writable DIR gives it a \
folder to write to, for example for nmap -oN. --unconfined lets it do all that you may do, which as \
root is everything: it is for tools that configure their link, and is no sandbox against a hostile \
one. Confined or not, a tool uses your kernel, and may read what you may read: run a tool that you \
do not trust as an ordinary user.

Its standard input, output and error are those of scanlab; the report follows. With --format json \
and no --output, the output of the tool goes to standard error, so that standard output has only the \
report.

TCP services (--listen) send a greeting if the sensor file has one, and close the connection when \
they receive data; UDP services answer every datagram.";

/// The options of `scanlab exec`.
#[derive(Debug, Args)]
pub struct ExecOptions {
    /// IPv4 ruleset, iptables-save text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,
    /// A sensor file: its host, and its ruleset if no other is given
    #[arg(long, value_name = "FILE")]
    sensor: Option<PathBuf>,
    /// The interface on which packets arrive, as the rules name it [default: the sensor's, or eth0]
    #[arg(long, value_name = "NAME")]
    interface: Option<InterfaceName>,
    /// The host's address and prefix length; once for each family
    #[arg(long, value_name = "ADDRESS/LEN")]
    host_addr: Vec<String>,
    /// The tool's address; once for each family
    #[arg(long, value_name = "ADDRESS")]
    prober_addr: Vec<IpAddr>,
    /// The host's MAC address
    #[arg(long, value_name = "MAC")]
    mac: Option<Mac>,
    /// Listening ports, in the syntax of nmap's -p; TCP unless prefixed with U: [default: the
    /// sensor's]
    #[arg(long, value_name = "PORTS", allow_hyphen_values = true)]
    listen: Option<PortSelection>,
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// The link between tool and host
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
    /// A folder to which the tool may write [default: only a temporary /tmp of its own]
    #[arg(long, value_name = "DIR", conflicts_with = "unconfined")]
    writable: Vec<PathBuf>,
    /// Run the tool with all privileges of this user, in network and PID namespaces of its own
    #[arg(long)]
    unconfined: bool,
    /// Kill the tool after this number of seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Write every frame to this file, with its path and its log lines as a comment: pcapng, for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write the report to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Look up the vendor in this file, in the IEEE's or nmap's format
    #[arg(long, value_name = "FILE")]
    oui_file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
    /// The tool, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The host that the tool meets.
#[derive(Debug, Clone)]
struct ExecTarget {
    interface: InterfaceName,
    mac: Mac,
    addresses: Addresses,
    services: Vec<HostService>,
    rulesets: Vec<(Family, Source)>,
    sysctls: Sysctls,
}

/// Runs the tool, and reports the effect of the ruleset on its frames.
pub fn exec(options: ExecOptions) -> Result<ExitCode> {
    if options.link == LinkArgument::Tun {
        let hint = "use --link tap: a real tool finds its host by ARP and NDP, which need Ethernet";
        return Err(InputError::new("exec needs a TAP", hint).into());
    }
    let target = target(&options)?;
    options.equipment.admit_sizes(target.rulesets.iter().map(|(_, source)| source))?;
    super::warn_of_no_filter(target.rulesets.iter().map(|(family, source)| (*family, source)));
    if let [(only, _)] = target.rulesets.as_slice() {
        Lab::must_have(*only)?;
    }
    super::warn_of_missing_families(target.rulesets.iter().map(|(family, source)| (*family, source)));
    let vendors = super::run::vendors(options.oui_file.as_deref())?;
    let equipment = options.equipment.find(options.link.into())?.over(&target.sysctls);
    let read = target.rulesets.iter().map(|(_, source)| source.name.as_path()).chain(options.sensor.as_deref());
    spare(read, options.pcap.iter().chain(&options.output))?;
    let privileges = privileges(&options)?;
    let pcap = options.pcap.as_deref().map(CaptureFile::begin).transpose()?;
    let output = begin(options.output.as_deref())?;
    let stop = Stop::default();
    let command = ToolCommand {
        words: options.command.clone(),
        output: if options.format == ReportFormat::Json && output.is_none() {
            ToolOutput::Stderr
        } else {
            ToolOutput::Stdout
        },
        timeout: options.timeout.map(Duration::from_secs),
        privileges,
        stop: stop.clone(),
    };
    let host = HostSummary {
        mac: Some(target.mac),
        vendor: vendors.lookup(target.mac).nmap,
        interface: target.interface.to_string(),
        addresses: Lab::families().into_iter().map(|family| target.addresses.host(family).to_string()).collect(),
    };
    let lab = (target, equipment.clone());
    let (relayed, pinned_sysctls) = super::interruptible(async move {
        let _stop = StopOnDrop(stop);
        let done = tokio::task::spawn_blocking(move || observe(&lab.0, &lab.1, &command)).await;
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    })?;
    let words = options.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let report = Exec::new(words, &relayed, host, super::environment(&equipment, pinned_sysctls));
    if let Some(pcap) = pcap {
        let name = report.host.interface.clone();
        let mut capture = pcap.open(&[CaptureInterface { name, description: None, link: equipment.link }])?;
        capture.add(report::captured_of_tool(&relayed, &report))?;
        capture.finish()?;
    }
    let text = match options.format {
        ReportFormat::Table => report::exec_text(&report),
        ReportFormat::Json => report::to_json(&report),
    };
    match output {
        Some(mut file) => {
            file.write(Inert::new(&text).as_str())?;
            file.keep()?;
        }
        None => super::print(&text)?,
    }
    if !options.unconfined && relayed.status != ToolStatus::Exited(0) {
        super::eprint_notice(
            "note: the tool could write only to /tmp; --writable DIR adds a folder, --unconfined removes all limits",
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn privileges(options: &ExecOptions) -> Result<Privileges> {
    if options.unconfined {
        return Ok(Privileges::Unconfined);
    }
    Ok(Privileges::Confined {
        writable: options.writable.iter().map(|folder| writable(folder)).collect::<Result<_>>()?,
    })
}

/// The folder with links resolved. System folders are refused, since the tool has its own versions of them.
fn writable(folder: &Path) -> Result<PathBuf> {
    let refused = |why: &str| {
        let problem = format!("the tool cannot write to {}: {why}", folder.display());
        InputError::new(problem, "name a folder of yours, or use --unconfined")
    };
    let path = folder.canonicalize().map_err(|error| refused(&error.to_string()))?;
    let is_system = path == Path::new("/") || ["/dev", "/proc", "/run", "/sys"].iter().any(|own| path.starts_with(own));
    match (path.is_dir(), is_system) {
        (false, _) => Err(refused("it is not a folder").into()),
        (true, true) => Err(refused("it is the system's").into()),
        (true, false) => Ok(path),
    }
}

fn observe(target: &ExecTarget, equipment: &LabOptions, command: &ToolCommand) -> Result<(ToolRun, PinnedSysctls)> {
    let rulesets: Vec<(Family, &Source)> = target.rulesets.iter().map(|(family, source)| (*family, source)).collect();
    let spec = LabSpec {
        mac: target.mac,
        services: &target.services,
        ..LabSpec::new(equipment, &target.interface, &target.addresses, &rulesets)
    };
    Lab::run(&spec, |lab| Ok((lab.relay(command)?, lab.pinned_sysctls.clone())))
}

/// Opens the file before the tool runs, so that an unwritable path is reported first.
fn begin(path: Option<&Path>) -> Result<Option<AtomicFile>> {
    path.map(|path| AtomicFile::begin(path, "name a file in an existing folder")).transpose()
}

/// The sensor's host, with the options of the command line applied.
fn target(options: &ExecOptions) -> Result<ExecTarget> {
    let scenario = scenario(options)?;
    let rulesets = run::rulesets(&scenario);
    if rulesets.is_empty() {
        let hint = "add --rules FILE, --rules6 FILE, or --sensor FILE";
        return Err(InputError::new("no ruleset is given", hint).into());
    }
    let mac = options.mac.or(scenario.host.mac).unwrap_or(HOST_MAC);
    super::scan::addresses::check_mac(mac)?;
    let mut addresses = scenario.host.addresses;
    for text in &options.host_addr {
        super::scan::addresses::put_host_address(&mut addresses, text)?;
    }
    for prober in &options.prober_addr {
        super::scan::addresses::put_prober_address(&mut addresses, *prober);
    }
    Family::BOTH.into_iter().try_for_each(|family| super::scan::addresses::check_addresses(&addresses, family))?;
    let greeting = |port: Port| plan::greeting(&scenario, port);
    let service = |port: &Port| HostService { protocol: Protocol::Tcp, port: *port, greeting: greeting(*port) };
    let services = match &options.listen {
        Some(ports) => super::listen::services(ports, greeting)?,
        None => scenario.host.listen.iter().map(service).collect(),
    };
    let interface = options.interface.clone().unwrap_or_else(|| scenario.host.interface.clone());
    Ok(ExecTarget { interface, mac, addresses, services, rulesets, sysctls: scenario.host.sysctls })
}

/// The sensor and the rulesets as a scenario without expectations.
fn scenario(options: &ExecOptions) -> Result<Scenario> {
    let named = [(Family::Ipv4, &options.rules), (Family::Ipv6, &options.rules6)];
    let named: BTreeMap<Family, &PathBuf> =
        named.into_iter().filter_map(|(family, path)| Some((family, path.as_ref()?))).collect();
    super::scan::assert_one_standard_input(&named)?;
    let read = |family: Family| named.get(&family).map(|path| super::scan::read(path)).transpose();
    let files = RulesetFiles { v4: read(Family::Ipv4)?, v6: read(Family::Ipv6)? };
    let ruleset = (!named.is_empty()).then_some(files);
    let title = "a tool, observed".to_owned();
    let (source, sensor, host, lines) = match &options.sensor {
        Some(path) => {
            let SensorFile { source, sensor, host, lines } = SensorFile::load(path)?;
            (source, Some(sensor), host, lines)
        }
        None => {
            let host = crate::sensor::Host::default();
            (Source { name: PathBuf::new(), text: "".into() }, None, host, EntryLines::default())
        }
    };
    Ok(Scenario {
        source,
        title,
        tags: Vec::new(),
        sensor,
        ruleset,
        host,
        lines,
        expect: Vec::new(),
        known: Vec::new(),
    })
}
