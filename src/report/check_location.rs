//! Short names for groups of checks, for lines of a report.

use std::collections::BTreeSet;

use crate::intent::check::Check;
use crate::net::port::PortSet;

/// `null fin xmas at 80, 443`
pub fn whereabouts(checks: &[&Check]) -> String {
    let mut scans: Vec<String> = checks.iter().map(|check| scan(check)).collect();
    scans.dedup();
    let mut seen = BTreeSet::new();
    scans.retain(|scan| seen.insert(scan.clone()));
    let packets = checks.iter().filter(|check| check.subject.packet().is_some()).count();
    if packets == checks.len() && scans.len() > NAMED_PACKETS {
        return format!("{} packets", scans.len());
    }
    let ports: PortSet = checks.iter().filter_map(|check| check.port).collect();
    let at = if ports.is_empty() { String::new() } else { format!(" at {}", ports.to_string().replace(',', ", ")) };
    format!("{}{at}", scans.join(", "))
}

/// `xmas`, or `20 x xmas` for a burst.
pub fn scan(check: &Check) -> String {
    match check.burst_of {
        Some(probes) => format!("{probes} x {}", check.subject),
        None => check.subject.to_string(),
    }
}

/// More packets than this are counted, since the table above has them all.
const NAMED_PACKETS: usize = 6;
