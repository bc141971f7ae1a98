//! Paths for people: the rules that probes matched, in order; probes on the same path are grouped.

use std::fmt::Write;
use std::sync::Arc;

use super::ProbeRecord;
use crate::net::port::PortSet;
use crate::probe::path::{Fate, Path, Step};
use crate::text::escape::visible;
use crate::text::group::grouped;

/// One block for each path, of probes whose path is known. Rules are never cut, since a truncated rule could not be
/// pasted back.
pub fn blocks(probes: &[ProbeRecord]) -> String {
    let mut text = String::new();
    for (way, of) in ways(probes) {
        let Some(path) = &way.path else { continue };
        let state = way.conntrack.map(|state| format!(", {state} to conntrack")).unwrap_or_default();
        let at = if of.is_empty() { String::new() } else { format!(" at {}", of.to_string().replace(',', ", ")) };
        let _ = writeln!(text, "path  {}{at} ({}{state})", way.scan, way.family);
        write_steps(&mut text, path, "no rule of the ruleset matched");
        if let Some(answer) = &way.answer_path {
            let _ = writeln!(text, "      its answer");
            write_steps(&mut text, answer, "no rule of the ruleset matched");
        }
    }
    text
}

fn write_steps(text: &mut String, path: &Arc<Path>, none: &str) {
    if path.steps.is_empty() {
        let _ = writeln!(text, "      {none}");
    }
    for step in &path.steps {
        let _ = writeln!(text, "      {}", visible(&in_words(step)));
    }
}

/// `dropped by line 12  -A INPUT ..`, `forwarded to 172.17.0.2:80 after line 12  -A PREROUTING ...`
pub fn ended(fate: Fate, last: Option<&Step>) -> String {
    let word = match fate {
        Fate::Accepted => "accepted",
        Fate::Dropped => "dropped",
        Fate::Rejected => "rejected",
        Fate::Stolen => "kept",
        Fate::Vanished => return "discarded by the kernel between two hooks".to_owned(),
        Fate::Left(left) => return last.map_or(left.to_string(), |step| format!("{left} after {}", step.quoted())),
    };
    let Some(step) = last else { return format!("{word}, no rule matched") };
    let by = if step.is_dropped_by_match() { "a match that cannot read it, " } else { "" };
    format!("{word} by {by}{}", step.quoted())
}

/// `filter INPUT 12, line 18: continue  -A INPUT ...`
pub fn in_words(step: &Step) -> String {
    let Step { table, chain, rule, line, text, verdict, .. } = step;
    let by = if step.is_dropped_by_match() { " (by a match that cannot read it)" } else { "" };
    let number = rule.map(|rule| format!(" {rule}")).unwrap_or_default();
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("{table} {chain}{number}{line}: {verdict}{by}  {text}")
}

/// Groups the probes of one technique and family that share a path, with their ports.
fn ways<'a>(probes: &'a [ProbeRecord]) -> Vec<(&'a ProbeRecord, PortSet)> {
    let way = |record: &&'a ProbeRecord| (record.scan, record.family, &record.path, &record.answer_path);
    let together = |records: Vec<&'a ProbeRecord>| {
        let ports: Vec<PortSet> = records.iter().map(|record| record.ports()).collect();
        (records[0], ports.iter().flat_map(PortSet::ranges).collect())
    };
    grouped(probes.iter().map(|record| (way(&record), record))).into_iter().map(|(_, of)| together(of)).collect()
}
