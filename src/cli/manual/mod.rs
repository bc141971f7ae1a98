//! The documentation of the command line: the ends of `--help`, the headings of its options, manual pages and
//! completions. Options are described where they are defined; everything else is here.

mod chapter;
mod chapters;
mod headings;
mod pages;

use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use self::chapters::CHAPTERS;
use self::pages::{ManualPage, pages};
use super::atomic_file::AtomicFile;
use super::sticky::make_folders;
use crate::error::{Context, InputError, Result};

/// The output of `scanlab` without arguments.
pub const START: &str = "\
scanlab proves what a firewall ruleset does, by asking the real kernel.

Try:  scanlab doctor       can this machine run the lab?
      scanlab demo         the built-in scenarios
      scanlab scan --help  scan a ruleset, as nmap would
      scanlab --help       all commands";

/// The options of `scanlab man`.
#[derive(Debug, Args)]
pub struct ManOptions {
    /// The command whose page is printed; none: the page of scanlab itself
    #[arg(conflicts_with = "output")]
    command: Option<String>,
    /// Write all pages to this folder, which is made if need be
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// A shell that can complete scanlab's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// bash 4 or later
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Puts options under headings, and ends `--help` with examples and the exit status.
pub fn with_long_help(program: Command) -> Command {
    let program = ended(program, "").mut_args(headings::under_heading);
    program.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        ended(command, &name).mut_args(headings::under_heading)
    })
}

/// Adds the chapter after the notes of the command.
fn ended(command: Command, name: &str) -> Command {
    let Some(chapter) = CHAPTERS.iter().find(|chapter| chapter.command == name) else { return command };
    let notes = command.get_after_help().map(|notes| format!("{notes}\n\n")).unwrap_or_default();
    let short = format!("{notes}{}", chapter.short_ending());
    command.after_help(short).after_long_help(format!("{notes}{}", chapter.long_ending()))
}

/// Prints a page, or writes all of them.
pub fn man(program: &Command, options: &ManOptions) -> Result<()> {
    let pages = pages(program).context("write a manual page")?;
    match &options.output {
        Some(folder) => write(&pages, folder),
        None => super::print(&String::from_utf8_lossy(&page(&pages, options.command.as_deref())?.text)),
    }
}

fn page<'a>(pages: &'a [ManualPage], command: Option<&str>) -> Result<&'a ManualPage> {
    let file = command.map_or("scanlab.1".to_owned(), |command| format!("scanlab-{command}.1"));
    let unknown = || {
        let problem = format!("there is no page for `{}`", command.unwrap_or_default().escape_debug());
        InputError::new(problem, "name a command of scanlab: scanlab --help lists them")
    };
    Ok(pages.iter().find(|page| page.file == file).ok_or_else(unknown)?)
}

fn write(pages: &[ManualPage], folder: &Path) -> Result<()> {
    const HINT: &str = "name a folder that you may write to";
    let unwritable = |error| InputError::new(format!("cannot create {}: {error}", folder.display()), HINT);
    make_folders(folder).map_err(unwritable)?;
    for page in pages {
        let mut file = AtomicFile::begin(&folder.join(&page.file), HINT)?;
        file.write(&String::from_utf8_lossy(&page.text))?;
        file.allow(0o644);
        file.keep()?;
    }
    Ok(())
}

/// Prints the completions for a shell.
pub fn completions(mut program: Command, shell: CompletionShell) -> Result<()> {
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "scanlab", &mut script);
    super::print(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        super::super::program()
    }

    #[test]
    fn every_command_has_a_chapter_and_every_chapter_a_command() {
        let program = program();
        let commands = program.get_subcommands().map(Command::get_name);
        let mut commands: Vec<&str> = std::iter::once("").chain(commands).collect();
        let mut chapters: Vec<&str> = CHAPTERS.iter().map(|chapter| chapter.command).collect();
        commands.sort_unstable();
        chapters.sort_unstable();
        assert_eq!(commands, chapters, "the table is CHAPTERS in src/cli/manual/chapters.rs");
    }

    /// clap breaks a line that is too long, and a broken command cannot be pasted.
    #[test]
    fn examples_are_not_broken() {
        let lines = CHAPTERS.iter().flat_map(|chapter| chapter.examples).flat_map(|example| example.command.lines());
        for line in lines {
            assert!(line.len() <= 75, "{line}");
        }
    }

    #[test]
    fn where_there_are_headings_every_option_stands_under_one() {
        for command in program().get_subcommands() {
            let options = || command.get_arguments().filter(|argument| !argument.is_positional());
            let without = options().filter(|argument| argument.get_help_heading().is_none());
            let names: Vec<&str> = without.map(|argument| argument.get_id().as_str()).collect();
            let many = options().any(|argument| argument.get_id() == "iptables");
            assert!(!many || names.is_empty(), "{}: {names:?}: see src/cli/manual/headings.rs", command.get_name());
        }
    }
}
