//! Sends the same packets to both sides, each in a lab: first those without a connection, then those within connections
//! that one side accepted.

use std::collections::HashSet;

use super::behaviour::Behaviour;
use super::difference::{PacketDifference, ScanView, SeenByScans};
use super::{Compared, Comparison, Side};
use crate::error::{Result, Source};
use crate::lab::{HostService, Lab, LabOptions, LabSpec, LimitOverride, PinnedSysctls};
use crate::net::port::{Port, PortSet};
use crate::net::{Family, InterfaceName, Protocol};
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::packet::{Packet, Response, Stimulus};
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED};
use crate::rules::iptables_save::Listing;
use crate::rules::sweep::{SweepPlan, foreign_addresses};
use crate::verdict::findings::interfaces;

/// Adds the differences in `family` to `compared`. Returns the rules of both sides.
pub fn family(comparison: &Comparison, family: Family, compared: &mut Compared) -> Result<[Listing; 2]> {
    let listings = comparison.sides.each_ref().map(|side| listing(&comparison.equipment, side, family));
    for (number, interface) in interfaces(&comparison.interface, &listings).iter().enumerate() {
        let over = Over { comparison, family, interface, listings: &listings };
        over.sweeps(compared)?;
        if number == 0 {
            over.scans(compared)?;
        }
    }
    Ok(listings)
}

/// The rules of a side; one without a ruleset accepts everything.
fn listing(equipment: &LabOptions, side: &Side, family: Family) -> Listing {
    let source = side.rulesets.iter().find(|(of, _)| *of == family).map(|(_, source)| source.clone());
    let nothing = || Source { name: format!("{} (no {family} ruleset)", side.name).into(), text: "".into() };
    equipment.listing(family, &source.unwrap_or_else(nothing))
}

/// The maximum number of ports with a listener, since the number of open files is limited.
const LISTENERS: usize = 400;

/// One family over one interface.
pub(super) struct Over<'a> {
    pub comparison: &'a Comparison,
    pub family: Family,
    pub interface: &'a InterfaceName,
    pub listings: &'a [Listing; 2],
}

impl Over<'_> {
    fn sweeps(&self, compared: &mut Compared) -> Result<()> {
        let mut plan = SweepPlan::of_all(self.family, &self.listings.each_ref(), &self.comparison.addresses);
        let (stimuli, strangers) = (self.stimuli(&plan), plan.foreign_addresses());
        let fresh = self.both(compared, |lab| lab.sweep(&stimuli, &strangers, LimitOverride::Wide))?;
        let more = plan.in_connections_of_any(&stimuli, &fresh.each_ref().map(Vec::as_slice));
        self.note(compared, &plan, &stimuli, &fresh, LimitOverride::Wide);
        if !more.is_empty() {
            let later = self.both(compared, |lab| lab.sweep(&more, &strangers, LimitOverride::Wide))?;
            self.note(compared, &plan, &more, &later, LimitOverride::Wide);
        }
        if self.listings.iter().any(Listing::limits_more_than_lines) {
            let dry = self.both(compared, |lab| lab.sweep(&stimuli, &strangers, LimitOverride::Dry))?;
            self.note(compared, &plan, &stimuli, &dry, LimitOverride::Dry);
        }
        compared.complete &= plan.is_complete;
        Ok(())
    }

    /// Sends these to both sides, and adds the differences.
    pub(super) fn these(&self, compared: &mut Compared, stimuli: &[Stimulus]) -> Result<()> {
        let plan = SweepPlan::of_all(self.family, &self.listings.each_ref(), &self.comparison.addresses);
        let strangers = foreign_addresses(stimuli, &self.comparison.addresses);
        let found = self.both(compared, |lab| lab.sweep(stimuli, &strangers, LimitOverride::Wide))?;
        self.note(compared, &plan, stimuli, &found, LimitOverride::Wide);
        Ok(())
    }

    /// The packets that both rulesets together distinguish; if these are too many, those of each ruleset.
    fn stimuli(&self, plan: &SweepPlan) -> Vec<Stimulus> {
        if plan.is_complete {
            return plan.stimuli();
        }
        let all =
            self.listings.iter().flat_map(|listing| SweepPlan::new(listing, &self.comparison.addresses).stimuli());
        let mut known = HashSet::new();
        all.filter(|stimulus| known.insert(*stimulus)).collect()
    }

    fn note(
        &self,
        compared: &mut Compared,
        plan: &SweepPlan,
        stimuli: &[Stimulus],
        found: &[Vec<Response>; 2],
        limits: LimitOverride,
    ) {
        compared.sent += stimuli.len();
        let sample_port = SweepPlan::sample_port([plan].into_iter(), &[]);
        for (number, stimulus) in stimuli.iter().enumerate() {
            let [before, after] = [0, 1].map(|side: usize| Behaviour::new(&found[side][number], &self.listings[side]));
            if before.is_like(&after) {
                continue;
            }
            // A difference in the answer is shown only if it is the only one.
            let alone = |one: Behaviour, other: &Behaviour| {
                if one.is_like_alone(other) { one } else { Behaviour { answer: None, ..one } }
            };
            let (before, after) = (alone(before.clone(), &after), alone(after, &before));
            let packet = plan.packet(stimulus, &self.comparison.addresses).ok();
            let packet: Option<Packet> = packet.map(|packet| plan.representative_of(packet, sample_port));
            compared.differences.push(PacketDifference {
                family: self.family,
                interface: self.interface.to_string(),
                limits_used_up: limits == LimitOverride::Dry,
                packets: packet.into_iter().collect(),
                sample_port,
                before,
                after,
            });
        }
    }

    fn scans(&self, compared: &mut Compared) -> Result<()> {
        let mut numbering = PassNumbering::new(SEED);
        let ports = self.ports();
        let mut probes: Vec<Probe> = Vec::new();
        for technique in Technique::ALL {
            let mut phase = numbering.phase(technique, self.family, self.comparison.addresses);
            probes.extend(phase.probes(&ports));
        }
        let [before, after] = self.both(compared, |lab| lab.send_last_with_fresh_limits(&probes))?;
        compared.sent += probes.len();
        for ((probe, before), after) in probes.iter().zip(&before).zip(&after) {
            let [before, after] = [(before, 0), (after, 1)].map(|(seen, side)| self.sight(seen, side));
            if (before.state, &before.log) != (after.state, &after.log) {
                let ports = [probe.flow.port].into_iter().filter(|_| probe.technique.has_ports()).collect();
                compared.scans.push(SeenByScans {
                    family: self.family,
                    scans: vec![probe.technique],
                    ports,
                    before,
                    after,
                });
            }
        }
        Ok(())
    }

    fn sight(&self, observation: &Observation, side: usize) -> ScanView {
        let paths: Vec<_> = observation.path.iter().map(AsRef::as_ref).collect();
        ScanView {
            state: observation.verdict.state,
            log: observation.log.iter().map(|record| record.prefix.clone()).collect(),
            by: Behaviour::of_paths(&paths, &self.listings[side]).by,
        }
    }

    /// The ports that either side names, and their neighbours.
    fn ports(&self) -> PortSet {
        let plan = SweepPlan::of_all(self.family, &self.listings.each_ref(), &self.comparison.addresses);
        plan.services().iter().take(LISTENERS).collect()
    }

    /// Does the same work in a lab of each side.
    fn both<T: Send>(&self, compared: &mut Compared, work: impl Fn(&mut Lab) -> Result<T> + Sync) -> Result<[T; 2]> {
        let [before, after] = &self.comparison.sides;
        let (before, pinned_sysctls) = self.one(before, &work)?;
        let (after, _) = self.one(after, &work)?;
        compared.pinned_sysctls = pinned_sysctls;
        Ok([before, after])
    }

    fn one<T: Send>(&self, side: &Side, work: &(impl Fn(&mut Lab) -> Result<T> + Sync)) -> Result<(T, PinnedSysctls)> {
        let services: Vec<HostService> = self
            .ports()
            .iter()
            .map(|port: Port| HostService { protocol: Protocol::Tcp, port, greeting: None })
            .collect();
        let rulesets = side.rulesets.iter().filter(|(family, _)| *family == self.family);
        let rulesets: Vec<(Family, &Source)> = rulesets.map(|(family, source)| (*family, source)).collect();
        let spec = LabSpec {
            mac: self.comparison.mac,
            services: &services,
            ..LabSpec::new(&self.comparison.equipment, self.interface, &self.comparison.addresses, &rulesets)
        };
        Lab::run(&spec, |lab| {
            let found = work(lab)?;
            Ok((found, lab.pinned_sysctls.clone()))
        })
    }
}
