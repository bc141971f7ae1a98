//! No Rust debug text is shown to users: `{:?}` occurs in tests, in internal keys, and for a text or a character in
//! quotes; nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

/// The file, and the permitted formats: a text or a character in quotes, unless a reason is given.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sensor/prefix.rs", &["{c:?}"]),
    ("report/message_template.rs", &["{prefix:?}"]),
    ("report/exec_text.rs", &["{prefix:?}"]),
    // Keys that group equal cases; they are not shown.
    ("report/verdicts/mod.rs", &["{} {:?} {}", "{:?} {}\\n{}"]),
    ("report/diff/words.rs", &["{:?}{limit}", "{prefix:?}"]),
    ("report/flavours.rs", &["\"{:?}\", record.prefix", "greeting {:?}"]),
    ("report/table.rs", &["\"{:?}\", line.prefix"]),
    ("lab/trace/legacy_trace/mod.rs", &["{prefix:?}"]),
    ("verdict/explain/patch/wording.rs", &["{prefix:?}"]),
    ("verdict/explain/words.rs", &["{prefix:?}", "{instead:?}", "{first:?}", "{whole:?}", "{found:?}", "{wanted:?}"]),
    ("commands/init/mod.rs", &["{prefix:?}"]),
    ("commands/predeploy/log_lines.rs", &["{prefix:?}"]),
    ("commands/predeploy/mac_masquerade.rs", &["{wanted:?}"]),
    ("intent/check.rs", &["{prefix:?}"]),
    ("verdict/compare/nflog.rs", &["{prefix:?}"]),
    ("rules/iptables_save/canonical.rs", &["{prefix:?}"]),
    ("text/escape.rs", &["\"{:?}\", text.as_ref()"]),
];

/// All files below `folder`.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The lines that are not tests: unit tests end a file.
fn program(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().take_while(|line| !line.contains("#[cfg(test)]") || line.starts_with(' ')).enumerate()
}

fn is_debug(line: &str) -> bool {
    line.contains(":?}") || line.contains(":#?}")
}

/// True if no `{:?}` is left in `line` without those that are allowed in `file`.
fn is_allowed(file: &Path, line: &str) -> bool {
    let allowed = ALLOWED.iter().filter(|(name, _)| file.ends_with(Path::new("src").join(name)));
    let rest = allowed.flat_map(|(_, texts)| texts.iter()).fold(line.to_owned(), |rest, text| rest.replace(text, ""));
    !is_debug(&rest)
}

#[test]
fn debug_text_is_in_tests_and_around_quoted_texts_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for file in files_below(&source).iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(file).expect("a source file");
        let is_test_only = file.ends_with("real_iptables_tests.rs");
        for (number, line) in program(&text).filter(|(_, line)| is_debug(line) && !is_test_only) {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && !is_allowed(file, line) {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "write the text in words, see `visible::listed`:\n{}", found.join("\n"));
}

#[test]
fn a_planted_debug_text_is_found() {
    let line = "            Some(stimulus) => Err(lost(format!(\"{stimulus:?} was not traced\"))),";
    assert!(is_debug(line) && !is_allowed(Path::new("src/lab/probing/sweep.rs"), line));
}
