//! The shape of a scenario as a JSON Schema, for editors; the one of `sensor` explains how it is kept correct.

// Never constructed: these types exist for their schema.
#![allow(dead_code)]

use schemars::JsonSchema;
use serde::Serialize;

use crate::probe::scan::{FilterVerdict, PortState};
use crate::sensor::{HostShape, LimitShape, SensorShape};

/// A scenario: its claim, the ruleset, and the expectations.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "scanlab scenario", extend("anyOf" = [{"required": ["sensor"]}, {"required": ["ruleset"]}]))]
#[serde(deny_unknown_fields)]
pub struct ScenarioShape {
    /// The claim that it proves, in a sentence.
    #[schemars(length(min = 1))]
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sensor: Option<SensorShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ruleset: Option<RulesetShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<HostShape>,
    /// Expectations that add to those of the sensor, or override them.
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Vec<ExpectShape>>,
    /// Mismatches that are known: they do not fail the run, and fail it once they no longer happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Vec<KnownShape>>,
}

/// Your own ruleset, as written by iptables-save and ip6tables-save; paths are relative to the folder of the scenario.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Ruleset")]
#[schemars(extend("minProperties" = 1))]
struct RulesetShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    v4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v6: Option<String>,
}

/// Expectations of every check that the row selects.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Expect")]
#[schemars(extend("oneOf" = [{"required": ["scan"]}, {"required": ["packet"]}]))]
struct ExpectShape {
    /// The scans or other checks that it selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<OneOrMany<Scan>>,
    /// The packets that it selects: "tcp FIN,PSH to 22".
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
    /// The verdict of the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<FilterVerdict>,
    /// The rate of the log lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<LimitShape>,
}

/// A known mismatch. The values are the observed ones; without values the row covers any mismatch.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "Known")]
#[schemars(extend("oneOf" = [{"required": ["scan"]}, {"required": ["packet"]}]))]
struct KnownShape {
    /// The scans or other checks that it selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    scan: Option<OneOrMany<Scan>>,
    /// The packets that it selects: "tcp FIN,PSH to 22".
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
    /// The verdict of the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<FilterVerdict>,
    /// True if the row is about the rate of the log lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<bool>,
    /// The reason for the mismatch.
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

/// The exact log prefix, "" for no line; or those of all lines, in log order.
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
    /// The vendor that the MAC address shows.
    Vendor,
    /// The host answers ARP.
    Arp,
    /// The host answers neighbour solicitations.
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

/// The families; both by default.
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
