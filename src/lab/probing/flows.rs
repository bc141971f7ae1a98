//! Flows that were used, where probes share them: with a fixed source port (`-g`) two techniques ask the same port from the
//! same port, and conntrack would take the second for a part of the first.
//!
//! Such probes are sent in batches in which no flow comes twice, and conntrack is made to forget everything before a flow
//! is used again. By nmap's own numbering flows never meet, so nothing of this is needed.

use std::collections::HashSet;

use crate::probe::Probe;
use crate::wire::reply::Flow;

/// The flows of a lab that conntrack may remember.
#[derive(Debug, Default)]
pub struct Flows {
    used: HashSet<Flow>,
}

/// The first probes of a list, which can be sent together.
pub struct ProbeBatch {
    /// How many they are; at least one.
    pub count: usize,
    /// Whether conntrack has to forget what was before.
    pub meets_an_old_flow: bool,
}

impl Flows {
    /// Which of `probes` can be sent together, from the first on. They count as used then.
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
