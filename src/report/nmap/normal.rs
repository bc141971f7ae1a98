//! nmap's normal output: the text for the terminal and for `-oN`.

use std::fmt::Write;

use super::not_shown::{Collapsed, UnshownPorts, collapse};
use super::{Advice, HostReason, NmapReport, PortRow, SPOKEN};
use crate::text::escape::visible;

/// The destination of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressee {
    /// The terminal.
    Terminal,
    /// A file, which begins with the command line.
    File,
}

/// The report in nmap's normal output.
pub fn normal(report: &NmapReport, addressee: Addressee) -> String {
    let mut text = match addressee {
        Addressee::Terminal => first_line(report),
        Addressee::File => format!("# {}\n", report.initiated()),
    };
    match report.host.reason.is_up() {
        true if report.shows_host() => text.push_str(&(host(report) + "\n")),
        false if report.shows_host() => text.push_str(&host_down(report)),
        _ => {}
    }
    if let (Some(folder), 1..) = (&report.data_files, report.presentation.verbosity) {
        let _ = writeln!(text, "Read data files from: {}", visible(folder));
    }
    if addressee == Addressee::Terminal && !report.host.reason.is_up() && report.presentation.advice == Advice::TryPn {
        text.push_str("Note: Host seems down. If it is really up, but blocking our ping probes, try -Pn\n");
    }
    let _ = match addressee {
        Addressee::Terminal => writeln!(text, "Nmap done: {}", report.summary()),
        Addressee::File => writeln!(text, "# Nmap done at {} -- {}", report.end.long(), report.summary()),
    };
    text
}

fn first_line(report: &NmapReport) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("Starting scanlab {version} ( speaks Nmap {SPOKEN} ) at {}\n", report.start.short())
}

fn host(report: &NmapReport) -> String {
    let mut text = String::new();
    let address = report.host.address;
    let _ = writeln!(text, "Nmap scan report for {address}");
    let _ = writeln!(text, "Host is up{}.", received(report));
    if report.presentation.verbosity > 1 {
        let seconds = report.end.seconds().saturating_sub(report.start.seconds());
        let _ = writeln!(text, "Scanned at {} for {seconds}s", report.start.exact());
    }
    let Collapsed { shown, ignored } = collapse(report);
    if shown.is_empty() {
        let _ = writeln!(text, "All {} scanned ports on {address} are in ignored states.", report.ports.len());
    }
    let _ = writeln!(text, "{}", not_shown(&ignored));
    if !shown.is_empty() {
        text.push_str(&table(report, &shown));
    }
    text.push_str(&mac_line(report));
    text
}

fn host_down(report: &NmapReport) -> String {
    format!("Nmap scan report for {} [host down{}]\n", report.host.address, received(report))
}

fn received(report: &NmapReport) -> String {
    if report.shows_reasons() { format!(", received {}", report.host.reason.as_str()) } else { String::new() }
}

/// `Not shown: ...`; empty if all ports are shown. nmap chooses the plural by the number of ports in the state, not in
/// the group.
fn not_shown(ignored: &[UnshownPorts]) -> String {
    let phrases = ignored.iter().flat_map(|ignored| {
        let noun = if ignored.count == 1 { "port" } else { "ports" };
        ignored.groups.iter().map(move |group| {
            format!("{} {} {} {noun} ({})", group.ports.len(), ignored.state, group.protocol, group.reason)
        })
    });
    let phrases: Vec<String> = phrases.collect();
    if phrases.is_empty() { String::new() } else { format!("Not shown: {}", phrases.join(", ")) }
}

fn table(report: &NmapReport, rows: &[&PortRow]) -> String {
    let header = ["PORT", "STATE", "SERVICE", "REASON"].map(str::to_owned);
    let lines: Vec<[String; 4]> = std::iter::once(header).chain(rows.iter().map(|row| cells(row))).collect();
    let columns = if report.shows_reasons() { 4 } else { 3 };
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for cells in &lines {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", padded.join(" ").trim_end());
    }
    text
}

fn cells(row: &PortRow) -> [String; 4] {
    let service = row.service.as_deref().map_or_else(|| "unknown".to_owned(), visible);
    [format!("{}/{}", row.port, row.protocol), row.state.to_string(), service, reason(row)]
}

/// `reset from 203.0.113.1 ttl 64`
fn reason(row: &PortRow) -> String {
    let from = row.from.map(|address| format!(" from {address}")).unwrap_or_default();
    let ttl = row.ttl.map(|ttl| format!(" ttl {ttl}")).unwrap_or_default();
    format!("{}{from}{ttl}", row.reason)
}

fn mac_line(report: &NmapReport) -> String {
    let Some(mac) = report.host.mac else { return String::new() };
    let vendor = report.host.vendor.as_deref().map_or_else(|| "Unknown".to_owned(), visible);
    format!("MAC Address: {} ({vendor})\n", mac.to_string().to_uppercase())
}

impl HostReason {
    /// nmap's name of the neighbour discovery that found the host; `None` without one.
    pub(super) fn by_neighbour_discovery(self) -> Option<&'static str> {
        match self {
            HostReason::ArpResponse => Some("ARP Ping Scan"),
            HostReason::NeighbourResponse | HostReason::NoResponse => Some("ND Ping Scan"),
            HostReason::UserSet => None,
        }
    }
}
