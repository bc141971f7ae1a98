//! Differences in words, for every format.

use std::borrow::Cow;

use crate::commands::diff::{
    Behaviour, Compared, DecidingRule, LoggedBy, PacketDifference, ScanView, SeenByScans, UntriedPackets,
};
use crate::probe::packet::Packet;
use crate::probe::path::Fate;
use crate::text::count::counted;
use crate::text::group::once;

/// The number of differences, and whether there may be others, in one line.
pub fn summary(compared: &Compared) -> String {
    let untried = match compared.not_tried.len() {
        0 => String::new(),
        1 => "; 1 kind of packet was not tried".to_owned(),
        count => format!("; {count} kinds of packets were not tried"),
    };
    let incomplete = match (compared.complete, compared.is_proved()) {
        (false, true) if compared.is_same() => {
            "; the rulesets distinguish more packets than can be sent; sets of packets prove that the rest are \
             treated the same"
        }
        (true, _) | (_, true) => untried.as_str(),
        (false, false) => "; the rulesets distinguish more packets than can be sent, so there may be other differences",
    };
    if compared.is_same() {
        return format!("no difference: {} packets were sent to each side{incomplete}", compared.sent);
    }
    let differences = counted(compared.differences.len(), "difference");
    let packets: usize = compared.differences.iter().map(|one| one.packets.len()).sum();
    format!("{differences}, shown by {packets} kinds of packets; {} were sent to each side{incomplete}", compared.sent)
}

/// The result of a scan on both sides: `22/tcp from filtered to open; log line "SSH: " new`.
pub fn seen(one: &SeenByScans) -> String {
    let SeenByScans { before, after, .. } = one;
    let words = |view: &ScanView| view.log.iter().map(|prefix| format!("{prefix:?}")).collect::<Vec<_>>();
    let lines = lines_change(&words(before), &words(after)).unwrap_or_default();
    match (subject(one), before.state == after.state, lines.is_empty()) {
        (subject, true, _) => format!("{subject}: {lines}"),
        (subject, false, true) => format!("{subject} from {} to {}", before.state, after.state),
        (subject, false, false) => format!("{subject} from {} to {}; {lines}", before.state, after.state),
    }
}

/// The same with its family and techniques: `22/tcp from filtered to open (ipv4: syn, connect)`.
pub fn change(one: &SeenByScans) -> String {
    format!("{} ({}: {})", seen(one), one.family, scans(one))
}

/// `22/tcp`; for a technique without ports its name.
fn subject(one: &SeenByScans) -> String {
    if one.ports.is_empty() {
        return scans(one);
    }
    let ports = one.ports.to_string().replace(',', ", ");
    let protocols = once(one.scans.iter().map(|scan| scan.protocol()));
    protocols.iter().map(|protocol| format!("{ports}/{protocol}")).collect::<Vec<_>>().join(" and ")
}

/// `syn, connect`
pub fn scans(one: &SeenByScans) -> String {
    one.scans.iter().map(|scan| scan.name()).collect::<Vec<_>>().join(", ")
}

/// `tcp SYN to 80 (ipv4): dropped by a.v4:12 -> accepted by b.v4:14; log line "web: " gone`
pub fn headline(one: &PacketDifference) -> String {
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
        (Some(_), None) if changes.is_empty() => changes.push("it is no longer answered".to_owned()),
        (None, Some(_)) if changes.is_empty() => changes.push("it is now answered".to_owned()),
        _ => {}
    }
    changes
}

fn log_change(before: &[LoggedBy], after: &[LoggedBy]) -> Option<String> {
    let words = |lines: &[LoggedBy]| lines.iter().map(line).collect::<Vec<_>>();
    lines_change(&words(before), &words(after))
}

fn lines_change(before: &[String], after: &[String]) -> Option<String> {
    match (before, after) {
        (before, after) if before == after => None,
        (before, []) => Some(format!("log line {} gone", before.join(" + "))),
        ([], after) => Some(format!("log line {} new", after.join(" + "))),
        (before, after) => Some(format!("log line {} -> {}", before.join(" + "), after.join(" + "))),
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

/// Packets that the two may treat differently, and the reason why they were not sent.
pub fn not_tried(one: &UntriedPackets) -> String {
    let UntriedPackets { family, table, chain, places, what, because } = one;
    let places = if places.is_empty() { String::new() } else { format!(" at {}", places.join(", ")) };
    format!("not tried: {what} ({family} {table} {chain}){places}: {because}")
}

/// The rules on one side: those that log or limit, and the one that decided.
pub fn rules(one: &Behaviour) -> Vec<&DecidingRule> {
    let logs = one.log.iter().map(|line| line.by.as_ref());
    let limits = one.limits.iter().map(|guard| guard.by.as_ref());
    let copies = one.copies.iter().map(|copy| copy.by.as_ref());
    let answer =
        one.answer.iter().flat_map(|answer| answer.log.iter().map(|line| line.by.as_ref()).chain([answer.by.as_ref()]));
    let mut rules: Vec<&DecidingRule> =
        logs.chain(limits).chain(copies).chain([one.by.as_ref()]).chain(answer).flatten().collect();
    rules.dedup();
    rules
}

/// `a.v4:3 -A INPUT -j DROP`
pub fn rule(rule: &DecidingRule) -> String {
    format!("{}:{} {}", rule.file, rule.line, rule.text)
}
