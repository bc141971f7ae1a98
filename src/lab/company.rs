//! Probes among their decoys: all are sent and watched alike, and what came of each is told of that one alone.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::observation::{Decoy, Observation};
use crate::phase::{Company, Decoys};
use crate::probe::Probe;

/// Probes and their decoys, in the order in which they are sent.
pub struct Crowd {
    /// All of them.
    pub probes: Vec<Probe>,
    /// Of each real probe: how many are in its company, and its place among them.
    companies: Vec<(usize, usize)>,
}

impl Crowd {
    /// Every probe with its decoys around it.
    pub fn of(probes: &[Probe], decoys: &Decoys) -> Crowd {
        let mut crowd = Crowd { probes: Vec::with_capacity(probes.len()), companies: Vec::with_capacity(probes.len()) };
        for probe in probes {
            let Company { probes, real } = decoys.around(probe);
            crowd.companies.push((probes.len(), real));
            crowd.probes.extend(probes);
        }
        crowd
    }

    /// Where they come from.
    pub fn sources(&self) -> BTreeSet<IpAddr> {
        self.probes.iter().map(|probe| probe.flow.prober).collect()
    }

    /// What came of the real probes, each with what came of its decoys.
    pub fn sort(&self, observed: Vec<Observation>) -> Vec<Observation> {
        let mut observed = self.probes.iter().map(|probe| probe.flow.prober).zip(observed);
        let company = |(size, real): &(usize, usize)| {
            let mut company: Vec<Decoy> =
                observed.by_ref().take(*size).map(|(source, observation)| Decoy { source, observation }).collect();
            let own = company.remove(*real).observation;
            Observation { decoys: company, ..own }
        };
        self.companies.iter().map(company).collect()
    }
}
