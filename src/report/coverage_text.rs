//! Coverage for people: how many rules of each ruleset were exercised, and which were not.

use std::fmt::Write;

use crate::rules::coverage::{Coverage, RuleHits};
use crate::text::escape::visible;

/// One line for each ruleset, and one for each of its rules that no packet matched; lines are cut at `width` columns.
pub fn block(coverage: &[Coverage], width: u16) -> String {
    let mut text = String::new();
    for one in coverage {
        let _ = writeln!(text, "  coverage  {}: {}", visible(&one.file.display().to_string()), in_words(one));
        for rule in one.unexercised() {
            let _ = writeln!(text, "{}", cut(&not_exercised(rule), width));
        }
    }
    text
}

fn in_words(coverage: &Coverage) -> String {
    match (coverage.exercised(), coverage.rules.len()) {
        (_, 0) => "there are no rules".to_owned(),
        (exercised, all) if exercised == all => format!("all {all} rules exercised"),
        (exercised, all) => format!("{exercised} of {all} rules exercised; not exercised:"),
    }
}

fn not_exercised(rule: &RuleHits) -> String {
    visible(&format!("            line {}: {}", rule.line, rule.text))
}

fn cut(line: &str, width: u16) -> String {
    let width = usize::from(width);
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(3)).chain("...".chars()).collect()
}
