//! JUnit's XML, as CI systems read it: a test suite for each scenario, a test case for each check.
//!
//! A mismatch is a failure; a check that did not run is an error; a mismatch that is known is skipped, with the reason.
//! It contains no times, so equal runs give equal files.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::Report;
use super::verdicts::{CheckWords, Suite, suites};
use crate::intent::check::Outcome;
use crate::text::ci_escape::inert_markup;
use crate::text::escape::{visible, visible_lines};

/// The report as JUnit's XML.
pub fn junit(report: &Report) -> String {
    let mut document = Document(Writer::new_with_indent(Vec::new(), b' ', 4));
    document.write(&suites(report)).expect("writing to memory does not fail");
    let xml = String::from_utf8(document.0.into_inner()).expect("all text in it is UTF-8");
    inert_markup(&xml).into_owned()
}

struct Document(Writer<Vec<u8>>);

impl Document {
    fn write(&mut self, suites: &[Suite]) -> io::Result<()> {
        let count = |outcome| suites.iter().map(|suite| count(suite, outcome)).sum::<usize>().to_string();
        let tests = suites.iter().map(|suite| suite.cases.len()).sum::<usize>().to_string();
        self.0.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        // The schema of Jenkins (junit-10.xsd) has no `skipped` here.
        let tag = BytesStart::new("testsuites").with_attributes([
            ("name", "scanlab"),
            ("tests", &tests),
            ("failures", &count(Outcome::Mismatched)),
            ("errors", &count(Outcome::NotRun)),
        ]);
        self.element(tag, |document| suites.iter().try_for_each(|suite| document.suite(suite)))?;
        self.0.write_indent()
    }

    fn suite(&mut self, suite: &Suite) -> io::Result<()> {
        let count = |outcome| count(suite, outcome).to_string();
        let mut tag = BytesStart::new("testsuite").with_attributes([
            ("name", visible(suite.name).as_str()),
            ("tests", &suite.cases.len().to_string()),
            ("skipped", &count(Outcome::Known)),
            ("errors", &count(Outcome::NotRun)),
            ("failures", &count(Outcome::Mismatched)),
        ]);
        if !suite.file.is_empty() {
            tag.push_attribute(("file", visible(suite.file).as_str()));
        }
        if suite.cases.is_empty() {
            return self.0.write_event(Event::Empty(tag));
        }
        self.element(tag, |document| suite.cases.iter().try_for_each(|case| document.case(suite, case)))
    }

    fn case(&mut self, suite: &Suite, case: &CheckWords) -> io::Result<()> {
        let class = if suite.file.is_empty() { suite.name } else { suite.file };
        let attributes = [("name", visible(&case.name)), ("classname", visible(class))];
        let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
        let tag = BytesStart::new("testcase").with_attributes(attributes);
        match case.outcome {
            Outcome::Matched => self.0.write_event(Event::Empty(tag)),
            Outcome::Known => self.element(tag, |document| document.skipped(case)),
            Outcome::Mismatched => self.element(tag, |document| document.red("failure", case)),
            Outcome::NotRun => self.element(tag, |document| document.red("error", case)),
        }
    }

    fn skipped(&mut self, case: &CheckWords) -> io::Result<()> {
        let message = visible_lines(&format!("known: {}", case.why));
        let tag = BytesStart::new("skipped").with_attributes([("message", message.as_str())]);
        self.0.write_event(Event::Empty(tag))
    }

    fn red(&mut self, name: &str, case: &CheckWords) -> io::Result<()> {
        let (message, details) = (visible_lines(&case.message()), visible_lines(&case.details()));
        let tag =
            BytesStart::new(name).with_attributes([("message", message.as_str()), ("type", &case.outcome.to_string())]);
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

fn count(suite: &Suite, outcome: Outcome) -> usize {
    suite.cases.iter().filter(|case| case.outcome == outcome).count()
}
