//! `scanlab init`: writes a sensor file. It never replaces a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::equipment::EquipmentArguments;
use super::question;
use super::services::KnownServices;
use crate::commands::init::{Described, InitRequest, SensorDraft, describe, open_services};
use crate::commands::live::Machine;
use crate::error::{InputError, Result, Source};
use crate::lab::{Capture, LabOptions, LinkMode};
use crate::net::port::{Port, PortSet};
use crate::net::port_selection::SelectedPorts;
use crate::net::{Addresses, Family, InterfaceName, Protocol};
use crate::probe::scan::Technique;
use crate::sensor::{OpenService, SensorFile, Service, SshServer};
use crate::text::ci_escape::Inert;

/// The end of `init --help`.
pub const AFTER_HELP: &str = "\
With --rules or --live the rules are loaded in the lab and measured: the file says what they accept and log. Whether that
is what you meant, only you know: read it, then run `scanlab check sensor.toml` with the same rules. Without either, four
questions are asked on a terminal. A file that is already there is never replaced.";

/// The options of `scanlab init`.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// IPv4 ruleset, iptables-save text
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    rules6: Option<PathBuf>,
    /// Read this machine's own rules, SSH server and interface. Nothing is changed
    #[arg(long)]
    live: bool,
    /// The port of the SSH server, or a list; `none` if there is none
    #[arg(long, value_name = "PORTS", value_parser = ssh_ports)]
    ssh: Option<SshPorts>,
    /// The interface that is scanned from outside
    #[arg(long, value_name = "NAME")]
    interface: Option<InterfaceName>,
    /// Write to this file; `-` prints it
    #[arg(short, long, value_name = "FILE", default_value = "sensor.toml")]
    output: PathBuf,
    #[command(flatten)]
    equipment: EquipmentArguments,
}

/// The value of `--ssh`.
#[derive(Debug, Clone)]
struct SshPorts(Vec<Port>);

fn ssh_ports(text: &str) -> std::result::Result<SshPorts, String> {
    let ports = question::read_ports(text)?;
    if ports.udp.is_empty() { Ok(SshPorts(ports.tcp.iter().collect())) } else { Err("SSH is TCP".to_owned()) }
}

/// Writes the file, and prints its name.
pub fn init(options: InitOptions) -> Result<ExitCode> {
    let prints = options.output.as_os_str() == "-";
    if !prints && options.output.symlink_metadata().is_ok() {
        return Err(already_there(&options.output).into());
    }
    let draft = draft(&options)?;
    let text = draft.text();
    // A file that its own reader refuses is a bug, and never written.
    SensorFile::parse(Source { name: options.output.clone(), text: text.as_str().into() })?;
    match prints {
        true => super::print(&text)?,
        false => {
            write_new(&options.output, Inert::new(&text).as_str())?;
            let name = options.output.display();
            super::print(&format!("wrote {name}; read it, then: scanlab check {name}{}\n", rest(&options)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The other arguments of the `check` that follows.
fn rest(options: &InitOptions) -> String {
    let flags = [("--rules", &options.rules), ("--rules6", &options.rules6)];
    let files = flags.iter().filter_map(|(flag, file)| Some(format!(" {flag} {}", file.as_ref()?.display())));
    files.chain(options.live.then(|| " --live".to_owned())).collect()
}

fn draft(options: &InitOptions) -> Result<SensorDraft> {
    let named = [(Family::Ipv4, &options.rules), (Family::Ipv6, &options.rules6)];
    let named = named.into_iter().filter_map(|(family, path)| Some((family, path.as_deref()?)));
    let rulesets: Vec<(Family, Source)> =
        named.map(|(family, path)| Ok((family, Source::read(path)?))).collect::<Result<_>>()?;
    let ssh = options.ssh.as_ref().map(|ssh| ssh.0.clone());
    match (options.live, rulesets.is_empty()) {
        (false, true) => asked(ssh),
        (true, _) => {
            let equipment = equipment(&options.equipment)?;
            let machine = Machine::read(&equipment.iptables, options.interface.as_ref())?;
            of_machine(&options.equipment, &equipment, &machine, ssh)
        }
        (false, false) => {
            let equipment = equipment(&options.equipment)?;
            let names: Vec<String> = rulesets.iter().map(|(_, source)| source.name.display().to_string()).collect();
            let (interface, addresses) = (options.interface.clone(), Addresses::default());
            let rules = RulesOfHost { rulesets: &rulesets, ssh, interface, addresses, mac: None };
            described(&options.equipment, &equipment, rules, &names.join(" and "))
        }
    }
}

fn equipment(arguments: &EquipmentArguments) -> Result<LabOptions> {
    arguments.find_with(LinkMode::Tap, || Capture::Nflog)
}

/// A sensor that describes this machine.
fn of_machine(
    arguments: &EquipmentArguments,
    equipment: &LabOptions,
    machine: &Machine,
    ssh: Option<Vec<Port>>,
) -> Result<SensorDraft> {
    let ssh = ssh.or_else(|| machine.ssh.as_ref().map(SshServer::ports));
    described(arguments, equipment, rules_of(machine, ssh), "the rules of this machine")
}

fn rules_of(machine: &Machine, ssh: Option<Vec<Port>>) -> RulesOfHost<'_> {
    RulesOfHost {
        rulesets: &machine.rulesets,
        ssh,
        interface: Some(machine.interface.clone()),
        addresses: machine.link_addresses(),
        mac: machine.mac,
    }
}

/// A sensor for `check` of this machine: its rules say what is logged, and answers say what is open.
pub fn asked_of_machine(equipment: &LabOptions, machine: &Machine) -> Result<SensorFile> {
    let usual = machine.ssh.as_ref().map(SshServer::ports).unwrap_or_else(|| vec![Port(22)]);
    let usual = SelectedPorts { tcp: usual.into_iter().collect(), ..SelectedPorts::default() };
    let ssh = question::tcp_ports("Which port do you log in to over SSH?", &question::ports_text(&usual))?;
    let mut draft = match measured(equipment, &rules_of(machine, Some(ssh.clone())))? {
        Described::Sensor(draft) => *draft,
        Described::EveryPort | Described::WhichIsSsh(_) => {
            SensorDraft::new(ssh.clone(), Vec::new(), Vec::new(), Vec::new())
        }
    };
    let udp = draft.sensor.open_udp().copied().collect();
    let accepted = SelectedPorts { tcp: draft.sensor.open_tcp().copied().collect(), udp };
    let question = "Which other ports are meant to be open to everybody? The rules accept those in brackets.";
    let open = question::ports(question, &question::ports_text(&accepted))?;
    let own: PortSet = draft.sensor.ssh.iter().copied().collect();
    draft.sensor.open = named(&KnownServices::read()?, &open.tcp.difference(&own), &open.udp);
    super::print("\n")?;
    SensorFile::parse(Source { name: "<your answers>".into(), text: draft.text().into() })
}

/// Rules, and the facts of their host.
struct RulesOfHost<'a> {
    rulesets: &'a [(Family, Source)],
    ssh: Option<Vec<Port>>,
    interface: Option<InterfaceName>,
    addresses: Addresses,
    mac: Option<crate::net::Mac>,
}

fn described(
    arguments: &EquipmentArguments,
    equipment: &LabOptions,
    mut rules: RulesOfHost,
    origin: &str,
) -> Result<SensorDraft> {
    arguments.admit_sizes(rules.rulesets.iter().map(|(_, source)| source))?;
    super::warn_of_no_filter(rules.rulesets.iter().map(|(family, source)| (*family, source)));
    loop {
        match measured(equipment, &rules)? {
            Described::Sensor(mut draft) => {
                let measured = "what the rules do, measured. Is it what you mean?";
                draft.notes.insert(0, format!("Written by `scanlab init` from {origin}: {measured}"));
                return Ok(*draft);
            }
            Described::WhichIsSsh(ports) => rules.ssh = Some(asked_for_ssh(&ports)?),
            Described::EveryPort => {
                let hint =
                    "run `scanlab init` on a terminal, without --rules and --live: it asks what is meant to be open";
                let problem = "these rules accept every TCP port: they do not show which ports are meant to be open";
                return Err(InputError::new(problem, hint).into());
            }
        }
    }
}

fn measured(equipment: &LabOptions, rules: &RulesOfHost) -> Result<Described> {
    let RulesOfHost { rulesets, ssh, interface, addresses, mac } = rules;
    let (equipment, rulesets) = (equipment.clone(), rulesets.to_vec());
    let (ssh, interface, addresses, mac) = (ssh.clone(), interface.clone(), *addresses, *mac);
    let (vendors, names) = (super::run::vendors(None)?, KnownServices::read()?);
    super::interruptible_blocking(move || {
        let name = |protocol: Protocol, port: Port| service_name(&names, protocol, port);
        let (equipment, rulesets, vendors) = (&equipment, &rulesets, &vendors);
        describe(&InitRequest { equipment, rulesets, ssh, interface, addresses, mac, vendors, name: &name })
    })
}

fn asked_for_ssh(ports: &PortSet) -> Result<Vec<Port>> {
    let accepted = if ports.is_empty() { "no TCP port".to_owned() } else { format!("TCP {ports}") };
    if !question::is_possible() {
        let problem = format!("it is not clear which port is that of the SSH server: the rules accept {accepted}");
        return Err(InputError::new(problem, "name it with --ssh PORT, or say --ssh none").into());
    }
    let question = format!("The rules accept {accepted}. Which is the port of your SSH server? (none: there is none)");
    question::tcp_ports(&question, "none")
}

/// Services with their names in the machine's list.
fn named(names: &KnownServices, tcp: &PortSet, udp: &PortSet) -> Vec<OpenService> {
    open_services(tcp, udp, &|protocol, port| service_name(names, protocol, port))
}

/// A name for a service: that of the machine's list, in upper case.
fn service_name(names: &KnownServices, protocol: Protocol, port: Port) -> Option<String> {
    let name = names.file.name_of(protocol, port)?.to_ascii_uppercase();
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let name = if name == "DOMAIN" { "DNS".to_owned() } else { name };
    (name.bytes().all(is_safe) && !name.starts_with('-') && !name.is_empty() && name != "UNKNOWN").then_some(name)
}

/// A sensor from four questions.
fn asked(ssh: Option<Vec<Port>>) -> Result<SensorDraft> {
    if !question::is_possible() {
        let problem = "there is no ruleset to describe, and no terminal to ask questions on";
        return Err(InputError::new(problem, "add --rules FILE, --rules6 FILE or --live").into());
    }
    let ssh = match ssh {
        Some(ssh) => ssh,
        None => question::tcp_ports("1. Which port is that of your own SSH server?", "22")?,
    };
    let open = question::ports("2. Which ports are open to everybody, such as 80,443,U:53?", "none")?;
    let honeypot = question::tcp_ports("3. Which ports are honeypots, logged and accepted, such as 23?", "none")?;
    let default = if honeypot.is_empty() { "n" } else { "y" };
    let scans = question::yes("4. Are scans to be logged (y or n)?", default)?;
    let names = KnownServices::read()?;
    let services = named(&names, &honeypot.into_iter().collect(), &PortSet::EMPTY);
    let honeypot = services.into_iter().map(|one| Service { name: one.name, ports: one.tcp }).collect();
    let scans = if scans { Technique::LOGGED.to_vec() } else { Vec::new() };
    let mut draft = SensorDraft::new(ssh, named(&names, &open.tcp, &open.udp), honeypot, scans);
    draft.notes.push("Written by `scanlab init` from four answers.".to_owned());
    Ok(draft)
}

/// Writes a file that is not there yet (`O_EXCL`, open(2)).
fn write_new(path: &Path, text: &str) -> Result<()> {
    let unwritable = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => already_there(path),
        _ => {
            let hint = "name a file in a folder that you may write to, with -o";
            InputError::new(format!("cannot write {}: {error}", path.display()), hint)
        }
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(unwritable)?;
    file.write_all(text.as_bytes()).map_err(unwritable)?;
    Ok(())
}

fn already_there(path: &Path) -> InputError {
    InputError::new(format!("{} is already there", path.display()), "name another file with -o, or print it with -o -")
}
