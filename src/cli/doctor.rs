//! `scanlab doctor`: tries each thing that the lab needs, in throw-away namespaces, and reports how to get missing
//! ones.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use super::equipment::FlavourArgument;
use super::runtime::interruptible_blocking_here;
use crate::error::{CannotMeasure, Error, Result, Source};
use crate::lab::{self, Backend, Capture, Lab, LabOptions, LabSpec, Privilege, TUN_DEVICE, WatchedEvents};
use crate::net::port::Port;
use crate::net::{Addresses, Family, InterfaceName};
use crate::probe::observation::Observation;
use crate::probe::scan::Technique;
use crate::probe::scan_pass::PassNumbering;
use crate::text::escape::listed;
use crate::text::escape::visible_lines;

/// Prints one line for each thing. The status is 0 if the default flavour of iptables can do everything, else 3.
pub fn doctor() -> Result<ExitCode> {
    // A user namespace has to be entered before there is a second thread (unshare(2)).
    let standing = lab::enter_user_namespace();
    interruptible_blocking_here(move || examine(standing))
}

fn examine(standing: Result<Privilege>) -> Result<ExitCode> {
    let mut text = String::new();
    let _ = writeln!(text, "scanlab {} on Linux {}", env!("CARGO_PKG_VERSION"), super::kernel_release());
    let rootless = matches!(standing, Ok(Privilege::Rootless));
    let mut able = append(&mut text, "privilege", standing.and_then(privilege));
    able &= append(&mut text, "TUN device", tun());
    append(&mut text, "confinement of iptables", Ok(lab::Walls::here().to_string()));
    if rootless {
        append(&mut text, "log capture", Ok(NFLOG.to_owned()));
    }
    let _ = writeln!(text);
    let trial = if able { FlavourTrial::Labs } else { FlavourTrial::ProgramsOnly };
    for (name, flavour) in [
        ("iptables (default)", FlavourArgument::Auto),
        ("iptables-nft", FlavourArgument::Nft),
        ("iptables-legacy", FlavourArgument::Legacy),
    ] {
        let healthy = flavour_is_healthy(&mut text, name, flavour, trial);
        able &= healthy || flavour != FlavourArgument::Auto;
    }
    let verdict = if able { "this machine can run the lab" } else { "this machine cannot run the lab: see above" };
    let _ = writeln!(text, "\n{verdict}");
    super::print(&text)?;
    Ok(if able { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The capture of an ordinary user.
const NFLOG: &str = "nflog: lines are rendered as the kernel would print them, since its own log needs root";

/// The extent of the test of a flavour of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlavourTrial {
    /// Everything that labs do with it.
    Labs,
    /// Its presence only: a lab would report the same missing thing again.
    ProgramsOnly,
}

fn append(text: &mut String, what: &str, found: Result<String>) -> bool {
    let (word, details) = match &found {
        Ok(details) => ("ok", details.clone()),
        Err(Error::Input(error)) => ("missing", error.problem.clone()),
        Err(Error::CannotMeasure(error)) => ("missing", error.to_string()),
    };
    let _ = writeln!(text, "{what:<28} {word:<8} {}", visible_lines(&details));
    found.is_ok()
}

/// The capabilities that a lab needs, see capabilities(7).
fn privilege(standing: Privilege) -> Result<String> {
    use caps::{CapSet, Capability};
    if standing == Privilege::Rootless {
        return Ok("none needed: a user namespace of its own".to_owned());
    }
    for capability in [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW] {
        if !caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false) {
            let capability = capability.to_string();
            return Err(CannotMeasure::NoPrivilege { what: "build a lab", capability }.into());
        }
    }
    Ok("CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW".to_owned())
}

fn tun() -> Result<String> {
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(Path::new(TUN_DEVICE));
    opened.map(|_| TUN_DEVICE.to_owned()).map_err(|error| CannotMeasure::NoTun(error).into())
}

fn flavour_is_healthy(text: &mut String, name: &str, flavour: FlavourArgument, trial: FlavourTrial) -> bool {
    let equipment = match super::equipment::usual(flavour) {
        Ok(equipment) => equipment,
        Err(error) => return append(text, name, Err(error)),
    };
    let backend = match equipment.backend() {
        Backend::Nft => "nf_tables",
        Backend::Legacy => "legacy",
    };
    append(text, name, Ok(format!("{} ({backend})", equipment.iptables.version)));
    if trial == FlavourTrial::ProgramsOnly {
        return true;
    }
    let mut healthy = append(text, &format!("  {}", instruments(&equipment)), logs(&equipment, Family::Ipv4, ""));
    for (what, matches) in FEATURES {
        healthy &= append(text, &format!("  {what}"), logs(&equipment, Family::Ipv4, matches));
    }
    match Lab::families().contains(&Family::Ipv6) {
        true => healthy & append(text, "  IPv6", logs(&equipment, Family::Ipv6, "")),
        false => append(text, "  IPv6", Ok("this machine has none: IPv6 checks will not run".to_owned())),
    }
}

/// The instruments of the simplest lab.
fn instruments(equipment: &LabOptions) -> &'static str {
    match equipment.capture {
        Capture::Kmsg => "namespace, TAP, LOG, kmsg",
        Capture::Nflog => "namespace, TAP, NFLOG",
    }
}

/// Further features to test, and the matches that a LOG rule gets for them.
const FEATURES: [(&str, &str); 2] =
    [("match limit", "-m limit --limit 5/min"), ("match conntrack", "-m conntrack --ctstate NEW")];

const PREFIX: &str = "scanlab doctor: ";

/// Builds a lab with one LOG rule, sends it a SYN, and looks for its line.
fn logs(equipment: &LabOptions, family: Family, matches: &str) -> Result<String> {
    let rules = format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A INPUT -p tcp -m tcp --dport 9 {matches} -j LOG --log-prefix \"{PREFIX}\"\nCOMMIT\n"
    );
    let source = Source { name: "<doctor>".into(), text: rules.into() };
    let (interface, addresses) = (InterfaceName::default(), Addresses::default());
    let rulesets = [(family, &source)];
    let spec = LabSpec { watch: WatchedEvents::Replies, ..LabSpec::new(equipment, &interface, &addresses, &rulesets) };
    const DISCARD: Port = Port(9);
    let probe = PassNumbering::new(0).phase(Technique::Syn, family, addresses).probe(DISCARD, 0);
    let observed = Lab::run(&spec, |lab| lab.send(&[probe]))?;
    match observed.as_slice() {
        [Observation { log, .. }] if log.len() == 1 && log[0].prefix == PREFIX => Ok("logged and answered".to_owned()),
        other => {
            let records = other.iter().flat_map(|observation| &observation.log);
            let lines: Vec<&str> = records.map(|record| record.line.as_str()).collect();
            let evidence = format!("the LOG rule wrote the lines {}", listed(&lines));
            Err(CannotMeasure::Blind { instrument: "LOG target", evidence }.into())
        }
    }
}
