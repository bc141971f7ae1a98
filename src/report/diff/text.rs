//! The comparison for people.

use std::fmt::Write;

use super::DiffReport;
use super::words::{change, headline, not_tried, rule, rules, summary};
use crate::commands::diff::Behaviour;
use crate::probe::packet::Packet;
use crate::text::escape::visible;

/// The maximum number of packets that are named for each difference.
const NAMED: usize = 6;

/// The report for people: each difference with the rules on either side, its effect on scans, and a summary line.
pub fn diff_text(report: &DiffReport) -> String {
    let compared = &report.diff;
    let mut text = String::new();
    for one in &compared.differences {
        let _ = writeln!(text, "{}", visible(&headline(one)));
        packets(&mut text, &one.packets);
        side(&mut text, "before", &one.before);
        side(&mut text, "after", &one.after);
        text.push('\n');
    }
    if !compared.scans.is_empty() {
        text.push_str("What a scan sees\n");
        for one in &compared.scans {
            let _ = writeln!(text, "  {}", visible(&change(one)));
        }
        text.push('\n');
    }
    for one in &compared.not_tried {
        let _ = writeln!(text, "{}", visible(&not_tried(one)));
    }
    let _ = writeln!(text, "{}", visible(&summary(compared)));
    text
}

fn packets(text: &mut String, packets: &[Packet]) {
    if packets.len() < 2 {
        return;
    }
    let names: Vec<String> = packets.iter().take(NAMED).map(|packet| format!("\"{packet}\"")).collect();
    let more = packets.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let _ = writeln!(text, "  packets {}{more}", names.join(", "));
}

fn side(text: &mut String, name: &str, one: &Behaviour) {
    let rules = rules(one);
    let mut name = name;
    if rules.is_empty() {
        let _ = writeln!(text, "  {name:<7} no rule");
    }
    for one in rules {
        let _ = writeln!(text, "  {name:<7} {}", visible(&rule(one)));
        name = "";
    }
}
