//! The shape of a scenario, as a JSON Schema says it to an editor; see `sensor`'s for how it is kept true.

// Nobody makes any of these: they are there for their schema.
#![allow(dead_code)]

use schemars::JsonSchema;
use serde::Serialize;

use crate::probe::scan::{FilterVerdict, PortState};
use crate::sensor::{HostShape, LimitShape, SensorShape};

/// A scenario: what it proves, of which ruleset, and what is to be expected of it.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "scanlab scenario", extend("anyOf" = [{"required": ["sensor"]}, {"required": ["ruleset"]}]))]
#[serde(deny_unknown_fields)]
pub struct ScenarioShape {
    /// What it proves, in a sentence.
    #[schemars(length(min = 1))]
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sensor: Option<SensorShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ruleset: Option<RulesetShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<HostShape>,
    /// What is expected beyond what the sensor says, or in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Vec<ExpectShape>>,
    /// Mismatches that are known: they do not fail the run, and fail it once they no longer happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Vec<KnownShape>>,
}

/// Your own ruleset, as iptables-save and ip6tables-save wrote it; paths are taken from the folder of the scenario.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Ruleset")]
#[schemars(extend("minProperties" = 1))]
struct RulesetShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    v4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v6: Option<String>,
}

/// What is expected of every check that the row selects.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Expect")]
#[schemars(extend("oneOf" = [{"required": ["scan"]}, {"required": ["packet"]}]))]
struct ExpectShape {
    /// The scans or other checks that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<OneOrMany<Scan>>,
    /// The packets that it speaks of: "tcp FIN,PSH to 22".
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<OneOrMany<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<PortsSchema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<Families>,
    /// The state of the ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<PortState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogSchema>,
    /// What the filter does.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<FilterVerdict>,
    /// How often it is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<LimitShape>,
}

/// A mismatch that is known. The values are those that are observed; without any the row covers whatever mismatches.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Known")]
#[schemars(extend("oneOf" = [{"required": ["scan"]}, {"required": ["packet"]}]))]
struct KnownShape {
    /// The scans or other checks that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<OneOrMany<Scan>>,
    /// The packets that it speaks of: "tcp FIN,PSH to 22".
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<OneOrMany<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<PortsSchema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<Families>,
    /// The state of the ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<PortState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<LogSchema>,
    /// What the filter does.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<FilterVerdict>,
    /// Whether the row speaks of how often it is logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<bool>,
    /// Why it is so.
    #[schemars(length(min = 1))]
    because: String,
}

/// One, or a list.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(#[schemars(length(min = 1))] Vec<T>),
}

/// The exact log prefix, "" for no line; or those of all lines, in the order of the log.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Log")]
enum LogSchema {
    One(#[schemars(length(max = 29))] String),
    Many(#[schemars(extend("items" = {"type": "string", "maxLength": 29}))] Vec<String>),
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scan {
    /// Every scan that expectations are derived for: syn, connect, null, fin, xmas and ack.
    All,
    /// A lone SYN, the connection never completed: `nmap -sS`.
    Syn,
    /// A full connection: `nmap -sT`.
    Connect,
    /// No flag at all: `nmap -sN`.
    Null,
    /// FIN alone: `nmap -sF`.
    Fin,
    /// FIN, PSH and URG: `nmap -sX`.
    Xmas,
    /// ACK alone: `nmap -sA`.
    Ack,
    /// FIN and ACK: `nmap -sM`.
    Maimon,
    /// ACK alone, with an eye on the window of the RST: `nmap -sW`.
    Window,
    /// An empty datagram: `nmap -sU`.
    Udp,
    /// An ICMP echo request; it has no port.
    Echo,
    /// The vendor that the MAC address gives away.
    Vendor,
    /// Whether the host answers ARP.
    Arp,
    /// Whether the host answers neighbour solicitations.
    Ndp,
}

/// Ports: 80, [80, 443] or "1-1024,8080".
#[derive(Serialize, JsonSchema)]
#[serde(untagged, rename = "PortSelection")]
enum PortsSchema {
    One(#[schemars(range(min = 1, max = 65535))] u16),
    Many(#[schemars(length(min = 1), extend("items" = {"type": "integer", "minimum": 1, "maximum": 65535}))] Vec<u16>),
    Text(String),
}

/// Which families; both unless one is named.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Families {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Either.
    Both,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::scenario::CheckSubject;
    use crate::probe::scan::Technique;

    #[test]
    fn scan_schema_of_every_subject_has_its_name() {
        let schema = serde_json::to_string(&schemars::schema_for!(Scan)).unwrap();
        let names =
            Technique::ALL.map(CheckSubject::Scan).into_iter().chain(CheckSubject::OTHERS).map(CheckSubject::name);
        let missing: Vec<&str> = names.filter(|name| !schema.contains(&format!("\"const\":\"{name}\""))).collect();
        assert!(missing.is_empty(), "`Scan` in this file lacks {missing:?}");
    }
}
