//! Mutation testing: would the scenario notice if the ruleset were broken? The ruleset is broken in every way that matters
//! (`mutant` has the operators), and the scenario is played against each mutant on the real kernel, until a check of it
//! is not as it was. A mutant that no check notices has *survived*: the scenario has a gap, and the packet that would have
//! told is named. If none of a sweep does, and sets of packets prove that no other can ([`crate::rules::space`]), it is *equivalent*
//! and does not count; without a proof it is *not judged*, and counted apart.

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

/// What was found of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MutationReport {
    /// What the scenario proves.
    pub scenario: String,
    /// Its file.
    pub file: PathBuf,
    /// How many mutants ended how.
    pub summary: MutantCounts,
    /// Every mutant, in the order of the rules.
    pub mutants: Vec<Tried>,
    /// The sysctls that were pinned.
    #[serde(skip)]
    pub weather: PinnedSysctls,
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
    /// What is different.
    pub description: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: MutantOutcome,
}

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MutantOutcome {
    /// A check noticed it.
    Killed {
        /// Which one.
        by: String,
    },
    /// No check noticed it, and this packet would have told: the row that notices it.
    Survived {
        /// An `[[expect]]` row, ready to be pasted; `None` if only the rate of a limit differs.
        row: Option<String>,
        /// What differs, in words.
        differs: String,
    },
    /// No packet can tell it from the original.
    Equivalent {
        /// How that is known.
        because: String,
    },
    /// No packet that was sent tells it from the original, and nothing proves that no other does.
    NotJudged {
        /// What was not tried.
        because: String,
    },
    /// iptables refuses it: nobody could ever run it.
    Refused,
}

impl MutantOutcome {
    /// The word in the report.
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

/// How many mutants ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "MutantSummary")]
pub struct MutantCounts {
    /// All of them.
    pub mutants: usize,
    /// Noticed.
    pub killed: usize,
    /// Not noticed.
    pub survived: usize,
    /// Not to be told from the original.
    pub equivalent: usize,
    /// Neither noticed nor proved to make no difference; in no score.
    pub not_judged: usize,
    /// Refused by iptables.
    pub refused: usize,
    /// The killed ones among the killed and the survived, in percent; 100 when there are neither.
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

    /// The score if a packet could tell every mutant that was not judged.
    pub fn lowest_score(&self) -> f64 {
        let all = self.killed + self.survived + self.not_judged;
        if all == 0 { 100.0 } else { 100.0 * self.killed as f64 / all as f64 }
    }
}

/// What is sent to a mutant that no check notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweeps {
    /// The packets of the sweep that may meet a rule in which it differs from the original.
    Telling,
    /// All of them: slower, and the same outcome.
    Whole,
}

/// Who wants to know how far it has come.
pub trait Progress: Send + Sync {
    /// So many mutants are to be tried.
    fn begin(&self, mutants: usize);
    /// One more has been.
    fn advance(&self);
}

/// Tries every mutant of the scenario's rulesets.
///
/// # Errors
/// A scenario that does not pass with the ruleset as it is: then nothing can be said of mutants. And everything that keeps
/// a lab from measuring.
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
        weather: baseline.weather.clone(),
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
