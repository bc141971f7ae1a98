//! Annotations of a GitHub workflow: each mismatch at the line of the ruleset that causes it, or at the row that
//! expects it (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>). Checks with one
//! explanation share one annotation, since GitHub shows few of them.

use super::Report;
use super::verdicts::{CheckWords, Suite, is_a_file, messages, suites};
use crate::intent::check::Outcome;
use crate::text::ci_escape::inert;
use crate::text::escape::visible_lines;

/// The report as workflow commands; empty if everything is as expected.
pub fn github(report: &Report) -> String {
    suites(report).iter().flat_map(annotations).collect()
}

fn annotations(suite: &Suite) -> Vec<String> {
    suite.alike(CheckWords::is_red).iter().map(|cases| annotation(suite, cases)).collect()
}

fn annotation(suite: &Suite, cases: &[&CheckWords]) -> String {
    let first = cases[0];
    let place = match suite.origin(first) {
        (path, line) if is_a_file(path) => {
            format!("file={},line={},", property(&path.display().to_string()), line.unwrap_or(1))
        }
        // GitHub shows an annotation without a place with the job.
        _ => String::new(),
    };
    let kind = if first.outcome == Outcome::NotRun { "not run" } else { "mismatch" };
    let message = format!("{}\n{}", messages(cases), first.details());
    let title = property(&format!("{kind}: {}", suite.name));
    let command = format!("error {place}title={title}::{}", data(message.trim_end()));
    format!("::{}\n", inert(&command))
}

/// The message of a command, with its line breaks escaped.
pub fn data(text: &str) -> String {
    visible_lines(text).replace('%', "%25").replace('\n', "%0A")
}

/// A property of a command, with its separators escaped.
pub fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
