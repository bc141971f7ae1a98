//! The checks that a row selects: `scan` and `ports`, or `packet`; and `family`.

use super::CheckSubject;
use crate::error::Result;
use crate::net::Family;
use crate::net::port::{Port, PortSet};
use crate::probe::scan::Technique;
use crate::sensor::{TomlPlace, TomlTable, Value};

/// The checks that a row selects: each subject × port × family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The subjects.
    pub subjects: Vec<CheckSubject>,
    /// The ports of scans; `None` for other subjects, and for the echo request, which has no port. A packet has its
    /// own.
    pub ports: Option<PortSet>,
    /// The families.
    pub families: Vec<Family>,
}

impl Selection {
    /// The number of probes or packets that the row selects.
    pub fn count(&self) -> usize {
        let ports = self.ports.as_ref().map_or(1, PortSet::len);
        self.subjects.len().saturating_mul(ports).saturating_mul(self.families.len())
    }

    /// True if the row selects this check; `port` is `None` unless it is a scan.
    pub fn covers(&self, subject: CheckSubject, port: Option<Port>, family: Family) -> bool {
        let port_matches = || match (&self.ports, port) {
            (Some(ports), Some(port)) => ports.contains(port),
            (None, None) => true,
            _ => false,
        };
        self.families.contains(&family) && self.subjects.contains(&subject) && port_matches()
    }
}

/// The checks of a row with `scan`.
pub fn read_checks(row: &mut TomlTable<'_>, scan: Value<'_>) -> Result<Selection> {
    let subjects = read_subjects(scan)?;
    let scans = subjects.iter().filter(|subject| subject.technique().is_some_and(Technique::has_ports)).count();
    let ports = match row.take("ports") {
        Some(value) if scans == 0 => {
            return Err(value.error(format!("{} has no ports", subjects[0]), "remove `ports`").into());
        }
        Some(value) => Some(read_ports(value)?),
        None if scans == 0 => None,
        None => return Err(row.error("the row names no ports", "add ports = 80, [80, 443] or \"1-1024,8080\"").into()),
    };
    if scans != 0 && scans != subjects.len() {
        return Err(row.error("the row mixes scans with other checks", "write a row for each").into());
    }
    Ok(Selection { subjects, ports, families: read_families(row)? })
}

/// The values of `scan`.
pub fn names() -> String {
    let all = Technique::ALL.map(CheckSubject::Scan).into_iter().chain(CheckSubject::OTHERS);
    let names: Vec<&str> = all.map(CheckSubject::name).collect();
    format!("{}, or all ({})", names.join(", "), Technique::DERIVED.map(Technique::name).join(", "))
}

fn read_subjects(value: Value<'_>) -> Result<Vec<CheckSubject>> {
    if value.as_text() == Some("all") {
        return Ok(Technique::DERIVED.map(CheckSubject::Scan).to_vec());
    }
    let spot = value.spot();
    let mut subjects = Vec::new();
    for value in value.into_one_or_many() {
        let subject = value.text()?.parse().map_err(|error| value.error(error, format!("use {}", names())))?;
        if subjects.contains(&subject) {
            return Err(value.error(format!("{subject} is listed twice"), "name it once").into());
        }
        subjects.push(subject);
    }
    if subjects.is_empty() {
        return Err(spot.error("`scan` is empty", format!("use {}", names())).into());
    }
    Ok(subjects)
}

fn read_ports(value: Value<'_>) -> Result<PortSet> {
    let bad = |spot: &TomlPlace<'_>, problem: String| {
        spot.error(problem, "ports are 1 to 65535: 80, [80, 443] or \"1-1024,8080\"")
    };
    let spot = value.spot();
    if let Some(text) = value.as_text() {
        let ports: PortSet = text.parse().map_err(|error| bad(&spot, format!("{error}")))?;
        let zero = ports.contains(Port(0));
        return if zero { Err(bad(&spot, "port 0 is not a service's".to_owned()).into()) } else { Ok(ports) };
    }
    let port = |value: Value<'_>| {
        let out_of_range = || bad(&value.spot(), format!("port {} is out of range", value.written()));
        Port::service(value.number()?).map_err(|_| out_of_range().into())
    };
    let ports: PortSet = value.into_one_or_many().into_iter().map(port).collect::<Result<_>>()?;
    if ports.is_empty() { Err(bad(&spot, "no port is named".to_owned()).into()) } else { Ok(ports) }
}

fn read_families(row: &mut TomlTable<'_>) -> Result<Vec<Family>> {
    row.take("family").map_or(Ok(Family::BOTH.to_vec()), |value| read_family(&value))
}

/// `ipv4`, `ipv6` or `both`.
pub fn read_family(value: &Value<'_>) -> Result<Vec<Family>> {
    match value.text()? {
        "ipv4" => Ok(vec![Family::Ipv4]),
        "ipv6" => Ok(vec![Family::Ipv6]),
        "both" => Ok(Family::BOTH.to_vec()),
        text => {
            let problem = format!("`{}` is not a family", text.escape_debug());
            Err(value.error(problem, "use \"ipv4\", \"ipv6\" or \"both\"").into())
        }
    }
}
