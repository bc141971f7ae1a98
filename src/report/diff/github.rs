//! The comparison as annotations of a GitHub workflow: each change at the rule that decides now.

use super::DiffReport;
use super::words::{change, headline, not_tried, rule, seen};
use crate::commands::diff::{Compared, DecidingRule};
use crate::report::github::{data, property};
use crate::report::verdicts::is_a_file;
use crate::text::ci_escape::inert;
use crate::text::group::grouped;

/// The report as workflow commands, warnings, since a change may be intended; empty if there is none. Changes at one line
/// share one, since GitHub shows few of them.
pub fn diff_github(report: &DiffReport) -> String {
    let compared = &report.diff;
    let by_place = grouped(changes(compared).into_iter().map(|one| (one.place, one)));
    let warnings = by_place.into_iter().map(|(place, changes)| {
        let message: Vec<&str> = changes.iter().map(|one| one.message.as_str()).collect();
        warning(place, &changes[0].title, &message.join("\n"))
    });
    let not_tried = compared.not_tried.iter().map(|one| warning(None, "not tried", &not_tried(one)));
    warnings.chain(not_tried).collect()
}

struct Change<'a> {
    place: Option<&'a DecidingRule>,
    title: String,
    message: String,
}

/// The changes that a scan sees; if there are none, those of packets.
fn changes(compared: &Compared) -> Vec<Change<'_>> {
    let was = |by: Option<&DecidingRule>| by.map(|by| format!("\nbefore: {}", rule(by))).unwrap_or_default();
    let of_scans = compared.scans.iter().map(|one| {
        let message = format!("{}{}", change(one), was(one.before.by.as_ref()));
        Change { place: one.after.by.as_ref(), title: seen(one), message }
    });
    let of_packets = compared.differences.iter().map(|one| {
        let message = format!("{}{}", headline(one), was(one.before.by.as_ref()));
        Change { place: one.after.by.as_ref(), title: "a packet is treated differently".to_owned(), message }
    });
    if compared.scans.is_empty() { of_packets.collect() } else { of_scans.collect() }
}

fn warning(place: Option<&DecidingRule>, title: &str, message: &str) -> String {
    let place = place.filter(|place| is_a_file(place.file.as_ref()));
    let place = place.map(|place| format!("file={},line={},", property(&place.file), place.line)).unwrap_or_default();
    let command = format!("warning {place}title={}::{}", property(title), data(message));
    format!("::{}\n", inert(&command))
}
