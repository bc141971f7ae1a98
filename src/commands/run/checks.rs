//! Converts the results of the labs to the checks of a scenario: comparison, explanation, and coverage of the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::job::{Job, JobResults, Task};
use super::{HostSummary, ScenarioReport};
use crate::error::Result;
use crate::intent::check::{Check, Outcome};
use crate::intent::plan::{Burst, Cell, PacketCell, ScenarioPlan};
use crate::lab::{DiscoveredMacs, Lab};
use crate::log_line::LogLine;
use crate::net::port::Port;
use crate::net::{Family, Mac};
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::packet::Response;
use crate::probe::scan::Technique;
use crate::rules::coverage::{self, Coverage};
use crate::rules::iptables_save::{Listing, Packet};
use crate::verdict::compare;
use crate::verdict::explain::patch::{self, PatchCandidate};
use crate::verdict::explain::{Diagnosis, MismatchContext, explain, explain_packet, without_ruleset};

/// The results of all labs of a job, sorted.
pub struct CheckInputs {
    cells: Vec<(Probe, Observation)>,
    bursts: Vec<(Probe, Observation)>,
    in_a_row: Vec<(Probe, Observation)>,
    packets: Vec<(PacketCell, Response)>,
    /// `None` on a link without MAC addresses.
    neighbourhood: Option<DiscoveredMacs>,
}

impl CheckInputs {
    /// Sorts the results.
    pub fn new(found: JobResults) -> CheckInputs {
        let mut evidence = CheckInputs {
            cells: Vec::new(),
            bursts: Vec::new(),
            in_a_row: Vec::new(),
            packets: Vec::new(),
            neighbourhood: found.0.values().find_map(|found| found.neighbourhood.clone()),
        };
        for (task, found) in found.0 {
            match task {
                Task::Round(_) => evidence.cells.extend(found.probes),
                Task::Bursts(_) => evidence.bursts.extend(found.probes),
                Task::BurstsInARow => evidence.in_a_row.extend(found.probes),
                Task::Packets(_) => evidence.packets.extend(found.packets),
            }
        }
        evidence.cells.sort_by_key(|(probe, _)| (probe.family(), probe.technique, probe.flow.port));
        evidence
    }

    /// The probes of a check; for a burst those of the measurement that mismatched.
    fn of_check(&self, check: &Check) -> Vec<(Probe, Observation)> {
        let of = |probes: &[(Probe, Observation)]| -> Vec<(Probe, Observation)> {
            probes.iter().filter(|(probe, _)| probe_key(probe) == check_key(check)).cloned().collect()
        };
        match check.burst_of {
            None => self.cells_of(check).to_vec(),
            Some(_) if compare::is_of_burst_in_a_row(check) => of(&self.in_a_row),
            Some(_) => of(&self.bursts),
        }
    }

    /// The probes of a single check; they are sorted, and there may be a million of them.
    fn cells_of(&self, check: &Check) -> &[(Probe, Observation)] {
        let from = self.cells.partition_point(|(probe, _)| probe_key(probe) < check_key(check));
        let length = self.cells[from..].partition_point(|(probe, _)| probe_key(probe) == check_key(check));
        &self.cells[from..from + length]
    }

    /// The packet of a check as rules saw it, and its path.
    fn of_packet(&self, check: &Check, job: &Job) -> Option<(Packet, Observation)> {
        let is_it = |(cell, _): &&(PacketCell, Response)| {
            (Some(cell.family), Some(cell.packet)) == (check.family, check.subject.packet())
        };
        let (cell, response) = self.packets.iter().find(is_it)?;
        let own = response.own.last()?;
        let host = &job.scenario.host;
        let packet = Packet::from_journey(own, host.interface.as_str(), host.addresses.host(cell.family));
        let answer_path = response.answer.as_ref().map(|answer| Arc::clone(&answer.path));
        let seen = Observation::silence(Technique::Syn);
        Some((packet, Observation { path: Some(Arc::clone(&own.path)), answer_path, ..seen }))
    }

    /// Every probe that was sent, in any lab.
    pub fn all(&self) -> impl Iterator<Item = &(Probe, Observation)> {
        self.cells.iter().chain(&self.bursts).chain(&self.in_a_row)
    }
}

/// The observations of a check.
struct Grounds {
    probes: Vec<(Probe, Observation)>,
    packet: Option<(Packet, Observation)>,
}

impl Grounds {
    fn new(check: &Check, evidence: &CheckInputs, job: &Job) -> Grounds {
        Grounds { probes: evidence.of_check(check), packet: evidence.of_packet(check, job) }
    }

    fn finding<'a>(&'a self, check: &Check, scene: MismatchContext<'a>) -> Option<Diagnosis<'a>> {
        match &self.packet {
            Some((packet, observation)) => explain_packet(check, packet.clone(), observation, scene),
            None => explain(check, &self.probes, scene),
        }
    }
}

/// The subject of a probe or a check.
type CheckKey = (Option<Family>, Option<Technique>, Option<Port>);

fn probe_key(probe: &Probe) -> CheckKey {
    let port = Some(probe.flow.port).filter(|_| probe.technique.has_ports());
    (Some(probe.family()), Some(probe.technique), port)
}

fn check_key(check: &Check) -> CheckKey {
    (check.family, check.subject.technique(), check.port)
}

impl Job {
    /// The report of the results.
    pub fn report(&self, found: JobResults) -> Result<(ScenarioReport, CheckInputs)> {
        let recordings = self.recordings(&found);
        let lines = found.0.values().flat_map(|of| of.lines.iter().cloned()).collect();
        let time = found.time();
        let evidence = CheckInputs::new(found);
        let mut checks = self.checks(&evidence)?;
        self.explain(&mut checks, &evidence);
        let report = ScenarioReport {
            title: self.scenario.title.clone(),
            file: self.scenario.source.name.clone(),
            host: self.host(),
            rulesets: self.rulesets.clone(),
            outcome: compare::worst(&checks),
            recordings,
            lines,
            checks,
            coverage: self.coverage(&evidence),
            probes: evidence.cells.clone(),
            time,
        };
        Ok((report, evidence))
    }

    /// The report of a scenario that was not started: all its checks did not run.
    pub fn not_started(&self, why: &str) -> ScenarioReport {
        let mut checks = self.cell_checks(&[]);
        checks.extend(self.burst_checks(&[], &[]));
        checks.extend(self.plan.too_long.iter().map(compare::too_long));
        checks.extend(self.packet_checks(&[]));
        for check in &mut checks {
            check.outcome = Outcome::NotRun;
            check.observed = None;
            check.why = why.to_owned();
        }
        compare::name_lines(&self.scenario, &mut checks);
        ScenarioReport {
            title: self.scenario.title.clone(),
            file: self.scenario.source.name.clone(),
            host: self.host(),
            outcome: Outcome::NotRun,
            rulesets: self.rulesets.clone(),
            checks,
            coverage: Vec::new(),
            probes: Vec::new(),
            recordings: Vec::new(),
            lines: Vec::new(),
            time: Duration::ZERO,
        }
    }

    /// Every check, in the order of the plan.
    pub fn checks(&self, evidence: &CheckInputs) -> Result<Vec<Check>> {
        let mut checks = self.cell_checks(&evidence.cells);
        checks.extend(self.burst_checks(&evidence.bursts, &evidence.in_a_row));
        checks.extend(self.plan.too_long.iter().map(compare::too_long));
        checks.extend(self.packet_checks(&evidence.packets));
        if let Some(found) = &evidence.neighbourhood {
            let in_log = host_macs(evidence.cells.iter().chain(&evidence.bursts));
            let (families, mac) = (Lab::families(), self.mac());
            checks.extend(compare::neighbours(&self.scenario, mac, &families, found, &in_log, &self.vendors));
            if !families.contains(&Family::Ipv6) && self.concerns(Family::Ipv6) {
                checks.push(compare::no_neighbours_over_ipv6(mac));
            }
            if let Some(hidden) = &found.hidden {
                compare::hide(&mut checks, hidden, self.ruleset(Family::Ipv6).map(|source| source.name.as_path()));
            }
        }
        compare::apply_known(&self.scenario, self.link(), &mut checks)?;
        compare::name_lines(&self.scenario, &mut checks);
        Ok(checks)
    }

    /// True if the scenario has rules of this family, or expects something of it.
    fn concerns(&self, family: Family) -> bool {
        let ScenarioPlan { rounds, bursts, packets, .. } = &self.plan;
        self.ruleset(family).is_some()
            || rounds.iter().flatten().any(|cell| cell.family == family)
            || bursts.iter().any(|burst| burst.family == family)
            || packets.iter().flatten().any(|cell| cell.family == family)
    }

    /// Adds the explanation to every mismatched check, known or not.
    fn explain(&self, checks: &mut [Check], evidence: &CheckInputs) {
        let listings = self.listings();
        let differs = |check: &&mut Check| matches!(check.outcome, Outcome::Mismatched | Outcome::Known);
        for check in checks.iter_mut().filter(differs) {
            let grounds = Grounds::new(check, evidence, self);
            check.explanation = match self.scene(&listings, check) {
                Some(scene) => grounds.finding(check, scene).map(|finding| finding.explanation(scene)),
                None => without_ruleset(check),
            };
        }
    }

    /// Candidates for a fix of a check.
    pub fn candidates(&self, check: &Check, evidence: &CheckInputs) -> Vec<PatchCandidate> {
        let (listings, grounds) = (self.listings(), Grounds::new(check, evidence, self));
        let Some(scene) = self.scene(&listings, check) else { return Vec::new() };
        grounds.finding(check, scene).map_or_else(Vec::new, |finding| patch::candidates(&finding, scene))
    }

    fn listings(&self) -> Vec<Listing> {
        self.rulesets.iter().map(|(family, source)| self.listing(*family, source)).collect()
    }

    fn scene<'a>(&'a self, listings: &'a [Listing], check: &Check) -> Option<MismatchContext<'a>> {
        let is_own = |listing: &&Listing| Some(listing.family) == check.family;
        Some(MismatchContext {
            listing: listings.iter().find(is_own)?,
            twin: listings.iter().find(|listing| !is_own(listing)),
            interface: &self.scenario.host.interface,
            listen: &self.scenario.host.listen,
            ssh_from: self.scenario.sensor.as_ref().map(|sensor| &sensor.ssh_from).filter(|from| from.is_said()),
        })
    }

    fn coverage(&self, evidence: &CheckInputs) -> Vec<Coverage> {
        let of = |listing: &Listing| {
            let probes = evidence.all().filter(|(probe, _)| probe.family() == listing.family);
            let packets = evidence.packets.iter().filter(|(cell, _)| cell.family == listing.family);
            let of_probes = probes.flat_map(|(_, observation)| observation.paths());
            let of_packets = packets.flat_map(|(_, response)| coverage::of_packet(response));
            coverage::measure(listing, of_probes.chain(of_packets))
        };
        self.listings().iter().map(of).collect()
    }

    fn cell_checks(&self, probes: &[(Probe, Observation)]) -> Vec<Check> {
        let key = |probe: &Probe| (probe.family(), probe.technique, probe.flow.port);
        let observed: BTreeMap<_, _> = probes.iter().map(|(probe, observation)| (key(probe), observation)).collect();
        let mut cells: Vec<&Cell> = self.plan.rounds.iter().flatten().collect();
        cells.sort_by_key(|cell| (cell.family, cell.technique, cell.port));
        let check = |cell: &Cell| match observed.get(&(cell.family, cell.technique, cell.port)) {
            Some(observation) => compare::cell(cell, observation),
            None => compare::no_family(cell.technique, cell.family, cell.port, &cell.expected),
        };
        cells.into_iter().map(check).collect()
    }

    fn packet_checks(&self, sent: &[(PacketCell, Response)]) -> Vec<Check> {
        let response = |of: &PacketCell| sent.iter().find(|(cell, _)| cell == of).map(|(_, response)| response);
        let check = |cell: &PacketCell| match response(cell) {
            Some(response) => compare::packet(cell, response),
            None => compare::packet_of_no_family(cell),
        };
        self.plan.packets.iter().flatten().map(check).collect()
    }

    fn burst_checks(&self, afresh: &[(Probe, Observation)], in_a_row: &[(Probe, Observation)]) -> Vec<Check> {
        let check = |burst: &Burst| match of_burst(burst, afresh) {
            observed if observed.is_empty() => {
                compare::no_family(burst.technique, burst.family, burst.port, &burst.expected)
            }
            observed => compare::burst(burst, &observed, &of_burst(burst, in_a_row)),
        };
        self.plan.bursts.iter().map(check).collect()
    }

    fn host(&self) -> HostSummary {
        let addresses = &self.scenario.host.addresses;
        let mac = self.link().has_macs().then(|| self.mac());
        HostSummary {
            mac,
            vendor: mac.and_then(|mac| self.vendors.lookup(mac).nmap),
            interface: self.scenario.host.interface.to_string(),
            addresses: vec![
                format!("{}/{}", addresses.v4.host, addresses.v4.prefix_len),
                format!("{}/{}", addresses.v6.host, addresses.v6.prefix_len),
            ],
        }
    }
}

fn of_burst(burst: &Burst, probes: &[(Probe, Observation)]) -> Vec<Observation> {
    let key = (burst.family, burst.technique, burst.port);
    let same = |probe: &Probe| (probe.family(), probe.technique, probe.flow.port) == key;
    probes.iter().filter(|(probe, _)| same(probe)).map(|(_, observation)| observation.clone()).collect()
}

/// The host's MAC address, from `MAC=` of the lines of packets that it received.
fn host_macs<'a>(probes: impl Iterator<Item = &'a (Probe, Observation)>) -> BTreeSet<Mac> {
    let records = probes.flat_map(|(_, observation)| &observation.log);
    records.filter_map(|record| LogLine::parse(&record.line)?.mac()).map(|mac| mac.destination).collect()
}
