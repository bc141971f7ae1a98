//! The report of a comparison of two rulesets.

use std::borrow::Cow;
use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Environment, SCHEMA};
use crate::commands::diff::{
    Behaviour, Compared, DecidingRule, LoggedBy, PacketDifference, ScanView, SeenByScans, UntriedPackets,
};
use crate::lab::PinnedSysctls;
use crate::probe::packet::Packet;
use crate::probe::path::Fate;
use crate::text::escape::visible;

/// A report of `diff`, as the JSON shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DiffReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `scanlab X.Y.Z`.
    pub tool: String,
    /// The environment of the measurement.
    pub environment: Environment,
    /// The differences.
    pub diff: Compared,
}

impl DiffReport {
    /// The report of `diff`.
    pub fn new(diff: Compared, environment: impl FnOnce(PinnedSysctls) -> Environment) -> DiffReport {
        let environment = environment(diff.pinned_sysctls.clone());
        DiffReport { schema: SCHEMA, tool: format!("scanlab {}", env!("CARGO_PKG_VERSION")), environment, diff }
    }
}

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

fn summary(compared: &Compared) -> String {
    let untried = match compared.not_tried.len() {
        0 => String::new(),
        1 => "; 1 kind of packet was not tried".to_owned(),
        count => format!("; {count} kinds of packets were not tried"),
    };
    let incomplete = match (compared.complete, compared.is_proved()) {
        (false, true) if compared.is_same() => {
            "; the rulesets tell more apart than can be sent, and sets of packets prove that the rest is treated alike"
        }
        (true, _) | (_, true) => untried.as_str(),
        (false, false) => "; the rulesets tell more apart than can be sent, so there may be other differences",
    };
    if compared.is_same() {
        return format!("no packet of {} sent tells them apart{incomplete}", compared.sent);
    }
    let count = compared.differences.len();
    let s = if count == 1 { "" } else { "s" };
    let packets: usize = compared.differences.iter().map(|one| one.packets.len()).sum();
    format!(
        "{count} difference{s}, told by {packets} kinds of packets; {} were sent to either side{incomplete}",
        compared.sent
    )
}

/// `tcp SYN to 80 (ipv4): dropped by a.v4:12 -> accepted by b.v4:14; log line "web: " gone`
fn headline(one: &PacketDifference) -> String {
    let PacketDifference { family, interface, packets, before, after, .. } = one;
    let packet = packets.first().map_or_else(|| "a packet without a name in scenarios".to_owned(), Packet::to_string);
    let over = if interface == "eth0" { String::new() } else { format!(", over {interface}") };
    let when = if one.limits_used_up { ", once limits are used up" } else { "" };
    format!("{packet} ({family}{over}{when}): {}", changes(before, after).join("; "))
}

fn changes(before: &Behaviour, after: &Behaviour) -> Vec<String> {
    let mut changes = Vec::new();
    if (before.fate, &before.reject_with) != (after.fate, &after.reject_with) {
        changes.push(format!("{} -> {}", fate_by(before), fate_by(after)));
    }
    changes.extend(log_change(&before.log, &after.log));
    let limits = |one: &Behaviour| one.limits.iter().map(|guard| guard.limit.clone()).collect::<Vec<_>>();
    if limits(before) != limits(after) {
        let words = |limits: Vec<String>| if limits.is_empty() { "none".to_owned() } else { limits.join(" and ") };
        changes.push(format!("limit on its way {} -> {}", words(limits(before)), words(limits(after))));
    }
    let copies = |one: &Behaviour| one.copies.iter().map(|copy| copy.to.to_string()).collect::<Vec<_>>();
    if copies(before) != copies(after) {
        let words = |copies: Vec<String>| if copies.is_empty() { "none".to_owned() } else { copies.join(" and ") };
        changes.push(format!("copies leave to {} -> {}", words(copies(before)), words(copies(after))));
    }
    match (&before.answer, &after.answer) {
        (Some(before), Some(after)) if !before.is_like(after) => {
            changes.extend(self::changes(before, after).into_iter().map(|change| format!("its answer: {change}")));
        }
        (Some(_), None) if changes.is_empty() => changes.push("it is answered no longer".to_owned()),
        (None, Some(_)) if changes.is_empty() => changes.push("it is answered now".to_owned()),
        _ => {}
    }
    changes
}

fn log_change(before: &[LoggedBy], after: &[LoggedBy]) -> Option<String> {
    let words = |lines: &[LoggedBy]| lines.iter().map(line).collect::<Vec<_>>().join(" + ");
    let same = |one: &[LoggedBy], other: &[LoggedBy]| words(one) == words(other);
    match (before, after) {
        (before, after) if same(before, after) => None,
        (before, []) => Some(format!("log line {} gone", words(before))),
        ([], after) => Some(format!("log line {} new", words(after))),
        (before, after) => Some(format!("log line {} -> {}", words(before), words(after))),
    }
}

fn line(line: &LoggedBy) -> String {
    let limit = line.limit.as_ref().map(|limit| format!(" at {limit}")).unwrap_or_default();
    let style = line.style.as_ref().map(|style| format!(" with {style}")).unwrap_or_default();
    format!("{:?}{limit}{style}", line.prefix)
}

fn fate_by(one: &Behaviour) -> String {
    let by = one.by.as_ref().map(|by| format!(" by {}:{}", by.file, by.line)).unwrap_or_default();
    let with = one.reject_with.as_ref().map(|with| format!(" with {with}")).unwrap_or_default();
    format!("{}{with}{by}", fate(one.fate))
}

fn fate(fate: Fate) -> Cow<'static, str> {
    match fate {
        Fate::Accepted => "accepted".into(),
        Fate::Dropped => "dropped".into(),
        Fate::Rejected => "rejected".into(),
        Fate::Stolen => "kept".into(),
        Fate::Vanished => "lost".into(),
        Fate::Left(left) => left.to_string().into(),
    }
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
