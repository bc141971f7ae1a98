//! The report of `exec` for people, and the comments of its capture.

use std::fmt::Write;

use super::exec::{Exec, FrameDirection, FrameGroup, FrameRecord, PathRecord};
use super::paths::{self, in_words};
use super::pcapng::CapturedFrame;
use crate::lab::Backend;
use crate::net::Family;
use crate::probe::path::{Fate, deciding};
use crate::probe::tool_run::ToolRun;
use crate::text::count::counted_as;
use crate::text::escape::visible;

/// More log lines than this are counted; all of them are in the JSON.
const LINES: usize = 20;

/// The report for people. Rules are never cut, since a truncated rule could not be pasted back.
pub fn exec_text(report: &Exec) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", visible(&report.command.join(" ")));
    let _ = writeln!(text, "{}\n", summary(report));
    let (tool, host): (Vec<&FrameGroup>, Vec<&FrameGroup>) =
        report.groups.iter().partition(|group| group.direction == FrameDirection::ToHost);
    write_groups(&mut text, &tool, report, "");
    write_groups(&mut text, &host, report, "from the host by itself: ");
    write_log(&mut text, report);
    text
}

fn summary(report: &Exec) -> String {
    let status = &report.tool_status;
    let ended = match (status.exit, status.signal) {
        (Some(exit), _) => format!("exit status {exit}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "killed: timeout".to_owned(),
    };
    let to_host = report.frames.iter().filter(|frame| frame.direction == FrameDirection::ToHost).count();
    let back = report.frames.len() - to_host;
    format!(
        "{ended} after {:.1} s; {}, {back} back; {}",
        status.seconds,
        counted_as(to_host, "frame to the host", "frames to the host"),
        counted_as(report.log.len(), "log line", "log lines")
    )
}

/// Writes groups of the same kind of frame together, under a line that names the kind.
fn write_groups(text: &mut String, groups: &[&FrameGroup], report: &Exec, whose: &str) {
    let mut heads: Vec<(Option<Family>, &str)> = Vec::new();
    for group in groups {
        if !heads.contains(&(group.family, &group.what)) {
            heads.push((group.family, &group.what));
        }
    }
    for (family, what) in heads {
        let family_name = family.map(|family| format!("{family} ")).unwrap_or_default();
        let alike: Vec<&&FrameGroup> =
            groups.iter().filter(|group| (group.family, &*group.what) == (family, what)).collect();
        let frames = alike.iter().map(|group| group.frames).sum();
        let what = if what == "connection" { "tcp connections, after their first segment" } else { what };
        let _ = writeln!(text, "{whose}{family_name}{}: {}", visible(what), counted_as(frames, "frame", "frames"));
        for group in alike {
            let line = format!("  {:>6}  {}", group.frames, visible(&became(group, report)));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
}

/// `to ports 1-1000: dropped by line 12  -A INPUT ..; no answer; logged "<IPT> Xmas scan: "`
fn became(group: &FrameGroup, report: &Exec) -> String {
    let ports = group.ports.as_deref().map(|ports| {
        let word = if ports.contains([',', '-']) { "ports" } else { "port" };
        let preposition = if group.direction == FrameDirection::ToHost { "to" } else { "from" };
        format!("{preposition} {word} {}: ", ports.replace(',', ", "))
    });
    let connections = group.connections.map(|count| format!("of {}: ", counted_as(count, "connection", "connections")));
    let mut words = vec![fate(group, report)];
    if group.direction == FrameDirection::ToHost {
        match (&group.answer, group.held_back) {
            (Some(answer), _) => words.push(format!("answered with {answer}")),
            (None, Some(path)) => words.push(format!("its answer {}", ended(&report.paths[path]))),
            (None, None) if expects_answer(group) => words.push("no answer".to_owned()),
            (None, None) => {}
        }
    }
    words.extend(group.log.iter().map(|prefix| format!("logged {prefix:?}")));
    words.retain(|word| !word.is_empty());
    format!("{}{}{}", connections.unwrap_or_default(), ports.unwrap_or_default(), words.join("; "))
}

/// True if a host that accepts the packet would answer it: false for a RST (RFC 9293, section 3.10.7.1) and for
/// answers.
fn expects_answer(group: &FrameGroup) -> bool {
    let is_part = group.what == "fragment" && group.verdict.is_none();
    let is_answer = is_part || group.what.contains("RST") || group.what.ends_with("reply");
    let is_announcement =
        ["icmpv6 136", "icmpv6 143", "icmp 0/", "icmpv6 129"].iter().any(|word| group.what.starts_with(word));
    group.connections.is_none() && !is_answer && !is_announcement
}

fn fate(group: &FrameGroup, report: &Exec) -> String {
    let paths_are_known = report.environment.backend == Backend::Nft;
    match (group.path, group.verdict, group.family) {
        (Some(path), None, _) if report.paths[path].fate == Fate::Vanished => {
            "held until all its fragments had arrived".to_owned()
        }
        (Some(path), ..) => ended(&report.paths[path]),
        (None, Some(verdict), _) => verdict.to_string(),
        (None, None, Some(_)) if paths_are_known && group.direction == FrameDirection::ToHost => {
            "no rule saw it".to_owned()
        }
        (None, None, _) => String::new(),
    }
}

fn ended(path: &PathRecord) -> String {
    paths::ended(path.fate, deciding(path.fate, &path.steps))
}

fn write_log(text: &mut String, report: &Exec) {
    if report.log.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nlog");
    for line in report.log.iter().take(LINES) {
        let _ = writeln!(text, "  {}", visible(line.record.line.trim_end()));
    }
    if let Some(more) = report.log.len().checked_sub(LINES).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {}: see --format json", counted_as(more, "more line", "more lines"));
    }
}

/// The frames of a capture, each with a comment: its kind, its path rule by rule, the end of that path, and its log
/// lines.
pub fn captured<'a>(relayed: &'a ToolRun, report: &'a Exec) -> impl Iterator<Item = CapturedFrame<'a>> {
    relayed.frames.iter().zip(&report.frames).map(|(frame, record)| CapturedFrame {
        interface: 0,
        at: frame.at,
        direction: frame.direction,
        bytes: frame.bytes.as_slice().into(),
        comment: comment(frame.log.iter().map(|record| record.line.trim_end()), record, &report.paths),
    })
}

fn comment<'a>(log: impl Iterator<Item = &'a str>, record: &FrameRecord, paths: &[PathRecord]) -> String {
    let mut text = record.what.clone();
    if let Some(path) = record.path.map(|place| &paths[place]) {
        let conntrack = path.conntrack.map(|state| format!(", {state} to conntrack")).unwrap_or_default();
        let _ = write!(text, "{conntrack}: {}", ended(path));
        for step in &path.steps {
            let _ = write!(text, "\n{}", in_words(step));
        }
    } else if let Some(verdict) = record.verdict {
        let _ = write!(text, ": {verdict}");
    }
    log.for_each(|line| {
        let _ = write!(text, "\nlog: {line}");
    });
    text
}
