//! Flows that were used already, if probes share them: with a fixed source port (`-g`) two techniques probe the same
//! port from the same port, and conntrack would treat the second as a part of the first.
//!
//! Such probes are sent in batches in which no flow occurs twice, and the conntrack table is flushed before a flow is
//! used again. With nmap's own numbering no flow occurs twice, so none of this is needed.

use std::collections::HashSet;

use crate::probe::Probe;
use crate::wire::reply::Flow;

/// The flows of a lab that conntrack may remember.
#[derive(Debug, Default)]
pub struct Flows {
    used: HashSet<Flow>,
}

/// The first probes of a list that can be sent together.
pub struct ProbeBatch {
    /// Their number; at least one.
    pub count: usize,
    /// True if the conntrack table has to be flushed before.
    pub meets_an_old_flow: bool,
}

impl Flows {
    /// Determines how many of `probes`, counted from the first, can be sent together. Their flows then count as used.
    pub fn together(&mut self, probes: &[Probe]) -> ProbeBatch {
        let shares = |probe: &&Probe| probe.craft.source_port.is_some();
        let meets_an_old_flow = probes.first().filter(shares).is_some_and(|probe| self.used.contains(&probe.flow));
        if meets_an_old_flow {
            self.used.clear();
        }
        let is_fresh = |probe: &&Probe| !shares(probe) || self.used.insert(probe.flow);
        ProbeBatch { count: probes.iter().take_while(is_fresh).count(), meets_an_old_flow }
    }
}

#[cfg(test)]
mod tests;
