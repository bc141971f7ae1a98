//! Differences in words, for every format.

use std::borrow::Cow;

use crate::commands::diff::{Behaviour, Compared, LoggedBy, PacketDifference};
use crate::probe::packet::Packet;
use crate::probe::path::Fate;

/// The number of differences, and whether there may be others, in one line.
pub fn summary(compared: &Compared) -> String {
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
