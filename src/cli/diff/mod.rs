//! `scanlab diff`: the differences in behaviour between two rulesets.

mod at_revision;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::equipment::{EquipmentArguments, LinkArgument};
use crate::commands::diff::{Comparison, Side, compare};
use crate::error::{InputError, Result, Source};
use crate::lab::{Capture, HOST_MAC};
use crate::net::{Addresses, Family, InterfaceName};
use crate::report::{self, DiffReport};
use crate::rules::generate;
use crate::sensor::SensorFile;
use crate::text::ci_escape::Inert;

/// The options of `scanlab diff`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct DiffOptions {
    /// Before: an iptables-save file, a sensor (.toml), or a folder with rules.v4 and rules.v6; with --git, both
    /// before and after
    a: PathBuf,
    /// After: the same kinds of files; with --git, a second file, such as that for IPv6
    #[arg(required_unless_present = "git")]
    b: Option<PathBuf>,
    /// Compare the files as they are with those at a revision of their git repository, such as HEAD or origin/main
    #[arg(long, value_name = "REV", conflicts_with = "v6")]
    git: Option<String>,
    /// The ip6tables-save files of both, if A and B are files for IPv4
    #[arg(long, num_args = 2, value_names = ["A6", "B6"])]
    v6: Vec<PathBuf>,
    /// The interface on which packets arrive; others that the rules name are tested too
    #[arg(long, value_name = "NAME", default_value_t)]
    interface: InterfaceName,
    /// Output format
    #[arg(long, value_enum, default_value_t = DiffFormat::Table)]
    format: DiffFormat,
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// The link between prober and host: Ethernet frames, or bare IP packets
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
}

/// The format of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// for people
    Table,
    /// for programs: schema 1
    Json,
    /// for a comment on a pull request
    Markdown,
    /// annotations of a GitHub workflow
    Github,
}

const HELP: &str = "\
Both rulesets get every packet that either of them distinguishes, and nmap's techniques at every port that either \
names. A file is for IPv4, unless its name ends in .v6. Packets are written as in a scenario: you can paste them into \
a row.";

/// Compares and reports. The status is 1 if there is a difference, and 3 if there may be one that was not measured.
pub fn diff(options: DiffOptions) -> Result<ExitCode> {
    let sides = sides(&options)?;
    let rulesets = || sides.iter().flat_map(|side| &side.rulesets);
    options.equipment.admit_sizes(rulesets().map(|(_, source)| source))?;
    for (family, source) in rulesets() {
        super::warn_of_repeats(*family, source);
    }
    let equipment = options.equipment.find_with(options.link.into(), || Capture::Nflog)?;
    let comparison = Comparison {
        sides,
        equipment: equipment.clone(),
        interface: options.interface.clone(),
        mac: HOST_MAC,
        addresses: Addresses::default(),
    };
    let found = super::interruptible_blocking(move || compare(&comparison))?;
    let status = match (found.is_same(), found.is_proved()) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(3),
        (false, _) => ExitCode::from(1),
    };
    let report = DiffReport::new(found, |pinned_sysctls| super::environment(&equipment, pinned_sysctls));
    super::print_inert(&text(&report, options.format)).map(|()| status)
}

fn text(report: &DiffReport, format: DiffFormat) -> Inert {
    Inert::new(&match format {
        DiffFormat::Table => report::diff_text(report),
        DiffFormat::Json => report::to_json(report),
        DiffFormat::Markdown => report::diff_markdown(report),
        DiffFormat::Github => return Inert::commands(report::diff_github(report)),
    })
}

fn sides(options: &DiffOptions) -> Result<[Side; 2]> {
    let [v6_a, v6_b] = match options.v6.as_slice() {
        [a, b] => [Some(a.as_path()), Some(b.as_path())],
        _ => [None, None],
    };
    match (&options.git, &options.b) {
        (Some(revision), b) => at_revision::sides(revision, [&options.a].into_iter().chain(b)),
        (None, Some(b)) => Ok([side(&options.a, v6_a)?, side(b, v6_b)?]),
        (None, None) => unreachable!("the grammar requires B or --git"),
    }
}

fn side(path: &Path, v6: Option<&Path>) -> Result<Side> {
    let mut rulesets = rulesets(path)?;
    if let Some(v6) = v6 {
        if rulesets.iter().any(|(family, _)| *family == Family::Ipv6) {
            let problem = format!("{} has an IPv6 ruleset of its own", path.display());
            return Err(InputError::new(problem, "leave out --v6, or name the file for IPv4").into());
        }
        rulesets.push((Family::Ipv6, Source::read(v6)?));
    }
    Ok(Side { name: path.display().to_string(), rulesets })
}

fn rulesets(path: &Path) -> Result<Vec<(Family, Source)>> {
    if path.is_dir() {
        return of_folder(path);
    }
    of_file(Source::read(path)?)
}

fn of_folder(folder: &Path) -> Result<Vec<(Family, Source)>> {
    let files = files_of(folder);
    let there = files.iter().filter(|(_, path)| path.exists());
    let found: Vec<(Family, Source)> =
        there.map(|(family, path)| Ok((*family, Source::read(path)?))).collect::<Result<_>>()?;
    if found.is_empty() {
        return Err(empty(folder).into());
    }
    Ok(found)
}

/// The rulesets of a folder, by their names.
fn files_of(folder: &Path) -> [(Family, PathBuf); 2] {
    [(Family::Ipv4, "rules.v4"), (Family::Ipv6, "rules.v6")].map(|(family, name)| (family, folder.join(name)))
}

fn empty(folder: &Path) -> InputError {
    InputError::new(format!("{} has neither rules.v4 nor rules.v6", folder.display()), "name the ruleset's file")
}

/// The rulesets that a file holds.
fn of_file(file: Source) -> Result<Vec<(Family, Source)>> {
    match file.name.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => of_sensor(file),
        Some("v6") => Ok(vec![(Family::Ipv6, file)]),
        _ => Ok(vec![(Family::Ipv4, file)]),
    }
}

fn of_sensor(file: Source) -> Result<Vec<(Family, Source)>> {
    let path = file.name.clone();
    let generated = generate::generate(&SensorFile::parse(file)?.sensor);
    let source = |name: &str, text: String| Source { name: path.join(name), text: text.into() };
    Ok(vec![(Family::Ipv4, source("rules.v4", generated.v4)), (Family::Ipv6, source("rules.v6", generated.v6))])
}
