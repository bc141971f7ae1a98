//! TCP and UDP port numbers, and sets of them in nmap's `-p` syntax.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use schemars::JsonSchema;

/// A port number, 0 to 65535. Port 0 is reserved (RFC 6335, section 6) but can be put on the wire,
/// and nmap scans it when it is named; a *service* is never on it, see [`Port::service`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Port(pub u16);

impl Port {
    /// The port of a service: 1 to 65535.
    pub fn service(number: i64) -> Result<Port, PortError> {
        match u16::try_from(number) {
            Ok(0) | Err(_) => Err(PortError::OutOfRange(number.to_string())),
            Ok(number) => Ok(Port(number)),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reason why a text is not a port set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The number is not a port.
    #[error("port {0} is out of range: ports are 1 to 65535")]
    OutOfRange(String),
    /// The text is not a number.
    #[error("`{0}` is not a port number")]
    NotANumber(String),
    /// A range that ends before it begins.
    #[error("port range {0}-{1} is reversed: write {1}-{0}")]
    Reversed(u16, u16),
    /// There is no port.
    #[error("no port is named")]
    Empty,
}

/// The number of port ranges that are listed before the rest is counted.
const LISTED: usize = 8;

/// A set of ports, kept as sorted, disjoint, non-adjacent ranges; prints as `22,80-90`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PortSet(Vec<RangeInclusive<u16>>);

impl PortSet {
    /// The empty set.
    pub const EMPTY: PortSet = PortSet(Vec::new());

    /// Every port of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Port> + '_ {
        self.0.iter().cloned().flatten().map(Port)
    }

    /// The ranges of the set, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u16>> + '_ {
        self.0.iter().cloned()
    }

    /// The number of ports.
    pub fn len(&self) -> usize {
        self.0.iter().map(|range| range.len()).sum()
    }

    /// The ranges with this separator; after the first [`LISTED`] the others are counted.
    pub fn listed(&self, separator: &str) -> String {
        let text = self.to_string();
        match text.match_indices(',').nth(LISTED) {
            Some((end, _)) => format!("{} and others ({} in all)", text[..end].replace(',', separator), self.len()),
            None => text.replace(',', separator),
        }
    }

    /// True if the set has no port.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if `port` is in the set.
    pub fn contains(&self, port: Port) -> bool {
        let next = self.0.partition_point(|range| *range.end() < port.0);
        self.0.get(next).is_some_and(|range| range.contains(&port.0))
    }
}

impl PortSet {
    /// The ports that are in both sets.
    pub fn intersection(&self, other: &PortSet) -> PortSet {
        self.iter().filter(|port| other.contains(*port)).collect()
    }

    /// The ports that are in this set and not in the other.
    pub fn difference(&self, other: &PortSet) -> PortSet {
        self.iter().filter(|port| !other.contains(*port)).collect()
    }
}

impl FromIterator<Port> for PortSet {
    fn from_iter<I: IntoIterator<Item = Port>>(ports: I) -> Self {
        ports.into_iter().map(|Port(port)| port..=port).collect()
    }
}

impl FromIterator<RangeInclusive<u16>> for PortSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u16>>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if u32::from(*range.start()) <= u32::from(*last.end()) + 1 => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        PortSet(merged)
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

/// Parses nmap's `-p` syntax for one protocol: `22`, `80-90`, `-100` (from 1), `60000-` (to 65535), `-` (all from 1),
/// joined by commas. See the nmap reference guide, "Port specification and scan order".
impl FromStr for PortSet {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let set: PortSet = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(parse_range)
            .collect::<Result<_, _>>()?;
        if set.is_empty() { Err(PortError::Empty) } else { Ok(set) }
    }
}

/// `22`, `80-90`, `-100`, `60000-`, `-`.
pub(crate) fn parse_range(text: &str) -> Result<RangeInclusive<u16>, PortError> {
    let Some((start, end)) = text.split_once('-') else {
        let port = parse_number(text)?;
        return Ok(port..=port);
    };
    let start = if start.is_empty() { 1 } else { parse_number(start)? };
    let end = if end.is_empty() { u16::MAX } else { parse_number(end)? };
    if start > end { Err(PortError::Reversed(start, end)) } else { Ok(start..=end) }
}

fn parse_number(text: &str) -> Result<u16, PortError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PortError::NotANumber(text.to_owned()));
    }
    text.parse().map_err(|_| PortError::OutOfRange(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> String {
        text.parse::<PortSet>().map_or_else(|error| format!("! {error}"), |set| set.to_string())
    }

    #[test]
    fn port_sets_print_as_merged_ranges() {
        assert_eq!(set("80,22,81-90,82"), "22,80-90");
        assert_eq!(set("-3,65534-"), "1-3,65534-65535");
        assert_eq!(set("-"), "1-65535");
        assert_eq!(set("0"), "0");
    }

    #[test]
    fn a_port_is_found_in_ranges_and_not_between_them() {
        let ports: PortSet = "1,3,5-7,9-".parse().unwrap();
        let found: Vec<u16> = (0..=11).filter(|port| ports.contains(Port(*port))).collect();
        assert_eq!(found, [1, 3, 5, 6, 7, 9, 10, 11]);
        assert!(!PortSet::EMPTY.contains(Port(0)));
    }

    #[test]
    fn every_second_port_is_intersected_and_subtracted_in_seconds() {
        let odd: PortSet = (0..=u16::MAX).filter(|port| port % 2 == 1).map(Port).collect();
        let even: PortSet = (0..=u16::MAX).filter(|port| port % 2 == 0).map(Port).collect();
        let start = std::time::Instant::now();
        assert!(odd.intersection(&even).is_empty());
        assert_eq!(odd.difference(&even), odd);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    #[test]
    fn bad_port_sets_say_what_is_wrong() {
        assert_eq!(set("90-80"), "! port range 90-80 is reversed: write 80-90");
        assert_eq!(set("65536"), "! port 65536 is out of range: ports are 1 to 65535");
        assert_eq!(set("ssh"), "! `ssh` is not a port number");
        assert_eq!(set(""), "! no port is named");
        assert_eq!(set("99999999999999999999"), "! port 99999999999999999999 is out of range: ports are 1 to 65535");
    }

    #[test]
    fn a_service_is_never_on_port_zero() {
        assert!(Port::service(0).is_err());
        assert!(Port::service(-22).is_err());
        assert!(Port::service(65536).is_err());
        assert_eq!(Port::service(65535), Ok(Port(65535)));
    }
}
