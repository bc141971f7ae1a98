//! What rules accept and log, measured without an intent: the input of `scanlab init`.

use std::collections::BTreeSet;

use super::other_protocols::let_in;
use super::scans::{doors, ports, scans_of};
use super::{PredeploySubject, inbound_peers};
use crate::commands::scan::NoObserver;
use crate::error::Result;
use crate::net::{Family, Network};
use crate::probe::probe_group::ProbeGroup;

/// The behaviour of a ruleset.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// A SYN and a datagram to each port that rules distinguish, and a probe of each scan technique; with their paths.
    pub groups: Vec<ProbeGroup>,
    /// The names of other protocols that are accepted, by family.
    pub others: Vec<(Family, Vec<&'static str>)>,
    /// The networks from which the SSH ports of the subject are reached; empty if from everywhere, or from nowhere.
    pub ssh_from: Vec<Network>,
}

/// Measures the rules of `subject`, whose sensor has SSH ports and nothing else.
pub fn discover(subject: &PredeploySubject) -> Result<Discovered> {
    let tried = ports(subject);
    let mut groups = doors(subject, &tried).perform(&NoObserver)?.groups;
    groups.extend(scans_of(subject).perform(&NoObserver)?.groups);
    let callers = inbound_peers::measure(subject)?;
    let networks: BTreeSet<Network> = inbound_peers::networks(&callers);
    let others = let_in(subject)?.into_iter().map(|(family, others)| {
        let names = others.into_iter().map(super::other_protocols::OtherProtocol::name).collect();
        (family, names)
    });
    Ok(Discovered { groups, others: others.collect(), ssh_from: inbound_peers::widest(&networks) })
}
