//! `scanlab run`: the steps of a run, in the order in which they happen.

mod chance;
pub(crate) mod checks;
mod harm;
pub(crate) mod job;
pub(crate) mod lab_pool;
mod patches;
mod sysctls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Error, Result, Source};
use crate::intent::check::{Check, Outcome};
use crate::intent::plan::PacketCell;
use crate::intent::scenario::Scenario;
use crate::lab::{LabOptions, PinnedSysctls, WatchedEvents};
use crate::net::{Family, Mac};
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::probe::packet::Response;
use crate::rules::coverage::Coverage;
use crate::sensor::mac_vendor::VendorDb;
use crate::verdict::compare;
use crate::wire::frame::Frame;

pub use self::chance::without_chance;
pub use self::job::rulesets;
pub use self::sysctls::decided;

use self::job::{Job, JobResults};
use self::lab_pool::LabPool;

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The options of the labs.
    pub equipment: LabOptions,
    /// The events to record: paths, or frames as well. Checks need paths.
    pub watch: WatchedEvents,
    /// Labs at a time.
    pub jobs: usize,
    /// The vendor table.
    pub vendors: Arc<VendorDb>,
}

/// The point at which a run stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailFast {
    /// After all scenarios.
    TheEnd,
    /// After the first scenario that is mismatched or did not run. Scenarios are run one after the other, so that it is
    /// the same one for any number of labs at a time.
    FirstFailure,
}

/// The result of a run.
#[derive(Debug)]
pub struct RunReport {
    /// One for each scenario, in the order given, apart from those with bad input.
    pub scenarios: Vec<ScenarioReport>,
    /// The scenarios with bad input, such as rules that iptables refuses.
    pub failures: Vec<ScenarioFailure>,
    /// The sysctls that were pinned.
    pub pinned_sysctls: PinnedSysctls,
}

/// A scenario that could not be run for its input.
#[derive(Debug)]
pub struct ScenarioFailure {
    /// Its file.
    pub file: PathBuf,
    /// The error.
    pub error: Error,
}

/// The result of one scenario.
#[derive(Debug, Clone)]
pub struct ScenarioReport {
    /// The claim that it proves.
    pub title: String,
    /// Its file.
    pub file: PathBuf,
    /// The host in the lab.
    pub host: HostSummary,
    /// The ruleset of each family that has one.
    pub rulesets: Vec<(Family, Source)>,
    /// Every check, in the order of the plan.
    pub checks: Vec<Check>,
    /// The rules that were exercised, for each of its rulesets; empty unless paths are recorded.
    pub coverage: Vec<Coverage>,
    /// Every probe with its observation.
    pub probes: Vec<(Probe, Observation)>,
    /// The frames on the links of its labs; empty unless [`Settings::watch`] records them.
    pub recordings: Vec<LinkRecording>,
    /// Every line that LOG rules have written in its labs, lab by lab, in the order of the log.
    pub lines: Vec<String>,
    /// The worst outcome.
    pub outcome: Outcome,
    /// The time from the begin of its first lab to the end of its last, and that of the search for fixes.
    pub time: Duration,
}

impl ScenarioReport {
    /// Removes everything about `family`.
    pub fn leave_out(&mut self, family: Family) {
        self.checks.retain(|check| check.family != Some(family));
        self.coverage.retain(|coverage| coverage.family != family);
        self.rulesets.retain(|(of, _)| *of != family);
        self.outcome = compare::worst(&self.checks);
    }
}

/// The frames on the link of one lab.
#[derive(Debug, Clone)]
pub struct LinkRecording {
    /// The task of the lab.
    pub lab: String,
    /// Its probes.
    pub probes: Vec<(Probe, Observation)>,
    /// Its packets.
    pub packets: Vec<(PacketCell, Response)>,
    /// The lab's own frames, and those that the host sent by itself.
    pub rest: Vec<Frame>,
}

/// The host of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Host")]
pub struct HostSummary {
    /// Its MAC address; `None` on a link without them.
    pub mac: Option<Mac>,
    /// The vendor, as nmap would print it.
    pub vendor: Option<String>,
    /// The interface.
    pub interface: String,
    /// `address/prefix length`, IPv4 first.
    pub addresses: Vec<String>,
}

/// Runs the scenarios as [`run_each`] does.
///
/// # Errors
///
/// If a ruleset is refused, or a lab cannot measure. The first error ends the run, without a report of a part of it.
pub async fn run(scenarios: Vec<Scenario>, settings: Settings, until: FailFast) -> Result<RunReport> {
    let mut report = run_each(scenarios, settings, until).await?;
    let first = (!report.failures.is_empty()).then(|| report.failures.remove(0));
    first.map_or(Ok(report), |failure| Err(failure.error))
}

/// Runs the scenarios, several labs at a time. Scenarios that were not begun are reported as not run; bad input of one does
/// not keep the others from running.
///
/// # Errors
///
/// If a lab cannot measure.
pub async fn run_each(scenarios: Vec<Scenario>, settings: Settings, until: FailFast) -> Result<RunReport> {
    let workforce = LabPool::new(settings.jobs);
    let mut whole = RunReport { scenarios: Vec::new(), failures: Vec::new(), pinned_sysctls: PinnedSysctls::default() };
    let mut jobs = Vec::with_capacity(scenarios.len());
    for scenario in scenarios {
        let file = scenario.source.name.clone();
        jobs.extend(whole.unless_bad_input(&file, Job::new(scenario, &settings))?.map(Arc::new));
    }
    match until {
        FailFast::TheEnd => whole.perform(&jobs, &workforce).await?,
        FailFast::FirstFailure => whole.until_first_failure(&jobs, &workforce).await?,
    }
    Ok(whole)
}

impl RunReport {
    async fn perform(&mut self, jobs: &[Arc<Job>], workforce: &LabPool) -> Result<()> {
        for (job, found) in jobs.iter().zip(workforce.perform(jobs).await?) {
            if let Some(found) = self.unless_bad_input(job.file(), found)? {
                if self.pinned_sysctls.is_empty() {
                    self.pinned_sysctls = found.pinned_sysctls().unwrap_or_default();
                }
                let explained = explained(job, found, workforce).await;
                let explained = self.unless_bad_input(job.file(), explained)?;
                self.scenarios.extend(explained);
            }
        }
        Ok(())
    }

    async fn until_first_failure(&mut self, jobs: &[Arc<Job>], workforce: &LabPool) -> Result<()> {
        for job in jobs {
            if !self.failures.is_empty() || self.scenarios.iter().any(|scenario| scenario.outcome.is_red()) {
                self.scenarios.push(job.not_started("not started: --fail-fast"));
            } else {
                self.perform(std::slice::from_ref(job), workforce).await?;
            }
        }
        Ok(())
    }

    /// The value; `None` after bad input, which is added to the failures.
    fn unless_bad_input<T>(&mut self, file: &Path, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(error @ Error::Input(_)) => {
                self.failures.push(ScenarioFailure { file: file.to_owned(), error });
                Ok(None)
            }
            other => other.map(Some),
        }
    }
}

/// The report on the results of a job, with the fixes of its mismatches.
async fn explained(job: &Arc<Job>, found: JobResults, workforce: &LabPool) -> Result<ScenarioReport> {
    let (mut report, evidence) = job.report(found)?;
    let begin = Instant::now();
    patches::propose(job, &mut report, &evidence, workforce).await?;
    report.time += begin.elapsed();
    Ok(report)
}
