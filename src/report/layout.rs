//! The layout of explanations: labels, wrapped text, and coloured lines of a diff.

use anstyle::{AnsiColor, Style};

use crate::text::wrap::{hanging, hanging_quoted};

/// The place and width of the lines of an explanation.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    indent: usize,
    /// The columns of the labels `fix`, `matched` and `intended`.
    labels: usize,
    /// The label of the cause; a text without one begins where labels do.
    pub cause: &'static str,
    /// The label of the other family's file.
    pub also: &'static str,
    width: usize,
    wraps_rules: bool,
}

impl Layout {
    /// Below a table: rules are never broken, so that they can be pasted.
    pub fn below_table(width: u16) -> Layout {
        Layout { indent: 7, labels: 9, cause: "", also: "", width: width.into(), wraps_rules: false }
    }

    /// Below the expected and the observed facts: everything has a label and is wrapped between words.
    pub fn labelled(width: u16) -> Layout {
        Layout { indent: 4, labels: 10, cause: "cause", also: "also", width: width.into(), wraps_rules: true }
    }

    /// A heading above labels.
    pub fn heading(self, text: &str) -> String {
        let indent = self.indent.saturating_sub(2);
        hanging_quoted(&" ".repeat(indent), indent + 4, text, self.width)
    }

    /// Prose after its label.
    pub fn prose(self, label: &str, text: &str) -> String {
        let first = self.first(label);
        let indent = if label.is_empty() { self.indent } else { first.len() };
        if self.wraps_rules {
            hanging_quoted(&first, indent, text, self.width)
        } else {
            hanging(&first, indent, text, self.width)
        }
    }

    /// A rule after its label.
    pub fn rule(self, label: &str, text: &str) -> String {
        match self.wraps_rules {
            true => self.prose(label, text),
            false => format!("{}{text}\n", self.first(label)),
        }
    }

    /// A line of a diff, coloured. The rest of a rule that does not fit is indented by two more columns.
    pub fn diff_line(self, line: &str) -> String {
        let indent = " ".repeat(self.indent + self.labels);
        let style = match line.bytes().next() {
            Some(b'+') => AnsiColor::Green.on_default(),
            Some(b'-') => AnsiColor::Red.on_default(),
            _ => Style::new(),
        };
        let fits = indent.len() + line.chars().count() <= self.width;
        let (mark, rest) = line.split_at(line.chars().next().map_or(0, char::len_utf8));
        let text = match fits || !self.wraps_rules {
            true => format!("{indent}{line}\n"),
            false => hanging_quoted(&format!("{indent}{mark}"), indent.len() + 3, rest, self.width),
        };
        styled(&text, style)
    }

    fn first(self, label: &str) -> String {
        let (indent, labels) = (self.indent, if label.is_empty() { 0 } else { self.labels });
        format!("{:indent$}{label:<labels$}", "")
    }
}

/// Each line of `text` in a style of its own, since a reader may show only some of them.
pub fn styled(text: &str, style: Style) -> String {
    text.lines().map(|line| format!("{style}{line}{style:#}\n")).collect()
}
