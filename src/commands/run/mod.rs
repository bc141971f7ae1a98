//! `scanlab run`: the steps of a run, in the order in which they happen.

pub(crate) mod checks;
mod harm;
pub(crate) mod job;
pub(crate) mod lab_pool;
mod patches;
mod sysctls;

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Result, Source};
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

pub use self::job::rulesets;
pub use self::sysctls::decided;

use self::job::Job;
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
#[derive(Debug, Clone)]
pub struct RunReport {
    /// One for each scenario, in the order given.
    pub scenarios: Vec<ScenarioReport>,
    /// The sysctls that were pinned.
    pub pinned_sysctls: PinnedSysctls,
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

/// Runs the scenarios, several labs at a time. Scenarios that were not begun are reported as not run.
///
/// # Errors
///
/// If a ruleset is refused, or a lab cannot measure. The first error ends the run, without a report of a part of it.
pub async fn run(scenarios: Vec<Scenario>, settings: Settings, until: FailFast) -> Result<RunReport> {
    let workforce = LabPool::new(settings.jobs);
    let jobs: Vec<Arc<Job>> =
        scenarios.into_iter().map(|scenario| Job::new(scenario, &settings).map(Arc::new)).collect::<Result<_>>()?;
    match until {
        FailFast::TheEnd => perform(&jobs, &workforce).await,
        FailFast::FirstFailure => until_first_failure(&jobs, &workforce).await,
    }
}

async fn perform(jobs: &[Arc<Job>], workforce: &LabPool) -> Result<RunReport> {
    let found = workforce.perform(jobs).await?;
    let pinned_sysctls = found.iter().find_map(|found| found.pinned_sysctls()).unwrap_or_default();
    let mut scenarios = Vec::with_capacity(jobs.len());
    for (job, found) in jobs.iter().zip(found) {
        let (mut report, evidence) = job.report(found)?;
        patches::propose(job, &mut report, &evidence, workforce).await?;
        scenarios.push(report);
    }
    Ok(RunReport { scenarios, pinned_sysctls })
}

async fn until_first_failure(jobs: &[Arc<Job>], workforce: &LabPool) -> Result<RunReport> {
    let mut whole = RunReport { scenarios: Vec::with_capacity(jobs.len()), pinned_sysctls: PinnedSysctls::default() };
    let mut failed = false;
    for job in jobs {
        if failed {
            whole.scenarios.push(job.not_started("not started: --fail-fast"));
            continue;
        }
        let one = perform(std::slice::from_ref(job), workforce).await?;
        failed = one.scenarios.iter().any(|scenario| scenario.outcome.is_red());
        whole.scenarios.extend(one.scenarios);
        whole.pinned_sysctls = one.pinned_sysctls;
    }
    Ok(whole)
}
