//! An exercise for the terminal: the complaint, the rules and the measurements; after a guess, the explanation.

use std::fmt::Write;

use anstyle::Style;

use super::explained;
use super::lesson_text::hanging;
use crate::commands::run::ScenarioReport;
use crate::commands::teach::exercise::{ALL, Broken, Exercise};
use crate::intent::check::{Check, CheckFacts, Outcome};
use crate::text::escape::visible;

/// The list of all exercises, with their numbers.
pub fn exercise_menu(width: u16) -> String {
    let mut text = "Exercises: one mistake each. Which one?\n\n".to_owned();
    for (place, exercise) in ALL.iter().enumerate() {
        let first = format!("  {}  {:<16} {:<8} ", place + 1, exercise.name, exercise.technique);
        text.push_str(&hanging(&first, exercise.complaint, usize::from(width)));
    }
    text + "\nscanlab teach --exercise 1    a number, a name or a technique\n"
}

/// The question of an exercise.
pub fn exercise_question(
    number: usize,
    exercise: &Exercise,
    broken: &Broken,
    measured: &ScenarioReport,
    width: u16,
) -> String {
    let (bold, width) = (Style::new().bold(), usize::from(width));
    let mut text = format!("{bold}Exercise {number}: {}{bold:#}\n", exercise.name);
    text.push_str(&hanging("", exercise.complaint, width));
    text.push_str("\nThe rules, by line:\n\n");
    for (line, rule) in broken.ruleset.text.lines().enumerate().filter(|(_, line)| line.starts_with('-')) {
        text.push_str(&hanging(&format!("  {:>3}  ", line + 1), &visible(rule), width));
    }
    text.push_str("\nMeasured:\n\n");
    for check in measured.checks.iter().filter(|check| check.outcome == Outcome::Mismatched) {
        text.push_str(&symptom(check, width));
    }
    text.push_str(&lines(measured, width));
    text.push_str("\nWhat is wrong?\n\n");
    for (letter, choice) in ('a'..).zip(exercise.choices) {
        text.push_str(&hanging(&format!("  {letter})  "), choice, width));
    }
    text
}

fn symptom(check: &Check, width: usize) -> String {
    let mut text = format!("  {}\n", check.name());
    text.push_str(&hanging("    expected  ", &describe(&check.expected), width));
    let observed = check.observed.as_ref().map_or_else(|| "nothing: it did not run".to_owned(), describe);
    text + &hanging("    observed  ", &observed, width)
}

fn describe(found: &CheckFacts) -> String {
    let log = found.log.as_ref().map(|log| match log.is_empty() {
        true => "no line".to_owned(),
        false => log.iter().map(|prefix| format!("\"{}\"", visible(prefix))).collect::<Vec<_>>().join(", "),
    });
    let facts = [
        found.state.map(|state| state.to_string()),
        log,
        found.lines.map(|lines| format!("{lines} lines")),
        found.rate.map(|rate| format!("at {rate}")),
        found.accepted.map(|accepted| if accepted { "connected" } else { "not connected" }.to_owned()),
    ];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The first log line of the measured scans.
fn lines(measured: &ScenarioReport, width: usize) -> String {
    let first = measured.probes.iter().find_map(|(_, observation)| observation.log.first());
    let mut text = String::new();
    if let Some(record) = first {
        let _ = writeln!(text, "  in the log");
        text.push_str(&hanging("    ", &visible(record.line.trim_end()), width));
    }
    text
}

/// The explanation and the fix, both measured.
pub fn exercise_answer(exercise: &Exercise, broken: &Broken, measured: &ScenarioReport, width: u16) -> String {
    let letter = ('a'..).nth(exercise.right).unwrap_or_default();
    let mut text = hanging("", &format!("It is {letter}) {}", exercise.choices[exercise.right]), usize::from(width));
    text.push('\n');
    text.push_str(&explained::blocks(&measured.checks, width));
    text.push_str("\n  the change that broke the working ruleset\n");
    for line in broken.diff.lines() {
        let _ = writeln!(text, "       {}", visible(line));
    }
    text
}
