//! The comparison as Markdown, for a comment on a pull request.

use std::fmt::Write;

use super::DiffReport;
use super::words::{headline, not_tried, rule, rules, scans, seen, summary};
use crate::commands::diff::{Behaviour, Compared, DecidingRule, SeenByScans};
use crate::probe::scan::Technique;
use crate::report::markdown::cell;

/// The report: what a scan sees, with the rules that decide, and then each difference of packets, folded.
pub fn diff_markdown(report: &DiffReport) -> String {
    let compared = &report.diff;
    let [before, after] = &compared.sides;
    let mut text = format!("# From {} to {}\n\n{}\n", cell(before), cell(after), cell(&summary(compared)));
    text += &of_scans(compared);
    text += &of_packets(compared);
    for one in &compared.not_tried {
        let _ = write!(text, "\n- {}", cell(&not_tried(one)));
    }
    text.trim_end().to_owned() + "\n"
}

/// The scans that decide whether a port is open come first; what others see of the same change is folded.
fn of_scans(compared: &Compared) -> String {
    let is_plain = |one: &&SeenByScans| one.scans.iter().any(|scan| PLAIN.contains(scan));
    let (plain, others): (Vec<_>, Vec<_>) = compared.scans.iter().partition(is_plain);
    match (plain.is_empty(), others.is_empty()) {
        (true, _) => table(&others),
        (false, true) => table(&plain),
        (false, false) => table(&plain) + &folded("Other scans", &table(&others)),
    }
}

const PLAIN: [Technique; 4] = [Technique::Syn, Technique::Connect, Technique::Udp, Technique::Echo];

fn table(rows: &[&SeenByScans]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = "\n| change | scan | decided before | decides now |\n| --- | --- | --- | --- |\n".to_owned();
    for one in rows {
        let scan = format!("{} {}", one.family, scans(one));
        let by = [&one.before, &one.after].map(|view| cell(&place(view.by.as_ref())));
        let _ = writeln!(text, "| **{}** | {} | {} |", cell(&seen(one)), cell(&scan), by.join(" | "));
    }
    text
}

/// GitHub and GitLab read Markdown in `details` after an empty line.
fn folded(summary: &str, content: &str) -> String {
    format!("\n<details><summary>{summary}</summary>\n{content}\n</details>\n")
}

fn place(by: Option<&DecidingRule>) -> String {
    by.map_or_else(|| "no rule".to_owned(), rule)
}

fn of_packets(compared: &Compared) -> String {
    if compared.differences.is_empty() {
        return String::new();
    }
    let mut text = "\n| packet | rules before | rules after |\n| --- | --- | --- |\n".to_owned();
    for one in &compared.differences {
        let sides = [&one.before, &one.after].map(side).join(" | ");
        let _ = writeln!(text, "| {} | {sides} |", cell(&headline(one)));
    }
    folded("Packets", &text)
}

fn side(one: &Behaviour) -> String {
    let rules: Vec<String> = rules(one).into_iter().map(|one| cell(&rule(one))).collect();
    if rules.is_empty() { "no rule".to_owned() } else { rules.join("<br>") }
}
