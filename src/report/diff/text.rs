//! The comparison for people.

use std::fmt::Write;

use super::DiffReport;
use super::words::{headline, summary};
use crate::commands::diff::{Behaviour, DecidingRule, ScanView, SeenByScans, UntriedPackets};
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
        compared.scans.iter().for_each(|one| seen_by_scans(&mut text, one));
        text.push('\n');
    }
    compared.not_tried.iter().for_each(|one| not_tried(&mut text, one));
    let _ = writeln!(text, "{}", visible(&summary(compared)));
    text
}

fn not_tried(text: &mut String, one: &UntriedPackets) {
    let UntriedPackets { family, table, chain, places, what, because } = one;
    let places = if places.is_empty() { String::new() } else { format!(" at {}", places.join(", ")) };
    let words = format!("not tried: {what} ({family} {table} {chain}){places}: {because}");
    let _ = writeln!(text, "{}", visible(&words));
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

/// The rules on one side: those that log or limit, and the one that decided.
fn side(text: &mut String, name: &str, one: &Behaviour) {
    let logs = one.log.iter().map(|line| line.by.as_ref());
    let limits = one.limits.iter().map(|guard| guard.by.as_ref());
    let copies = one.copies.iter().map(|copy| copy.by.as_ref());
    let answer =
        one.answer.iter().flat_map(|answer| answer.log.iter().map(|line| line.by.as_ref()).chain([answer.by.as_ref()]));
    let mut places: Vec<&DecidingRule> =
        logs.chain(limits).chain(copies).chain([one.by.as_ref()]).chain(answer).flatten().collect();
    places.dedup();
    let mut name = name;
    if places.is_empty() {
        let _ = writeln!(text, "  {name:<7} no rule");
    }
    for place in places {
        let _ = writeln!(text, "  {name:<7} {}", visible(&format!("{}:{} {}", place.file, place.line, place.text)));
        name = "";
    }
}

fn seen_by_scans(text: &mut String, one: &SeenByScans) {
    let SeenByScans { family, scans, ports, before, after } = one;
    let scans: Vec<&str> = scans.iter().map(|scan| scan.name()).collect();
    let at = if ports.is_empty() { String::new() } else { format!(" at {}", ports.to_string().replace(',', ", ")) };
    let words = format!("  {}{at} ({family}): {} -> {}", scans.join(" "), sight(before), sight(after));
    let _ = writeln!(text, "{}", visible(&words));
}

fn sight(sight: &ScanView) -> String {
    let log: Vec<String> = sight.log.iter().map(|prefix| format!("{prefix:?}")).collect();
    let log = if log.is_empty() { "no line".to_owned() } else { log.join(" + ") };
    format!("{}, {log}", sight.state)
}
