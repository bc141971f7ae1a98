//! Text without workflow commands of CI systems. Runners read the log of a job line by line, and would obey commands
//! from a ruleset or a file name:
//!
//! - GitHub: `::error::` where a line begins, after white space, and `##[error]` anywhere in a line (`ActionCommand.cs` of
//!   the runner);
//! - Azure Pipelines: `##vso[task.setvariable]` and `##[section]` anywhere in a line;
//! - TeamCity: `##teamcity[message]` anywhere in a line;
//! - GitLab: `section_start:1:name`.
//!
//! One character of each command becomes an escape: a backslash in text, which a shell, Markdown and iptables-restore
//! (between quotes) read as the character itself, and the format's own escape in JSON and in XML, so that a program
//! reads the same text.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Text without workflow commands, safe for the log of a CI job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inert(String);

impl Inert {
    /// The text of a report, with all commands escaped.
    pub fn new(text: &str) -> Inert {
        Inert(inert(text).into_owned())
    }

    /// Commands of scanlab itself, whose data is already escaped.
    pub fn commands(text: String) -> Inert {
        Inert(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text with a backslash in each command.
pub fn inert(text: &str) -> Cow<'_, str> {
    escaped(text, |c| format!("\\{c}"))
}

/// JSON with the same content (RFC 8259, section 7): a command can only be part of a string. Basic strings of TOML have
/// the same escape.
pub fn inert_json(json: &str) -> Cow<'_, str> {
    escaped(json, |c| format!("\\u{:04x}", u32::from(c)))
}

/// XML or HTML with the same content, if the command is part of text or of an attribute.
pub fn inert_markup(markup: &str) -> Cow<'_, str> {
    escaped(markup, |c| format!("&#{};", u32::from(c)))
}

/// Escapes repeatedly, since one pass can end in the middle of a command: matches do not overlap, and a colour contains
/// a bracket, too.
fn escaped(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    let mut escaped = escaped_once(text, &escape);
    while COMMAND.is_match(&escaped) {
        escaped = escaped_once(&escaped, &escape).into_owned().into();
    }
    escaped
}

fn escaped_once(text: &str, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    COMMAND.replace_all(text, |command: &Captures| {
        let whole = command.get_match();
        // There is one group for each kind of command, and one of them matched.
        let at = command.iter().skip(1).flatten().next().unwrap_or(whole);
        let escape = at.as_str().chars().map(&escape).collect::<String>();
        [&text[whole.start()..at.start()], &escape, &text[at.end()..whole.end()]].concat()
    })
}

/// A command, with the character to escape as a group. Runners written in .NET may compare texts by culture, which
/// ignores characters without a width; colours are removed from output that is not for a terminal.
static COMMAND: LazyLock<Regex> = LazyLock::new(|| {
    let ignored = r"(?:\x1b\[[0-9;]*m|[[\p{Cc}\p{DI}]--[\r\n]])";
    let at_the_start = format!(r"(?:^|\r)(?:\s|{ignored})*(:){ignored}*:");
    let anywhere = format!(r"#{ignored}*(#)(?:[A-Za-z0-9_.-]|{ignored})*\[");
    let of_a_section = r"section_(?:start|end)(:)";
    Regex::new(&format!("(?m){at_the_start}|{anywhere}|{of_a_section}")).expect("the pattern is fixed")
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_of_each_system_loses_one_character() {
        for (command, harmless) in [
            ("::error::x", r"\::error::x"),
            ("a\n \t::error::x", "a\n \t\\::error::x"),
            ("a\r\u{a0}::error::x", "a\r\u{a0}\\::error::x"),
            ("\u{1b}[31m::error::x", "\u{1b}[31m\\::error::x"),
            ("\u{200b}:\u{ad}:error::x", "\u{200b}\\:\u{ad}:error::x"),
            ("a ##[error]b", r"a #\#[error]b"),
            ("a ##vso[task.x]b", r"a #\#vso[task.x]b"),
            ("a ##TeamCity[x]b", r"a #\#TeamCity[x]b"),
            ("####[x", r"###\#[x"),
            ("#\u{feff}##vso##[x", "#\u{feff}##vso#\\#[x"),
            ("a section_start:1:b", r"a section_start\:1:b"),
            ("section_end:1:b", r"section_end\:1:b"),
        ] {
            assert_eq!(inert(command), harmless, "{command:?}");
        }
    }

    #[test]
    fn other_text_stays() {
        for text in
            ["", "a::b", "-s ::1/128", "::\n".trim_start_matches(':'), "# [x]", "## x [y]", ": :", "#[x]", "# #[x]"]
        {
            assert_eq!(inert(text), text);
        }
    }

    #[test]
    fn a_command_that_begins_within_another_match_is_none_after_it() {
        for text in ["##\u{1b}[0m#[error]", "##\u{1b}[0m#\u{1b}[0m"] {
            assert!(!COMMAND.is_match(&inert(text)), "{:?}", inert(text));
        }
    }

    #[test]
    fn programs_read_the_same_text() {
        let text = "##vso[a] ##[b] section_start:1:c \\##[d] \"##[e]";
        let json = serde_json::to_string(text).unwrap();
        assert_ne!(inert_json(&json), json);
        assert_eq!(serde_json::from_str::<String>(&inert_json(&json)).unwrap(), text);
        let markup = format!("a\n::b {text}");
        let read = quick_xml::escape::unescape(&inert_markup(&markup)).unwrap().into_owned();
        assert_eq!(read, markup);
    }

    proptest! {
        #[test]
        fn nothing_is_a_command_after_it(text in "([:#\\[\\]v\n\r \\\\{}-]|::|##|vso|section_start|\u{200b}|\u{1b}\\[0m){0,20}") {
            let harmless = inert(&text);
            prop_assert!(!COMMAND.is_match(&harmless), "{harmless:?}");
            let is_no_line = |line: &str| !line.trim_start().starts_with("::");
            prop_assert!(harmless.split(['\n', '\r']).all(is_no_line), "{harmless:?}");
            prop_assert!(!["##[", "##vso[", "section_start:"].iter().any(|command| harmless.contains(command)), "{harmless:?}");
            prop_assert_eq!(inert(&harmless), &*harmless);
        }
    }
}
