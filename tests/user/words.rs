//! Words that no text for users has: they are read as translated, or have a plainer synonym.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::debug_text::files_below;

/// A word as a regular expression, and what to write in its place. Add a line to refuse another one.
const REFUSED: [(&str, &str); 33] = [
    (r"\bwhence\b", "where ... from"),
    (r"\bwhither\b", "where ... to"),
    (r"\bwhom\b", "which, or the plain noun"),
    (r"\bmend(s|ed|ing)?\b", "fix"),
    (r"\bnobody's\b", "of no one"),
    (r"\b(is|are|was|were) told\b", "gets, reads, is reported"),
    (r"\btells? (that|how|what|which|why|whether|apart)\b", "shows, reports, distinguishes"),
    (r"\btakes the (probe|packet|SYN|ACK)s?\b", "matches, drops"),
    (r"\bbehind (line|rule|an? ACCEPT|the (ACCEPT|DROP|LOG|rule))\b", "after"),
    (r"\bin front of\b", "before"),
    (r"\b(rule|row|line|it|which|what|that) stands?\b", "is"),
    (r"\bstands (in|behind|before|for)\b", "is in, comes after, comes before, means"),
    (r"\banew\b", "again"),
    (r"\bfor want of\b", "because there is no"),
    (r"\bas often as you like\b", "repeatable"),
    (r"\bwhen all is well\b", "if everything passed"),
    (r"\bweather\b", "conditions"),
    (r"\bspeaks? of\b", "is about, names"),
    (r"\b(make|made|makes) of (it|the|each|its|them)\b", "the result of, how ... treats"),
    (r"\bwhat (came|comes|became|becomes) of\b", "the result of"),
    (r"\bin the place of\b", "in place of"),
    (r"\bwithout a word\b", "silently"),
    (r"\bsays? (Raspberry|open|closed|filtered)\b", "means"),
    (r"\b(hangs?|hung) up\b|\bhang-up\b", "closes the connection"),
    (r"\bthrown away\b", "dropped, discarded"),
    (r"\bcame in by\b", "arrived on"),
    (r"\bnobody\b", "no one, or name the subject"),
    (r"\bsomebody\b", "someone, or name the subject"),
    (r"\bone's own\b", "user-defined, your own"),
    (r"\bdealt with\b", "handled, treated"),
    (r"\blikewise\b", "too, the same"),
    (r"\bdo(es)? not do (alike|the same)\b", "differ"),
    (r"` is no [a-z]", "is not a"),
];

/// The refused words of a text, each with the number of its line.
fn refused(text: &str) -> Vec<String> {
    let patterns = REFUSED.map(|(word, instead)| (Regex::new(&format!("(?i){word}")).expect("a pattern"), instead));
    let of_line = |(number, line): (usize, &str)| {
        let found = patterns.iter().filter_map(|(word, instead)| Some((word.find(line)?.as_str(), instead)));
        found.map(|(word, instead)| format!("{number}: `{word}`: {instead}")).collect::<Vec<_>>()
    };
    (1..).zip(text.lines()).flat_map(of_line).collect()
}

/// The text with everything but string literals and documentation of options left out, line by line.
fn strings(text: &str) -> String {
    let literal = Regex::new(r#""(?:[^"\\]|\\.)*""#).expect("a pattern");
    let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let of_line = |line: &str| match line.trim_start().starts_with("//") {
        true => String::new(),
        false => literal.find_iter(line).map(|found| found.as_str()).collect::<Vec<_>>().join(" "),
    };
    program.lines().map(of_line).collect::<Vec<_>>().join("\n")
}

#[test]
fn refused_words_of_a_text_are_found() {
    assert_eq!(refused("a rule\nWhom it mends"), ["2: `Whom`: which, or the plain noun", "2: `mends`: fix"]);
    assert_eq!(refused("what tells that from this, behind line 5").len(), 2);
    assert_eq!(refused("`x` is no port: nobody knows what became of it, or what to make of it").len(), 4);
    assert_eq!(refused("one in the place of that, thrown away without a word").len(), 3);
    assert_eq!(refused("the host behind a router; a recommendation; understands"), [""; 0]);
}

#[test]
fn documents_and_messages_have_no_refused_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &str, extension: &'static str| {
        files_below(&root.join(folder))
            .into_iter()
            .filter(move |path| path.extension().is_some_and(|own| own == extension))
    };
    let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name));
    let documents: Vec<PathBuf> = pages.into_iter().chain(files("docs", "md")).collect();
    let mut program: Vec<PathBuf> = files("src", "rs").collect();
    program.retain(|path| !path.ends_with("tests.rs") && !path.to_string_lossy().contains("/tests/"));
    assert!(documents.len() > 8 && program.len() > 300, "{} and {}", documents.len(), program.len());
    let read = |path: &PathBuf| fs::read_to_string(path).expect("UTF-8");
    let texts = documents.iter().map(|path| (path, read(path)));
    let texts = texts.chain(program.iter().map(|path| (path, strings(&read(path)))));
    let found: Vec<String> = texts
        .flat_map(|(path, text)| {
            refused(&text).into_iter().map(|found| format!("{}:{found}", path.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
