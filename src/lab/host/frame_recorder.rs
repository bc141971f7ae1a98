//! A recording of every frame on the link, on request, with the probe that each belongs to.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use crate::wire::frame::{Direction, Frame, FramePart};

/// The recorded frames; `None` until the recording is started.
#[derive(Default)]
pub struct FrameRecorder(Option<RefCell<Vec<RecordedFrame>>>);

/// A frame, and the index of the probe in its batch that it belongs to.
struct RecordedFrame {
    frame: Frame,
    owner: Option<usize>,
}

impl FrameRecorder {
    /// Starts the recording.
    pub fn start(&mut self) {
        self.0 = Some(RefCell::default());
    }

    /// Records a frame that belongs to no probe yet.
    pub fn record(&self, direction: Direction, bytes: &[u8]) {
        let Some(taped) = &self.0 else { return };
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let frame = Frame { at, direction, bytes: bytes.to_vec(), part: FramePart::Other };
        taped.borrow_mut().push(RecordedFrame { frame, owner: None });
    }

    /// Assigns the last frame to the probe with this index.
    pub fn claim(&self, owner: usize, part: FramePart) {
        let Some(taped) = &self.0 else { return };
        if let Some(last) = taped.borrow_mut().last_mut() {
            last.frame.part = part;
            last.owner = Some(owner);
        }
    }

    /// Marks the last frame as that of a fence.
    pub fn mark_fence(&self) {
        let Some(taped) = &self.0 else { return };
        if let Some(last) = taped.borrow_mut().last_mut() {
            last.frame.part = FramePart::Fence;
        }
    }

    /// Removes and returns all frames that belong to a probe, in order, with the index of the probe.
    pub fn drain_claimed(&self) -> Vec<(usize, Frame)> {
        let Some(taped) = &self.0 else { return Vec::new() };
        let (claimed, left) = taped.take().into_iter().partition(|taped| taped.owner.is_some());
        taped.replace(left);
        let claimed: Vec<RecordedFrame> = claimed;
        claimed.into_iter().filter_map(|taped| Some((taped.owner?, taped.frame))).collect()
    }

    /// Removes and returns the remaining frames: the lab's own, and those that the host sent by itself.
    pub fn drain_unclaimed(&self) -> Vec<Frame> {
        let Some(taped) = &self.0 else { return Vec::new() };
        taped.take().into_iter().map(|taped| taped.frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_that_was_not_started_holds_nothing() {
        let tape = FrameRecorder::default();
        tape.record(Direction::In, b"frame");
        tape.claim(0, FramePart::Probe);
        assert!(tape.drain_claimed().is_empty() && tape.drain_unclaimed().is_empty());
    }

    #[test]
    fn claimed_frames_go_to_their_probes_and_the_rest_stays() {
        let mut tape = FrameRecorder::default();
        tape.start();
        tape.record(Direction::In, b"probe");
        tape.claim(7, FramePart::Probe);
        tape.record(Direction::In, b"fence");
        tape.mark_fence();
        tape.record(Direction::Out, b"answer");
        tape.claim(7, FramePart::Answer);
        let claimed: Vec<_> = tape.drain_claimed().into_iter().map(|(owner, frame)| (owner, frame.part)).collect();
        assert_eq!(claimed, [(7, FramePart::Probe), (7, FramePart::Answer)]);
        let rest = tape.drain_unclaimed();
        assert_eq!(
            rest.iter().map(|frame| (&*frame.bytes, frame.part)).collect::<Vec<_>>(),
            [(&b"fence"[..], FramePart::Fence)]
        );
        assert!(tape.drain_unclaimed().is_empty());
    }
}
