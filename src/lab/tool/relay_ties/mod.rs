//! Matches the records of a relay: every frame gets its packet of the rule trace, and its lines of the kernel's log.
//! They are matched by their content, in order; two frames with identical headers were sent in the same order in which
//! they were traced.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::error::{CannotMeasure, Result};
use crate::lab::probing::sweep_log::carries;
use crate::lab::probing::witnesses::in_order_of;
use crate::lab::trace::paths::Traced;
use crate::log_line::{LogLine, LoggedPacketHeader};
use crate::probe::observation::LogRecord;
use crate::probe::packet_summary::{PacketSummary, SummaryKind};
use crate::probe::path::{Fate, Path};
use crate::probe::scan::FilterVerdict;
use crate::probe::tool_run::{RelayedFrame, WithheldFrame};
use crate::text::escape::listed;
use crate::wire::frame::Direction;
use crate::wire::headers::{Content, TracedHeaders};
use crate::wire::ip_header::IpHeader;

/// A line of the kernel's log.
#[derive(Debug, Clone)]
pub struct TiedLine {
    /// The line, parsed.
    pub line: LogLine,
    /// Its text.
    pub text: String,
    /// The frames that may have caused it: those that were forwarded since the first of its turn, until it was read.
    pub during: Range<usize>,
}

/// Matches them; without paths, the verdict of a frame is derived from the log lines and the answers.
///
/// # Errors
///
/// If trace and log contradict each other.
pub fn tie(
    mut frames: Vec<RelayedFrame>,
    traced: Option<Vec<Traced>>,
    lines: Vec<TiedLine>,
) -> Result<(Vec<RelayedFrame>, Vec<WithheldFrame>)> {
    let sightings: Vec<Option<TracedHeaders>> = frames.iter().map(|frame| sighting(&frame.bytes)).collect();
    let paths_are_known = traced.is_some();
    let mut unsent = tie_paths(&mut frames, &sightings, traced.unwrap_or_default());
    tie_lines(&mut frames, &sightings, &mut unsent, lines);
    if paths_are_known {
        for (place, frame) in frames.iter_mut().enumerate() {
            put_in_order(frame);
            check_consistency(place, frame)?;
        }
    } else {
        judge_by_answers(&mut frames, &sightings);
    }
    Ok((frames, unsent.into_iter().map(|(_, held_back)| held_back).collect()))
}

/// The headers of an IP frame; `None` for other frames.
fn sighting(frame: &[u8]) -> Option<TracedHeaders> {
    const ETHERNET_HEADER: usize = 14;
    let is_ip = matches!(frame.get(12..14)?, [0x08, 0x00] | [0x86, 0xdd]);
    TracedHeaders::from_packet(&frame[ETHERNET_HEADER..]).filter(|_| is_ip)
}

/// Assigns its path to every frame, and returns the packets of the host that were traced and appear in no frame.
fn tie_paths(
    frames: &mut [RelayedFrame],
    sightings: &[Option<TracedHeaders>],
    traced: Vec<Traced>,
) -> Vec<(TracedHeaders, WithheldFrame)> {
    let mut waiting: HashMap<_, VecDeque<usize>> = HashMap::new();
    for (number, packet) in traced.iter().enumerate() {
        waiting.entry((packet.direction, packet.sighting)).or_default().push_back(number);
    }
    let mut frame_of: HashMap<usize, usize> = HashMap::new();
    for (place, (frame, sighting)) in frames.iter_mut().zip(sightings).enumerate() {
        let Some(sighting) = sighting else { continue };
        let number = waiting.get_mut(&(frame.direction, *sighting)).and_then(VecDeque::pop_front);
        frame_of.extend(number.map(|number| (number, place)));
        frame.path = number.map(|number| traced[number].path.clone());
        frame.verdict = frame.path.as_ref().and_then(|path| match path.fate {
            // A fragment waits for the rest of its packet.
            Fate::Vanished if is_fragment(&frame.bytes) => None,
            fate => FilterVerdict::from_fate(fate),
        });
    }
    let is_left =
        |(number, packet): &(usize, Traced)| packet.direction == Direction::Out && !frame_of.contains_key(number);
    let mut held_back = Vec::new();
    for (_, packet) in traced.into_iter().enumerate().filter(is_left) {
        let cause = packet.during.and_then(|number| frame_of.get(&number).copied());
        match packet.path.fate {
            Fate::Accepted => tie_rewritten(frames, cause, packet.path),
            _ => held_back.push((packet.sighting, WithheldFrame { cause, path: packet.path, log: Vec::new() })),
        }
    }
    held_back
}

/// Assigns a path to an answer whose addresses or ports nat changed after the trace: it is recognized by the frame that
/// it answers, and by its order.
fn tie_rewritten(frames: &mut [RelayedFrame], cause: Option<usize>, path: Arc<Path>) {
    let Some(cause) = cause else { return };
    let answers = frames.iter_mut().skip(cause).take(BACK).filter(|frame| frame.cause == Some(cause));
    if let Some(frame) =
        answers.into_iter().find(|frame| frame.path.is_none() && PacketSummary::at(&frame.bytes).family().is_some())
    {
        frame.verdict = Some(FilterVerdict::Accept);
        frame.path = Some(path);
    }
}

/// The number of frames after a frame among which its answers are searched: more than a frame can cause.
const BACK: usize = 256;

fn tie_lines(
    frames: &mut [RelayedFrame],
    sightings: &[Option<TracedHeaders>],
    unsent: &mut [(TracedHeaders, WithheldFrame)],
    lines: Vec<TiedLine>,
) {
    for TiedLine { line, text, during } in lines {
        let shows = |place: &usize| {
            let extent = if is_fragment(&frames[*place].bytes) { FragmentKind::Fragment } else { FragmentKind::Whole };
            sightings[*place].is_some_and(|seen| is_of(&line, &seen, extent))
        };
        let lacks = |place: &usize| lacks_line(&frames[*place].log, frames[*place].path.as_deref(), &line.prefix);
        let own = during.clone().rev().find(shows).or_else(|| during.clone().find(lacks));
        let Some(frame) = own.map(|place| &mut frames[place]) else {
            let own = unsent.iter_mut().find(|(seen, held_back)| {
                lacks_line(&held_back.log, Some(&held_back.path), &line.prefix)
                    && is_of(&line, seen, FragmentKind::Whole)
            });
            if let Some((_, held_back)) = own {
                held_back.log.push(LogRecord { prefix: line.prefix, line: text });
            }
            continue;
        };
        frame.log.push(LogRecord { prefix: line.prefix, line: text });
    }
}

/// True if the next line on this path has this prefix.
fn lacks_line(log: &[LogRecord], path: Option<&Path>, prefix: &str) -> bool {
    path.and_then(|path| path.log_prefixes().nth(log.len())) == Some(prefix)
}

/// Tells if a frame holds a packet, or a part of one: a line shows the reassembled packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FragmentKind {
    Whole,
    Fragment,
}

/// True if the line shows the packet. A nat table may have changed its destination, but changes its source only after
/// all LOG rules.
fn is_of(line: &LogLine, seen: &TracedHeaders, extent: FragmentKind) -> bool {
    let (number, source) = match &line.network {
        Some(LoggedPacketHeader::Ipv4(packet)) => (packet.id, packet.source.into()),
        Some(LoggedPacketHeader::Ipv6(packet)) => (packet.flow_label as u16, packet.source.into()),
        Some(LoggedPacketHeader::Arp(_)) | None => return false,
    };
    let content = &seen.headers.content;
    let transport = line.network.as_ref().and_then(LoggedPacketHeader::transport);
    (number, source) == (seen.tag, seen.headers.source)
        && (extent == FragmentKind::Fragment || carries(transport, content))
}

/// Sets the verdicts without paths: a packet that no log line accepts was rejected if it was answered, and dropped
/// otherwise.
fn judge_by_answers(frames: &mut [RelayedFrame], sightings: &[Option<TracedHeaders>]) {
    let answered: Vec<usize> = frames.iter().filter_map(|frame| frame.cause).collect();
    for (place, frame) in frames.iter_mut().enumerate() {
        let has_transport = matches!(sightings[place], Some(seen) if seen.headers.content != Content::Other);
        if frame.direction == Direction::In && has_transport && frame.verdict.is_none() {
            let is_answered = answered.binary_search(&place).is_ok();
            frame.verdict = Some(if is_answered { FilterVerdict::Reject } else { FilterVerdict::Drop });
        }
    }
}

fn put_in_order(frame: &mut RelayedFrame) {
    let Some(path) = &frame.path else { return };
    let traced: Vec<&str> = path.log_prefixes().collect();
    frame.log = in_order_of(&traced, std::mem::take(&mut frame.log), |record| &record.line);
}

/// Checks that every LOG rule on the path of a frame left its line, in order, and that there is no other line.
/// Fragments are not checked, because they are reassembled on their path; nor are packets that a timer of the host
/// sent, whose lines may be read in the turn of another lab.
fn check_consistency(place: usize, frame: &RelayedFrame) -> Result<()> {
    let Some(path) = &frame.path else { return Ok(()) };
    let is_timed = frame.direction == Direction::Out && frame.cause.is_none();
    if is_timed || is_fragment(&frame.bytes) {
        return Ok(());
    }
    let traced: Vec<&str> = path.log_prefixes().collect();
    let is_of = |(prefix, record): (&&str, &LogRecord)| {
        record.line.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with("IN="))
    };
    if traced.len() == frame.log.len() && traced.iter().zip(&frame.log).all(is_of) {
        return Ok(());
    }
    let logged: Vec<&str> = frame.log.iter().map(|record| record.prefix.as_str()).collect();
    let (traced, logged) = (listed(&traced), listed(&logged));
    let kind = PacketSummary::at(&frame.bytes).kind;
    let what = format!(
        "frame {} ({kind}): the trace shows LOG rules with the prefixes {traced}, the log has {logged}",
        place + 1
    );
    Err(CannotMeasure::Disagreement(what).into())
}

/// True if the frame has a fragment, or a packet that is cut short like one.
fn is_fragment(frame: &[u8]) -> bool {
    let is_ip = matches!(frame.get(12..14), Some([0x08, 0x00] | [0x86, 0xdd]));
    let header = frame.get(14..).filter(|_| is_ip).and_then(IpHeader::read);
    header.is_some_and(|header| header.is_fragment())
        || matches!(PacketSummary::at(frame).kind, SummaryKind::Fragment(_))
}

#[cfg(test)]
mod tests;
