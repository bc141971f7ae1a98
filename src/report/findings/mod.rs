//! Findings as text: rules that no packet can reach, LOG rules first, each with the earlier rules that shadow it.

use anstyle::{AnsiColor, Style};

use crate::text::escape::visible;
use crate::text::wrap::hanging;
use crate::verdict::findings::{
    DeadRule, Disparity, FindingPlace, LastStep, NotProvable, RulesetFindings, Severity, ShadowingRule, SweepSummary,
};

/// The findings, at most `width` columns wide.
pub fn findings_table(findings: &RulesetFindings, width: u16) -> String {
    let page = FindingsPage { width: usize::from(width).max(40) };
    let mut text = String::from("Findings\n");
    if findings.unreachable.is_empty() {
        let words = match (findings.not_provable.is_empty(), findings.not_tried.is_empty()) {
            (true, true) => "every rule is reached",
            (true, false) => "every rule that was tried is reached",
            (false, _) => "no rule is proved dead",
        };
        text += &page.paragraph(1, words);
    }
    findings.unreachable.iter().for_each(|one| text += &page.unreachable(one));
    findings.not_provable.iter().for_each(|one| text += &page.not_provable(one));
    for one in &findings.not_tried {
        text += &page.paragraph(1, &format!("not tried {}: this machine has no {}", one.file, one.family.title()));
    }
    findings.parity.iter().for_each(|one| text += &page.disparity(one));
    text + &page.paragraph(1, &sent(&findings.sweeps))
}

/// `4175 packets over eth0 (ipv4), all flag octets`
fn sent(sweeps: &[SweepSummary]) -> String {
    let one = |swept: &SweepSummary| {
        let octets = match swept.octets {
            crate::rules::sweep::FlagCoverage::All => "",
            crate::rules::sweep::FlagCoverage::Distinguished => ", of flag octets one of each kind",
        };
        let part = if swept.complete { "" } else { ", too few for a proof" };
        format!("{} over {} ({}){octets}{part}", swept.stimuli, swept.interface, swept.family)
    };
    format!("packets sent: {}", sweeps.iter().map(one).collect::<Vec<_>>().join("; "))
}

struct FindingsPage {
    width: usize,
}

impl FindingsPage {
    fn unreachable(&self, one: &DeadRule) -> String {
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

    fn disparity(&self, one: &Disparity) -> String {
        let style = AnsiColor::Yellow.on_default().bold();
        let (open, closed) = one.lets_in.pick(("IPv4", "IPv6"), ("IPv6", "IPv4"));
        let ports = if one.ports.is_empty() { String::new() } else { format!(" to {}", one.ports.replace(',', ", ")) };
        let mut text = self
            .paragraph(1, &format!("{open} accepts packets that {closed} denies: {}{ports}", one.packets.join(", ")));
        text = text.replacen(open, &format!("{style}{open}{style:#}"), 1);
        text += &self.paragraph(3, &format!("ipv4: {}", decision(&one.ipv4)));
        text + &self.paragraph(3, &format!("ipv6: {}", decision(&one.ipv6)))
    }

    /// Wraps words at the page width, with the first line indented by `indent` and the following lines by two more.
    fn paragraph(&self, indent: usize, words: &str) -> String {
        hanging(&" ".repeat(indent), indent + 2, &visible(words), self.width)
    }
}

/// `rules.v4:6 (filter INPUT 2)`
fn place(place: &FindingPlace) -> String {
    let FindingPlace { file, line, table, chain, rule, .. } = place;
    visible(&format!("{file}:{line} ({table} {chain} {rule})"))
}

/// `rules.v4:12: -A INPUT ...`
fn decision(decision: &LastStep) -> String {
    let place = decision.file.iter().zip(decision.line).map(|(file, line)| format!("{file}:{line}: ")).next();
    format!("{}{}", place.unwrap_or_default(), decision.text)
}

/// `line 5 takes 38: -A INPUT ...`: an earlier rule, and the number of packets that match it first.
fn in_front(front: &ShadowingRule) -> String {
    let line = front.line.map_or_else(|| "no line".to_owned(), |line| format!("line {line}"));
    format!("{line} matches {}: {}", front.packets, front.text)
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
