//! The command line: arguments, files, terminal and exit status. The only room that reads the environment.

mod atomic_file;
mod capture_file;
mod check;
mod check_files;
pub(crate) mod diff;
pub(crate) mod doctor;
mod equipment;
pub(crate) mod exec;
pub(crate) mod generate;
mod init;
mod interrupt;
mod listen;
mod manual;
pub(crate) mod mutate;
mod no_clobber;
mod paginate;
pub(crate) mod progress;
mod question;
pub(crate) mod record;
mod report_files;
mod report_target;
pub(crate) mod run;
mod runtime;
pub(crate) mod scan;
mod schema;
mod selftest;
mod services;
mod shard;
mod sticky;
mod syslog;
mod teach;
mod timestamp;
pub(crate) mod vendor;

use std::ffi::OsString;
use std::io::{self, Write};
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;

use annotate_snippets::Renderer;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::error::{CannotMeasure, Context, Error, InputError, Result, Source};
use crate::lab::{self, Lab, LabOptions, PinnedSysctls};
use crate::net::Family;
use crate::report::Environment;
use crate::rules::iptables_save::{Backend, Listing, wrong_format};
use crate::rules::lint::{self, LintFinding};
use crate::sys::signals;
use crate::text::ci_escape::{Inert, inert};
use crate::text::escape::visible_lines;

use self::generate::Existing;
use self::runtime::{interruptible, interruptible_blocking};

/// Proves what a firewall ruleset does, by asking the real kernel: loads it in a throw-away network namespace, scans it
/// with nmap-equivalent probes, and reports every mismatch between expected and observed.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: ScanlabCommand,
}

#[derive(Debug, Subcommand)]
enum ScanlabCommand {
    /// Run scenario files or folders (default: those in ./scenarios and ./firewall)
    Run(Box<run::RunArguments>),
    /// Run the built-in scenarios
    Demo(Box<run::RunOptions>),
    /// Generate the ruleset of a sensor file, and the files that load it on a Pi
    Generate {
        /// The sensor's TOML file
        sensor: PathBuf,
        /// Write all files to this folder [default: print both rulesets]
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Replace existing files
        #[arg(long)]
        force: bool,
    },
    /// Write a sensor file from rules, from this machine, or from four questions
    #[command(after_help = init::AFTER_HELP)]
    Init(init::InitOptions),
    /// Check whether a ruleset is safe to deploy: will I be locked out, will scans be logged?
    #[command(after_help = check::AFTER_HELP)]
    Check(Box<check::CheckOptions>),
    /// Mutation-test your scenarios: break the rules on purpose, and list the mistakes that go unnoticed
    Mutate(mutate::MutateOptions),
    /// Write the scenario that describes what a ruleset does today
    Record(record::RecordOptions),
    /// Compare the behaviour of two rulesets, by probes and not by text
    Diff(diff::DiffOptions),
    /// Scan a ruleset as nmap would, with nmap's options and output
    Scan(Box<scan::ScanOptions>),
    /// Run a real tool (nmap, hping3, curl) against a ruleset, and show how its frames were treated
    #[command(after_help = exec::AFTER_HELP)]
    Exec(exec::ExecOptions),
    /// Explain a scan technique live: bytes, rules, log, answer; or find the mistake in a ruleset
    #[command(after_help = teach::AFTER_HELP)]
    Teach(teach::TeachOptions),
    /// Check that this machine can run the lab; list what is missing, and how to get it
    Doctor,
    /// Inject faults into scanlab, and check that it detects them
    #[command(after_help = selftest::AFTER_HELP)]
    Selftest(selftest::SelftestOptions),
    /// Print a JSON Schema (draft 2020-12): of results, for programs; of scenarios and sensors, for editors
    Schema {
        /// Of what
        #[arg(value_enum)]
        of: schema::SchemaSubject,
    },
    /// Look up the vendor of a MAC address (nmap's and the IEEE's lists)
    Vendor {
        /// MAC addresses, such as b8:27:eb:12:34:56
        #[arg(required = true)]
        mac: Vec<String>,
        /// Look them up in the IEEE's own file (oui.txt, mam.txt, oui36.txt, or .csv) or in nmap's
        #[arg(long, value_name = "FILE")]
        oui_file: Option<PathBuf>,
    },
    /// Print a manual page, or write all of them
    Man(manual::ManOptions),
    /// Generate shell completions
    Completions {
        /// The shell
        shell: manual::CompletionShell,
    },
}

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// for people
    Table,
    /// for programs: schema 1
    Json,
}

/// Runs the command line; returns the exit status.
pub fn main() -> ExitCode {
    // Without handlers a signal still ends the program, though with another status.
    let _ = signals::install();
    panic::catch_unwind(perform_the_words).unwrap_or_else(|panic| match signals::arrived() {
        Some(signal) => report(&CannotMeasure::Interrupted(signal).into()),
        None => panic::resume_unwind(panic),
    })
}

fn perform_the_words() -> ExitCode {
    if std::env::args_os().len() == 1 {
        eprint_notice(manual::START);
        return ExitCode::from(2);
    }
    lab::pass_notices_to(eprint_notice);
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR") {
        lab::use_runtime_folder(folder.into());
    }
    let ended = words().map_err(Error::from).and_then(|words| perform(parse(words).command));
    ended.unwrap_or_else(|error| report(&error))
}

/// Reports the error once; returns its exit status.
fn report(error: &Error) -> ExitCode {
    if !matches!(error, Error::CannotMeasure(CannotMeasure::Interrupted(_))) || signals::is_first_report() {
        eprint_error(error);
    }
    ExitCode::from(error.exit_status())
}

/// The grammar of the command line, with all texts of `--help`.
fn program() -> clap::Command {
    manual::with_long_help(Cli::command())
}

fn parse(words: Vec<OsString>) -> Cli {
    let matches = program().try_get_matches_from(words);
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).unwrap_or_else(|answer| end_with(&answer))
}

/// Ends with the parser's help, version or error, as [`clap::Error::exit`] does.
fn end_with(answer: &clap::Error) -> ! {
    let text = answer.render().ansi().to_string();
    if answer.use_stderr() {
        eprint_notice(text.trim_end_matches('\n'));
    } else {
        let _ = print(&text);
    }
    std::process::exit(answer.exit_code())
}

/// The arguments; those after `scan` may be in nmap's syntax.
fn words() -> std::result::Result<Vec<OsString>, InputError> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_none_or(|command| command != "scan") {
        return Ok(words);
    }
    let program = Cli::command();
    let takes_value = |word: &str| {
        let mut arguments = program.find_subcommand("scan").into_iter().flat_map(clap::Command::get_arguments);
        arguments.any(|argument| argument.get_action().takes_values() && argument.get_long() == word.strip_prefix("--"))
    };
    let translation = scan::nmap_args::translate(words.split_off(2), takes_value)?;
    if !translation.without_meaning.is_empty() {
        eprint_notice(&format!("ignored, without effect here: {}", translation.without_meaning.join(" ")));
    }
    words.extend(translation.words);
    Ok(words)
}

fn perform(command: ScanlabCommand) -> Result<ExitCode> {
    match command {
        ScanlabCommand::Run(arguments) => run::run(*arguments),
        ScanlabCommand::Demo(options) => run::demo(*options),
        ScanlabCommand::Init(options) => init::init(options),
        ScanlabCommand::Check(options) => check::check(*options),
        ScanlabCommand::Mutate(options) => mutate::mutate(options),
        ScanlabCommand::Diff(options) => diff::diff(options),
        ScanlabCommand::Record(options) => record::record(options),
        ScanlabCommand::Scan(options) => interruptible_blocking(move || scan::scan(*options)),
        ScanlabCommand::Exec(options) => exec::exec(options),
        ScanlabCommand::Teach(options) => teach::teach(options),
        ScanlabCommand::Doctor => doctor::doctor(),
        ScanlabCommand::Selftest(options) => selftest::selftest(options),
        ScanlabCommand::Generate { sensor, output, force } => {
            let existing = if force { Existing::Replace } else { Existing::Keep };
            generate::generate(&sensor, output.as_deref(), existing).map(|()| ExitCode::SUCCESS)
        }
        ScanlabCommand::Schema { of } => schema::schema(of).map(|()| ExitCode::SUCCESS),
        ScanlabCommand::Vendor { mac, oui_file } => {
            let mut lines = Vec::new();
            vendor::vendor(&mac, oui_file.as_deref(), &mut lines)?;
            print(&String::from_utf8_lossy(&lines)).map(|()| ExitCode::SUCCESS)
        }
        ScanlabCommand::Man(options) => manual::man(&program(), &options).map(|()| ExitCode::SUCCESS),
        ScanlabCommand::Completions { shell } => manual::completions(program(), shell).map(|()| ExitCode::SUCCESS),
    }
}

/// Prints an error to stderr, an input error with its place. `anstream` removes colours unless it is a terminal.
fn eprint_error(error: &Error) {
    let text = match error {
        Error::Input(input) => input.render(&Renderer::styled()),
        Error::CannotMeasure(why) => visible_lines(&format!("error: could not measure: {why}")),
    };
    eprint_notice(&text);
}

/// Writes a line to stderr, with workflow commands of CI systems escaped. A missing stderr is no error.
fn eprint_notice(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", inert(text));
}

/// Warns of a ruleset without rules and without a DROP policy: it accepts everything, and may be the wrong file.
fn warn_of_no_filter<'a>(rulesets: impl Iterator<Item = (Family, &'a Source)>) {
    for (family, source) in rulesets {
        warn_of_repeats(family, source);
        let lets_through = |backend| Listing::parse_for(backend, family, source).lets_everything_through();
        if [Backend::Nft, Backend::Legacy].into_iter().all(lets_through) && wrong_format::hint(&source.text).is_none() {
            let name = visible_lines(&source.name.display().to_string());
            eprint_notice(&format!(
                "warning: {name} has no rules, and only ACCEPT policies: nothing is filtered over {family}"
            ));
        }
    }
}

/// Warns of a file that declares a table or a chain twice: its rules are not all loaded.
fn warn_of_repeats(family: Family, source: &Source) {
    for LintFinding { line, message, .. } in lint::repeated(&Listing::parse(family, source)) {
        eprint_notice(&visible_lines(&format!("warning: {}:{line}: {message}", source.name.display())));
    }
}

/// Warns of a ruleset of a family that this machine does not have: it is not loaded, and another family's is.
fn warn_of_missing_families<'a>(rulesets: impl Iterator<Item = (Family, &'a Source)>) {
    for (family, source) in rulesets.filter(|(family, _)| Lab::must_have(*family).is_err()) {
        let (name, family) = (visible_lines(&source.name.display().to_string()), family.title());
        eprint_notice(&format!("warning: this machine has no {family}: {name} is not tried"));
    }
}

/// Prints a result to stdout, with workflow commands of CI systems escaped.
fn print(text: &str) -> Result<()> {
    print_inert(&Inert::new(text))
}

/// As [`print()`]. A reader that closes the pipe early (`| head`) is no error.
fn print_inert(text: &Inert) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_str().as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

/// The width of the terminal in columns; without a terminal COLUMNS, or 80.
fn width() -> u16 {
    let terminal = terminal_size::terminal_size().map(|(width, _)| width.0);
    let from_environment = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    terminal.or_else(from_environment).unwrap_or(80).clamp(40, 200)
}

/// The height of the terminal in rows; 24 without one.
fn height() -> u16 {
    terminal_size::terminal_size().map_or(24, |(_, height)| height.0).max(6)
}

/// `uname -r`.
fn kernel_release() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn environment(equipment: &LabOptions, pinned_sysctls: PinnedSysctls) -> Environment {
    Environment {
        kernel: kernel_release(),
        iptables: equipment.iptables.version.clone(),
        backend: equipment.backend(),
        capture: equipment.capture,
        link: equipment.link,
        sysctls: pinned_sysctls,
        set_sysctls: equipment.sysctls.unusual(),
    }
}
