//! The words of a rule, as parsed here and by the real `iptables-restore`. Random lines, of the characters that are
//! special to either: `PROPTEST_CASES=100000 cargo test --test kernel words` is a long run. Needs root, see `.ci/setup
//! tests`.

use crate::support::binary::share_the_machine;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};
use scanlab::error::Source;
use scanlab::rules::unsafe_options;
use scanlab::text::words::{Word, words};

const FLAVOURS: [&str; 2] = ["iptables-nft-restore", "iptables-legacy-restore"];

/// Runs `script` in a network and a mount namespace that end with it.
fn isolated(script: &str, input: &str) -> Output {
    let _machine = share_the_machine();
    let mut child = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    // A program that refuses a line does not read on.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn restored(program: &str, line: &str) -> Output {
    isolated(&format!("exec {program} --test"), &format!("*filter\n{line}\nCOMMIT\n"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks where the first word of `rest` ends: iptables parses it as a comment, and names the second one in an error.
fn check_pair(program: &str, rest: &str, found: &[Word]) -> Result<(), TestCaseError> {
    let output = restored(program, &format!("-A INPUT -m comment --comment {rest}"));
    let said = text(&output.stderr);
    match found {
        [] => prop_assert!(said.contains("option \"--comment\" requires an argument"), "{rest:?}: {said}"),
        [_] => prop_assert!(output.status.success(), "{rest:?}: {said}"),
        [_, second, ..] => {
            prop_assert!(said.contains(&format!("Bad argument `{}'", second.text)), "{rest:?}: {second:?}: {said}")
        }
    }
    Ok(())
}

/// Checks the text of `word` in `whole`: iptables-save prints it as a comment. An empty one is not printed.
fn check_text(program: &str, whole: &str, word: &Word) -> Result<(), TestCaseError> {
    let script = format!("{program} && {}", program.replace("restore", "save"));
    let rule = format!("-A INPUT -m comment --comment {} -j DROP", &whole[word.span.clone()]);
    let output = isolated(&script, &format!("*filter\n{rule}\nCOMMIT\n"));
    let saved = text(&output.stdout);
    let line = saved.lines().find(|line| line.starts_with("-A INPUT")).unwrap_or_default();
    let again = words(line);
    let comment = again.iter().skip_while(|word| word.text != "--comment").nth(1).map(|word| word.text.as_str());
    prop_assert!(!line.is_empty(), "{}: {}", rule, text(&output.stderr));
    prop_assert_eq!(comment.unwrap_or_default(), &word.text, "{}: {}{}", rule, saved, text(&output.stderr));
    Ok(())
}

/// Blanks, quotes, backslashes, characters that end a word in other parsers (a carriage return, a no-break space), and
/// letters.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" "),
        Just("\t"),
        Just("\""),
        Just("\""),
        Just("\\"),
        Just("'"),
        Just("["),
        Just("]"),
        Just(":"),
        Just("x"),
        Just("y z"),
        Just("\"\""),
        Just("é"),
        Just("\u{a0}"),
        Just("\r"),
        Just("\u{b}"),
        Just("\u{c}"),
        Just("#"),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// A few cases by default, because each of them starts programs.
fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    Config { cases, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_text_is_split_as_iptables_splits_it(whole in any_text()) {
        let found = words(&whole);
        // Refused before iptables sees it.
        prop_assume!(!found.iter().any(|word| word.is_open));
        for program in FLAVOURS {
            // iptables does not know the words before: each may be the first.
            for first in 0..found.len().max(1) {
                let start = found.get(first).map_or(0, |word| word.span.start);
                check_pair(program, &whole[start..], &words(&whole[start..]))?;
            }
            for word in &found {
                check_text(program, &whole, word)?;
            }
        }
    }
}

/// Pieces of lines that make iptables run a program, and of lines that only look like it.
fn any_line() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[0:0]"),
        Just("[0]"),
        Just("[x:"),
        Just("-A INPUT"),
        Just("--modprobe=@"),
        Just("--modp @"),
        Just("--mo=@"),
        Just("-M@"),
        Just("-M @"),
        Just("-4M@"),
        Just("-vM @"),
        Just("-i \"e\""),
        Just("-i"),
        Just("-m comment"),
        Just("--comment"),
        Just("\"x y\""),
        Just("\""),
        Just("\\"),
        Just("a:b]"),
        Just("-p tcp"),
        Just("-j DROP"),
    ];
    let glue = prop_oneof![3 => Just(" "), 1 => Just(""), 1 => Just("\"")];
    proptest::collection::vec((piece, glue), 1..7)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, glue)| format!("{piece}{glue}")).collect())
}

/// A program that creates a file when it runs. Its path has no character that is special to iptables.
fn marker(folder: &Path) -> (String, PathBuf) {
    let (program, mark) = (folder.join("program"), folder.join("mark"));
    fs::write(&program, format!("#!/bin/sh\n: > {}\n", mark.display())).expect("write the program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("make it a program");
    (program.display().to_string(), mark)
}

/// True if iptables-legacy runs a program for `line`: with an empty /proc, x_tables seems not to be loaded, and
/// iptables runs `--modprobe` (xtables_load_ko in libxtables/xtables.c).
fn runs_a_program(line: &str, mark: &Path) -> bool {
    let _ = fs::remove_file(mark);
    let script = "mount -t tmpfs none /proc && exec iptables-legacy-restore";
    isolated(script, &format!("*filter\n{line}\n-A INPUT -p tcp -m tcp --dport 1\nCOMMIT\n"));
    mark.exists()
}

#[test]
fn iptables_runs_a_program_for_the_lines_that_are_known_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, mark) = marker(folder.path());
    for line in ["-A INPUT --modprobe=@ -p tcp -m tcp --dport 1", "[0:0]--modprobe=@ -A INPUT -p tcp -m tcp --dport 1"]
    {
        assert!(runs_a_program(&line.replace('@', &program), &mark), "the witness is blind: {line}");
    }
    assert!(!runs_a_program("-A INPUT -j DROP", &mark));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_line_that_is_taken_makes_iptables_run_a_program(line in any_line()) {
        let folder = tempfile::tempdir().expect("a folder");
        let (program, mark) = marker(folder.path());
        let line = line.replace('@', &program);
        let source = Source { name: "rules".into(), text: format!("*filter\n{line}\nCOMMIT\n").into() };
        if unsafe_options::refuse(&source).is_ok() {
            prop_assert!(!runs_a_program(&line, &mark), "{}", line);
        }
    }
}
