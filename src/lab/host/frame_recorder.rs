//! Every frame on the link, recorded for those who asked for it, with the probe that each belongs to.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use crate::wire::frame::{Direction, Frame, FramePart};

/// What is recorded; nothing until it was told to.
#[derive(Default)]
pub struct FrameRecorder(Option<RefCell<Vec<RecordedFrame>>>);

/// A frame, and what it belongs to: the place of a probe in its batch.
struct RecordedFrame {
    frame: Frame,
    owner: Option<usize>,
}

impl FrameRecorder {
    /// From now on, everything is recorded.
    pub fn start(&mut self) {
        self.0 = Some(RefCell::default());
    }

    /// Records a frame that nobody has claimed yet.
    pub fn record(&self, direction: Direction, bytes: &[u8]) {
        let Some(taped) = &self.0 else { return };
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let frame = Frame { at, direction, bytes: bytes.to_vec(), part: FramePart::Other };
        taped.borrow_mut().push(RecordedFrame { frame, owner: None });
    }

    /// The last frame belongs to the probe at this place.
    pub fn claim(&self, owner: usize, part: FramePart) {
        let Some(taped) = &self.0 else { return };
        if let Some(last) = taped.borrow_mut().last_mut() {
            last.frame.part = part;
            last.owner = Some(owner);
        }
    }

    /// The last frame is a fence's.
    pub fn mark_fence(&self) {
        let Some(taped) = &self.0 else { return };
        if let Some(last) = taped.borrow_mut().last_mut() {
            last.frame.part = FramePart::Fence;
        }
    }

    /// Takes every claimed frame off the tape, in order, with the place of its probe.
    pub fn drain_claimed(&self) -> Vec<(usize, Frame)> {
        let Some(taped) = &self.0 else { return Vec::new() };
        let (claimed, left) = taped.take().into_iter().partition(|taped| taped.owner.is_some());
        taped.replace(left);
        let claimed: Vec<RecordedFrame> = claimed;
        claimed.into_iter().filter_map(|taped| Some((taped.owner?, taped.frame))).collect()
    }

    /// Takes what is left: the lab's own frames, and what the host sent by itself.
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
