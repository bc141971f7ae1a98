//! The answers of `check` as text: the verdict on the first line, one paragraph for each problem, and the other answers
//! in short form.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::check_location::whereabouts;
use super::problems::{Mismatches, Problem, heads, problems};
use super::{Deployment, Report, flavours_block, set_sysctls};
use crate::commands::predeploy::{Assessment, Fact, PredeployQuestion, QuestionAnswer};
use crate::intent::check::Check;
use crate::intent::explanation::Patch;
use crate::net::Family;
use crate::text::count::counted;
use crate::text::escape::visible;
use crate::text::wrap::hanging;

/// The length of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Problems and unknown facts; the rest is counted.
    Problems,
    /// All facts.
    Everything,
}

/// The verdict and the answers, at most `width` columns wide but for longer words.
pub fn answers_text(report: &Report, width: u16, detail: Detail) -> String {
    let problems = problems(report);
    let mut text = verdict(report);
    let columns = usize::from(width);
    for (number, problem) in problems.iter().enumerate() {
        text.push('\n');
        text += &paragraph(report, number + 1, problem, columns, detail);
    }
    if !problems.is_empty() {
        text.push('\n');
    }
    let mut seen: Vec<&Fact> = Vec::new();
    for answer in report.answers.iter().flat_map(|answers| &answers.0) {
        text += &rest(answer, &problems, &mut seen, columns, detail);
    }
    text += &flavours_block(report, width);
    if detail == Detail::Problems {
        // With all details the table of the run has them.
        let is_safe = report.deployment() == Deployment::Safe;
        text += &if is_safe { String::new() } else { set_sysctls(&report.environment, width).replace("\n\n", "\n") };
        text += &left_out(report, &problems, is_safe);
    }
    text
}

/// The verdict, which is the first line.
fn verdict(report: &Report) -> String {
    let (color, text) = match report.deployment() {
        Deployment::Safe => (AnsiColor::Green, "SAFE TO DEPLOY".to_owned()),
        Deployment::FlavoursDiffer => (AnsiColor::Red, "DO NOT DEPLOY: nft and legacy differ".to_owned()),
        Deployment::Unknown { unknown } => {
            (AnsiColor::Yellow, format!("CANNOT TELL: {} could not be checked", counted(unknown, "thing")))
        }
        Deployment::Unsafe { reasons } => (AnsiColor::Red, format!("DO NOT DEPLOY: {}", counted(reasons, "reason"))),
    };
    let style = color.on_default().bold();
    format!("{style}{text}{style:#}\n")
}

/// One problem: its effects, its rules, and its fix.
fn paragraph(report: &Report, number: usize, problem: &Problem, width: usize, detail: Detail) -> String {
    let style = style(Assessment::Bad);
    let answer = problem.answer;
    let mut text = format!("{style}{number}. {} {}{style:#}\n", answer.asks, answer.answer);
    let mut say = |word: &str, words: &str| text += &labelled(word, words, width);
    let shown = if detail == Detail::Everything { usize::MAX } else { EFFECTS };
    problem.facts.iter().take(shown).for_each(|fact| say("", &fact.details.effect));
    if problem.facts.len() > shown {
        say("", &format!("and {} (-v shows them)", counted(problem.facts.len() - shown, "more effect")));
    }
    // The effects say the same in words.
    if problem.facts.is_empty() || detail == Detail::Everything {
        failed_checks(report, problem).iter().for_each(|words| say("", words));
    }
    problem.mismatches.iter().find_map(Mismatches::words).iter().for_each(|words| say("why", words));
    let (rules, intended) = (problem.rules(), problem.intended());
    rules.iter().for_each(|rule| say("rule", rule));
    intended.iter().for_each(|rule| say("intended", rule));
    if rules.is_empty() && intended.is_empty() {
        let (word, place) = place(report, problem);
        say(word, &place);
    }
    let mut others: Vec<String> = problem.mismatches.iter().filter_map(Mismatches::other_file).collect();
    others.dedup();
    others.iter().for_each(|file| say("", &format!("{file} has the same problem on the same line")));
    let patches = problem.patches();
    for patch in &patches {
        let file = patch.diff.lines().find_map(|line| line.strip_prefix("--- ")).filter(|_| patches.len() > 1);
        let file = file.map(|file| format!("{file}: ")).unwrap_or_default();
        text += &labelled("fix", &format!("{file}{} ({})", patch.words, patch.tried()), width);
        text += &changed_lines(patch);
    }
    if let Some(fix) = problem.suggested().filter(|_| patches.is_empty()) {
        text += &labelled("fix", &fix, width);
    }
    text
}

/// `6 of 147 checks failed (IPv4): connect at 22, 32232; 4 packets`; `None` if none failed.
fn failed_checks(report: &Report, problem: &Problem) -> Option<String> {
    let checks: Vec<&Check> = problem.mismatches.iter().flat_map(|one| one.checks.iter().copied()).collect();
    let all: usize = report.scenarios.iter().flatten().map(|scenario| scenario.checks.len()).sum();
    let mut families: Vec<&str> = checks.iter().filter_map(|check| check.family).map(Family::title).collect();
    families.sort_unstable();
    families.dedup();
    let families = if families.is_empty() { String::new() } else { format!(" ({})", families.join(" and ")) };
    let (packets, scans): (Vec<&Check>, Vec<&Check>) =
        checks.iter().copied().partition(|check| check.subject.packet().is_some());
    let packets = match packets.as_slice() {
        [] => None,
        [only] => Some(whereabouts(&[only])),
        some => Some(counted(some.len(), "packet")),
    };
    let scans = Some(whereabouts(&scans)).filter(|words| !words.is_empty());
    let which = scans.into_iter().chain(packets).collect::<Vec<_>>().join("; ");
    (!checks.is_empty()).then(|| format!("{} of {all} checks failed{families}: {which}", checks.len()))
}

/// The number of effects of one problem before the rest is counted.
const EFFECTS: usize = 3;

/// The place of a problem without a rule: the missing ruleset, or the entry of the sensor.
fn place(report: &Report, problem: &Problem) -> (&'static str, String) {
    if let Some(family) = problem.mismatches.iter().find_map(Mismatches::without_ruleset) {
        return ("rule", format!("none: no {} ruleset was given", family.title()));
    }
    let file = report.scenarios.iter().flatten().next().map_or("the sensor file", |scenario| &scenario.file);
    let line = problem.answer.line.map(|line| format!(":{line}")).unwrap_or_default();
    ("sensor", format!("{file}{line}"))
}

/// The changed lines of a patch, without their context.
fn changed_lines(patch: &Patch) -> String {
    let is_changed =
        |line: &&str| line.starts_with(['-', '+']) && !line.starts_with("--- ") && !line.starts_with("+++ ");
    patch.diff.lines().filter(is_changed).fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}{}", " ".repeat(INDENT), visible(line));
        text
    })
}

/// `   rule     rules.v4:7: -A INPUT ...`; without a word the text begins earlier.
fn labelled(word: &str, words: &str, width: usize) -> String {
    match word {
        "" => hanging("   ", 5, &visible(words), width),
        word => hanging(&format!("   {word:<8} "), INDENT, &visible(words), width),
    }
}

/// The column at which the text of a labelled line begins.
const INDENT: usize = 12;

/// An answer without its problems: its headline, its unknown facts, and on request its other facts.
fn rest<'a>(
    answer: &'a QuestionAnswer,
    problems: &[Problem],
    seen: &mut Vec<&'a Fact>,
    width: usize,
    detail: Detail,
) -> String {
    let is_shown = |fact: &&Fact| match fact.tone {
        Assessment::Bad => false,
        Assessment::Unknown => true,
        // Who may be locked out has to know, even if the rules do what they should.
        Assessment::Note if answer.question == PredeployQuestion::LockedOut => true,
        Assessment::Note | Assessment::Good => detail == Detail::Everything,
    };
    let shown: Vec<&Fact> = answer.facts.iter().filter(is_shown).collect();
    if answer.tone == Assessment::Bad && shown.is_empty() && (heads(problems, answer.question) || is_summary(answer)) {
        return String::new();
    }
    let is_repeated = answer.tone == Assessment::Unknown && shown.iter().all(|fact| seen.contains(fact));
    let mut text = headline(answer, problems, is_repeated, width, detail);
    for one in shown {
        if !seen.contains(&one) {
            text += &fact(one, width);
            seen.push(one);
        }
    }
    text
}

/// True for the question whose facts are those of the problems.
fn is_summary(answer: &QuestionAnswer) -> bool {
    answer.question == PredeployQuestion::Others
}

fn headline(answer: &QuestionAnswer, problems: &[Problem], is_repeated: bool, width: usize, detail: Detail) -> String {
    let style = style(answer.tone);
    let mut words = answer.answer.to_owned();
    if answer.question == PredeployQuestion::Attacker && detail == Detail::Problems {
        let is_headline = |fact: &&Fact| fact.tone == Assessment::Good && !fact.details.families.0.is_empty();
        let states: Vec<&str> = answer.facts.iter().filter(is_headline).map(|fact| fact.text.as_str()).collect();
        words = if states.is_empty() { "-v shows it".to_owned() } else { states.join("; ") };
    }
    let is_of = |problem: &Problem| match answer.question {
        PredeployQuestion::Others => !problem.mismatches.is_empty(),
        _ => problem.facts.iter().any(|fact| answer.facts.contains(fact)),
    };
    let numbers = (1..).zip(problems).filter(|(_, problem)| is_of(problem)).map(|(number, _): (usize, _)| number);
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    if answer.tone == Assessment::Bad && !numbers.is_empty() {
        words += &format!(" (see {})", numbers.join(", "));
    }
    if is_repeated {
        words += " (see above)";
    }
    let notes = if answer.question == PredeployQuestion::LockedOut { 0 } else { notes(answer) };
    if notes > 0 && detail == Detail::Problems {
        words += &format!(" ({})", counted(notes, "note"));
    }
    let wrapped = hanging(&format!("{} ", answer.asks), 2, &visible(&words), width);
    let (asks, words) = wrapped.split_at(answer.asks.len());
    let style_words = |line: &str| format!("{style}{line}{style:#}");
    let (first, more) = words.split_once('\n').unwrap_or((words, ""));
    format!("{asks} {}\n{more}", style_words(first.trim_start()))
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

/// The last line: what `-v` shows in addition.
fn left_out(report: &Report, problems: &[Problem], is_safe: bool) -> String {
    let of = |tone| report.answers.as_ref().map_or(0, |answers| answers.facts(tone).len());
    let answers = report.answers.iter().flat_map(|answers| &answers.0);
    let shown_notes = answers.filter(|one| one.question == PredeployQuestion::LockedOut).map(notes).sum();
    let sysctls = if is_safe { report.environment.set_sysctls.len() } else { 0 };
    let effects = problems.iter().map(|problem| problem.facts.len().saturating_sub(EFFECTS)).sum();
    let parts = [
        (effects, "more effect"),
        (of(Assessment::Note).saturating_sub(shown_notes), "note"),
        (of(Assessment::Good), "good result"),
        (sysctls, "changed sysctl"),
    ];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, what)| counted(number, what)).collect();
    match parts.is_empty() {
        true => "-v shows every check\n".to_owned(),
        false => format!("-v shows {} and every check\n", parts.join(", ")),
    }
}

fn notes(answer: &QuestionAnswer) -> usize {
    answer.facts.iter().filter(|fact| fact.tone == Assessment::Note).count()
}

fn style(tone: Assessment) -> Style {
    let color = match tone {
        Assessment::Bad => AnsiColor::Red,
        Assessment::Unknown | Assessment::Note => AnsiColor::Yellow,
        Assessment::Good => AnsiColor::Green,
    };
    color.on_default().bold()
}
