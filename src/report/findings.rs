//! Findings as a text: rules that nothing can reach, LOG rules first, each with what stands in front of it.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::visible::visible;
use crate::findings::{Findings, InFront, NotProvable, Place, Severity, Swept, Unreachable};

/// The findings, at most `width` columns wide.
pub fn findings_table(findings: &Findings, width: u16) -> String {
    let page = Page { width: usize::from(width).max(40) };
    let mut text = String::from("Findings\n");
    if findings.unreachable.is_empty() {
        text += &page.paragraph(
            1,
            if findings.not_provable.is_empty() { "every rule is reached" } else { "no rule is proved dead" },
        );
    }
    findings.unreachable.iter().for_each(|one| text += &page.unreachable(one));
    findings.not_provable.iter().for_each(|one| text += &page.not_provable(one));
    text + &page.paragraph(1, &sent(&findings.sweeps))
}

/// `4175 packets over eth0 (ipv4), all flag octets`
fn sent(sweeps: &[Swept]) -> String {
    let one = |swept: &Swept| {
        let octets = match swept.octets {
            crate::sweep::Octets::All => "",
            crate::sweep::Octets::Distinguished => ", of flag octets one of each kind",
        };
        let part = if swept.complete { "" } else { ", too few to prove anything" };
        format!("{} over {} ({}){octets}{part}", swept.stimuli, swept.interface, swept.family)
    };
    format!("packets sent: {}", sweeps.iter().map(one).collect::<Vec<_>>().join("; "))
}

struct Page {
    width: usize,
}

impl Page {
    fn unreachable(&self, one: &Unreachable) -> String {
        let style = style(one.severity);
        let mut text = format!(" {style}{}{style:#} {}\n", one.severity.as_str(), place(&one.place));
        text += &self.paragraph(3, &one.place.text);
        text += &self.paragraph(3, &format!("why: {}", one.reason));
        one.in_front.iter().for_each(|front| text += &self.paragraph(5, &in_front(front)));
        text
    }

    fn not_provable(&self, one: &NotProvable) -> String {
        let mut text = format!(" not provable {}\n", place(&one.place));
        text += &self.paragraph(3, &one.place.text);
        text + &self.paragraph(3, &format!("why: {}", one.reason))
    }

    /// Words in lines, each behind `indent` blanks; the lines after the first two blanks further in. A word that is longer
    /// than a line has one of its own.
    fn paragraph(&self, indent: usize, words: &str) -> String {
        let mut text = " ".repeat(indent);
        let mut column = indent;
        for (place, word) in visible(words).split(' ').enumerate() {
            let length = word.chars().count();
            if place > 0 && column + 1 + length > self.width {
                let _ = write!(text, "\n{}", " ".repeat(indent + 2));
                column = indent + 2;
            } else if place > 0 {
                text.push(' ');
                column += 1;
            }
            text += word;
            column += length;
        }
        text + "\n"
    }
}

/// `rules.v4:6 (filter INPUT 2)`
fn place(place: &Place) -> String {
    let Place { file, line, table, chain, rule, .. } = place;
    visible(&format!("{file}:{line} ({table} {chain} {rule})"))
}

/// `line 5 takes 38: -A INPUT ...`
fn in_front(front: &InFront) -> String {
    let line = front.line.map_or_else(|| "no line".to_owned(), |line| format!("line {line}"));
    format!("{line} takes {}: {}", front.packets, front.text)
}

fn style(severity: Severity) -> Style {
    let color = match severity {
        Severity::DeadLog | Severity::DeadDrop => AnsiColor::Red,
        Severity::Dead => AnsiColor::Yellow,
    };
    color.on_default().bold()
}

#[cfg(test)]
mod tests;
