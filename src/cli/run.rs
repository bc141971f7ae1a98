//! `scanlab run`: scenarios in, a report and an exit status out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use super::capture_file::CaptureFile;
use super::equipment::{EquipmentArguments, LinkArgument};
use super::no_clobber::{files_of, quoted_files, spare};
use super::report_files::ReportArguments;
use super::shard::Shard;
use super::syslog::SyslogFile;
use crate::commands::run;
use crate::commands::run::{FailFast, Settings};
use crate::error::{Error, InputError, Result, Source};
use crate::intent::check::Outcome;
use crate::intent::embedded;
use crate::intent::scenario::{Scenario, discover_below, discover_each, tag};
use crate::lab::{Capture, LabOptions, Token, WatchedEvents};
use crate::net::sysctl::SetSysctl;
use crate::report::{self, Environment, Report, ReportedError};
use crate::sensor::mac_vendor::VendorDb;
use crate::text::escape::visible;
use crate::text::wrap::hanging_quoted;

/// The arguments of `scanlab run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Scenario files, or folders of them [default: ./scenarios and ./firewall]
    path: Vec<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

/// The options of `scanlab run` and `scanlab demo`.
#[derive(Debug, Args)]
pub struct RunOptions {
    #[command(flatten)]
    report: ReportArguments,
    /// Show every check, the coverage of each ruleset, and all notes
    #[arg(long, short)]
    verbose: bool,
    /// Run only scenarios whose title or file has this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Run only scenarios with this tag; repeatable, any of them
    #[arg(long, value_name = "NAME", value_parser = tag)]
    tag: Vec<String>,
    /// Leave out scenarios with this tag; repeatable
    #[arg(long, value_name = "NAME", value_parser = tag)]
    exclude: Vec<String>,
    /// List the selected scenarios (file, title, tags), and run nothing
    #[arg(long, conflicts_with_all = ["format", "destinations", "quiet", "verbose", "syslog", "pcap", "min_coverage"])]
    list: bool,
    /// Maximum number of labs at a time; all runs of a user share the labs of the machine, whose number is the default
    #[arg(long, value_name = "N", default_value_t = default_jobs(), value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Stop after the first scenario that fails or did not run; the rest are reported as not run
    #[arg(long)]
    fail_fast: bool,
    /// Run one part of the scenarios, for a job of a CI matrix: 1/4, 2/4, 3/4 and 4/4 together are all of them
    #[arg(long, value_name = "PART/PARTS")]
    shard: Option<Shard>,
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// The link between prober and host: Ethernet frames, or bare IP packets
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
    /// Write the log lines to this file as rsyslog would, for psad, fail2ban or CrowdSec
    #[arg(long, value_name = "FILE")]
    syslog: Option<PathBuf>,
    /// Write every frame to this file, with its path and log lines as a comment: pcapng, for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Fail if fewer than PERCENT of all rules were exercised
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    min_coverage: Option<f64>,
    /// Look up vendors in this file, in the IEEE's or nmap's format
    #[arg(long, value_name = "FILE")]
    oui_file: Option<PathBuf>,
}

/// The number of labs that the whole machine may have at a time.
pub fn default_jobs() -> u16 {
    Token::count() as u16
}

/// Runs the scenarios of `scanlab run`.
pub fn run(RunArguments { path, options }: RunArguments) -> Result<ExitCode> {
    spare(path.iter().map(PathBuf::as_path), options.written())?;
    run_named(|| if path.is_empty() { in_usual_folders() } else { Ok(discover_each(&path)) }, &options)
}

/// Runs the built-in scenarios.
pub fn demo(options: RunOptions) -> Result<ExitCode> {
    let built_in = |scenario: Scenario| (scenario.source.name.clone(), Ok(scenario));
    run_named(|| Ok(embedded::scenarios()?.into_iter().map(built_in).collect()), &options)
}

/// Runs the scenarios and reports. The status is 2 if a scenario has bad input, else 1 if anything is mismatched, else 3 if a
/// check did not run.
fn run_named(named: impl FnOnce() -> Result<Vec<Selected>>, options: &RunOptions) -> Result<ExitCode> {
    if options.list {
        return list(select(named()?, options)?);
    }
    let selected = named().and_then(|named| select(named, options));
    for (file, scenario) in selected.iter().flatten() {
        match scenario {
            Ok(scenario) => spare(files_of(scenario), options.written())?,
            Err(_) => spare(&quoted_files(file), options.written())?,
        }
    }
    let files = options.report.begin()?;
    let begin = Instant::now();
    files.settle(selected.and_then(|selected| measure(selected, options)), None, |files, report| {
        let is_idle = report.errors.is_empty() && report.scenarios.as_ref().is_some_and(Vec::is_empty);
        let wanted = options.min_coverage.filter(|_| !is_idle && report.errors.is_empty());
        let covered = wanted.map_or(Ok(true), |wanted| is_covered(&report, wanted))?;
        let (time, width) = (begin.elapsed(), super::width());
        files.write(&report, status(&report), |report| match options.verbose {
            true => report::flavours_block(report, width) + &report::run_table(report, width),
            false => report::run_text(report, time, width),
        })?;
        Ok(ExitCode::from(match status(&report) {
            _ if is_idle => 0,
            0 if !covered => 1,
            status => status,
        }))
    })
}

/// Reads and runs the scenarios. Bad input of one of them is reported at once, and does not keep the others from running.
fn measure(selected: Vec<Selected>, options: &RunOptions) -> Result<Report> {
    let mut errors = ScenarioErrors::default();
    let read = selected.into_iter().map(|(file, scenario)| (file, scenario.and_then(|one| admitted(one, options))));
    let scenarios: Vec<Scenario> = read.filter_map(|(file, scenario)| errors.unless(&file, scenario)).collect();
    if scenarios.is_empty() && !errors.0.is_empty() {
        return Ok(Report::of_errors(errors.0));
    }
    let vendors = Arc::new(vendors(options.oui_file.as_deref())?);
    let flavours = options.equipment.find_all(options.link.into(), Capture::usual)?;
    let mut syslog = options.syslog.as_deref().map(SyslogFile::open).transpose()?;
    let mut pcap = options.pcap.as_deref().map(CaptureFile::begin).transpose()?;
    let watch = if pcap.is_some() { WatchedEvents::Frames } else { options.report.watch() };
    let reports = flavours.into_iter().map(|equipment| {
        let settings = Settings {
            equipment: equipment.clone(),
            watch,
            jobs: usize::from(options.jobs),
            vendors: Arc::clone(&vendors),
        };
        let set = set_sysctls(&equipment, &scenarios);
        let (mut found, set) = super::interruptible(async {
            let mut found = run::run_each(scenarios.clone(), settings.clone(), options.until()).await?;
            run::without_chance(&scenarios, &settings, &mut found).await?;
            let set = run::decided(&scenarios, &settings, &found, set).await?;
            Ok((found, set))
        })?;
        found.failures.drain(..).for_each(|failure| errors.add(&failure.file, &failure.error));
        // With two flavours, lines and frames are those of the first.
        let lines = found.scenarios.iter().map(|scenario| scenario.lines.as_slice());
        syslog.take().map_or(Ok(()), |file| file.keep(lines))?;
        pcap.take().map_or(Ok(()), |file| file.keep_run(&found, equipment.link))?;
        let environment = super::environment(&equipment, found.pinned_sysctls.clone());
        Ok(Report::of_run(&found, Environment { set_sysctls: set, ..environment }))
    });
    let report = Report::of_flavours(reports.collect::<Result<_>>()?);
    Ok(Report { errors: errors.0, ..report })
}

/// The scenario, if its rulesets are not too large; warns of tables that are declared twice.
fn admitted(scenario: Scenario, options: &RunOptions) -> Result<Scenario> {
    let rulesets = run::rulesets(&scenario);
    options.equipment.admit_sizes(rulesets.iter().map(|(_, source)| source))?;
    rulesets.iter().for_each(|(family, source)| super::warn_of_repeats(*family, source));
    Ok(scenario)
}

/// The errors of scenarios, each printed once.
#[derive(Default)]
struct ScenarioErrors(Vec<ReportedError>);

impl ScenarioErrors {
    fn add(&mut self, file: &Path, error: &Error) {
        let reported = ReportedError::new(error, Some(file));
        if !self.0.contains(&reported) {
            super::eprint_error(error);
            self.0.push(reported);
        }
    }

    /// The scenario of `file`; `None` after its error is added.
    fn unless(&mut self, file: &Path, scenario: Result<Scenario>) -> Option<Scenario> {
        scenario.inspect_err(|error| self.add(file, error)).ok()
    }
}

impl RunOptions {
    fn until(&self) -> FailFast {
        if self.fail_fast { FailFast::FirstFailure } else { FailFast::TheEnd }
    }

    /// The files that are written.
    fn written(&self) -> impl Iterator<Item = &PathBuf> {
        self.report.paths().chain(&self.syslog).chain(&self.pcap)
    }
}

/// The sysctls that were set for any of the scenarios.
fn set_sysctls(equipment: &LabOptions, scenarios: &[Scenario]) -> Vec<SetSysctl> {
    let of = |scenario: &Scenario| equipment.clone().over(&scenario.host.sysctls).sysctls.unusual();
    let mut set: Vec<SetSysctl> = scenarios.iter().flat_map(of).collect();
    set.sort_by(|one, other| (&one.name, &one.value, &one.source).cmp(&(&other.name, &other.value, &other.source)));
    set.dedup();
    set
}

/// True if enough rules were exercised; prints a notice otherwise.
fn is_covered(report: &Report, wanted: f64) -> Result<bool> {
    let covered = report.summary.and_then(|summary| summary.coverage);
    let no_rules = || InputError::new("no scenario has a rule, so nothing is covered", "leave out --min-coverage");
    let covered = covered.ok_or_else(no_rules)?;
    if covered < wanted {
        super::eprint_notice(&format!("coverage is {covered:.1} %, below the --min-coverage of {wanted} %"));
    }
    Ok(covered >= wanted)
}

/// Parses a percentage, as for `--min-coverage`.
pub fn percent(text: &str) -> std::result::Result<f64, String> {
    let number = text.trim_end_matches('%').trim().parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    number.ok_or_else(|| "a percentage is a number from 0 to 100".to_owned())
}

/// The file of a scenario, with the scenario or its error.
type Selected = (PathBuf, Result<Scenario>);

/// The folders whose scenarios are run if no path is named.
const USUAL_FOLDERS: [&str; 2] = ["scenarios", "firewall"];

/// The scenarios of the usual folders. One of them may have none, such as a folder of rules.
fn in_usual_folders() -> Result<Vec<Selected>> {
    let folders: Vec<PathBuf> = USUAL_FOLDERS.map(PathBuf::from).into_iter().filter(|path| path.is_dir()).collect();
    let found = discover_below(&folders);
    if found.is_empty() {
        let problem = match folders.is_empty() {
            true => "no path is given, and there is neither ./scenarios nor ./firewall",
            false => "no path is given, and there is no scenario in ./scenarios or ./firewall",
        };
        let hint = "name a file or a folder: `scanlab run web.toml`; `scanlab demo` runs the built-in scenarios";
        return Err(InputError::new(problem, hint).into());
    }
    Ok(found)
}

/// The named scenarios, reduced by the filter, then by the shard.
fn select(named: Vec<Selected>, options: &RunOptions) -> Result<Vec<Selected>> {
    let scenarios = tagged(filtered(named, options)?, options)?;
    let Some(shard) = options.shard else { return Ok(scenarios) };
    let all = scenarios.len();
    let part = shard.of(scenarios);
    if part.is_empty() {
        super::eprint_notice(&format!(
            "shard {shard} is empty: there are {all} scenarios, and the first shards have them all"
        ));
    }
    Ok(part)
}

/// The scenarios whose title or file has the text of the filter, and those whose title is not known.
fn filtered(scenarios: Vec<Selected>, options: &RunOptions) -> Result<Vec<Selected>> {
    let Some(filter) = &options.filter else { return Ok(scenarios) };
    let wanted = |(file, scenario): &Selected| match scenario {
        Ok(scenario) => scenario.title.contains(filter) || file.to_string_lossy().contains(filter),
        Err(_) => true,
    };
    let selected: Vec<Selected> = scenarios.into_iter().filter(wanted).collect();
    if selected.is_empty() {
        return Err(InputError::new(format!("no scenario has `{filter}` in its title or file"), "").into());
    }
    Ok(selected)
}

/// The scenarios that the tags select, and those whose tags are not known.
fn tagged(scenarios: Vec<Selected>, RunOptions { tag, exclude, .. }: &RunOptions) -> Result<Vec<Selected>> {
    let is_one_of = |scenario: &Scenario, names: &[String]| scenario.tags.iter().any(|tag| names.contains(tag));
    let wanted = |scenario: &Scenario| (tag.is_empty() || is_one_of(scenario, tag)) && !is_one_of(scenario, exclude);
    let all: BTreeSet<String> =
        scenarios.iter().filter_map(|(_, one)| one.as_ref().ok()).flat_map(|one| one.tags.clone()).collect();
    let is_any = !scenarios.is_empty();
    let selected: Vec<Selected> =
        scenarios.into_iter().filter(|(_, scenario)| scenario.as_ref().map_or(true, wanted)).collect();
    if is_any && selected.is_empty() {
        let tags: Vec<String> = all.into_iter().collect();
        let hint =
            if tags.is_empty() { "no scenario has a tag".to_owned() } else { format!("tags: {}", tags.join(", ")) };
        return Err(InputError::new("--tag and --exclude leave no scenario", hint).into());
    }
    Ok(selected)
}

/// Prints file, title and tags of each scenario. The status is 2 if one of them cannot be read.
fn list(scenarios: Vec<Selected>) -> Result<ExitCode> {
    let mut errors = ScenarioErrors::default();
    let mut text = String::new();
    for (file, scenario) in scenarios {
        if let Some(Scenario { title, tags, .. }) = errors.unless(&file, scenario) {
            let tags = if tags.is_empty() { String::new() } else { format!(" [{}]", tags.join(", ")) };
            let line = visible(&format!("{}: {title}{tags}", file.display()));
            text += &hanging_quoted("", 4, &line, super::width().into());
        }
    }
    super::print(&text)?;
    Ok(ExitCode::from(if errors.0.is_empty() { 0 } else { 2 }))
}

/// The vendors of the built-in table or of `oui_file`.
pub fn vendors(oui_file: Option<&Path>) -> Result<VendorDb> {
    oui_file.map_or_else(|| Ok(VendorDb::built_in()), |path| VendorDb::from_file(&Source::read(path)?))
}

/// The exit status for the outcomes of a report.
pub fn status(report: &Report) -> u8 {
    let worst = report.scenarios.iter().flatten().map(|scenario| scenario.outcome).min();
    match worst {
        _ if !report.errors.is_empty() => 2,
        _ if report.flavours_differ() => 1,
        Some(Outcome::Mismatched) => 1,
        Some(Outcome::NotRun) | None => 3,
        Some(Outcome::Known | Outcome::Matched) => 0,
    }
}
