//! The shape of a scenario as a JSON Schema, for editors; the one of `sensor` explains how it is kept correct.

// Never constructed: these types exist for their schema.
#![allow(dead_code)]

use schemars::JsonSchema;

use crate::probe::scan::{FilterVerdict, PortState};
use crate::sensor::{HostShape, LimitShape, SensorShape};

/// A scenario: its claim, the ruleset, and the expectations.
#[derive(JsonSchema)]
#[schemars(title = "scanlab scenario, schema 1", extend("anyOf" = [{"required": ["sensor"]}, {"required": ["ruleset"]}]))]
#[serde(deny_unknown_fields)]
pub struct ScenarioShape {
    /// The claim that it proves, in a sentence.
    #[schemars(length(min = 1))]
    title: String,
    /// Words by which `--tag` and `--exclude` select it.
    #[schemars(inner(length(min = 1, max = 40), regex(pattern = r"^[A-Za-z0-9_.:/-]+$")))]
    tags: Option<Vec<String>>,
    sensor: Option<SensorShape>,
    ruleset: Option<RulesetShape>,
    host: Option<HostShape>,
    /// Expectations that add to those of the sensor, or override them.
    expect: Option<Vec<ExpectShape>>,
    /// Mismatches that are known: they do not fail the run, and fail it once they no longer happen.
    known: Option<Vec<KnownShape>>,
}

/// Your own ruleset, as written by iptables-save and ip6tables-save; paths are relative to the folder of the scenario.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, rename = "Ruleset")]
#[schemars(extend("minProperties" = 1))]
struct RulesetShape {
    v4: Option<String>,
    v6: Option<String>,
}

/// Expectations of every check that the row selects.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, rename = "Expect")]
#[schemars(extend("oneOf" = [{"required": ["scan"]}, {"required": ["packet"]}]))]
struct ExpectShape {
    /// The scans or other checks that it selects.
    scan: Option<OneOrMany<Scan>>,
    /// The packets that it selects: "tcp FIN,PSH to 22".
    packet: Option<OneOrMany<String>>,
    ports: Option<PortsSchema>,
    family: Option<Families>,
    /// The state of the ports.
    state: Option<PortState>,
    log: Option<LogSchema>,
    /// The verdict of the filter.
    verdict: Option<FilterVerdict>,
    /// The rate of the log lines.
    rate: Option<LimitShape>,
}

/// A known mismatch. The values are the observed ones; without values the row covers any mismatch.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields, rename = "Known")]
#[schemars(extend("oneOf" = [{"required": ["scan"]}, {"required": ["packet"]}]))]
struct KnownShape {
    /// The scans or other checks that it selects.
    scan: Option<OneOrMany<Scan>>,
    /// The packets that it selects: "tcp FIN,PSH to 22".
    packet: Option<OneOrMany<String>>,
    ports: Option<PortsSchema>,
    family: Option<Families>,
    /// The state of the ports.
    state: Option<PortState>,
    log: Option<LogSchema>,
    /// The verdict of the filter.
    verdict: Option<FilterVerdict>,
    /// True if the row is about the rate of the log lines.
    rate: Option<bool>,
    /// The reason for the mismatch.
    #[schemars(length(min = 1))]
    because: String,
}

/// One, or a list.
#[derive(JsonSchema)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(#[schemars(length(min = 1))] Vec<T>),
}

/// The exact log prefix, "" for no line; or those of all lines, in log order.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Log")]
enum LogSchema {
    One(#[schemars(length(max = 29))] String),
    Many(#[schemars(extend("items" = {"type": "string", "maxLength": 29}))] Vec<String>),
}

#[derive(JsonSchema)]
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
#[derive(JsonSchema)]
#[serde(untagged, rename = "PortSelection")]
enum PortsSchema {
    One(#[schemars(range(min = 1, max = 65535))] u16),
    Many(#[schemars(length(min = 1), extend("items" = {"type": "integer", "minimum": 1, "maximum": 65535}))] Vec<u16>),
    Text(String),
}

/// The families; both by default.
#[derive(JsonSchema)]
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
