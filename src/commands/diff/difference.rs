//! Merges differences: packets with the same effects by the same rules share an entry.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::behaviour::{Behaviour, DecidingRule};
use crate::net::Family;
use crate::net::port::{Port, PortSet};
use crate::probe::packet::Packet;
use crate::probe::scan::{PortState, Technique};
use crate::text::group::merged;

/// Packets that the two rulesets treat differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Difference")]
pub struct PacketDifference {
    /// Their family.
    pub family: Family,
    /// The interface that they arrived on.
    pub interface: String,
    /// True if limits on verdicts were used up before.
    pub limits_used_up: bool,
    /// The packets in the notation of a scenario, simple ones first.
    #[serde(serialize_with = "as_texts")]
    #[schemars(with = "Vec<String>")]
    pub packets: Vec<Packet>,
    /// The port that represents all unnamed ports.
    #[serde(skip)]
    pub sample_port: Option<Port>,
    /// The effect of the first ruleset.
    pub before: Behaviour,
    /// The effect of the second ruleset.
    pub after: Behaviour,
}

fn as_texts<S: Serializer>(packets: &[Packet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(packets.iter().map(Packet::to_string))
}

/// Ports with a different result of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeenByScans {
    /// The family.
    pub family: Family,
    /// The techniques.
    pub scans: Vec<Technique>,
    /// The ports; empty for a technique without ports.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub ports: PortSet,
    /// The result with the first ruleset.
    pub before: ScanView,
    /// The result with the second ruleset.
    pub after: ScanView,
}

fn as_text<S: Serializer>(ports: &PortSet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(ports)
}

/// The result of a scan for a port, and its log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Sight")]
pub struct ScanView {
    /// The port state.
    pub state: PortState,
    /// The prefixes of the lines.
    pub log: Vec<String>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<DecidingRule>,
}

/// Merges equal entries, in the order of first appearance.
pub fn together(differences: Vec<PacketDifference>) -> Vec<PacketDifference> {
    let is_like = |one: &PacketDifference, other: &PacketDifference| {
        (&other.before, &other.after, other.family, &other.interface, other.limits_used_up)
            == (&one.before, &one.after, one.family, &one.interface, one.limits_used_up)
    };
    let mut all = merged(differences, is_like, |one, other| one.packets.extend(other.packets));
    for one in &mut all {
        one.packets.sort_by_key(|packet| packet.plainness(one.sample_port));
        one.packets.dedup();
    }
    // With limits used up, most packets have the same effect as before; an entry that also exists with fresh limits is
    // dropped.
    let with_room: Vec<PacketDifference> = all.iter().filter(|one| !one.limits_used_up).cloned().collect();
    all.retain(|one| {
        let same = |other: &PacketDifference| {
            (&other.before, &other.after, other.family) == (&one.before, &one.after, one.family)
        };
        !(one.limits_used_up && with_room.iter().any(same))
    });
    all
}

/// Merges ports with the same results before and after, then techniques with the same ports.
pub fn scans_together(seen: Vec<SeenByScans>) -> Vec<SeenByScans> {
    let is_like = |one: &SeenByScans, other: &SeenByScans| {
        (other.family, &other.before, &other.after) == (one.family, &one.before, &one.after)
    };
    let of_ports = merged(
        seen,
        |one, other| one.scans == other.scans && is_like(one, other),
        |one, other| one.ports = one.ports.iter().chain(other.ports.iter()).collect(),
    );
    merged(
        of_ports,
        |one, other| one.ports == other.ports && is_like(one, other),
        |one, other| one.scans.extend(other.scans),
    )
}
