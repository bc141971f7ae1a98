//! All packets that can reach a chain, by the fields that rules match.

use super::region::{FIELDS, PacketField, Region};
use super::values::Values;
use crate::net::conntrack::ConntrackState;
use crate::net::{Family, InterfaceName};
use crate::rules::interface_names::distinct_names;
use crate::rules::iptables_save::{Listing, Rule, is_interface};

/// The common facts of the rulesets that are compared.
#[derive(Debug, Clone)]
pub struct Space {
    /// Their family.
    pub family: Family,
    /// One name of each kind that the rules distinguish: first the host's interface, then `lo`.
    pub names: Vec<String>,
    /// True if conntrack sees the packets.
    pub(super) tracks: bool,
    /// True if a rule exempts packets from tracking.
    pub exempts: bool,
    /// True if a rule changes packets, or their conntrack entries.
    pub(super) rewrites: bool,
    /// Every packet.
    pub everything: Region,
}

const TCP: u128 = 6;

impl Space {
    /// The space of `listings`, on a host whose link is `interface`.
    pub fn new(listings: &[&Listing], interface: &InterfaceName) -> Space {
        let rules: Vec<&Rule> = listings.iter().flat_map(|listing| listing.rules()).collect();
        let has_target = |names: &[&str]| {
            rules.iter().any(|rule| rule.target.as_ref().is_some_and(|target| names.contains(&target.name.as_str())))
        };
        let changes = |rule: &&Rule| {
            let target = rule.target.as_ref().map_or("", |target| target.name.as_str());
            !rule.is_jump() && !matches!(target, "" | "ACCEPT" | "DROP" | "REJECT" | "LOG" | "NFLOG" | "RETURN")
        };
        let family = listings.first().map_or(Family::Ipv4, |listing| listing.family);
        let names = distinct_names(&rules, interface);
        Space {
            family,
            everything: everything(family, names.len()),
            names,
            tracks: rules.iter().any(|rule| rule.uses_conntrack()),
            exempts: has_target(&["CT", "NOTRACK"]),
            rewrites: rules.iter().any(changes),
        }
    }

    /// Every packet that can reach the chain `hook` of `table`, in parts. Conntrack reassembles fragments before any
    /// rule (priority -400), and marks a segment with invalid flags INVALID (`tcp_valid_flags`).
    pub fn universe(&self, table: &str, hook: &str) -> Vec<Region> {
        let all = self.everything.clone();
        let whole = if self.tracks { all.with(PacketField::Whole, &Values::these([1])) } else { Some(all) };
        let of_table = whole.and_then(|all| match table {
            // nat sees the packets that begin a connection (`nf_nat_inet_fn` in net/netfilter/nf_nat_core.c).
            "nat" if self.tracks => {
                all.with(PacketField::State, &states(&[ConntrackState::New, ConntrackState::Related]))
            }
            _ => Some(all),
        });
        let Some(all) = of_table else { return Vec::new() };
        let parts = if table == "raw" && hook == "PREROUTING" { self.before_conntrack(&all) } else { vec![all] };
        parts.iter().flat_map(|part| self.flags_make_sense(part, table)).collect()
    }

    /// In raw, conntrack has not yet seen a packet from a link, and `--state` treats that as INVALID.
    fn before_conntrack(&self, all: &Region) -> Vec<Region> {
        if self.exempts {
            return vec![all.clone()];
        }
        let loopback = Values::these([1]);
        let over_link = all.values(PacketField::In).difference(&loopback);
        let unseen = all.with(PacketField::In, &over_link);
        let unseen = unseen.and_then(|region| region.with(PacketField::State, &states(&[ConntrackState::Invalid])));
        [all.with(PacketField::In, &loopback), unseen].into_iter().flatten().collect()
    }

    fn flags_make_sense(&self, all: &Region, table: &str) -> Vec<Region> {
        if !self.tracks || self.exempts || table == "raw" {
            return vec![all.clone()];
        }
        let tcp = Values::these([TCP]);
        let sense = Values::these((0..64).filter(|octet| makes_sense(*octet as u8)));
        let nonsense = Values::from_ranges([0..=63]).difference(&sense);
        let segments = all.with(PacketField::Protocol, &tcp);
        let invalid = states(&[ConntrackState::Invalid]);
        let odd = segments.as_ref().and_then(|all| all.with(PacketField::Flags, &nonsense));
        [
            all.with(PacketField::Protocol, &all.values(PacketField::Protocol).difference(&tcp)),
            segments.and_then(|all| all.with(PacketField::Flags, &sense)),
            odd.and_then(|odd| odd.with(PacketField::State, &invalid)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The indices of the names that match `pattern`.
    pub fn meant(&self, pattern: &str) -> Values {
        Values::these((0..).zip(&self.names).filter(|(_, name)| is_interface(pattern, name)).map(|(place, _)| place))
    }
}

/// Every packet, for `names` interface names.
fn everything(family: Family, names: usize) -> Region {
    let last = *family.numbers().end();
    let names = names as u128 - 1;
    let mut sets: [Values; FIELDS] = std::array::from_fn(|_| Values::from_ranges([0..=65_535]));
    let mut set = |field: PacketField, last: u128| sets[field as usize] = Values::from_ranges([0..=last]);
    set(PacketField::Protocol, 255);
    set(PacketField::Source, last);
    set(PacketField::Destination, last);
    set(PacketField::In, names);
    set(PacketField::Out, names);
    set(PacketField::Flags, 63);
    set(PacketField::State, ConntrackState::ALL.len() as u128 - 1);
    set(PacketField::Whole, 1);
    Region::new(sets)
}

/// The indices of states.
pub fn state_places(wanted: &[ConntrackState]) -> Values {
    states(wanted)
}

pub(super) fn states(wanted: &[ConntrackState]) -> Values {
    let places = (0..).zip(ConntrackState::ALL).filter(|(_, state)| wanted.contains(state)).map(|(place, _)| place);
    Values::these(places)
}

/// `tcp_valid_flags` in net/netfilter/nf_conntrack_proto_tcp.c, which ignores PSH.
fn makes_sense(octet: u8) -> bool {
    matches!(octet & !8, 2 | 34 | 18 | 4 | 20 | 17 | 49 | 16 | 48)
}
