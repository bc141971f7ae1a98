//! `scanlab run`: the steps of a run, in the order in which they happen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::check::{Check, Outcome};
use crate::compare;
use crate::coverage::{self, Coverage};
use crate::error::{CannotMeasure, Error, Result, Source};
use crate::iptables_save::Listing;
use crate::lab::{Backend, Blueprint, HOST_MAC, Iptables, Lab, Neighbourhood, Service, Watch, Weather};
use crate::log_line::LogLine;
use crate::net::{Family, Mac};
use crate::observation::Observation;
use crate::phase::{Numbering, Phase, SEED};
use crate::plan::{Burst, Cell, Plan, Round, greeting};
use crate::probe::Probe;
use crate::ruleset;
use crate::scan::Technique;
use crate::scenario::Scenario;
use crate::vendor::VendorDb;

/// How a run is to be done.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The programs that load the rulesets.
    pub iptables: Iptables,
    /// Labs at a time.
    pub jobs: usize,
    /// Where vendors are looked up.
    pub vendors: Arc<VendorDb>,
}

/// What a run found.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// One for each scenario, in the order given.
    pub scenarios: Vec<ScenarioReport>,
    /// The sysctls that were pinned.
    pub weather: Weather,
}

/// What was found of one scenario.
#[derive(Debug, Clone)]
pub struct ScenarioReport {
    /// What the scenario proves.
    pub title: String,
    /// Its file.
    pub file: PathBuf,
    /// The host as it stood in the lab.
    pub host: HostReport,
    /// Every check, in the order of the plan.
    pub checks: Vec<Check>,
    /// Which rules were exercised, for each of its rulesets; none where paths are not watched.
    pub coverage: Vec<Coverage>,
    /// Every single probe and what it brought to light.
    pub probes: Vec<(Probe, Observation)>,
    /// The worst outcome.
    pub outcome: Outcome,
}

/// The host of a scenario.
#[derive(Debug, Clone)]
pub struct HostReport {
    /// Its MAC address.
    pub mac: Mac,
    /// The vendor, as nmap would print it.
    pub vendor: Option<String>,
    /// The interface.
    pub interface: String,
    /// `address/prefix length`, IPv4 first.
    pub addresses: Vec<String>,
}

/// Runs the scenarios, several labs at a time.
///
/// # Errors
/// Rulesets that are refused, and everything that keeps a lab from measuring. The first error ends the run: no report
/// is made of half a run.
pub async fn run(scenarios: Vec<Scenario>, settings: Settings) -> Result<RunReport> {
    let permits = Arc::new(Semaphore::new(settings.jobs.max(1)));
    let jobs: Vec<Arc<Job>> =
        scenarios.into_iter().map(|scenario| Job::new(scenario, &settings).map(Arc::new)).collect::<Result<_>>()?;
    let mut labs = JoinSet::new();
    for (number, job) in jobs.iter().enumerate() {
        for task in job.tasks() {
            let (job, permits) = (Arc::clone(job), Arc::clone(&permits));
            labs.spawn(async move {
                let _permit = permits.acquire_owned().await.expect("the semaphore is never closed");
                let found = tokio::task::spawn_blocking(move || job.perform(task).map(|found| (task, found)));
                (number, found.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())))
            });
        }
    }
    let mut found: Vec<BTreeMap<Task, Found>> = jobs.iter().map(|_| BTreeMap::new()).collect();
    let mut failure: Option<(usize, Error)> = None;
    while let Some(finished) = labs.join_next().await {
        match finished.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
            (number, Ok((task, result))) => drop(found[number].insert(task, result)),
            // Of several failures the first scenario's is told, whichever came first: the same run, the same words.
            (number, Err(error)) if failure.as_ref().is_none_or(|(first, _)| number < *first) => {
                failure = Some((number, error));
            }
            (_, Err(_)) => {}
        }
    }
    match failure {
        Some((_, error)) => Err(error),
        None => report(&jobs, found),
    }
}

fn report(jobs: &[Arc<Job>], found: Vec<BTreeMap<Task, Found>>) -> Result<RunReport> {
    let weather = found.iter().flat_map(BTreeMap::values).next().map(|found| found.weather.clone());
    let scenarios = jobs.iter().zip(found).map(|(job, found)| job.report(found)).collect::<Result<_>>()?;
    Ok(RunReport { scenarios, weather: weather.unwrap_or_default() })
}

/// One scenario, planned.
struct Job {
    scenario: Scenario,
    plan: Plan,
    rulesets: Vec<(Family, Source)>,
    services: Vec<Service>,
    iptables: Iptables,
    vendors: Arc<VendorDb>,
}

/// What one lab does of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// The round with this number; the first one also explores the neighbourhood.
    Round(usize),
    /// These bursts, each with fresh limits.
    Bursts(usize),
    /// The bursts of all limits that are to be a rule's own, one after the other.
    BurstsInARow,
}

/// Bursts that share a lab: each pair of families waits for the kernel to renew the limits.
const BURSTS: usize = 12;

/// What one lab found.
struct Found {
    probes: Vec<(Probe, Observation)>,
    neighbourhood: Option<Neighbourhood>,
    weather: Weather,
}

impl Job {
    fn new(scenario: Scenario, settings: &Settings) -> Result<Job> {
        let rulesets = rulesets(&scenario);
        let sources: Vec<&Source> = rulesets.iter().map(|(_, source)| source).collect();
        let plan = Plan::of(&scenario, &sources)?;
        let services = scenario.host.listen.iter();
        let services = services.map(|port| Service { port: *port, greeting: greeting(&scenario, *port) }).collect();
        let (iptables, vendors) = (settings.iptables.clone(), Arc::clone(&settings.vendors));
        Ok(Job { scenario, plan, rulesets, services, iptables, vendors })
    }

    fn mac(&self) -> Mac {
        self.scenario.host.mac.unwrap_or(HOST_MAC)
    }

    fn tasks(&self) -> Vec<Task> {
        let rounds = (0..self.plan.rounds.len()).map(Task::Round);
        let bursts = (0..self.plan.bursts.len().div_ceil(BURSTS)).map(Task::Bursts);
        let in_a_row = self.plan.bursts.iter().any(|burst| burst.own_limit).then_some(Task::BurstsInARow);
        rounds.chain(bursts).chain(in_a_row).collect()
    }

    /// Does the task in a lab of its own.
    fn perform(&self, task: Task) -> Result<Found> {
        let rulesets: Vec<_> = self.rulesets.iter().map(|(family, source)| (*family, source)).collect();
        let blueprint = Blueprint {
            iptables: &self.iptables,
            interface: &self.scenario.host.interface,
            mac: self.mac(),
            addresses: &self.scenario.host.addresses,
            services: &self.services,
            rulesets: &rulesets,
            watch: self.watch(),
            fault: None,
        };
        Lab::run(&blueprint, |lab| {
            let probes = match task {
                Task::Round(number) => self.cells(lab, &self.plan.rounds[number])?,
                Task::Bursts(number) => self.bursts_afresh(lab, number)?,
                Task::BurstsInARow => self.bursts_in_a_row(lab)?,
            };
            let neighbourhood = if task == Task::Round(0) { Some(lab.neighbourhood()?) } else { None };
            Ok(Found { probes, neighbourhood, weather: lab.weather.clone() })
        })
    }

    /// x_tables tells no path, and verdicts are watched there only where a row asks for one.
    fn watch(&self) -> Watch {
        let asked = || self.plan.rounds.iter().flatten().any(|cell| cell.expected.verdict.is_some());
        match self.iptables.backend {
            Backend::Nft => Watch::Paths,
            Backend::Legacy if asked() => Watch::Verdicts,
            Backend::Legacy => Watch::Replies,
        }
    }

    fn cells(&self, lab: &mut Lab, round: &Round) -> Result<Vec<(Probe, Observation)>> {
        let mut phases = Phases::new(&self.scenario);
        let here: Vec<&Cell> = round.iter().filter(|cell| Lab::families().contains(&cell.family)).collect();
        let probes: Vec<Probe> =
            here.iter().map(|cell| phases.of(cell.technique, cell.family).probe(cell.port, 0)).collect();
        let observations = lab.send_each_afresh(&probes)?;
        Ok(probes.into_iter().zip(observations).collect())
    }

    /// The two families of a burst have limits of their own, so that one renewal serves both.
    fn bursts_afresh(&self, lab: &mut Lab, number: usize) -> Result<Vec<(Probe, Observation)>> {
        let bursts = self.plan.bursts.chunks(BURSTS).nth(number).unwrap_or_default();
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
        for burst in self.plan.bursts.iter().filter(|burst| burst.own_limit) {
            found.extend(send_burst(lab, &mut phases, burst)?);
        }
        Ok(found)
    }

    fn report(&self, mut found: BTreeMap<Task, Found>) -> Result<ScenarioReport> {
        let neighbourhood = found.values().find_map(|found| found.neighbourhood).unwrap_or_default();
        let in_a_row = found.remove(&Task::BurstsInARow).map(|found| found.probes).unwrap_or_default();
        let (cells, bursts): (BTreeMap<_, _>, BTreeMap<_, _>) =
            found.into_iter().partition(|(task, _)| matches!(task, Task::Round(_)));
        let together = |found: BTreeMap<Task, Found>| -> Vec<(Probe, Observation)> {
            found.into_values().flat_map(|found| found.probes).collect()
        };
        let (mut probes, bursts) = (together(cells), together(bursts));
        probes.sort_by_key(|(probe, _)| (probe.family(), probe.technique, probe.flow.port));
        let coverage = self.coverage(|| probes.iter().chain(&bursts).chain(&in_a_row));

        let mut checks = self.cell_checks(&probes);
        checks.extend(self.burst_checks(&bursts, &in_a_row));
        checks.extend(self.plan.too_long.iter().map(compare::too_long));
        let in_log = host_macs(probes.iter().chain(&bursts));
        let neighbours =
            compare::neighbours(&self.scenario, self.mac(), &Lab::families(), &neighbourhood, &in_log, &self.vendors);
        checks.extend(neighbours);
        compare::apply_known(&self.scenario, &mut checks)?;
        Ok(ScenarioReport {
            title: self.scenario.title.clone(),
            file: self.scenario.source.name.clone(),
            host: self.host(),
            outcome: compare::worst(&checks),
            checks,
            coverage,
            probes,
        })
    }

    fn coverage<'a, I: Iterator<Item = &'a (Probe, Observation)>>(&self, probes: impl Fn() -> I) -> Vec<Coverage> {
        if self.watch() != Watch::Paths {
            return Vec::new();
        }
        let of = |(family, source): &(Family, Source)| {
            let of_family = probes().filter(|(probe, _)| probe.family() == *family);
            coverage::measure(&Listing::parse(*family, source), of_family.map(|(_, observation)| observation))
        };
        self.rulesets.iter().map(of).collect()
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

    fn burst_checks(&self, afresh: &[(Probe, Observation)], in_a_row: &[(Probe, Observation)]) -> Vec<Check> {
        let check = |burst: &Burst| match of_burst(burst, afresh) {
            observed if observed.is_empty() => {
                compare::no_family(burst.technique, burst.family, burst.port, &burst.expected)
            }
            observed => compare::burst(burst, &observed, &of_burst(burst, in_a_row)),
        };
        self.plan.bursts.iter().map(check).collect()
    }

    fn host(&self) -> HostReport {
        let addresses = &self.scenario.host.addresses;
        HostReport {
            mac: self.mac(),
            vendor: self.vendors.lookup(self.mac()).nmap,
            interface: self.scenario.host.interface.to_string(),
            addresses: vec![
                format!("{}/{}", addresses.v4.host, addresses.v4.prefix_len),
                format!("{}/{}", addresses.v6.host, addresses.v6.prefix_len),
            ],
        }
    }
}

/// The scenario's own ruleset, or the one that its sensor generates.
fn rulesets(scenario: &Scenario) -> Vec<(Family, Source)> {
    if let Some(files) = &scenario.ruleset {
        let of = |family, source: &Option<Source>| source.clone().map(|source| (family, source));
        return of(Family::Ipv4, &files.v4).into_iter().chain(of(Family::Ipv6, &files.v6)).collect();
    }
    let Some(sensor) = &scenario.sensor else { return Vec::new() };
    let generated = ruleset::generate(sensor);
    let source = |name: &str, text: String| Source { name: name.into(), text: text.into() };
    vec![
        (Family::Ipv4, source("<generated>/rules.v4", generated.v4)),
        (Family::Ipv6, source("<generated>/rules.v6", generated.v6)),
    ]
}

fn of_burst(burst: &Burst, probes: &[(Probe, Observation)]) -> Vec<Observation> {
    let key = (burst.family, burst.technique, burst.port);
    let same = |probe: &Probe| (probe.family(), probe.technique, probe.flow.port) == key;
    probes.iter().filter(|(probe, _)| same(probe)).map(|(_, observation)| observation.clone()).collect()
}

/// A limit recovers while the burst goes on; if it could have let one more through, nothing is known.
fn send_burst(lab: &mut Lab, phases: &mut Phases, burst: &Burst) -> Result<Vec<(Probe, Observation)>> {
    if !Lab::families().contains(&burst.family) {
        return Ok(Vec::new());
    }
    let phase = phases.of(burst.technique, burst.family);
    let probes: Vec<Probe> = (0..burst.probes).map(|attempt| phase.probe(burst.port, attempt)).collect();
    let start = Instant::now();
    let observations = lab.send(&probes)?;
    in_time(burst, start.elapsed())?;
    Ok(probes.into_iter().zip(observations).collect())
}

fn in_time(burst: &Burst, took: Duration) -> Result<()> {
    let refill = Duration::from_secs(u64::from(burst.limit.per.seconds())) / burst.limit.count.max(1);
    if took < refill {
        return Ok(());
    }
    let what = format!(
        "a burst of {} probes within the {refill:?} in which a limit of {} recovers",
        burst.probes, burst.limit
    );
    Err(CannotMeasure::Deadline { what, seconds: refill.as_secs() }.into())
}

/// The host's MAC address in `MAC=` of the lines of packets that it received.
fn host_macs<'a>(probes: impl Iterator<Item = &'a (Probe, Observation)>) -> BTreeSet<Mac> {
    let records = probes.flat_map(|(_, observation)| &observation.log);
    records.filter_map(|record| LogLine::parse(&record.line)?.mac()).map(|mac| mac.destination).collect()
}

/// The phases of a lab, each numbered when it is first used.
struct Phases<'a> {
    scenario: &'a Scenario,
    numbering: Numbering,
    phases: BTreeMap<(Technique, Family), Phase>,
}

impl<'a> Phases<'a> {
    fn new(scenario: &'a Scenario) -> Phases<'a> {
        Phases { scenario, numbering: Numbering::new(SEED), phases: BTreeMap::new() }
    }

    fn of(&mut self, technique: Technique, family: Family) -> &mut Phase {
        let addresses = self.scenario.host.addresses;
        let numbering = &mut self.numbering;
        self.phases.entry((technique, family)).or_insert_with(|| numbering.phase(technique, family, addresses))
    }
}
