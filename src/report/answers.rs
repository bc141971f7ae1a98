//! The answers of `check` as text: each question with its answer, worst first, and the verdict on the last line.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Deployment, Report, explained};
use crate::commands::predeploy::{Assessment, Fact, QuestionAnswer};
use crate::text::escape::visible;
use crate::text::wrap::hanging;

/// The answers, at most `width` columns wide; answers without a problem are shown shorter.
pub fn answers_text(report: &Report, width: u16) -> String {
    let mut text = String::new();
    for answer in report.answers.iter().flat_map(|answers| &answers.0) {
        text += &one(answer, usize::from(width));
    }
    let blocks: String =
        report.scenarios.iter().flatten().map(|scenario| explained::blocks(&scenario.checks, width)).collect();
    if !blocks.is_empty() {
        let _ = writeln!(text, "Why, and what mends it\n{}", blocks.trim_end());
        text.push('\n');
    }
    text
}

/// The verdict, which is the last line.
pub fn deploy_verdict(report: &Report) -> String {
    let (color, text) = match report.deployment() {
        Deployment::Safe => (AnsiColor::Green, "SAFE TO DEPLOY".to_owned()),
        Deployment::FlavoursDiffer => (AnsiColor::Red, "DO NOT DEPLOY: nft and legacy do not do the same".to_owned()),
        Deployment::Unknown => (AnsiColor::Yellow, "CANNOT TELL: not everything could be checked".to_owned()),
        Deployment::Unsafe { reasons: 1 } => (AnsiColor::Red, "DO NOT DEPLOY: 1 reason".to_owned()),
        Deployment::Unsafe { reasons } => (AnsiColor::Red, format!("DO NOT DEPLOY: {reasons} reasons")),
    };
    let style = color.on_default().bold();
    format!("{style}{text}{style:#}\n")
}

fn one(answer: &QuestionAnswer, width: usize) -> String {
    let style = style(answer.tone);
    let mut text = format!("{} {style}{}{style:#}\n", answer.asks, answer.answer);
    answer.facts.iter().for_each(|one| text += &fact(one, width));
    text
}

fn fact(fact: &Fact, width: usize) -> String {
    const INDENT: usize = 7;
    let style = style(fact.tone);
    let word = match fact.tone {
        Assessment::Bad => "BAD",
        Assessment::Unknown => "?",
        Assessment::Note => "note",
        Assessment::Good => "ok",
    };
    let words = hanging(&" ".repeat(INDENT), INDENT, &visible(&fact.text), width);
    let mut text = format!(" {style}{word:<5}{style:#} {}", words.trim_start());
    fact.line.iter().for_each(|line| text += &hanging("         ", INDENT + 2, &visible(line), width));
    text
}

fn style(tone: Assessment) -> Style {
    let color = match tone {
        Assessment::Bad => AnsiColor::Red,
        Assessment::Unknown | Assessment::Note => AnsiColor::Yellow,
        Assessment::Good => AnsiColor::Green,
    };
    color.on_default().bold()
}
