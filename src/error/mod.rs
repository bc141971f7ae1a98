//! Errors, in two classes that never share an exit status: the input is wrong ([`InputError`], 2) or the lab cannot
//! measure ([`CannotMeasure`], 3). A firewall that behaves wrongly is neither: it is a *mismatch*, which
//! [`verdict`](crate::verdict) finds.
//!
//! A variant holds facts; all messages are here.

mod input_file;
mod obstacle;
mod quoting;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use nix::errno::Errno;

use crate::net::Family;
use crate::text::escape::{quotable, visible, visible_lines};

use self::input_file::{FileRefusal, NamedBy};
use self::quoting::{WITHHELD, is_quotable, without_words_of};

pub use obstacle::UserNamespaceDenied;

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
        io::ErrorKind::NotFound => "check the path; it is taken from the folder you are in",
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
    fn withheld_lines(&self) -> impl Iterator<Item = &str> {
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
    fn line_and_column(&self) -> (usize, usize) {
        let line = self.source.line_of(self.span.start);
        let before = &self.source.text.as_bytes()[..self.span.start.min(self.source.text.len())];
        let column =
            before.iter().rev().take_while(|byte| **byte != b'\n').filter(|byte| **byte & 0xc0 != 0x80).count();
        (line, column + 1)
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

/// The lab cannot measure here, or its measurements cannot be trusted. Never a verdict on a ruleset.
#[derive(Debug, thiserror::Error)]
pub enum CannotMeasure {
    /// A capability that the lab needs is missing.
    #[error("no privilege to {what}: capability {capability} is missing (hint: run as root, for example with sudo)")]
    NoPrivilege {
        /// The step that needs it.
        what: &'static str,
        /// Its name, see capabilities(7).
        capability: String,
    },
    /// The lab of an ordinary user needs a user namespace, and the kernel permits none.
    #[error(
        "no privilege to build a lab, and no user namespace to have it in: failed to {operation}: {source} (hint: {obstacle})"
    )]
    NoUserNamespace {
        /// The step that failed.
        operation: &'static str,
        /// Its error.
        #[source]
        source: io::Error,
        /// The obstacle.
        obstacle: UserNamespaceDenied,
    },
    /// `/dev/net/tun` cannot be opened.
    #[error("cannot open /dev/net/tun: {0} (hint: {hint})", hint = tun_hint(.0))]
    NoTun(#[source] io::Error),
    /// Legacy iptables cannot use a table, since its module is not loaded.
    #[error("x_tables has no table `{table}` here: {said} (hint: `sudo modprobe {module}`, or use --iptables nft)")]
    NoTable {
        /// The table.
        table: String,
        /// The kernel module of the table.
        module: String,
        /// The message of iptables.
        said: String,
    },
    /// A program that the lab runs is not installed.
    #[error("{program} is not installed (hint: `apt-get install iptables`)")]
    NoProgram {
        /// Its name.
        program: String,
    },
    /// A program failed for a reason of its own, so nothing is known of the ruleset.
    #[error(
        "{program} failed, whatever the ruleset says: {problem} (hint: does it work by itself, and has the machine memory left?)"
    )]
    ProgramFailed {
        /// Its name.
        program: String,
        /// The failure.
        problem: String,
    },
    /// A sysctl that affects probes has another value than the lab needs, and may not be written here.
    #[error(
        "{name} is {value}, must be {wanted}, and may not be written here: {source} (hint: run as root; in a container, \
         /proc/sys must be writable: `--privileged`)"
    )]
    NotPinned {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// The value that the lab needs.
        wanted: String,
        /// The reason why it cannot be written.
        #[source]
        source: io::Error,
    },
    /// A sysctl that the user set does not exist in the lab.
    #[error("this kernel has no sysctl {name} in a network namespace (hint: check its name and its interface)")]
    NoSysctl {
        /// Its name.
        name: String,
    },
    /// A call to the kernel failed.
    #[error("failed to {operation}: {source}{hint}", hint = files_hint(source))]
    System {
        /// The operation and its object.
        operation: String,
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// The lab's thread is still in the namespace of the host: nothing was loaded.
    #[error("refused to go on in {operation}: the lab is not in a network namespace of its own ({proof})")]
    NotIsolated {
        /// The operation that was refused.
        operation: &'static str,
        /// The observation that refuted the isolation.
        proof: String,
    },
    /// An instrument did not observe a known event.
    #[error("the {instrument} is blind: {evidence} (hint: `scanlab doctor` tells what this machine is missing)")]
    Blind {
        /// The instrument.
        instrument: &'static str,
        /// The event that it missed.
        evidence: String,
    },
    /// An event was lost before it could be read.
    #[error("the {instrument} lost records: {evidence} (hint: the machine may be overloaded; run it again alone)")]
    Loss {
        /// The instrument.
        instrument: &'static str,
        /// The sign of the loss.
        evidence: String,
    },
    /// A condition did not come true in time.
    #[error("{what} did not happen within {seconds} s (hint: the machine may be overloaded; run it again alone)")]
    Deadline {
        /// The condition.
        what: String,
        /// The deadline, in seconds.
        seconds: u64,
    },
    /// Two instruments disagree on one probe.
    #[error("the instruments disagree: {0}")]
    Disagreement(String),
    /// A rule logs so little of a packet that no probe can be identified in it.
    #[error(
        "an NFLOG rule of group {group} with the prefix `{}` logs only {bytes} bytes of a packet, too few to recognise \
         the probe (hint: raise its --nflog-size to 128, or remove it)",
        prefix.escape_debug()
    )]
    CutShort {
        /// The rule's group.
        group: u16,
        /// Its prefix.
        prefix: String,
        /// The number of bytes that it logs.
        bytes: usize,
    },
    /// The paths of packets are not available here.
    #[error("no path of a packet is known here: {why} (hint: use --iptables nft)")]
    NoPaths {
        /// The reason.
        why: String,
    },
    /// The family is not available on this machine.
    #[error(
        "this machine has no {} (hint: `ipv6.disable=1` on the kernel's command line takes IPv6 away; run it on a machine \
         that has it)",
        family.title()
    )]
    NoFamily {
        /// The family.
        family: Family,
    },
    /// A signal interrupted the run.
    #[error("interrupted by {0}: the run is not complete")]
    Interrupted(&'static str),
}

fn tun_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES) => {
            "`sudo chmod 666 /dev/net/tun`, and for good a udev rule: `KERNEL==\"tun\", MODE=\"0666\"`; or run as root"
        }
        _ => "`modprobe tun`; in a container: `--device /dev/net/tun --cap-add NET_ADMIN`",
    }
}

/// The hint for EMFILE and ENFILE, after any operation.
fn files_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => " (hint: allow more open files than `ulimit -n` tells)",
        _ => "",
    }
}

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
