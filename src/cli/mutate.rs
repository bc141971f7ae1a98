//! `scanlab mutate`: breaks the rulesets of scenarios, and reports which mistakes the scenarios do not notice.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::ReportFormat;
use super::equipment::{EquipmentArguments, LinkArgument};
use super::progress::StepBar;
use super::run::percent;
use crate::commands::mutate::{self, Progress, Sweeps};
use crate::commands::run::Settings;
use crate::commands::run::rulesets;
use crate::error::Result;
use crate::intent::scenario::discover;
use crate::lab::WatchedEvents;
use crate::report::{self, Mutation};

/// The options of `scanlab mutate`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct MutateOptions {
    /// Scenario files, or folders of them
    #[arg(required = true)]
    path: Vec<PathBuf>,
    /// Fail if the mutation score is below PERCENT
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    min_score: Option<f64>,
    /// Send the whole sweep to every mutant that no check notices, not only what may meet the mistake: slower, and the
    /// same outcome
    #[arg(long)]
    whole_sweeps: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
    /// Maximum number of labs at a time; all runs of a user share the labs of the machine, whose number is the default
    #[arg(long, value_name = "N", default_value_t = super::run::default_jobs(), value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// The link between prober and host: Ethernet frames, or bare IP packets
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
}

const HELP: &str = "\
A mutant is the ruleset with one mistake in it. It is
  killed      if the result of a check changes,
  survived    if no result does: the row that notices the mistake is printed,
  equivalent  if no packet distinguishes it from the original: no packet of a
              sweep does, and the rules prove it for all others,
  not judged  if no packet of a sweep does, without a proof for all others.

The score is the percentage of the killed among the killed and the survived. The status is 3 if mutants were not \
judged; with --min-score only if the score would be too low with all of them as survivors.";

/// Tries every mutant and reports. The status is 1 if the score is below `--min-score`, and 3 if unjudged mutants leave
/// that open.
pub fn mutate(options: MutateOptions) -> Result<ExitCode> {
    let scenarios = discover(&options.path)?;
    let rulesets: Vec<_> = scenarios.iter().flat_map(rulesets).collect();
    options.equipment.admit_sizes(rulesets.iter().map(|(_, source)| source))?;
    for (family, source) in &rulesets {
        super::warn_of_repeats(*family, source);
    }
    let equipment = options.equipment.find(options.link.into())?;
    let vendors = Arc::new(super::run::vendors(None)?);
    let sweeps = if options.whole_sweeps { Sweeps::Whole } else { Sweeps::Telling };
    let settings = Settings {
        equipment: equipment.clone(),
        watch: WatchedEvents::Paths,
        jobs: usize::from(options.jobs),
        vendors,
    };
    let found = super::interruptible(async {
        let mut found = Vec::with_capacity(scenarios.len());
        for scenario in scenarios {
            let bar: Arc<dyn Progress> = Arc::new(StepBar::new("mutants"));
            found.push(mutate::mutate(scenario, &settings, sweeps, bar).await?);
        }
        Ok(found)
    })?;
    let pinned_sysctls = found.first().map(|one| one.pinned_sysctls.clone()).unwrap_or_default();
    let report = Mutation::new(found, super::environment(&equipment, pinned_sysctls));
    super::print(&match options.format {
        ReportFormat::Table => report::mutation_table(&report, super::width()),
        ReportFormat::Json => report::to_json(&report),
    })?;
    Ok(enough(&report, options.min_score))
}

fn enough(report: &Mutation, wanted: Option<f64>) -> ExitCode {
    let (score, lowest) = (report.summary.score, report.summary.lowest_score());
    match wanted {
        Some(wanted) if score < wanted => {
            super::eprint_notice(&format!("the score is {score:.1} %, below the --min-score of {wanted} %"));
            ExitCode::from(1)
        }
        Some(wanted) if lowest < wanted => {
            let not_judged = report.summary.not_judged;
            super::eprint_notice(&format!(
                "the score is {lowest:.1} % if all {not_judged} mutants that were not judged survive, below the \
                 --min-score of {wanted} %"
            ));
            ExitCode::from(3)
        }
        None if report.summary.not_judged > 0 => ExitCode::from(3),
        _ => ExitCode::SUCCESS,
    }
}

impl Progress for StepBar {
    fn begin(&self, mutants: usize) {
        StepBar::begin(self, mutants);
    }

    fn advance(&self) {
        StepBar::advance(self, 1);
    }
}
