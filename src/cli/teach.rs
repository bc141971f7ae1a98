//! `scanlab teach`: lessons and exercises, page by page on a terminal, without pauses elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::atomic_file::AtomicFile;
use super::equipment::{EquipmentArguments, LinkArgument};
use super::paginate::screens;
use super::question::{self, answer};
use crate::commands::run::{self, FailFast, ScenarioReport, Settings};
use crate::commands::teach::exercise::{self, Exercise};
use crate::commands::teach::{self, LessonSetup};
use crate::error::{InputError, Result, Source};
use crate::intent::embedded;
use crate::lab::{Capture, LabOptions, LinkMode, WatchedEvents};
use crate::net::Family;
use crate::probe::scan::Technique;
use crate::report;
use crate::rules::generate;
use crate::sensor::SensorFile;

/// The options of `scanlab teach`.
#[derive(Debug, Args)]
pub struct TeachOptions {
    /// A scan technique, or `all`; with --exercise a number, a name or a technique; default: list them
    #[arg(value_name = "TECHNIQUE")]
    subject: Option<String>,
    /// Find the mistake in a ruleset
    #[arg(long, conflicts_with_all = ["sensor", "rules", "rules6", "ipv6"])]
    exercise: bool,
    /// The sensor file, in place of the built-in one
    #[arg(long, value_name = "FILE")]
    sensor: Option<PathBuf>,
    /// IPv4 ruleset, iptables-save text, in place of the sensor's
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,
    /// Also write the lesson to this file, as a page for a browser
    #[arg(long, value_name = "FILE", conflicts_with = "exercise")]
    html: Option<PathBuf>,
    /// Over IPv6
    #[arg(short = '6')]
    ipv6: bool,
    #[command(flatten)]
    equipment: EquipmentArguments,
}

/// The end of `teach --help`.
pub const AFTER_HELP: &str = "\
On a terminal Enter shows the next page and q quits; otherwise everything is printed at once. In an exercise the letter \
of a choice is a guess, and Enter alone (or the end of the input) shows the answer.";

/// Prints a lesson, or plays an exercise.
pub fn teach(options: TeachOptions) -> Result<ExitCode> {
    let subject = options.subject.as_deref();
    match (options.exercise, subject) {
        (true, None) => super::print(&report::exercise_menu(super::width())),
        (true, Some(wanted)) => play(&options, wanted),
        (false, None) => super::print(&report::lesson_menu(super::width())),
        (false, Some(wanted)) => hold(&options, wanted),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn hold(options: &TeachOptions, wanted: &str) -> Result<()> {
    let techniques = techniques(wanted)?;
    let family = if options.ipv6 { Family::Ipv6 } else { Family::Ipv4 };
    let setting = setting(options, family)?;
    let hint = "name a file in an existing folder that you may write to";
    let file = options.html.as_deref().map(|path| AtomicFile::begin(path, hint)).transpose()?;
    let lessons = super::interruptible_blocking(move || teach::hold(&setting, &techniques, family))?;
    if let Some(mut file) = file {
        file.write(&report::lesson_page(&lessons))?;
        file.keep()?;
    }
    let pages = lessons.iter().flat_map(|lesson| report::lesson_pages(lesson, super::width()));
    show(pages.collect())?;
    Ok(())
}

fn techniques(wanted: &str) -> Result<Vec<Technique>> {
    if wanted.eq_ignore_ascii_case("all") {
        return Ok(Technique::ALL.to_vec());
    }
    let technique = wanted.parse::<Technique>().map_err(|_| {
        let names = Technique::ALL.map(Technique::name);
        unknown("scan technique", wanted, &[&names[..], &["all"]].concat())
    })?;
    Ok(vec![technique])
}

/// The error for an unknown name, with the closest known name first.
fn unknown(kind: &str, wanted: &str, names: &[&str]) -> InputError {
    let list = format!("use one of {}", names.join(", "));
    let near = names.iter().map(|name| (strsim::levenshtein(&wanted.to_lowercase(), name), name)).min();
    let hint = match near {
        Some((distance, name)) if distance <= 2 => format!("did you mean `{name}`? {list}"),
        _ => list,
    };
    InputError::new(format!("`{}` is not a known {kind}", wanted.escape_debug()), hint)
}

/// By default `teach` leaves no lines in the machine's own log.
fn equipment(options: &TeachOptions) -> Result<LabOptions> {
    let mut equipment = options.equipment.find_all(LinkArgument::Tap.into(), || Capture::Nflog)?;
    if equipment.len() > 1 {
        let hint = "teach once with nft and once with legacy";
        return Err(InputError::new("`--iptables both` is for run, check and scan", hint).into());
    }
    Ok(equipment.remove(0))
}

fn setting(options: &TeachOptions, family: Family) -> Result<LessonSetup> {
    let (sensor, host) = match &options.sensor {
        Some(path) => SensorFile::load(path).map(|file| (file.sensor, file.host))?,
        None => built_in_sensor()?,
    };
    let generated = generate::generate(&sensor);
    let own = [(Family::Ipv4, &options.rules), (Family::Ipv6, &options.rules6)];
    let own = own.into_iter().filter_map(|(family, path)| Some((family, path.as_deref()?)));
    let own = own.map(|(family, path)| Ok((family, Source::read(path)?))).collect::<Result<Vec<_>>>()?;
    let rulesets = if own.is_empty() {
        let source = |name: &str, text: String| Source { name: name.into(), text: text.into() };
        vec![
            (Family::Ipv4, source("<generated>/rules.v4", generated.v4)),
            (Family::Ipv6, source("<generated>/rules.v6", generated.v6)),
        ]
    } else {
        own
    };
    options.equipment.admit_sizes(rulesets.iter().map(|(_, source)| source))?;
    if !rulesets.iter().any(|(of, _)| *of == family) {
        let hint = "--rules is for IPv4, --rules6 and -6 are for IPv6";
        return Err(InputError::new(format!("no {family} ruleset is given"), hint).into());
    }
    Ok(LessonSetup { equipment: equipment(options)?, sensor, host, rulesets })
}

/// The sensor of the first built-in scenario.
fn built_in_sensor() -> Result<(crate::sensor::Sensor, crate::sensor::Host)> {
    let scenarios = embedded::scenarios()?;
    let found = scenarios.into_iter().find_map(|scenario| Some((scenario.sensor?, scenario.host)));
    found.ok_or_else(|| InputError::new("no sensor is built in", "name one with --sensor").into())
}

/// Prints one page after the other; on a terminal each screen but the last waits for Enter.
fn show(pages: Vec<String>) -> Result<LessonAudience> {
    let waits = question::is_possible();
    // Below a screen there are a blank line and the prompt.
    let rows = usize::from(super::height()).saturating_sub(2);
    let fitted = |page: String| screens(&page, usize::from(super::width()), rows);
    let pages: Vec<String> = if waits { pages.into_iter().flat_map(fitted).collect() } else { pages };
    let last = pages.len().saturating_sub(1);
    for (number, page) in pages.iter().enumerate() {
        super::print(page)?;
        if number == last {
            break;
        }
        super::print("\n")?;
        if waits {
            super::print(&format!("({} of {}) Enter: next   q: quit ", number + 1, pages.len()))?;
            if answer()?.is_none_or(|word| word.eq_ignore_ascii_case("q")) {
                return Ok(LessonAudience::Left);
            }
            super::print("\n")?;
        }
    }
    Ok(LessonAudience::Stays)
}

/// The decision of the reader after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LessonAudience {
    Stays,
    Left,
}

fn play(options: &TeachOptions, wanted: &str) -> Result<()> {
    let names: Vec<&str> = exercise::ALL.iter().map(|exercise| exercise.name).collect();
    let (number, exercise) = exercise::find(wanted).ok_or_else(|| unknown("exercise", wanted, &names))?;
    let broken = exercise.break_it()?;
    let settings = Settings {
        equipment: LabOptions { link: LinkMode::Tap, ..equipment(options)? },
        watch: WatchedEvents::Paths,
        jobs: usize::from(super::run::default_jobs()),
        vendors: Arc::new(super::run::vendors(None)?),
    };
    let mut found = super::interruptible(run::run(vec![broken.scenario.clone()], settings, FailFast::TheEnd))?;
    let measured: ScenarioReport = found.scenarios.remove(0);
    let width = super::width();
    let question = report::exercise_question(number, exercise, &broken, &measured, width);
    if show(vec![question])? == LessonAudience::Stays && guess(exercise)? == LessonAudience::Stays {
        show(vec![report::exercise_answer(exercise, &broken, &measured, width)])?;
    }
    Ok(())
}

/// Repeats until a guess is right or the reader gives up: then the answer is printed.
fn guess(exercise: &Exercise) -> Result<LessonAudience> {
    loop {
        super::print("\nYour guess (a to d; Enter: the answer; q: quit): ")?;
        let word = answer()?.unwrap_or_default().to_lowercase();
        let choice = ('a'..).zip(0..exercise.choices.len()).find(|(letter, _)| word == letter.to_string());
        match choice {
            _ if word.is_empty() => {
                super::print("\n")?;
                return Ok(LessonAudience::Stays);
            }
            _ if word == "q" => return Ok(LessonAudience::Left),
            Some((_, place)) if place == exercise.right => {
                super::print("\nRight.\n")?;
                return Ok(LessonAudience::Stays);
            }
            Some((letter, place)) => super::print(&format!("\nNo, not {letter}) {}\n", exercise.choices[place]))?,
            None => super::print("\nType one of the letters.\n")?,
        }
    }
}
