//! Manual pages: `scanlab.1`, and one for each command. They contain no date, so the same program writes the same
//! bytes.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::chapter::Chapter;
use super::chapters::CHAPTERS;

/// A page and the name of its file.
pub struct ManualPage {
    /// `scanlab-run.1`.
    pub file: String,
    /// man(7) source.
    pub text: Vec<u8>,
}

/// The pages of `program`, with the main page first.
pub fn pages(program: &Command) -> io::Result<Vec<ManualPage>> {
    let mut program = program.clone().disable_help_subcommand(true);
    program.build();
    let commands = std::iter::once(&program).chain(program.get_subcommands());
    commands.filter_map(|command| Some(page(command, chapter(&program, command)?))).collect()
}

/// The chapter of a command.
fn chapter(program: &Command, command: &Command) -> Option<&'static Chapter> {
    let name = if command.get_name() == program.get_name() { "" } else { command.get_name() };
    CHAPTERS.iter().find(|chapter| chapter.command == name)
}

fn page(command: &Command, chapter: &Chapter) -> io::Result<ManualPage> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let page = Man::new(command.clone());
    let mut text = title(&name).into_bytes();
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    notes(command, &mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    ending(command, chapter).to_writer(&mut text)?;
    Ok(ManualPage { file: format!("{name}.1"), text })
}

/// man(7): "TH title section footer-middle footer-inside header-middle"; the middle of the footer is for a date.
fn title(name: &str) -> String {
    format!(".TH {name} 1 \"\" \"scanlab {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"))
}

/// The notes at the end of `-h`, without the exit status, which has a section of its own.
fn notes(command: &Command, out: &mut dyn Write) -> io::Result<()> {
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let notes = notes.split("Exit status:").next().unwrap_or_default().trim();
    let mut roff = Roff::new();
    for paragraph in notes.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        roff.control("PP", []);
        roff.text(paragraph.lines().map(|line| roman(format!("{line}\n"))).collect::<Vec<Inline>>());
    }
    roff.to_writer(out)
}

fn ending(command: &Command, chapter: &Chapter) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    chapter.statuses.iter().for_each(|(status, meaning)| entry(&mut roff, status, meaning));
    roff.control("SH", ["EXAMPLES"]);
    for example in chapter.examples {
        roff.control("PP", []);
        roff.text([roman(format!("{}:", example.purpose))]);
        // Printed verbatim, so that it can be pasted.
        roff.control("RS", ["4"]).control("nf", []);
        example.command.lines().for_each(|line| {
            roff.text([roman(line)]);
        });
        roff.control("fi", []).control("RE", []);
    }
    roff.control("SH", ["FILES"]);
    if chapter.files.is_empty() {
        roff.text([roman("Only the files in its arguments.")]);
    }
    chapter.files.iter().for_each(|(path, meaning)| entry(&mut roff, path, meaning));
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(see_also(command, chapter).join(", "))]);
    roff
}

fn entry(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}

/// The main page lists those of all commands, and each of them lists the main page.
fn see_also(command: &Command, chapter: &Chapter) -> Vec<String> {
    let own: Vec<String> = match chapter.command {
        "" => command.get_subcommands().map(|command| format!("scanlab-{}(1)", command.get_name())).collect(),
        _ => vec!["scanlab(1)".to_owned()],
    };
    own.into_iter().chain(chapter.see_also.iter().map(|page| (*page).to_owned())).collect()
}
