//! JUnit's XML, as CI systems read it: a test suite for each scenario, a test case for each row of it, that is, for each
//! expectation.
//!
//! A mismatch is a failure, whose message names the failed cells; a check that did not run is an error; a mismatch that is
//! known is skipped, with the reason. The time of a suite is that of its scenario; rows share labs, so a case has a part of
//! it.

use std::io;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::Report;
use super::verdicts::{CaseRow, CheckWords, Suite, suites};
use crate::intent::check::Outcome;
use crate::text::ci_escape::inert_markup;
use crate::text::escape::{visible, visible_lines};

/// The report as JUnit's XML.
pub fn junit(report: &Report) -> String {
    let suites = suites(report);
    let suites: Vec<(&Suite, Vec<CaseRow>)> = suites.iter().map(|suite| (suite, suite.rows())).collect();
    let mut document = Document(Writer::new_with_indent(Vec::new(), b' ', 4));
    document.write(&suites).expect("writing to memory does not fail");
    let xml = String::from_utf8(document.0.into_inner()).expect("all text in it is UTF-8");
    inert_markup(&xml).into_owned()
}

struct Document(Writer<Vec<u8>>);

impl Document {
    fn write(&mut self, suites: &[(&Suite, Vec<CaseRow>)]) -> io::Result<()> {
        let rows = || suites.iter().flat_map(|(_, rows)| rows);
        self.0.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        // The schema of Jenkins (junit-10.xsd) has no `skipped` here.
        let tag = BytesStart::new("testsuites").with_attributes([
            ("name", "scanlab"),
            ("tests", rows().count().to_string().as_str()),
            ("failures", &count(rows(), Outcome::Mismatched)),
            ("errors", &count(rows(), Outcome::NotRun)),
            ("time", &seconds(suites.iter().map(|(suite, _)| suite.time).sum())),
        ]);
        self.element(tag, |document| suites.iter().try_for_each(|(suite, rows)| document.suite(suite, rows)))?;
        self.0.write_indent()
    }

    fn suite(&mut self, suite: &Suite, rows: &[CaseRow]) -> io::Result<()> {
        let mut tag = BytesStart::new("testsuite").with_attributes([
            ("name", visible(suite.name).as_str()),
            ("tests", &rows.len().to_string()),
            ("skipped", &count(rows, Outcome::Known)),
            ("errors", &count(rows, Outcome::NotRun)),
            ("failures", &count(rows, Outcome::Mismatched)),
            ("time", &seconds(suite.time)),
        ]);
        if !suite.file.is_empty() {
            tag.push_attribute(("file", visible(suite.file).as_str()));
        }
        if rows.is_empty() {
            return self.0.write_event(Event::Empty(tag));
        }
        self.element(tag, |document| rows.iter().try_for_each(|row| document.case(suite, row)))
    }

    fn case(&mut self, suite: &Suite, row: &CaseRow) -> io::Result<()> {
        let class = if suite.file.is_empty() { suite.name } else { suite.file };
        let tag = BytesStart::new("testcase").with_attributes([
            ("name", visible(&row.name).as_str()),
            ("classname", visible(class).as_str()),
            ("time", &seconds(row.time)),
        ]);
        match row.outcome() {
            Outcome::Matched => self.0.write_event(Event::Empty(tag)),
            Outcome::Known => self.element(tag, |document| document.skipped(row.cases[0])),
            Outcome::Mismatched => self.element(tag, |document| document.red("failure", row)),
            Outcome::NotRun => self.element(tag, |document| document.red("error", row)),
        }
    }

    fn skipped(&mut self, case: &CheckWords) -> io::Result<()> {
        let message = visible_lines(&format!("known: {}", case.why));
        let tag = BytesStart::new("skipped").with_attributes([("message", message.as_str())]);
        self.0.write_event(Event::Empty(tag))
    }

    fn red(&mut self, name: &str, row: &CaseRow) -> io::Result<()> {
        // XML makes a newline in an attribute a blank.
        let message = visible_lines(&row.message()).replace('\n', "; ");
        let details = visible_lines(&row.details());
        let tag = BytesStart::new(name)
            .with_attributes([("message", message.as_str()), ("type", &row.outcome().to_string())]);
        if details.is_empty() {
            return self.0.write_event(Event::Empty(tag));
        }
        self.element(tag, |document| document.0.write_event(Event::Text(BytesText::new(&details))))
    }

    fn element(&mut self, tag: BytesStart, content: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.0.write_event(Event::Start(tag.borrow()))?;
        content(self)?;
        self.0.write_event(Event::End(BytesEnd::from(tag.name())))
    }
}

fn count<'a>(rows: impl IntoIterator<Item = &'a CaseRow<'a, 'a>>, outcome: Outcome) -> String {
    rows.into_iter().filter(|row| row.outcome() == outcome).count().to_string()
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
