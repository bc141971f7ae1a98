//! Mutation testing: would the scenario notice if the ruleset were broken? The ruleset is broken in every relevant way
//! (`mutant` has the operators). If sets of packets prove that no packet can show a difference
//! ([`crate::rules::space`]), the mutant is *equivalent* and does not count. The scenario is run against each of the
//! others on the real kernel, until a check has another result than before. A mutant that no check notices has
//! *survived*: the scenario has a gap, and a packet that shows the difference is reported. If no packet that the lab can
//! send shows one, the mutant is *not judged*, and counted separately.

pub(crate) mod affected;
mod baseline;
mod effect;
mod trial;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::commands::run::Settings;
use crate::commands::run::job::Job;
use crate::commands::run::lab_pool::LabPool;
use crate::error::{InputError, Result};
use crate::intent::scenario::Scenario;
use crate::lab::PinnedSysctls;
use crate::net::Family;
use crate::rules::mutant::{Mutant, Operator, mutants};

/// The result of mutating one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MutationReport {
    /// The claim of the scenario.
    pub scenario: String,
    /// Its file.
    pub file: PathBuf,
    /// The number of mutants with each outcome.
    pub summary: MutantCounts,
    /// Every mutant, in the order of the rules.
    pub mutants: Vec<Tried>,
    /// The sysctls that were pinned.
    #[serde(skip)]
    pub pinned_sysctls: PinnedSysctls,
}

/// A mutant that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tried {
    /// The kind of mistake.
    pub operator: Operator,
    /// The family of the ruleset.
    pub family: Family,
    /// The ruleset's file.
    pub file: PathBuf,
    /// The line of the original.
    pub line: usize,
    /// The mistake in words.
    pub description: String,
    /// Its outcome.
    #[serde(flatten)]
    pub fate: MutantOutcome,
}

/// The outcome of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MutantOutcome {
    /// A check noticed it.
    Killed {
        /// The check.
        by: String,
    },
    /// No check noticed it, although a packet shows the difference: the row that would notice it.
    Survived {
        /// An `[[expect]]` row, ready to be pasted; `None` if only the rate of a limit differs.
        row: Option<String>,
        /// The difference in words.
        differs: String,
    },
    /// No packet can show a difference from the original.
    Equivalent {
        /// The reason.
        because: String,
    },
    /// No packet that was sent shows a difference, and it is not proved that none can.
    NotJudged {
        /// The part that was not tried.
        because: String,
    },
    /// iptables refuses it, so it can never be loaded.
    Refused,
}

impl MutantOutcome {
    /// Its name in reports.
    pub const fn as_str(&self) -> &'static str {
        match self {
            MutantOutcome::Killed { .. } => "killed",
            MutantOutcome::Survived { .. } => "survived",
            MutantOutcome::Equivalent { .. } => "equivalent",
            MutantOutcome::NotJudged { .. } => "not-judged",
            MutantOutcome::Refused => "refused",
        }
    }
}

impl JsonSchema for MutantOutcome {
    fn schema_name() -> Cow<'static, str> {
        "MutantFate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        FateRecord::json_schema(generator)
    }
}

impl Serialize for MutantOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let (by, row, differs, because) = match self {
            MutantOutcome::Killed { by } => (Some(by), None, None, None),
            MutantOutcome::Survived { row, differs } => (None, row.as_ref(), Some(differs), None),
            MutantOutcome::Equivalent { because } | MutantOutcome::NotJudged { because } => {
                (None, None, None, Some(because))
            }
            MutantOutcome::Refused => (None, None, None, None),
        };
        FateRecord { fate: self.as_str(), by, row, differs, because }.serialize(serializer)
    }
}

#[derive(Serialize, JsonSchema)]
struct FateRecord<'a> {
    /// killed, survived, equivalent, not-judged or refused
    #[schemars(extend("enum" = ["killed", "survived", "equivalent", "not-judged", "refused"]))]
    fate: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a String>,
}

/// The number of mutants with each outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "MutantSummary")]
pub struct MutantCounts {
    /// The number of mutants.
    pub mutants: usize,
    /// Noticed.
    pub killed: usize,
    /// Not noticed.
    pub survived: usize,
    /// Not distinguishable from the original.
    pub equivalent: usize,
    /// Neither noticed nor proved to be equivalent; not part of the score.
    pub not_judged: usize,
    /// Refused by iptables.
    pub refused: usize,
    /// The share of killed among killed and survived, in percent; 100 if there are neither.
    pub score: f64,
}

impl MutantCounts {
    /// Counts them.
    pub fn of<'a>(tried: impl Iterator<Item = &'a Tried> + Clone) -> MutantCounts {
        let count = |word| tried.clone().filter(|one| one.fate.as_str() == word).count();
        let (killed, survived) = (count("killed"), count("survived"));
        let score = if killed + survived == 0 { 100.0 } else { 100.0 * killed as f64 / (killed + survived) as f64 };
        let (equivalent, refused) = (count("equivalent"), count("refused"));
        let not_judged = count("not-judged");
        MutantCounts { mutants: tried.clone().count(), killed, survived, equivalent, not_judged, refused, score }
    }

    /// The score if a packet could show every unjudged mutant.
    pub fn lowest_score(&self) -> f64 {
        let all = self.killed + self.survived + self.not_judged;
        if all == 0 { 100.0 } else { 100.0 * self.killed as f64 / all as f64 }
    }
}

/// The packets that are sent to a mutant that no check notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweeps {
    /// The packets of the sweep that may match a rule that differs.
    Telling,
    /// All of them: slower, with the same outcome.
    Whole,
}

/// An observer of the progress.
pub trait Progress: Send + Sync {
    /// Called with the number of mutants before they are tried.
    fn begin(&self, mutants: usize);
    /// Called after each mutant.
    fn advance(&self);
}

/// Tries every mutant of the scenario's rulesets.
///
/// # Errors
///
/// If the scenario does not pass with the original ruleset, since mutants cannot be judged then, or a lab cannot
/// measure.
pub async fn mutate(
    scenario: Scenario,
    settings: &Settings,
    sweeps: Sweeps,
    progress: Arc<dyn Progress>,
) -> Result<MutationReport> {
    let workforce = LabPool::new(settings.jobs);
    let job = Arc::new(Job::new(scenario, settings)?);
    let baseline = Arc::new(baseline::measure(&job, &workforce).await?);
    let mutants = all_mutants(&job);
    if mutants.is_empty() {
        return Err(InputError::new("the scenario's rulesets have no rule that could be broken", "add a rule").into());
    }
    progress.begin(mutants.len());
    let (of_job, of_baseline) = (Arc::clone(&job), Arc::clone(&baseline));
    let try_out = move |mutant: Mutant| {
        let fate = trial::outcome(&of_job, &of_baseline, &mutant, sweeps)?;
        progress.advance();
        Ok(tried(&of_job, mutant, fate))
    };
    let tried = workforce.map(mutants, try_out).await?;
    Ok(MutationReport {
        scenario: job.scenario.title.clone(),
        file: job.scenario.source.name.clone(),
        summary: MutantCounts::of(tried.iter()),
        mutants: tried,
        pinned_sysctls: baseline.pinned_sysctls.clone(),
    })
}

fn all_mutants(job: &Job) -> Vec<Mutant> {
    job.rulesets.iter().flat_map(|(family, source)| mutants(&job.listing(*family, source))).collect()
}

fn tried(job: &Job, mutant: Mutant, fate: MutantOutcome) -> Tried {
    let Mutant { operator, family, line, description, .. } = mutant;
    let file = job.ruleset(family).map(|source| source.name.clone()).unwrap_or_default();
    Tried { operator, family, file, line, description, fate }
}
