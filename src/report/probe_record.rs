//! Probes as the report shows them: one record for each, or for several that are equal apart from the port.

use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::sequence;
use crate::net::conntrack::ConntrackState;
use crate::net::port::{Port, PortSet};
use crate::net::{Family, Protocol};
use crate::probe::Probe;
use crate::probe::note::Note;
use crate::probe::observation::{ConnectProgress, LogRecord, Observation};
use crate::probe::path::{Path, Step};
use crate::probe::probe_group::{ProbeGroup, ProbeGrouper};
use crate::probe::scan::{FilterVerdict, PortState, Reason, Technique};
use crate::wire::frame::Frame;

/// One probe, or several that are equal apart from the port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProbeRecord {
    /// The scenario's file, in a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The family.
    pub family: Family,
    /// The technique.
    pub scan: Technique,
    /// The protocol of the probe.
    pub protocol: Protocol,
    /// The port, if there is one only; `None` for an echo request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The ports, if there are several: `1-21,23`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    /// The port state.
    pub state: PortState,
    /// The reason for the state, in nmap's words.
    pub reason: Reason,
    /// TTL or hop limit of the decisive reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_ttl: Option<u8>,
    /// The sender of that reply, if it was not the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_ip: Option<IpAddr>,
    /// Log lines that the probe itself caused.
    #[serde(serialize_with = "sequence::of_answer")]
    #[schemars(with = "Vec<LogRecord>")]
    pub log: Vec<LogRecord>,
    /// Log lines of later packets of the same exchange.
    #[serde(serialize_with = "sequence::of_followup")]
    #[schemars(with = "Vec<LogRecord>")]
    pub followup: Vec<LogRecord>,
    /// The progress of a connect scan's connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectProgress>,
    /// The rules and policies on the path of the probe, in order.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "steps")]
    #[schemars(with = "Option<Vec<Step>>")]
    pub path: Option<Arc<Path>>,
    /// The rules and policies on the path of the host's answer.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "steps")]
    #[schemars(with = "Option<Vec<Step>>")]
    pub answer_path: Option<Arc<Path>>,
    /// The conntrack state of the probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conntrack: Option<ConntrackState>,
    /// The verdict of the filter on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<FilterVerdict>,
    /// Facts that the state does not show: a copy that leaves the lab, an answer that came from no service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub notes: Vec<Note>,
    /// Its frames, if they were recorded.
    #[serde(skip)]
    pub frames: Vec<Frame>,
}

impl ProbeRecord {
    /// Its ports, one or many.
    pub(super) fn ports(&self) -> PortSet {
        match (&self.ports, self.port) {
            (Some(ports), _) => ports.parse().unwrap_or_default(),
            (None, port) => port.into_iter().collect(),
        }
    }
}

fn steps<S: Serializer>(path: &Option<Arc<Path>>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_deref().map(|path| &path.steps).serialize(serializer)
}

/// The number of probes above which equal ones are merged.
const SINGLY: usize = 512;

/// The records of a run's probes.
pub(super) fn probe_records(probes: &[(Probe, Observation)], scenario: Option<&str>) -> Vec<ProbeRecord> {
    if probes.len() <= SINGLY {
        let alone = probes.iter().map(|(probe, observation)| ProbeGroup::alone(*probe, observation.clone()));
        return alone.map(|one| record(&one, scenario)).collect();
    }
    let mut gathering = ProbeGrouper::default();
    probes.iter().for_each(|(probe, observation)| gathering.take(probe, observation.clone()));
    gathering.into_groups().iter().map(|group| record(group, scenario)).collect()
}

pub(super) fn record(group: &ProbeGroup, scenario: Option<&str>) -> ProbeRecord {
    let ProbeGroup { first: probe, observation, .. } = group;
    let (verdict, port) = (observation.verdict, group.lone_port().filter(|_| probe.technique.has_ports()));
    ProbeRecord {
        scenario: scenario.map(str::to_owned),
        family: probe.family(),
        scan: probe.technique,
        protocol: probe.flow.protocol,
        port,
        ports: if port.is_none() && probe.technique.has_ports() { Some(group.ports().to_string()) } else { None },
        state: verdict.state,
        reason: verdict.reason,
        reason_ttl: verdict.reason_ttl,
        reason_ip: verdict.reason_ip,
        log: observation.log.clone(),
        followup: observation.followup.clone(),
        connection: observation.connection.clone(),
        path: observation.path.clone(),
        answer_path: observation.answer_path.clone(),
        conntrack: observation.path.as_ref().and_then(|path| path.conntrack),
        verdict: observation.filter,
        notes: observation.notes.clone(),
        frames: observation.frames.clone(),
    }
}
