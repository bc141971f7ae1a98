//! JUnit's XML, as CI systems read it: a test suite for each scenario, a test case for each check.
//!
//! A mismatch is a failure; a check that did not run is an error; a mismatch that is known is skipped, with the reason.
//! Nothing in it depends on the time, so that equal runs give equal files.

use quick_junit::{NonSuccessKind, Report as Suites, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use super::verdicts::{Case, Suite, suites};
use crate::check::Outcome;
use crate::inert::inert_markup;
use crate::visible::{visible, visible_lines};

/// The report as JUnit's XML.
pub fn junit(report: &Report) -> String {
    let mut all = Suites::new("scanlab");
    all.add_test_suites(suites(report).iter().map(suite));
    let xml = without_skipped_of_all(all.to_string().expect("what is written to memory is written"));
    inert_markup(&xml).into_owned()
}

/// The schema that Jenkins reads by (junit-10.xsd) knows `skipped` of a suite, and not of all suites together.
fn without_skipped_of_all(xml: String) -> String {
    let attribute = |(before, rest): (&str, &str)| {
        let (_, after) = rest.split_once('"')?;
        Some(format!("{before}{after}"))
    };
    // The first in the text: the name of all suites has no such text in it.
    xml.split_once(" skipped=\"").and_then(attribute).unwrap_or(xml)
}

fn suite(of: &Suite) -> TestSuite {
    let mut suite = TestSuite::new(visible(of.name));
    if !of.file.is_empty() {
        suite.extra.insert("file".into(), visible(of.file).into());
    }
    suite.add_test_cases(of.cases.iter().map(|one| case(of, one)));
    suite
}

fn case(suite: &Suite, of: &Case) -> TestCase {
    let status = match of.outcome {
        Outcome::Matched => TestCaseStatus::success(),
        Outcome::Known => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(visible_lines(&format!("known: {}", of.why)));
            status
        }
        Outcome::Mismatched => red(of, NonSuccessKind::Failure),
        Outcome::NotRun => red(of, NonSuccessKind::Error),
    };
    let mut case = TestCase::new(visible(&of.name), status);
    case.set_classname(visible(if suite.file.is_empty() { suite.name } else { suite.file }));
    case
}

fn red(of: &Case, kind: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(of.outcome.to_string());
    status.set_message(visible_lines(&of.message()));
    let details = of.details();
    if !details.is_empty() {
        status.set_description(visible_lines(&details));
    }
    status
}
