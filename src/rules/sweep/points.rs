//! Boundaries, with a packet on either side of each: between two neighbouring points, no rule can distinguish values.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::net::port::PortSet;
use crate::net::{Family, Network, number};
use crate::probe::packet::addresses::is_usable;
use crate::rules::iptables_save::Prefix;

/// The ports that a ruleset distinguishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortPoints {
    /// For every named range: the port before it, its first, its last, the port after it; and 1 and 65535.
    pub points: BTreeSet<u16>,
    /// The longest range of ports that no rule distinguishes, from which unnamed ports are chosen.
    pub unnamed: RangeInclusive<u16>,
}

impl PortPoints {
    /// The points of all ranges of `sets`.
    pub fn of<'a>(sets: impl Iterator<Item = &'a PortSet>) -> PortPoints {
        let mut points = BTreeSet::from([1, u16::MAX]);
        // Every port at which a new range begins: up to the next one, all ports are equal to the rules.
        let mut beginnings = BTreeSet::from([1]);
        for range in sets.flat_map(PortSet::ranges) {
            let (before, after) = (range.start().checked_sub(1), range.end().checked_add(1));
            points.extend([before, Some(*range.start()), Some(*range.end()), after].into_iter().flatten());
            beginnings.extend([Some(*range.start()), after].into_iter().flatten());
        }
        points.remove(&0);
        PortPoints { points, unnamed: longest(&beginnings) }
    }
}

fn longest(beginnings: &BTreeSet<u16>) -> RangeInclusive<u16> {
    let ends = beginnings.iter().skip(1).map(|next| next - 1).chain([u16::MAX]);
    let ranges = beginnings.iter().copied().zip(ends).map(|(first, last)| first.max(1)..=last);
    ranges.max_by_key(|range| (range.len(), *range.end())).unwrap_or(1..=u16::MAX)
}

/// An address inside every prefix and one just after it, if a packet can come from there.
pub fn strangers<'a>(prefixes: impl Iterator<Item = &'a Prefix>, taken: &[IpAddr]) -> BTreeSet<IpAddr> {
    let usable = |address: &IpAddr| is_usable(*address) && !taken.contains(address);
    let mut points = BTreeSet::new();
    for prefix in prefixes.filter(|prefix| !prefix.is_everything()) {
        let (inside, after) = candidates(prefix);
        points.extend(inside.into_iter().find(usable));
        points.extend(after.into_iter().find(usable));
    }
    points
}

/// The first addresses inside, and the first ones after it. A mask that is not contiguous has no known end.
fn candidates(prefix: &Prefix) -> (Vec<IpAddr>, Vec<IpAddr>) {
    const TRIED: u128 = 4;
    let family = Family::from_address(prefix.address);
    let first = number(prefix.address);
    let inside = (0..TRIED).map(|step| family.address(first.wrapping_add(step)));
    let inside = inside.filter(|address| prefix.contains(*address)).collect();
    let network = prefix.prefix_len().and_then(|length| Network::new(prefix.address, length));
    (inside, network.iter().flat_map(Network::after).collect())
}
