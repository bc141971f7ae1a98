//! The documentation of the command line: `--help`, whose examples are pasted and run; manual pages, which groff
//! formats without a warning; completions, which are queried in the shells themselves.
//!
//! Needs root, iptables, nmap, curl, groff, zsh and fish, see `.ci/setup tests`.

use crate::support::binary::share_the_machine;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const SCANLAB: &str = env!("CARGO_BIN_EXE_scanlab");

fn scanlab(arguments: &[&str]) -> String {
    let output = Command::new(SCANLAB).args(arguments).env_remove("COLUMNS").output().expect("run scanlab");
    assert!(output.status.success(), "scanlab {arguments:?}: {output:?}");
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Every command, as `--help` lists them; "" is scanlab itself.
fn commands() -> Vec<String> {
    let help = scanlab(&["-h"]);
    let (_, list) = help.split_once("Commands:\n").expect("the commands");
    let names = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().expect("a name").to_owned());
    std::iter::once(String::new()).chain(names.filter(|name| name != "help")).collect()
}

fn help(command: &str, option: &str) -> String {
    scanlab(&[command, option].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>())
}

/// The scripts of `--help`: the lines that are indented by four, from `Examples:` to `Exit status:`.
fn examples(help: &str) -> Vec<String> {
    let (_, rest) = help.split_once("\nExamples:\n").expect("examples");
    let (section, _) = rest.split_once("\n\n").expect("an end");
    let mut scripts: Vec<String> = Vec::new();
    for line in section.lines() {
        match line.strip_prefix("    ") {
            Some(line) => scripts.last_mut().expect("a purpose comes first").push_str(&format!("{line}\n")),
            None => scripts.push(String::new()),
        }
    }
    scripts
}

/// Runs a script as if pasted into a shell, with scanlab in the PATH, in a home of its own.
fn pasted(home: &Path, script: &str) -> Output {
    let folder = Path::new(SCANLAB).parent().expect("a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("PATH"));
    let mut shell = Command::new("bash");
    // Files for all users go to the home as well.
    let script = script.replace("/usr/local/", "usr/local/");
    shell.args(["-e", "-o", "pipefail", "-c", &script]).current_dir(home).env("HOME", home).env("PATH", path);
    shell.output().expect("run bash")
}

/// Makes the folder a repository.
const COMMIT: &str =
    "git init --quiet && git add ssh.v4 && git -c user.name=a -c user.email=a@example.org commit --quiet --message=a";

/// Examples that take long and are run elsewhere: where, and the command there.
const RUN_ELSEWHERE: [(&str, &str, &str); 2] = [
    ("scanlab selftest\n", ".ci/run", "/debug/scanlab\" selftest\n"),
    (
        "scanlab selftest --capture nflog --format json\n",
        "tests/kernel/alone/selftest.rs",
        r#"("nft", "nflog", "tap")"#,
    ),
];

fn is_run_elsewhere(script: &str) -> bool {
    let place = RUN_ELSEWHERE.iter().find(|(example, ..)| *example == script);
    place.is_some_and(|(_, file, words)| fs::read_to_string(file).expect("the file").contains(words))
}

#[test]
fn every_example_of_help_can_be_pasted() {
    let _machine = share_the_machine();
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test asks the real kernel and needs root (hint: see .ci/setup tests)"
    );
    let (home, mut done) = (tempfile::tempdir().expect("a folder"), BTreeSet::new());
    for command in commands() {
        let help = help(&command, "--help");
        let scripts = examples(&help);
        assert!((2..=4).contains(&scripts.len()), "{command}: {} examples", scripts.len());
        for script in scripts {
            if is_run_elsewhere(&script) || !done.insert(script.clone()) {
                continue;
            }
            if script.contains("--git ") {
                pasted(home.path(), COMMIT);
            }
            let output = pasted(home.path(), &script);
            // If two rulesets differ, the status is 1, as with diff(1).
            let status = i32::from(script.contains("scanlab diff ssh.v4 new.v4"));
            assert_eq!(output.status.code(), Some(status), "$ {script}{output:?}");
        }
    }
    // The files that the examples say they write.
    for file in [
        "out/README.md",
        "scanlab.xml",
        "scan.xml",
        "scan.html",
        "scan.sarif",
        "visit.pcapng",
        "run.1",
        ".local/share/man/man1/scanlab.1",
    ] {
        assert!(home.path().join(file).is_file(), "{file}");
    }
}

#[test]
fn help_has_a_short_and_a_long_form_and_tells_the_exit_status() {
    for command in commands() {
        let (short, long) = (help(&command, "-h"), help(&command, "--help"));
        for text in [&short, &long] {
            assert!(text.contains("\nExit status:\n  0"), "{command}: {text}");
        }
        assert!(!short.contains("\nExamples:\n") && long.contains("\nExamples:\n"), "{command}");
        let summary = short.lines().next().expect("a summary");
        assert!(command.is_empty() || summary.len() <= 80, "{command}: {summary}");
    }
    let scan = help("scan", "--help");
    let place = |heading: &str| scan.find(&format!("\n{heading}:\n")).unwrap_or_else(|| panic!("no {heading}"));
    for heading in ["What to scan", "How probes look", "The host", "The lab", "Report"] {
        place(heading);
    }
    assert!(place("The host") < scan.find("--mac").expect("--mac") && scan.find("--mac") < scan.find("\nThe lab:\n"));
}

#[test]
fn scanlab_alone_says_how_to_begin() {
    let output = Command::new(SCANLAB).output().expect("run scanlab");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    let start = text(&output.stderr);
    for command in start.lines().filter_map(|line| line.split_once("scanlab ")?.1.split("  ").next()) {
        let name = command.split(' ').next().expect("a name");
        assert!(name.starts_with("--") || name == "proves" || commands().contains(&name.to_owned()), "{command}");
    }
    assert!(start.contains("Try:  scanlab doctor"), "{start}");
}

/// All pages in a folder.
fn pages() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    scanlab(&["man", "-o", folder.path().to_str().expect("UTF-8")]);
    folder
}

/// The warnings of groff for a page, with all of them enabled.
fn warnings(page: &Path) -> String {
    let output = Command::new("groff").args(["-ww", "-z", "-man", "-Tutf8", "-Kutf8"]).arg(page).output();
    text(&output.expect("run groff").stderr)
}

#[test]
fn every_command_has_a_manual_page_that_groff_reads_without_a_warning() {
    let folder = pages();
    for command in commands() {
        let name = if command.is_empty() { "scanlab".to_owned() } else { format!("scanlab-{command}") };
        let page = folder.path().join(format!("{name}.1"));
        let source = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(warnings(&page), "", "{name}");
        for section in ["NAME", "SYNOPSIS", "\"EXIT STATUS\"", "EXAMPLES", "FILES", "\"SEE ALSO\""] {
            assert_eq!(source.matches(&format!("\n.SH {section}\n")).count(), 1, "{name}: {section}");
        }
        if !command.is_empty() {
            assert_eq!(scanlab(&["man", &command]), source);
        }
    }
    let unknown = Command::new(SCANLAB).args(["man", "nonsense"]).output().expect("run scanlab");
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn groff_reports_a_planted_fault_in_a_page() {
    let folder = pages();
    let page = folder.path().join("scanlab-run.1");
    let source = fs::read_to_string(&page).expect("the page");
    fs::write(&page, source.replacen(".SH EXAMPLES", ".SHH EXAMPLES", 1)).expect("write the page");
    assert!(warnings(&page).contains("SHH"), "{}", warnings(&page));
}

/// The completions of bash at the end of `words`, from the function that completes scanlab.
fn offered(words: &[&str]) -> Vec<String> {
    let script = r#"
        eval "$("$0" completions bash)"
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        [[ $(complete -p scanlab) =~ -F\ ([^ ]+) ]]
        "${BASH_REMATCH[1]}" scanlab "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    // Without --norc, completions of the user could be used; compopt works only within a real completion.
    bash.args(["--norc", "-c", &format!("compopt() {{ :; }}\n{script}"), SCANLAB]).args(words);
    let output = bash.output().expect("run bash");
    assert_eq!(text(&output.stderr), "", "{words:?}");
    text(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(offered(&["scanlab", "ru"]), ["run"]);
    assert_eq!(offered(&["scanlab", "run", "--min-c"]), ["--min-coverage"]);
    let formats = offered(&["scanlab", "run", "--format", ""]);
    assert!(
        ["table", "json", "junit"].iter().all(|format| formats.iter().any(|offered| offered == format)),
        "{formats:?}"
    );
    assert_eq!(offered(&["scanlab", "scan", "--iptables", "leg"]), ["legacy"]);
    assert_eq!(offered(&["scanlab", "completions", "f"]), ["fish"]);
    let all = offered(&["scanlab", ""]);
    assert!(commands().iter().all(|command| command.is_empty() || all.contains(command)), "{all:?}");
    assert!(offered(&["scanlab", "nonsense"]).is_empty());
}

/// Makes the shell parse the script, and report syntax errors.
fn is_read_by(shell: &str, option: &str, script: &str) -> bool {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), script).expect("write the script");
    let output = Command::new(shell).arg(option).arg(file.path()).output();
    output.unwrap_or_else(|error| panic!("{shell}: {error} (hint: see .ci/setup tests)")).status.success()
}

#[test]
fn zsh_and_fish_read_their_completions() {
    for (shell, option) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = scanlab(&["completions", shell]);
        assert!(script.contains("min-coverage") && is_read_by(shell, option, &script), "{shell}");
        let broken = format!("{script}\nif ( \"\n");
        assert!(!is_read_by(shell, option, &broken), "{shell} reads a script that is broken");
    }
}
