//! A report as one HTML page that opens from disk: the result of each port and technique, the path of every probe
//! through the rules, its bytes, and the reason for each check that is not as expected.
//!
//! The page loads nothing from the network, and its policy forbids it: style and script are allowed by their digests.
//! The HTML is complete without the script; the details that the script shows are embedded as JSON. The page contains
//! no times, so equal facts give equal pages.

mod answered;
mod cell_details;
mod embedded;
mod found;
mod lesson;
mod listed;
mod matrix;
mod mismatches;
mod other_checks;
mod rules;

use std::fmt::{self, Write};

use askama::Template;
use askama::filters::Escaper;

use self::cell_details::AllCellDetails;
use self::found::{Lint, UnexpectedResults};
pub use self::lesson::lesson_page;
use self::listed::FirstOf;
use self::matrix::Matrix;
use self::mismatches::Mismatches;
use self::other_checks::Others;
use self::rules::RulesetLines;
use super::{CheckCounts, Environment, FlavourDifference, Report, ReportedScenario};
use crate::commands::predeploy::{Assessment, QuestionAnswer};
use crate::intent::check::Outcome;
use crate::lab::{Backend, Capture};
use crate::text::ci_escape::inert_markup;
use crate::text::count::counted_as;
use crate::text::escape::is_terminal_control;

/// The report as a page.
pub fn page(report: &Report) -> String {
    let mut stories = AllCellDetails::new(report.environment.link);
    let parts = parts(report, &mut stories);
    let verdict = verdict(report);
    let page = Page {
        style: STYLE,
        script: SCRIPT,
        policy: policy(),
        title: format!("{}: {}", verdict.words, subject(report)),
        report,
        bar: report.summary.as_ref().map(bar).filter(|bar| shows(bar, &verdict)).unwrap_or_default(),
        verdict,
        parts,
        data: embedded::json(&stories.json()),
    };
    // A template writes to memory, and the methods that it calls do not fail.
    let html = page.render().unwrap_or_else(|error| unreachable!("the page does not render: {error}"));
    inert_markup(&html).into_owned()
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The digests of both, by which a Content Security Policy (level 3, section 2.3.1) allows them. A test compares them.
const STYLE_DIGEST: &str = "sha256-lLneChefijzmVhyfs/HGyF+Ugkt8zcjyhXJdhNzMBiI=";
const SCRIPT_DIGEST: &str = "sha256-qmKNTjx1fcZ+LiRfe2rFAoj5WX8MxpopY4scwLCsWso=";

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    policy: String,
    title: String,
    verdict: VerdictWords,
    report: &'a Report,
    bar: Vec<Slice>,
    parts: Vec<PagePart<'a>>,
    data: String,
}

/// A section of the page: a scenario or a scan.
struct PagePart<'a> {
    number: usize,
    scenario: Option<&'a ReportedScenario>,
    matrix: Matrix,
    mishaps: Mismatches<'a>,
    rulesets: Vec<RulesetLines<'a>>,
    others: Others,
}

fn parts<'a>(report: &'a Report, stories: &mut AllCellDetails) -> Vec<PagePart<'a>> {
    let Some(scenarios) = &report.scenarios else {
        let matrix = Matrix::of(&[], report.probes.iter(), stories, &[]);
        let (mishaps, others) = (Mismatches::default(), Others::default());
        return vec![PagePart { number: 1, scenario: None, matrix, mishaps, rulesets: vec![], others }];
    };
    let part = |(index, scenario): (usize, &'a ReportedScenario)| {
        let rulesets = rules::rulesets(scenario, report.findings.as_ref(), stories);
        let ways: Vec<_> = rulesets.iter().map(|ruleset| (ruleset.family, ruleset.number)).collect();
        let probes = report.probes.iter().filter(|probe| probe.scenario.as_deref() == Some(&scenario.file));
        PagePart {
            number: index + 1,
            scenario: Some(scenario),
            matrix: Matrix::of(&scenario.checks, probes, stories, &ways),
            mishaps: Mismatches::new(&scenario.checks),
            rulesets,
            others: Others::new(&scenario.checks),
        }
    };
    scenarios.iter().enumerate().map(part).collect()
}

/// The Content Security Policy of the page: its own style and script, and nothing else.
fn policy() -> String {
    format!(
        "default-src 'none'; style-src '{STYLE_DIGEST}'; script-src '{SCRIPT_DIGEST}'; img-src data:; base-uri 'none'; \
         form-action 'none'"
    )
}

/// The verdict in a few words, and its CSS class.
struct VerdictWords {
    look: &'static str,
    words: String,
}

fn verdict(report: &Report) -> VerdictWords {
    let flavours = report.flavours.as_ref().map_or(0, |flavours| flavours.differences.len());
    let of = |look, words: String| VerdictWords { look, words };
    match &report.summary {
        summary if !report.errors.is_empty() && summary.is_none_or(|summary| summary.mismatched == 0) => {
            of("not-run", counted_as(report.errors.len(), "error", "errors") + " kept scanlab from a verdict")
        }
        _ if flavours > 0 => {
            of("mismatched", counted_as(flavours, "difference of nft and legacy", "differences of nft and legacy"))
        }
        _ if report.answers.is_some() => {
            let (look, words) = answered::verdict(report);
            of(look, words)
        }
        None if report.hidden.is_some() => of("mismatched", "No neighbour finds the host over IPv6".to_owned()),
        None => of("scan", "What a scanner sees".to_owned()),
        Some(summary) if summary.mismatched > 0 => {
            of("mismatched", counted_as(summary.mismatched, "mismatch", "mismatches"))
        }
        Some(summary) if summary.not_run > 0 || summary.checks == 0 => {
            of("not-run", format!("Not run: {}", counted_as(summary.not_run, "check", "checks")))
        }
        Some(summary) if summary.known > 0 => of(
            "known",
            format!("As expected, except for {}", counted_as(summary.known, "known mismatch", "known mismatches")),
        ),
        Some(_) => of("matched", "As expected".to_owned()),
    }
}

fn subject(report: &Report) -> String {
    match report.scenarios.as_deref() {
        Some([scenario]) => scenario.name.clone(),
        Some(scenarios) => counted_as(scenarios.len(), "scenario", "scenarios"),
        None => "scanlab".to_owned(),
    }
}

/// A slice of the bar that shows the share of each outcome, in thousandths of its length.
struct Slice {
    outcome: Outcome,
    from: usize,
    length: usize,
}

fn bar(summary: &CheckCounts) -> Vec<Slice> {
    let CheckCounts { checks, matched, mismatched, known, not_run, .. } = *summary;
    let counts = [
        (Outcome::Mismatched, mismatched),
        (Outcome::NotRun, not_run),
        (Outcome::Known, known),
        (Outcome::Matched, matched),
    ];
    let mut sum = 0;
    let mut slices = Vec::new();
    for (outcome, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let from = sum * 1000 / checks.max(1);
        sum += count;
        slices.push(Slice { outcome, from, length: sum * 1000 / checks.max(1) - from });
    }
    slices
}

/// True if the worst slice has the colour of the verdict: a bar must not be green below a verdict that is red for
/// another reason.
fn shows(bar: &[Slice], verdict: &VerdictWords) -> bool {
    bar.first().is_some_and(|worst| worst.outcome.to_string() == verdict.look)
}

impl Page<'_> {
    fn notes(&self) -> Vec<String> {
        self.report.notes()
    }

    /// `131070 probes`: a record may be for many ports.
    fn probes(&self) -> String {
        counted_as(self.report.probes.iter().map(|probe| probe.ports().len().max(1)).sum(), "probe", "probes")
    }

    fn backend(&self) -> &'static str {
        match self.report.environment.backend {
            Backend::Nft => "nf_tables",
            Backend::Legacy => "x_tables (legacy)",
        }
    }

    fn capture(&self) -> &'static str {
        match self.report.environment.capture {
            Capture::Kmsg => "the kernel’s own, from /dev/kmsg",
            Capture::Nflog => "NFLOG, from a copy of the rules; the LOG target itself was not tested",
        }
    }

    fn link(&self) -> &'static str {
        if self.report.environment.link.has_macs() { "TAP: Ethernet frames" } else { "TUN: IP packets" }
    }

    fn environment(&self) -> &Environment {
        &self.report.environment
    }

    fn answers(&self) -> &[QuestionAnswer] {
        self.report.answers.as_ref().map_or(&[], |answers| &answers.0)
    }

    fn tone(&self, tone: &Assessment) -> &'static str {
        answered::look(*tone)
    }

    fn tone_word(&self, tone: &Assessment) -> &'static str {
        answered::word(*tone)
    }

    fn findings(&self) -> Option<UnexpectedResults<'_>> {
        self.report.findings.as_ref().map(UnexpectedResults::new)
    }

    fn lint(&self) -> Option<Lint<'_>> {
        self.report.lint.as_deref().map(Lint::new)
    }

    fn differences(&self) -> FirstOf<'_, FlavourDifference> {
        const DIFFERENCES: usize = 500;
        let all = self.report.flavours.as_ref().map_or(&[][..], |flavours| &flavours.differences);
        FirstOf::new(all, DIFFERENCES)
    }

    fn covered(&self) -> Option<String> {
        let percent = self.report.summary?.coverage?;
        Some(format!("{percent:.1} % of the rules exercised"))
    }
}

/// The escaper for every text in a page: markup characters become entities, and control characters are shown as
/// escapes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped;

impl Escaper for Escaped {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '<' => dest.write_str("&lt;"),
            '>' => dest.write_str("&gt;"),
            '&' => dest.write_str("&amp;"),
            '"' => dest.write_str("&quot;"),
            '\'' => dest.write_str("&#39;"),
            c if is_terminal_control(c) => write!(dest, "{}", c.escape_default()),
            c => dest.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests;
