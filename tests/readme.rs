//! What the README shows is what happens: every command in it is run, and its output compared.
//!
//! Needs root and iptables, see `.ci/setup`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A line of its own that stands for any number of lines, none included.
const ELISION: &str = "...";

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fenced blocks of `language`.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("\n```\n").next().expect("the end of the block")).collect()
}

/// A command, and the lines that are shown below it.
struct Shown<'a> {
    command: &'a str,
    lines: Vec<&'a str>,
}

fn shown(block: &str) -> Vec<Shown<'_>> {
    let mut all: Vec<Shown> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => all.push(Shown { command, lines: Vec::new() }),
            None => all.last_mut().expect("a command comes first").lines.push(line),
        }
    }
    all
}

/// A session in one folder: `$ scanlab ...` and `$ echo $?`.
struct Session<'a> {
    folder: &'a Path,
    status: i32,
}

impl Session<'_> {
    fn run(&mut self, command: &str) -> String {
        if command == "echo $?" {
            return self.status.to_string();
        }
        let arguments = command.strip_prefix("scanlab ").unwrap_or_else(|| panic!("cannot run `{command}`"));
        let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
            .args(arguments.split(' '))
            .current_dir(self.folder)
            .env("COLUMNS", "100")
            .output()
            .expect("run scanlab");
        self.status = output.status.code().expect("an exit status");
        String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
    }
}

fn matches(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([ELISION, shown @ ..], _) => (0..=printed.len()).any(|skipped| matches(shown, &printed[skipped..])),
        ([first, shown @ ..], [line, printed @ ..]) => first == line && matches(shown, printed),
        (rest, printed) => rest.is_empty() && printed.is_empty(),
    }
}

#[test]
fn every_command_prints_what_is_shown() {
    let readme = text("README.md");
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["toml", "iptables"].into_iter().flat_map(|language| blocks(&readme, language)) {
        let name = file.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a first line with its name");
        fs::write(folder.path().join(name), format!("{file}\n")).expect("write the file");
    }
    let mut session = Session { folder: folder.path(), status: 0 };
    let blocks = blocks(&readme, "console");
    assert!(!blocks.is_empty());
    for Shown { command, lines } in blocks.into_iter().flat_map(shown) {
        let printed = session.run(command);
        // A table pads its last column.
        let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
        assert!(
            matches(&lines, &printed),
            "$ {command}\nshown:\n{}\nprinted:\n{}",
            lines.join("\n"),
            printed.join("\n")
        );
    }
}

#[test]
fn the_two_commands_are_those_of_ci_and_of_the_justfile() {
    let (readme, justfile) = (text("README.md"), text("justfile"));
    let commands = blocks(&readme, "sh");
    let [demo, ci] = commands[..] else { panic!("two commands: {commands:?}") };
    let (setup, demo) = demo.split_once(" && ").expect("the set-up comes first");
    let recipe = |name: &str| {
        let (_, body) = justfile.split_once(&format!("\n{name}")).expect("the recipe");
        body.lines().nth(1).expect("its command").trim().trim_end_matches(" {{ ARGS }}").to_owned()
    };
    assert_eq!([setup, demo, ci], [recipe("setup:"), recipe("demo *ARGS:"), recipe("ci:")]);
    assert!(text(".ci/run").lines().any(|line| line == setup));
}

#[test]
fn an_elision_stands_for_any_number_of_lines() {
    assert!(matches(&["a", ELISION, "c"], &["a", "c"]));
    assert!(matches(&[ELISION, "c"], &["a", "b", "c"]));
    assert!(!matches(&["a", ELISION, "c"], &["a", "b"]));
    assert!(!matches(&["a"], &["a", "b"]));
}
