//! Groups of probes that are equal apart from the port, which keep the report of a whole port range small. Pure.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::net::port::{Port, PortSet};
use crate::probe::Probe;
use crate::probe::observation::{LogRecord, Observation};
use crate::probe::path::Path;

/// Probes with the same result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeGroup {
    /// The first of them.
    pub first: Probe,
    /// Its observation. The log lines of the others differ from these in ports and numbers only.
    pub observation: Observation,
    ports: Vec<RangeInclusive<u16>>,
}

impl ProbeGroup {
    /// A group of one probe.
    pub fn alone(probe: Probe, observation: Observation) -> ProbeGroup {
        ProbeGroup { first: probe, observation, ports: vec![probe.flow.port.0..=probe.flow.port.0] }
    }

    /// The ports of all probes.
    pub fn ports(&self) -> PortSet {
        self.ports.iter().cloned().collect()
    }

    /// The port, if there is one only.
    pub fn lone_port(&self) -> Option<Port> {
        match self.ports.as_slice() {
            [range] if range.start() == range.end() => Some(Port(*range.start())),
            _ => None,
        }
    }

    /// Adds a port. Ports are mostly ascending, so mostly the last range grows.
    fn add(&mut self, Port(port): Port) {
        match self.ports.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(port) => *last = *last.start()..=port,
            _ => self.ports.push(port..=port),
        }
    }

    fn is_like(&self, probe: &Probe, observation: &Observation) -> bool {
        self.first.technique == probe.technique
            && self.first.flow.host == probe.flow.host
            && self.first.flow.prober == probe.flow.prober
            && are_alike(&self.observation, observation)
    }
}

/// True if state, reason, paths and the rules of the log lines are equal.
fn are_alike(one: &Observation, other: &Observation) -> bool {
    let Observation { verdict, log, followup, path, answer_path, followup_paths, filter, connection, notes, frames: _ } =
        one;
    *verdict == other.verdict
        && *filter == other.filter
        && *connection == other.connection
        && *notes == other.notes
        && same_prefixes(log, &other.log)
        && same_prefixes(followup, &other.followup)
        && same_way(path.as_ref(), other.path.as_ref())
        && same_way(answer_path.as_ref(), other.answer_path.as_ref())
        && *followup_paths == other.followup_paths
}

fn same_prefixes(one: &[LogRecord], other: &[LogRecord]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.prefix == other.prefix)
}

/// Most paths are shared, so the pointers are compared first.
fn same_way(one: Option<&Arc<Path>>, other: Option<&Arc<Path>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Groups equal probes as they arrive.
#[derive(Debug, Default)]
pub struct ProbeGrouper {
    groups: Vec<ProbeGroup>,
}

/// The number of groups that are searched for an equal one, so that a sweep in which every probe differs stays linear.
const GROUPS_BACK: usize = 64;

impl ProbeGrouper {
    /// Adds a probe.
    pub fn take(&mut self, probe: &Probe, observation: Observation) {
        match self.groups.iter_mut().rev().take(GROUPS_BACK).find(|group| group.is_like(probe, &observation)) {
            Some(group) => group.add(probe.flow.port),
            None => self.groups.push(ProbeGroup::alone(*probe, observation)),
        }
    }

    /// The groups, in the order of their first probes.
    pub fn into_groups(self) -> Vec<ProbeGroup> {
        self.groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Addresses, Family};
    use crate::probe::scan::Technique;
    use crate::probe::scan_pass::PassNumbering;

    fn gather(probes: impl IntoIterator<Item = (u16, Option<&'static str>)>) -> Vec<String> {
        let mut phase = PassNumbering::new(1).phase(Technique::Xmas, Family::Ipv4, Addresses::default());
        let mut gathering = ProbeGrouper::default();
        for (port, prefix) in probes {
            let probe = phase.probe(Port(port), 0);
            let log = prefix
                .into_iter()
                .map(|prefix| LogRecord { prefix: prefix.to_owned(), line: format!("{prefix}IN=eth0 DPT={port} ") });
            let observation = Observation { log: log.collect(), ..Observation::silence(Technique::Xmas) };
            gathering.take(&probe, observation);
        }
        gathering.into_groups().iter().map(|group| group.ports().to_string()).collect()
    }

    #[test]
    fn a_whole_range_is_one_group() {
        assert_eq!(gather((1..=u16::MAX).map(|port| (port, None))), ["1-65535"]);
    }

    #[test]
    fn lines_of_one_rule_are_alike_and_those_of_another_are_not() {
        let probes = [(1, Some("a: ")), (2, Some("a: ")), (3, Some("b: ")), (4, Some("a: ")), (5, None)];
        assert_eq!(gather(probes), ["1-2,4", "3", "5"]);
    }

    #[test]
    fn ports_may_come_in_any_order() {
        assert_eq!(gather([(9, None), (7, None), (8, None)]), ["7-9"]);
    }
}
