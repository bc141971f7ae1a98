//! The files that set up a sensor's ruleset on a Raspberry Pi: texts only, this room writes no files.

use super::generate;
use crate::net::{Mac, Network};
use crate::probe::scan::Technique;
use crate::sensor::{Host, Sensor, SshFrom};

/// A file for the Pi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployFile {
    /// Its path, relative to the output folder; files below `etc` belong below `/etc`.
    pub path: &'static str,
    /// Its content.
    pub text: String,
    /// True if it is executable.
    pub executable: bool,
}

/// The files that `scanlab generate` writes; the `.link` file only if the host has a MAC address.
pub fn files(sensor: &Sensor, host: &Host) -> Vec<DeployFile> {
    let rules = generate(sensor);
    let mut files = vec![
        text("rules.v4", rules.v4),
        text("rules.v6", rules.v6),
        DeployFile { executable: true, ..text("etc/network/if-pre-up.d/iptables", IF_PRE_UP.to_owned()) },
    ];
    files.extend(host.mac.map(|mac| text(LINK_PATH, link(host, mac))));
    files.push(text("README.md", readme(sensor, host)));
    files
}

fn text(path: &'static str, text: String) -> DeployFile {
    DeployFile { path, text, executable: false }
}

const LINK_PATH: &str = "etc/systemd/network/00-mac.link";

const IF_PRE_UP: &str = include_str!("if-pre-up");

/// Matches the kernel's name of the interface: a match on the present MAC address would fail the second time, and the
/// one in the hardware is not known here. systemd.link(5): "OriginalName= [...] Cannot be used to match on names that
/// have already been changed from userspace".
fn link(host: &Host, mac: Mac) -> String {
    let interface = &host.interface;
    format!(
        "# Goes to /{LINK_PATH}; it takes effect at the next boot. See systemd.link(5).\n\
         [Match]\n\
         # The name that the kernel gives: on a Pi eth0 is the Ethernet port.\n\
         OriginalName={interface}\n\
         \n\
         [Link]\n\
         MACAddressPolicy=none\n\
         MACAddress={mac}\n\
         # No NamePolicy: this file replaces 99-default.link, and the rules name {interface}.\n"
    )
}

fn readme(sensor: &Sensor, host: &Host) -> String {
    let mac = match host.mac {
        Some(mac) => include_str!("mac.md").replace("{mac}", &mac.to_string()),
        None => String::new(),
    };
    include_str!("README.md")
        .replace("{mac}", &mac)
        .replace("{interface}", &host.interface.to_string())
        .replace("{ssh}", &login(sensor))
        .replace("{ports}", &ports(sensor))
        .replace("{scans}", &scans(sensor))
        .replace("{prefix}", &sensor.prefix)
}

fn login(sensor: &Sensor) -> String {
    match sensor.ssh.first() {
        Some(port) => format!("ssh -p {port} USER@PI{}", ssh_sources(sensor)),
        None => "(this sensor serves no SSH: log in at its console)".to_owned(),
    }
}

/// A comment with the accepted networks; empty for everywhere.
fn ssh_sources(sensor: &Sensor) -> String {
    match &sensor.ssh_from {
        SshFrom::Everywhere => String::new(),
        SshFrom::Networks(networks) => {
            let networks: Vec<String> = networks.iter().map(Network::to_string).collect();
            format!("    # from {} only", networks.join(" or "))
        }
    }
}

/// Every named port, and one unnamed port.
fn ports(sensor: &Sensor) -> String {
    let watched = sensor.watched.iter().flat_map(|service| &service.ports).copied();
    let mut ports: Vec<u16> = sensor.served().chain(watched).map(|port| port.0).collect();
    ports.extend((1..).find(|port| !ports.contains(port)));
    ports.sort_unstable();
    ports.dedup();
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// The nmap options for the other scans that are logged.
fn scans(sensor: &Sensor) -> String {
    let others = sensor.scans.iter().filter(|scan| **scan != Technique::Syn).map(|scan| scan.profile().nmap);
    others.map(|option| format!("    sudo nmap -n -Pn {option} -p {} PI\n", ports(sensor))).collect()
}
