//! One scenario as tasks for labs, and the way a lab does each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LinkRecording, Settings};
use crate::error::{CannotMeasure, Result, Source};
use crate::intent::plan::{Burst, Cell, MOST_LABS, PacketCell, Round, ScenarioPlan, greeting};
use crate::intent::scenario::Scenario;
use crate::lab::{
    DiscoveredMacs, HOST_MAC, HostService, Lab, LabOptions, LabSpec, LinkMode, PinnedSysctls, Rest, WatchedEvents,
};
use crate::net::{Family, Mac, Protocol};
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::packet::{Response, Stimulus};
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED, ScanPass};
use crate::rules::generate;
use crate::rules::iptables_save::{Listing, keeps_lists};
use crate::sensor::mac_vendor::VendorDb;
use crate::wire::frame::Frame;

/// One scenario, planned.
pub struct Job {
    pub scenario: Scenario,
    pub plan: ScenarioPlan,
    /// The ruleset of each family that has one.
    pub rulesets: Vec<(Family, Source)>,
    services: Vec<HostService>,
    equipment: LabOptions,
    watch: WatchedEvents,
    pub vendors: Arc<VendorDb>,
}

/// The part of a job that one lab does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// The round with this number; the first one also does the neighbour checks, on a link with MAC addresses.
    Round(usize),
    /// The group of bursts with this number, each burst with fresh limits.
    Bursts(usize),
    /// The bursts of all limits that must be a rule's own, one after the other.
    BurstsInARow,
    /// The packets that share the lab with this number.
    Packets(usize),
}

/// The minimum number of bursts that share a lab: for each pair of families it waits for the kernel to renew the
/// limits.
const BURSTS: usize = 12;

/// The name of the task.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Round(number) => write!(f, "round {}", number + 1),
            Task::Bursts(number) => write!(f, "bursts {}", number + 1),
            Task::BurstsInARow => f.write_str("bursts in a row"),
            Task::Packets(number) => write!(f, "packets {}", number + 1),
        }
    }
}

/// The results of one lab.
#[derive(Default)]
pub struct TaskResult {
    pub probes: Vec<(Probe, Observation)>,
    pub packets: Vec<(PacketCell, Response)>,
    pub neighbourhood: Option<DiscoveredMacs>,
    /// Frames of the lab's own, and those that the host sent by itself; empty unless frames are recorded.
    pub frames: Vec<Frame>,
    /// Every line that LOG rules have written, in the order of the log.
    pub lines: Vec<String>,
    pub pinned_sysctls: PinnedSysctls,
    /// The times at which the lab began and ended.
    pub lasted: Option<(Instant, Instant)>,
}

/// The results of all labs of a job.
#[derive(Default)]
pub struct JobResults(pub BTreeMap<Task, TaskResult>);

impl JobResults {
    /// The pinned sysctls, which are the same in all labs.
    pub fn pinned_sysctls(&self) -> Option<PinnedSysctls> {
        self.0.values().next().map(|found| found.pinned_sysctls.clone())
    }

    /// The time from the begin of the first lab to the end of the last. Labs of other scenarios may have run beside them.
    pub fn time(&self) -> Duration {
        let spans = || self.0.values().filter_map(|found| found.lasted);
        let (first, last) = (spans().map(|(begin, _)| begin).min(), spans().map(|(_, end)| end).max());
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

impl Job {
    /// Plans the scenario.
    pub fn new(scenario: Scenario, settings: &Settings) -> Result<Job> {
        let rulesets = rulesets(&scenario);
        let plan = ScenarioPlan::new(&scenario, rulesets.iter().any(|(_, source)| keeps_lists(source)))?;
        let services = scenario.host.listen.iter();
        let services = services
            .map(|port| HostService { protocol: Protocol::Tcp, port: *port, greeting: greeting(&scenario, *port) })
            .collect();
        let equipment = settings.equipment.clone().over(&scenario.host.sysctls);
        let vendors = Arc::clone(&settings.vendors);
        Ok(Job { scenario, plan, rulesets, services, equipment, watch: settings.watch, vendors })
    }

    /// The rules of `source`, parsed for the lab's flavour.
    pub fn listing(&self, family: Family, source: &Source) -> Listing {
        self.equipment.listing(family, source)
    }

    /// The file of the scenario.
    pub fn file(&self) -> &Path {
        &self.scenario.source.name
    }

    /// The kind of link between prober and host.
    pub fn link(&self) -> LinkMode {
        self.equipment.link
    }

    /// The host's MAC address, on a link with MAC addresses.
    pub fn mac(&self) -> Mac {
        self.scenario.host.mac.unwrap_or(HOST_MAC)
    }

    /// The tasks, each for a lab of its own.
    pub fn tasks(&self) -> Vec<Task> {
        let rounds = (0..self.plan.rounds.len()).map(Task::Round);
        let bursts = (0..self.plan.sent().len().div_ceil(self.bursts_in_a_lab())).map(Task::Bursts);
        let in_a_row = self.plan.bursts.iter().any(|burst| burst.own_limit).then_some(Task::BurstsInARow);
        let packets = (0..self.plan.packets.len()).map(Task::Packets);
        rounds.chain(bursts).chain(in_a_row).chain(packets).collect()
    }

    /// Does the task in a lab of its own.
    pub fn perform(&self, task: Task) -> Result<TaskResult> {
        let begin = Instant::now();
        let rulesets: Vec<_> = self.rulesets.iter().map(|(family, source)| (*family, source)).collect();
        let (mut found, rest) = self.in_recorded_lab(&rulesets, |lab| {
            let mut found = TaskResult { pinned_sysctls: lab.pinned_sysctls.clone(), ..TaskResult::default() };
            match task {
                Task::Round(number) => found.probes = self.cells(lab, &self.plan.rounds[number])?,
                Task::Bursts(number) => found.probes = self.bursts_afresh(lab, number)?,
                Task::BurstsInARow => found.probes = self.bursts_in_a_row(lab)?,
                Task::Packets(number) => found.packets = self.packets(lab, &self.plan.packets[number])?,
            }
            let explores = task == Task::Round(0) && self.link().has_macs();
            found.neighbourhood = if explores { Some(lab.neighbourhood()?) } else { None };
            Ok(found)
        })?;
        (found.frames, found.lines) = (rest.frames, rest.lines);
        found.lasted = Some((begin, Instant::now()));
        Ok(found)
    }

    /// The frames on the links of all labs, if they were recorded.
    pub fn recordings(&self, found: &JobResults) -> Vec<LinkRecording> {
        let recording = |(task, found): (&Task, &TaskResult)| LinkRecording {
            lab: task.to_string(),
            probes: found.probes.clone(),
            packets: found.packets.clone(),
            rest: found.frames.clone(),
        };
        match self.watch {
            WatchedEvents::Frames => found.0.iter().map(recording).collect(),
            WatchedEvents::Replies | WatchedEvents::Paths => Vec::new(),
        }
    }

    /// Does `work` in a lab with the scenario's host and these rulesets.
    pub fn in_lab<T: Send>(
        &self,
        rulesets: &[(Family, &Source)],
        work: impl FnOnce(&mut Lab) -> Result<T> + Send,
    ) -> Result<T> {
        self.in_recorded_lab(rulesets, work).map(|(found, _)| found)
    }

    /// As [`Self::in_lab`], with the frames and lines that belong to no probe.
    fn in_recorded_lab<T: Send>(
        &self,
        rulesets: &[(Family, &Source)],
        work: impl FnOnce(&mut Lab) -> Result<T> + Send,
    ) -> Result<(T, Rest)> {
        let spec = LabSpec {
            mac: self.mac(),
            services: &self.services,
            watch: self.watch,
            ..LabSpec::new(&self.equipment, &self.scenario.host.interface, &self.scenario.host.addresses, rulesets)
        };
        Lab::run_recorded(&spec, work)
    }

    /// The ruleset of `family`, if it has one.
    pub fn ruleset(&self, family: Family) -> Option<&Source> {
        self.rulesets.iter().find(|(of, _)| *of == family).map(|(_, source)| source)
    }

    fn cells(&self, lab: &mut Lab, round: &Round) -> Result<Vec<(Probe, Observation)>> {
        let mut phases = Phases::new(&self.scenario);
        let here: Vec<&Cell> = round.iter().filter(|cell| Lab::families().contains(&cell.family)).collect();
        let probes: Vec<Probe> =
            here.iter().map(|cell| phases.pass(cell.technique, cell.family).probe(cell.port, 0)).collect();
        let observations = lab.send_with_fresh_limits(&probes)?;
        Ok(probes.into_iter().zip(observations).collect())
    }

    /// The number of bursts for each lab. Lists of a ruleset survive the renewal of its limits: then each burst needs a
    /// lab of its own.
    fn bursts_in_a_lab(&self) -> usize {
        match self.plan.keeps_lists {
            true => 1,
            false => self.plan.sent().len().div_ceil(MOST_LABS).max(BURSTS),
        }
    }

    /// Sends the bursts with fresh limits. The two families of a burst have limits of their own, so one renewal serves
    /// both.
    fn bursts_afresh(&self, lab: &mut Lab, number: usize) -> Result<Vec<(Probe, Observation)>> {
        let bursts = self.plan.sent();
        let bursts = bursts.chunks(self.bursts_in_a_lab()).nth(number).unwrap_or_default();
        let mut phases = Phases::new(&self.scenario);
        let mut found = Vec::new();
        for pair in bursts.chunk_by(|one, other| one.family < other.family) {
            lab.renew_limits()?;
            for burst in pair {
                found.extend(send_burst(lab, &mut phases, burst)?);
            }
        }
        Ok(found)
    }

    fn bursts_in_a_row(&self, lab: &mut Lab) -> Result<Vec<(Probe, Observation)>> {
        let mut phases = Phases::new(&self.scenario);
        let mut found = Vec::new();
        for burst in self.plan.sent_in_a_row() {
            found.extend(send_burst(lab, &mut phases, burst)?);
        }
        Ok(found)
    }

    /// Sends the packets of these cells, with limits disabled.
    pub fn packets(&self, lab: &mut Lab, cells: &[PacketCell]) -> Result<Vec<(PacketCell, Response)>> {
        let addresses = &self.scenario.host.addresses;
        let here: Vec<&PacketCell> = cells.iter().filter(|cell| Lab::families().contains(&cell.family)).collect();
        let stimulus = |(number, cell): (usize, &&PacketCell)| cell.packet.stimulus(cell.family, addresses, number);
        let stimuli: Vec<Stimulus> = here.iter().enumerate().map(stimulus).collect();
        let strangers: BTreeSet<IpAddr> = here.iter().filter_map(|cell| cell.packet.foreign_address()).collect();
        let strangers: Vec<IpAddr> = strangers.into_iter().collect();
        let responses = lab.send_packets(&stimuli, &strangers)?;
        Ok(here.into_iter().cloned().zip(responses).collect())
    }

    /// The same job with another ruleset for `family`.
    pub fn with_ruleset(&self, family: Family, ruleset: &Source) -> Job {
        let other =
            |(of, source): &(Family, Source)| (*of, if *of == family { ruleset.clone() } else { source.clone() });
        Job {
            scenario: self.scenario.clone(),
            plan: self.plan.clone(),
            rulesets: self.rulesets.iter().map(other).collect(),
            services: self.services.clone(),
            equipment: self.equipment.clone(),
            watch: WatchedEvents::Paths,
            vendors: Arc::clone(&self.vendors),
        }
    }
}

/// The scenario's own ruleset, or the one that its sensor generates.
pub fn rulesets(scenario: &Scenario) -> Vec<(Family, Source)> {
    if let Some(files) = &scenario.ruleset {
        let of = |family, source: &Option<Source>| source.clone().map(|source| (family, source));
        return of(Family::Ipv4, &files.v4).into_iter().chain(of(Family::Ipv6, &files.v6)).collect();
    }
    let Some(sensor) = &scenario.sensor else { return Vec::new() };
    let generated = generate::generate(sensor);
    let source = |name: &str, text: String| Source { name: name.into(), text: text.into() };
    vec![
        (Family::Ipv4, source("<generated>/rules.v4", generated.v4)),
        (Family::Ipv6, source("<generated>/rules.v6", generated.v6)),
    ]
}

/// Sends a burst. A limit recovers in the meantime; if it could have permitted one more packet, that is an error.
pub fn send_burst(lab: &mut Lab, phases: &mut Phases, burst: &Burst) -> Result<Vec<(Probe, Observation)>> {
    if !Lab::families().contains(&burst.family) {
        return Ok(Vec::new());
    }
    let phase = phases.pass(burst.technique, burst.family);
    let probes: Vec<Probe> = (0..burst.probes).map(|attempt| phase.probe(burst.port, attempt)).collect();
    let start = Instant::now();
    let observations = lab.send(&probes)?;
    in_time(burst, start.elapsed())?;
    Ok(probes.into_iter().zip(observations).collect())
}

fn in_time(burst: &Burst, took: Duration) -> Result<()> {
    let Burst { probes, refill, .. } = burst;
    if took < *refill {
        return Ok(());
    }
    let what = format!("a burst of {probes} probes within the {} s in which a limit recovers", refill.as_secs_f64());
    Err(CannotMeasure::Deadline { what, seconds: refill.as_secs() }.into())
}

/// The passes of a lab, each numbered at its first use.
pub struct Phases<'a> {
    scenario: &'a Scenario,
    numbering: PassNumbering,
    phases: BTreeMap<(Technique, Family), ScanPass>,
}

impl<'a> Phases<'a> {
    /// No pass was used yet.
    pub fn new(scenario: &'a Scenario) -> Phases<'a> {
        Phases { scenario, numbering: PassNumbering::new(SEED), phases: BTreeMap::new() }
    }

    /// The pass of a technique in a family.
    pub fn pass(&mut self, technique: Technique, family: Family) -> &mut ScanPass {
        let addresses = self.scenario.host.addresses;
        let numbering = &mut self.numbering;
        self.phases.entry((technique, family)).or_insert_with(|| numbering.phase(technique, family, addresses))
    }
}
