//! The files that were given to scanlab, and places in them.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::input_file::{self, FileRefusal, NamedBy};
use super::quoting::{is_quotable, without_words_of};
use super::{InputError, Result};

/// A text file that was given to scanlab: its name as the user wrote it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the user wrote it; `<built-in>/...` for a compiled-in file, `-` for standard input.
    pub name: PathBuf,
    /// The whole text.
    pub text: Arc<str>,
}

impl Source {
    /// The maximum size in bytes; no valid input is larger.
    pub const LIMIT: u64 = 8 << 20;

    /// Reads `path`, which the command line names. A missing file, a folder, a device, a file of the kernel, a file
    /// over [`Source::LIMIT`] and one that is not UTF-8 are input errors.
    pub fn read(path: &Path) -> Result<Source> {
        Source::read_named_by(NamedBy::CommandLine, path)
    }

    /// Reads a file that another file names. Refuses pipes and devices as well, since a pipe may never get a writer.
    pub fn read_regular(path: &Path) -> Result<Source> {
        Source::read_named_by(NamedBy::File, path)
    }

    fn read_named_by(named_by: NamedBy, path: &Path) -> Result<Source> {
        let file = input_file::open(path, named_by).map_err(|refusal| match refusal {
            FileRefusal::Kind(kind) => {
                InputError::new(format!("cannot read {}: it is {kind}", path.display()), "name a file")
            }
            FileRefusal::Os(error) => unreadable(path, &error),
        })?;
        Source::read_from(path, file)
    }

    /// Reads `file` to its end, under the name `name`; size and encoding errors are as in [`Self::read`].
    pub fn read_from(name: &Path, file: impl io::Read) -> Result<Source> {
        Ok(Source { name: name.to_owned(), text: read_text(name, file)?.into() })
    }

    /// The number (from 1) of the line with byte `offset`.
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    /// The bytes of line `number` (from 1), without its end; the last line if there are fewer.
    pub fn span_of_line(&self, number: usize) -> Range<usize> {
        let mut start = 0;
        for line in self.text.split_inclusive('\n').take(number.saturating_sub(1)) {
            start += line.len();
        }
        let start = start.min(self.text.trim_end().len());
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        start..start + line.trim_end().len()
    }

    /// An input error at `span`.
    ///
    /// Words of lines that may not be quoted are removed from it.
    pub fn error(&self, span: Range<usize>, problem: impl fmt::Display, hint: impl fmt::Display) -> InputError {
        let place = SourcePlace { source: self.clone(), span };
        let shown = |text: String| place.withheld_lines().fold(text, |text, line| without_words_of(line, text));
        let (problem, hint) = (shown(problem.to_string()), shown(hint.to_string()));
        InputError { place: Some(place), problem, hint: Some(hint).filter(|hint| !hint.is_empty()) }
    }
}

fn read_text(path: &Path, file: impl io::Read) -> std::result::Result<String, InputError> {
    use std::io::Read;
    let mut text = String::new();
    file.take(Source::LIMIT + 1).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    if text.len() as u64 > Source::LIMIT {
        return Err(InputError::new(
            format!(
                "{} is larger than {} MiB, the most that scanlab reads of a file",
                path.display(),
                Source::LIMIT >> 20
            ),
            "is it the right file? no option raises this limit",
        ));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> InputError {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "check the path; it is relative to the current folder",
        io::ErrorKind::PermissionDenied => "run as a user who may read it",
        io::ErrorKind::InvalidData => "save it as UTF-8 text",
        _ => "",
    };
    InputError::new(format!("cannot read {}: {error}", path.display()), hint)
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// The file.
    pub source: Source,
    /// Bytes of its text.
    pub span: Range<usize>,
}

impl SourcePlace {
    /// The lines of this place that no message may quote.
    pub(super) fn withheld_lines(&self) -> impl Iterator<Item = &str> {
        self.lines().filter(|line| !is_quotable(line))
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        let text = self.source.text.as_bytes();
        let (start, end) = (self.span.start.min(text.len()), self.span.end.min(text.len()));
        let first = text[..start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = end.max(first);
        let last = text[end..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| end + at);
        // Line ends are boundaries of characters.
        self.source.text[first..last].lines()
    }

    /// Line and column, from 1.
    pub(crate) fn line_and_column(&self) -> (usize, usize) {
        let line = self.source.line_of(self.span.start);
        let before = &self.source.text.as_bytes()[..self.span.start.min(self.source.text.len())];
        let column =
            before.iter().rev().take_while(|byte| **byte != b'\n').filter(|byte| **byte & 0xc0 != 0x80).count();
        (line, column + 1)
    }
}
