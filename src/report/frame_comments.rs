//! Comments for the frames of a capture: the kind of frame, the path of its probe rule by rule, the end of that path,
//! the port state that it led to, and its log lines.

use std::fmt::Write;

use super::paths::{ended, in_words};
use super::pcapng::CapturedFrame;
use crate::intent::plan::PacketCell;
use crate::lab::LinkMode;
use crate::net::Family;
use crate::probe::Probe;
use crate::probe::canary;
use crate::probe::observation::{LogRecord, Observation};
use crate::probe::packet::Response;
use crate::probe::packet_summary::{PacketSummary, SummaryKind};
use crate::probe::path::Path;
use crate::wire::frame::{Frame, FramePart};

/// The interface of frames: its index in the capture, and its kind.
#[derive(Debug, Clone, Copy)]
pub struct CapturedInterface {
    /// The index among the interfaces of the capture.
    pub interface: usize,
    /// Its kind.
    pub link: LinkMode,
}

/// The frames of a probe, in order.
pub fn of_probe<'a>(place: CapturedInterface, probe: &Probe, observation: &'a Observation) -> Vec<CapturedFrame<'a>> {
    let frames = observation.frames.iter().scan(UnclaimedLines::new(observation), |lines, frame| {
        Some(place.captured(frame, comment(place, probe, observation, frame, lines)))
    });
    frames.collect()
}

/// The frames of a packet row.
pub fn of_packet<'a>(place: CapturedInterface, cell: &PacketCell, response: &'a Response) -> Vec<CapturedFrame<'a>> {
    let row = format!("packet row `{}` ({})", cell.packet, cell.family);
    let comment = |frame: &Frame| match (frame.part, response.own.last()) {
        (FramePart::Probe, Some(own)) => with_way(row.clone(), Some(&own.path)),
        _ => format!("{}: leads to {row}", place.glance(frame)),
    };
    response.frames.iter().map(|frame| place.captured(frame, comment(frame))).collect()
}

/// A frame that belongs to no probe.
pub fn of_lab(place: CapturedInterface, frame: &Frame) -> CapturedFrame<'_> {
    place.captured(frame, format!("{}{}", place.glance(frame), place.purpose(frame)))
}

impl CapturedInterface {
    fn captured<'a>(self, frame: &'a Frame, comment: String) -> CapturedFrame<'a> {
        let Frame { at, direction, bytes, .. } = frame;
        CapturedFrame {
            interface: self.interface,
            at: *at,
            direction: *direction,
            bytes: bytes.as_slice().into(),
            comment,
        }
    }

    fn glance(self, frame: &Frame) -> SummaryKind {
        self.look(frame).kind
    }

    fn look(self, frame: &Frame) -> PacketSummary {
        match self.link {
            LinkMode::Tap => PacketSummary::at(&frame.bytes),
            LinkMode::Tun => PacketSummary::at_packet(&frame.bytes),
        }
    }

    /// The purpose of a frame that the lab sends for itself.
    fn purpose(self, frame: &Frame) -> &'static str {
        let ends = self.look(frame).ends;
        let is_canary = |family| ends.is_some_and(|(from, to)| [from, to].contains(&canary::source(family)));
        if frame.part == FramePart::Fence {
            ": a fence; its answer shows that all earlier frames were handled"
        } else if Family::BOTH.into_iter().any(is_canary) {
            ": a canary, which proves that the log is read"
        } else {
            ""
        }
    }
}

/// Log lines that are not yet assigned to a frame.
struct UnclaimedLines<'a> {
    own: &'a [LogRecord],
    followup: &'a [LogRecord],
}

impl<'a> UnclaimedLines<'a> {
    fn new(observation: &'a Observation) -> UnclaimedLines<'a> {
        UnclaimedLines { own: &observation.log, followup: &observation.followup }
    }

    /// Assigns the lines to the first frame that can have caused them.
    fn take(&mut self, part: FramePart) -> &'a [LogRecord] {
        match part {
            FramePart::Probe => std::mem::take(&mut self.own),
            FramePart::Followup => std::mem::take(&mut self.followup),
            FramePart::Answer | FramePart::Fence | FramePart::Other => &[],
        }
    }
}

fn comment(
    place: CapturedInterface,
    probe: &Probe,
    observation: &Observation,
    frame: &Frame,
    lines: &mut UnclaimedLines,
) -> String {
    let subject = match probe.technique.has_ports() {
        true => format!("{} of port {} ({})", probe.technique, probe.flow.port, probe.family()),
        false => format!("{} ({})", probe.technique, probe.family()),
    };
    let mut text = match frame.part {
        FramePart::Probe => {
            let verdict = format!("{subject}: {}", observation.verdict);
            with_way(verdict, observation.path.as_deref())
        }
        FramePart::Answer => {
            with_way(format!("{}: the answer to {subject}", place.glance(frame)), observation.answer_path.as_deref())
        }
        FramePart::Followup | FramePart::Fence | FramePart::Other => {
            format!("{}: follows {subject}", place.glance(frame))
        }
    };
    for LogRecord { line, .. } in lines.take(frame.part) {
        let _ = write!(text, "\nlog: {}", line.trim_end());
    }
    text
}

fn with_way(mut text: String, path: Option<&Path>) -> String {
    let Some(path) = path else { return text };
    if let Some(state) = path.conntrack {
        let _ = write!(text, ", {state} to conntrack");
    }
    let _ = write!(text, ": {}", ended(path.fate, path.deciding()));
    for step in &path.steps {
        let _ = write!(text, "\n{}", in_words(step));
    }
    text
}
