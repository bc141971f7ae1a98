//! Differences, told: packets of which the same becomes, by the same rules, share one story.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::behaviour::{Behaviour, DecidingRule};
use crate::net::Family;
use crate::net::port::{Port, PortSet};
use crate::probe::packet::Packet;
use crate::probe::scan::{PortState, Technique};

/// Packets that are dealt with in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Difference")]
pub struct PacketDifference {
    /// Their family.
    pub family: Family,
    /// The interface that they came over.
    pub interface: String,
    /// Whether limits that guard a verdict were used up before.
    pub limits_used_up: bool,
    /// The packets, as a scenario names them, the plain ones first.
    #[serde(serialize_with = "as_texts")]
    #[schemars(with = "Vec<String>")]
    pub packets: Vec<Packet>,
    /// The port that stands for all that no rule names.
    #[serde(skip)]
    pub stand_in: Option<Port>,
    /// What became of them.
    pub before: Behaviour,
    /// What becomes of them.
    pub after: Behaviour,
}

fn as_texts<S: Serializer>(packets: &[Packet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(packets.iter().map(Packet::to_string))
}

/// Ports that look different to a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeenByScans {
    /// The family.
    pub family: Family,
    /// The techniques.
    pub scans: Vec<Technique>,
    /// The ports; empty for a technique that has none.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "String")]
    pub ports: PortSet,
    /// What a scan saw.
    pub before: ScanView,
    /// What it sees.
    pub after: ScanView,
}

fn as_text<S: Serializer>(ports: &PortSet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(ports)
}

/// What a scan sees of a port, and what it leaves in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Sight")]
pub struct ScanView {
    /// The port state.
    pub state: PortState,
    /// The prefixes of the lines.
    pub log: Vec<String>,
    /// The rule that had the last word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<DecidingRule>,
}

/// Those with one story together, in the order in which they were found.
pub fn together(differences: Vec<PacketDifference>) -> Vec<PacketDifference> {
    let mut told: Vec<PacketDifference> = Vec::new();
    for one in differences {
        let is_like = |other: &&mut PacketDifference| {
            (&other.before, &other.after, other.family, &other.interface, other.limits_used_up)
                == (&one.before, &one.after, one.family, &one.interface, one.limits_used_up)
        };
        match told.iter_mut().find(is_like) {
            Some(other) => other.packets.extend(one.packets),
            None => told.push(one),
        }
    }
    for one in &mut told {
        one.packets.sort_by_key(|packet| packet.plainness(one.stand_in));
        one.packets.dedup();
    }
    // With limits used up most packets fare as ever: what is the same story with room and without is told once.
    let with_room: Vec<PacketDifference> = told.iter().filter(|one| !one.limits_used_up).cloned().collect();
    told.retain(|one| {
        let same = |other: &PacketDifference| {
            (&other.before, &other.after, other.family) == (&one.before, &one.after, one.family)
        };
        !(one.limits_used_up && with_room.iter().any(same))
    });
    told
}

/// Ports that look alike before and after together, and then techniques that agree on the ports.
pub fn scans_together(seen: Vec<SeenByScans>) -> Vec<SeenByScans> {
    let mut of_ports: Vec<SeenByScans> = Vec::new();
    for one in seen {
        let is_like = |other: &&mut SeenByScans| {
            (&other.scans, other.family, &other.before, &other.after)
                == (&one.scans, one.family, &one.before, &one.after)
        };
        match of_ports.iter_mut().find(is_like) {
            Some(other) => other.ports = other.ports.iter().chain(one.ports.iter()).collect(),
            None => of_ports.push(one),
        }
    }
    let mut told: Vec<SeenByScans> = Vec::new();
    for one in of_ports {
        let is_like = |other: &&mut SeenByScans| {
            (&other.ports, other.family, &other.before, &other.after)
                == (&one.ports, one.family, &one.before, &one.after)
        };
        match told.iter_mut().find(is_like) {
            Some(other) => other.scans.extend(one.scans),
            None => told.push(one),
        }
    }
    told
}
