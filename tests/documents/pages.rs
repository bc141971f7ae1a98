//! The README and the documents in `docs/` are true: every command in them is run, and its output compared. Every link
//! in them has a target.
//!
//! A `toml` or `iptables` block is a file, whose first line names it: `# sensor.toml`. It is written when a reader
//! would write it: before the commands below it, and in place of an older one of that name. A line of a `console` block
//! that begins with `$ ` is run by a shell, in a folder that belongs to the document. Blocks of other languages are
//! only parsed.
//!
//! Needs root and iptables, see `.ci/setup tests`.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::support::binary::{ended, have_the_machine_alone, share_the_machine, without_times};
use scanlab::net::Protocol;
use scanlab::probe::scan::Technique;

/// A line that matches any number of lines, including none.
const ELISION: &str = "...";

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The README, CONTRIBUTING, and all of `docs/`.
fn documents() -> Vec<PathBuf> {
    let entries = fs::read_dir("docs").expect("the documents").map(|entry| entry.expect("a document").path());
    let markdown = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut documents: Vec<PathBuf> = markdown.chain(["README.md", "CONTRIBUTING.md"].map(PathBuf::from)).collect();
    documents.sort();
    documents
}

/// A fenced block.
struct Block<'a> {
    language: &'a str,
    lines: Vec<&'a str>,
}

/// A document, divided into fenced blocks and prose.
struct Document<'a> {
    blocks: Vec<Block<'a>>,
    prose: Vec<&'a str>,
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Document<'a> {
        let mut document = Document { blocks: Vec::new(), prose: Vec::new() };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            match line.strip_prefix("```") {
                None => document.prose.push(line),
                Some(language) => {
                    let lines = lines.by_ref().take_while(|line| *line != "```").collect();
                    document.blocks.push(Block { language, lines });
                }
            }
        }
        document
    }

    fn of_language(&self, language: &str) -> Vec<String> {
        let blocks = self.blocks.iter().filter(|block| block.language == language);
        blocks.map(|block| block.lines.join("\n")).collect()
    }
}

/// A command, and the lines that are shown below it.
struct Shown<'a> {
    command: &'a str,
    lines: Vec<&'a str>,
}

fn shown<'a>(block: &Block<'a>) -> Vec<Shown<'a>> {
    let mut all: Vec<Shown> = Vec::new();
    for line in &block.lines {
        match line.strip_prefix("$ ") {
            Some(command) => all.push(Shown { command, lines: Vec::new() }),
            None => all.last_mut().expect("a command comes first").lines.push(line),
        }
    }
    all
}

/// A session of a shell in one folder.
struct Session<'a> {
    folder: &'a Path,
    status: i32,
}

impl Session<'_> {
    /// The output of the command: standard output, then standard error.
    fn run(&mut self, command: &str) -> String {
        // A self-test fills the conntrack table: beside other labs it takes minutes, alone it takes seconds.
        let _machine = match command.contains("selftest") {
            true => have_the_machine_alone(),
            false => share_the_machine(),
        };
        let output = Command::new("sh")
            .args(["-c", &format!("(exit {}); {command}", self.status)])
            .current_dir(self.folder)
            .env("PATH", path_with_scanlab())
            .env("COLUMNS", "100")
            .output()
            .expect("run a shell");
        let ended = ended(output);
        self.status = ended.status.expect("an exit status");
        ended.stdout + &ended.stderr
    }
}

fn path_with_scanlab() -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_scanlab")).parent().expect("its folder").display();
    format!("{folder}:{}", env::var("PATH").expect("a path"))
}

fn matches<S: AsRef<str>>(shown: &[S], printed: &[S]) -> bool {
    match (shown, printed) {
        ([first, shown @ ..], _) if first.as_ref() == ELISION => {
            (0..=printed.len()).any(|skipped| matches(shown, &printed[skipped..]))
        }
        ([first, shown @ ..], [line, printed @ ..]) => first.as_ref() == line.as_ref() && matches(shown, printed),
        (rest, printed) => rest.is_empty() && printed.is_empty(),
    }
}

/// The differences between a document and the real output; empty if there are none.
fn untrue(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut session = Session { folder: folder.path(), status: 0 };
    let mut wrong = String::new();
    for block in Document::read(text).blocks {
        match block.language {
            "toml" | "iptables" => write_file(&block, folder.path()),
            "console" => shown(&block).iter().for_each(|shown| compare(shown, &mut session, &mut wrong)),
            _ => {}
        }
    }
    wrong
}

fn write_file(block: &Block<'_>, folder: &Path) {
    let name = block.lines.first().and_then(|line| line.strip_prefix("# ")).expect("a first line with its name");
    fs::write(folder.join(name), format!("{}\n", block.lines.join("\n"))).expect("write the file");
}

fn compare(Shown { command, lines }: &Shown<'_>, session: &mut Session<'_>, wrong: &mut String) {
    let (shown, printed) = (lines.join("\n"), session.run(command));
    // A table pads its last column.
    let lines = |text: &str| without_times(text).lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    if !matches(&lines(&shown), &lines(&printed)) {
        writeln!(wrong, "$ {command}\nshown:\n{shown}\nprinted:\n{printed}").expect("write to a text");
    }
}

/// Each document is a session of its own, and they run in parallel.
#[test]
fn every_command_prints_what_is_shown() {
    let documents = documents();
    let wrong: Vec<String> = thread::scope(|scope| {
        let told = |path: &PathBuf| (path.display().to_string(), untrue(&text(&path.display().to_string())));
        let running: Vec<_> = documents.iter().map(|path| scope.spawn(move || told(path))).collect();
        let told = running.into_iter().map(|document| document.join().expect("a document that can be run"));
        told.filter(|(_, wrong)| !wrong.is_empty()).map(|(path, wrong)| format!("{path}\n{wrong}")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_two_commands_are_those_of_ci_and_of_the_justfile() {
    let (readme, justfile) = (text("README.md"), text("justfile"));
    let commands = Document::read(&readme).of_language("sh");
    let [demo, ci] = &commands[..] else { panic!("two commands: {commands:?}") };
    let (setup, demo) = demo.split_once(" && ").expect("the set-up comes first");
    let recipe = |name: &str| {
        let (_, body) = justfile.split_once(&format!("\n{name}")).expect("the recipe");
        body.lines().nth(1).expect("its command").trim().trim_end_matches(" {{ ARGS }}").to_owned()
    };
    assert_eq!([setup, demo, ci], [recipe("setup *ARGS:"), recipe("demo *ARGS:"), recipe("ci:")]);
    assert!(text(".ci/run").lines().any(|line| line == format!("{setup} tests")));
}

#[test]
fn paths_and_recipes_of_contributing_exist() {
    let page = text("CONTRIBUTING.md");
    assert_eq!(missing_paths(&page), Vec::<&str>::new());
    assert_eq!(missing_recipes(&page), Vec::<&str>::new());
}

#[test]
fn paths_and_recipes_that_do_not_exist_are_found() {
    assert_eq!(missing_paths("`src/lib.rs`, `src/no_such.rs`, `--scan`"), ["src/no_such.rs"]);
    assert_eq!(missing_recipes("```sh\njust ci\njust no-such ARGS\n```\n"), ["no-such"]);
}

/// The paths between backticks that do not exist. A path begins with a folder of the project.
fn missing_paths(page: &str) -> Vec<&str> {
    let folders = ["src/", "tests/", "docs/", "fuzz/"];
    let quoted = page.split('`').skip(1).step_by(2).filter(|quoted| !quoted.contains([' ', '\n']));
    let paths = quoted.filter(|quoted| folders.iter().any(|folder| quoted.starts_with(folder)));
    paths.filter(|path| !Path::new(path).exists()).collect()
}

/// The words after `just` at the beginning of a line that name no recipe.
fn missing_recipes(page: &str) -> Vec<&str> {
    let justfile = text("justfile");
    let recipes: Vec<&str> = justfile.lines().filter_map(|line| line.split([' ', ':']).next()).collect();
    let called = page.lines().filter_map(|line| line.strip_prefix("just ")?.split(' ').next());
    called.filter(|name| !recipes.contains(name)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let dead: Vec<String> = documents().iter().flat_map(|document| dead_links(document)).collect();
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

fn dead_links(document: &Path) -> Vec<String> {
    let text = text(&document.display().to_string());
    let local = links(&Document::read(&text)).into_iter().filter(|target| !target.contains("://"));
    let dead = local.filter(|target| !leads_somewhere(document, target));
    dead.map(|target| format!("{}: {target}", document.display())).collect()
}

/// The targets of `[text](target)`.
fn links(document: &Document<'_>) -> Vec<String> {
    let prose = document.prose.join("\n");
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

fn leads_somewhere(document: &Path, target: &str) -> bool {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = document.parent().expect("a folder");
    let path = if path.is_empty() { document.to_owned() } else { folder.join(path) };
    let has = |anchor: &str| {
        let text = text(&path.display().to_string());
        Document::read(&text).prose.iter().any(|line| anchor_of(line).as_deref() == Some(anchor))
    };
    path.exists() && anchor.is_none_or(has)
}

/// The anchor of a heading, as GitHub makes it: small letters, blanks as dashes, no punctuation.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.starts_with('#').then(|| line.trim_start_matches('#').trim())?;
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase())
}

/// The keys that the reader of a table accepts, from its error for an unknown key.
fn keys_known_behind(scenario: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("scenario.toml"), format!("{scenario}\nunknown = 1\n")).expect("write the file");
    let said = Session { folder: folder.path(), status: 0 }.run("scanlab run scenario.toml");
    let (_, keys) = said.split_once("known here: ").unwrap_or_else(|| panic!("{said}"));
    keys.trim().split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_of_a_scenario_is_documented() {
    let document = text("docs/writing-scenarios.md");
    let tables = [
        "[sensor]\nssh = 22",
        "[ruleset]\nv4 = \"scenario.toml\"",
        "[sensor]\nssh = 22\n[host]",
        "[sensor]\nssh = 22\n[[expect]]\nscan = \"arp\"\nverdict = \"drop\"",
        "[sensor]\nssh = 22\n[[known]]\nscan = \"arp\"\nbecause = \"b\"",
    ];
    let known: Vec<String> =
        tables.into_iter().flat_map(|table| keys_known_behind(&format!("title = \"t\"\n{table}"))).collect();
    assert!(known.len() > 25, "{known:?}");
    let missing: Vec<&String> = known.iter().filter(|key| !document.contains(&format!("\n| `{key}` |"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_flags_that_are_drawn_are_those_that_are_sent() {
    let document = text("docs/scan-types.md");
    let drawings = Document::read(&document).of_language("text");
    for profile in
        Technique::ALL.map(Technique::profile).into_iter().filter(|profile| profile.protocol == Protocol::Tcp)
    {
        let bits = (0..8).rev().map(|bit| if profile.flags >> bit & 1 == 1 { "1" } else { "." });
        let drawn = format!("{:<12}{}    0x{:02x}", profile.name, bits.collect::<Vec<_>>().join("    "), profile.flags);
        assert!(drawings.iter().any(|drawing| drawing.lines().any(|line| line == drawn)), "{drawn}");
    }
}

#[test]
fn an_elision_stands_for_any_number_of_lines() {
    assert!(matches(&["a", ELISION, "c"], &["a", "c"]));
    assert!(matches(&[ELISION, "c"], &["a", "b", "c"]));
    assert!(!matches(&["a", ELISION, "c"], &["a", "b"]));
    assert!(!matches(&["a"], &["a", "b"]));
}

/// Planted faults: a wrong line, a missing line, a wrong exit status, a file that a later block replaces.
#[test]
fn a_document_that_differs_from_the_output_is_reported() {
    let vendor = "$ scanlab vendor 00:0c:29:4f:8e:35\n";
    let line = "00:0c:29:4f:8e:35  nmap: VMware  IEEE: VMware, Inc. (MA-L 00:0c:29)  [VMware virtual NIC]\n";
    let document = |lines: &str| format!("```console\n{lines}```\n");
    assert_eq!(untrue(&document(&[vendor, line, "$ echo $?\n0\n"].concat())), "");
    let file = "```toml\n# a.toml\n```\n```console\n$ cat a.toml\n# a.toml\n```\n```toml\n# a.toml\nb = 1\n```\n";
    assert_eq!(untrue(&format!("{file}{}", document("$ tail -1 a.toml\nb = 1\n"))), "");
    let wrong = ["", "00:0c:29:4f:8e:35  nmap: Raspberry\n"].map(|lines| [vendor, lines].concat());
    for lines in wrong.into_iter().chain(["$ false\n$ echo $?\n0\n".to_owned(), "$ no-such-command\n".to_owned()]) {
        assert!(untrue(&document(&lines)).starts_with("$ "), "{lines}");
    }
}

#[test]
fn a_dead_link_is_told() {
    let document = Path::new("README.md");
    for target in ["LICENSE-MIT", "docs", "README.md#licence", "#install"] {
        assert!(leads_somewhere(document, target), "{target}");
    }
    for target in ["LICENSE-GPL", "docs/no-such.md", "#no-such-heading", "README.md#Licence"] {
        assert!(!leads_somewhere(document, target), "{target}");
    }
    let text = "[a](b) and [c](d#e)\n```\n[f](g)\n```\n";
    assert_eq!(links(&Document::read(text)), ["b", "d#e"]);
}
