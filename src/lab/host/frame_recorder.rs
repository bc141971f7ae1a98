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
        let Some(recording) = &self.0 else { return };
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let frame = Frame { at, direction, bytes: bytes.to_vec(), part: FramePart::Other };
        recording.borrow_mut().push(RecordedFrame { frame, owner: None });
    }

    /// Assigns the last frame to the probe with this index.
    pub fn claim(&self, owner: usize, part: FramePart) {
        let Some(recording) = &self.0 else { return };
        if let Some(last) = recording.borrow_mut().last_mut() {
            last.frame.part = part;
            last.owner = Some(owner);
        }
    }

    /// Marks the last frame as that of a fence.
    pub fn mark_fence(&self) {
        let Some(recording) = &self.0 else { return };
        if let Some(last) = recording.borrow_mut().last_mut() {
            last.frame.part = FramePart::Fence;
        }
    }

    /// Removes and returns all frames that belong to a probe, in order, with the index of the probe.
    pub fn drain_claimed(&self) -> Vec<(usize, Frame)> {
        let Some(recording) = &self.0 else { return Vec::new() };
        let (claimed, left) = recording.take().into_iter().partition(|recording| recording.owner.is_some());
        recording.replace(left);
        let claimed: Vec<RecordedFrame> = claimed;
        claimed.into_iter().filter_map(|recording| Some((recording.owner?, recording.frame))).collect()
    }

    /// Removes and returns the remaining frames: the lab's own, and those that the host sent by itself.
    pub fn drain_unclaimed(&self) -> Vec<Frame> {
        let Some(recording) = &self.0 else { return Vec::new() };
        recording.take().into_iter().map(|recording| recording.frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_that_was_not_started_holds_nothing() {
        let recorder = FrameRecorder::default();
        recorder.record(Direction::In, b"frame");
        recorder.claim(0, FramePart::Probe);
        assert!(recorder.drain_claimed().is_empty() && recorder.drain_unclaimed().is_empty());
    }

    #[test]
    fn claimed_frames_go_to_their_probes_and_the_rest_stays() {
        let mut recorder = FrameRecorder::default();
        recorder.start();
        recorder.record(Direction::In, b"probe");
        recorder.claim(7, FramePart::Probe);
        recorder.record(Direction::In, b"fence");
        recorder.mark_fence();
        recorder.record(Direction::Out, b"answer");
        recorder.claim(7, FramePart::Answer);
        let claimed: Vec<_> = recorder.drain_claimed().into_iter().map(|(owner, frame)| (owner, frame.part)).collect();
        assert_eq!(claimed, [(7, FramePart::Probe), (7, FramePart::Answer)]);
        let rest = recorder.drain_unclaimed();
        assert_eq!(
            rest.iter().map(|frame| (&*frame.bytes, frame.part)).collect::<Vec<_>>(),
            [(&b"fence"[..], FramePart::Fence)]
        );
        assert!(recorder.drain_unclaimed().is_empty());
    }
}
