//! nmap's grepable output: one line a host, for `grep`, `cut` and `awk`.

use std::fmt::Write;

use super::not_shown::{Collapsed, collapse};
use super::{NmapReport, PortRow};
use crate::net::Protocol;
use crate::net::port::PortSet;
use crate::text::escape::visible;

/// The report in nmap's grepable output.
pub fn grepable(report: &NmapReport) -> String {
    let mut text = format!("# {}\n", report.initiated());
    if report.presentation.verbosity > 0 {
        let _ = writeln!(text, "# Ports scanned: {}", ports_scanned(report));
    }
    if report.shows_host() && !report.host.reason.is_up() {
        let _ = writeln!(text, "Host: {} ()\tStatus: Down", report.host.address);
    } else if report.shows_host() {
        let address = report.host.address;
        let _ = writeln!(text, "Host: {address} ()\tStatus: Up");
        let _ = writeln!(text, "Host: {address} ()\t{}", ports(report));
    }
    let _ = writeln!(text, "# Nmap done at {} -- {}", report.end.long(), report.summary());
    text
}

/// `TCP(2;22,80) UDP(0;) SCTP(0;) PROTOCOLS(0;)`
fn ports_scanned(report: &NmapReport) -> String {
    let of = |protocol: Protocol| -> PortSet {
        let scans = report.scans.iter().filter(|scan| scan.technique.protocol() == protocol);
        scans.flat_map(|scan| scan.ports.ranges()).collect()
    };
    let (tcp, udp) = (of(Protocol::Tcp), of(Protocol::Udp));
    format!("TCP({};{tcp}) UDP({};{udp}) SCTP(0;) PROTOCOLS(0;)", tcp.len(), udp.len())
}

/// The ports as items, and the state whose ports are not shown, if it is the only one.
fn ports(report: &NmapReport) -> String {
    let Collapsed { shown, ignored } = collapse(report);
    let items: Vec<String> = shown.iter().map(|row| item(row)).collect();
    let rest = match ignored.as_slice() {
        [only] => format!("\tIgnored State: {} ({})", only.state, only.count),
        _ => String::new(),
    };
    format!("Ports: {}{rest}", items.join(", "))
}

/// Port, state, protocol, owner, service, RPC, version: a slash within one would end the field.
fn item(row: &PortRow) -> String {
    let service = row.service.as_deref().map(visible).unwrap_or_default().replace('/', "|");
    format!("{}/{}/{}//{service}///", row.port, row.state, row.protocol)
}
