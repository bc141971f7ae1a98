//! Errors, in two classes that never share an exit status: the input is wrong ([`InputError`], 2) or the lab cannot
//! measure ([`CannotMeasure`], 3). A firewall that behaves wrongly is neither: it is a *mismatch*, which
//! [`verdict`](crate::verdict) finds.
//!
//! A variant holds facts; all messages are here.

mod cannot_measure;
mod input_file;
mod obstacle;
mod quoting;
mod source;

use std::fmt;
use std::io;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::text::escape::{quotable, visible, visible_lines};

use self::quoting::WITHHELD;

pub use cannot_measure::CannotMeasure;
pub use obstacle::UserNamespaceDenied;
pub use source::{Source, SourcePlace};

/// The result of a fallible function.
pub type Result<T> = std::result::Result<T, Error>;

/// The reason why a command ended without a verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's input is wrong: exit status 2.
    #[error(transparent)]
    Input(#[from] Box<InputError>),
    /// The lab cannot measure, or its instruments cannot be trusted: exit status 3.
    #[error(transparent)]
    CannotMeasure(#[from] CannotMeasure),
}

impl Error {
    /// The exit status for this error.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Input(_) => 2,
            Error::CannotMeasure(_) => 3,
        }
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Error::Input(Box::new(error))
    }
}

/// An input error: the problem, its place, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// Its place, if it is in a file.
    pub place: Option<SourcePlace>,
    /// The problem: lower case, no full stop.
    pub problem: String,
    /// The next step.
    pub hint: Option<String>,
}

impl InputError {
    /// An error of the command line or of a file as a whole.
    pub fn new(problem: impl fmt::Display, hint: impl fmt::Display) -> InputError {
        let hint = Some(hint.to_string()).filter(|hint| !hint.is_empty());
        InputError { place: None, problem: problem.to_string(), hint }
    }

    /// The error with its place: file, line, column, the line itself and a caret.
    pub fn render(&self, renderer: &Renderer) -> String {
        let problem = visible_lines(&self.problem);
        let title = Level::ERROR.primary_title(problem.as_str());
        let name = self.place.as_ref().map(|place| visible(&place.source.name.display().to_string()));
        let quoted = self.place.as_ref().map(|place| quotable(&place.source.text, &place.span));
        let withheld = self.place.as_ref().filter(|place| place.withheld_lines().next().is_some());
        let mut group = match (&quoted, withheld) {
            (Some(_), Some(place)) => {
                let (line, column) = place.line_and_column();
                let origin = Origin::path(name.unwrap_or_default()).line(line).char_column(column);
                title.element(origin).element(Level::NOTE.message(WITHHELD))
            }
            (Some((text, span)), None) => {
                let snippet = Snippet::source(text.as_str()).path(name);
                title.element(snippet.annotation(AnnotationKind::Primary.span(span.clone())))
            }
            (None, _) => Group::with_title(title),
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(visible_lines(hint)));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for InputError {}

/// Names the operation that failed: `file.read(..).context("read the kernel log")?`.
pub trait Context<T> {
    /// Turns an operating system error into [`CannotMeasure::System`].
    fn context(self, operation: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, operation: impl fmt::Display) -> Result<T> {
        self.map_err(|source| {
            Error::CannotMeasure(CannotMeasure::System { operation: operation.to_string(), source: source.into() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "sensor.toml".into(), text: text.into() }
    }

    #[test]
    fn an_input_error_shows_its_line_and_a_caret() {
        let error = source("[sensor]\nssh = 0\n").error(15..16, "port 0 is out of range", "ports are 1 to 65535");
        insta::assert_snapshot!(error, @r"
        error: port 0 is out of range
         --> sensor.toml:2:7
          |
        2 | ssh = 0
          |       ^
          |
          = help: ports are 1 to 65535
        ");
    }

    #[test]
    fn a_span_that_lies_outside_the_text_is_harmless() {
        for span in [0..100, 100..200, 1..2] {
            assert!(source("é").error(span, "x", "").to_string().contains("error: x"));
        }
    }

    #[test]
    fn control_characters_of_the_input_do_not_reach_the_terminal() {
        let text = "a\u{1b}[2Jb\u{9b}\u{202e}";
        let source = Source { name: "\u{9b}31m\u{1b}".into(), ..source(text) };
        let shown = source.error(0..1, "odd \u{1b}[31m", "say \u{7}\u{2066}").to_string();
        assert!(!shown.contains(|c| crate::text::escape::is_terminal_control(c) && c != '\n'), "{shown:?}");
    }

    #[test]
    fn lines_are_found_by_number() {
        let source = source("one\ntwo\r\nthree");
        let line = |number| &source.text[source.span_of_line(number)];
        assert_eq!([line(1), line(2), line(3), line(9)], ["one", "two", "three", ""]);
        assert_eq!(source.line_of(5), 2);
    }
}
