//! `--pcap`: every frame goes to a file for Wireshark, each with a comment, sorted by time.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::atomic_file::AtomicFile;
use crate::commands::run::{LinkRecording, RunReport, ScenarioReport};
use crate::error::{Context, Result};
use crate::lab::LinkMode;
use crate::report::frame_comments::{self, CapturedInterface};
use crate::report::{CaptureInterface, CaptureWriter, CapturedFrame};

/// A capture file without content.
pub struct CaptureFile {
    file: AtomicFile,
    path: PathBuf,
}

/// A capture file that accepts frames.
pub struct OpenCapture {
    writer: CaptureWriter<BufWriter<AtomicFile>>,
    path: PathBuf,
    /// Frames that are not yet written, since an earlier one may follow.
    pending: Vec<CapturedFrame<'static>>,
}

/// More frames than a lab hands over at once: no later frame is earlier than the first half of these.
const WINDOW: usize = 8192;

impl CaptureFile {
    /// Opens the file before the measurement, so that a bad path costs no measurement.
    pub fn begin(path: &Path) -> Result<CaptureFile> {
        let file = AtomicFile::begin(path, "name a file in an existing folder that you may write to")?;
        Ok(CaptureFile { file, path: path.to_owned() })
    }

    /// Writes the blocks that precede the frames.
    pub fn open(self, interfaces: &[CaptureInterface]) -> Result<OpenCapture> {
        let CaptureFile { file, path } = self;
        let writer = CaptureWriter::begin(BufWriter::new(file), interfaces).context(writing(&path))?;
        Ok(OpenCapture { writer, path, pending: Vec::new() })
    }

    /// Writes the frames of a run, where each lab has an interface of its own.
    pub fn keep_run(self, run: &RunReport, link: LinkMode) -> Result<()> {
        let of_scenario = |scenario: &'_ ScenarioReport| scenario.recordings.len();
        let mut interfaces = Vec::with_capacity(run.scenarios.iter().map(of_scenario).sum());
        let mut frames: Vec<CapturedFrame> = Vec::new();
        for scenario in &run.scenarios {
            for recording in &scenario.recordings {
                frames.extend(of_recording(CapturedInterface { interface: interfaces.len(), link }, recording));
                interfaces.push(CaptureInterface {
                    name: scenario.host.interface.clone(),
                    description: Some(format!("{}: {}", scenario.file.display(), recording.lab)),
                    link,
                });
            }
        }
        frames.sort_by_key(|frame| frame.at);
        let mut capture = self.open(&interfaces)?;
        frames.into_iter().try_for_each(|frame| capture.write(frame))?;
        capture.finish()
    }
}

impl OpenCapture {
    /// Adds frames; those of one lab arrive nearly sorted.
    pub fn add<'a>(&mut self, frames: impl IntoIterator<Item = CapturedFrame<'a>>) -> Result<()> {
        self.pending.extend(frames.into_iter().map(CapturedFrame::into_owned));
        if self.pending.len() > WINDOW {
            self.write_first(self.pending.len() / 2)?;
        }
        Ok(())
    }

    /// Writes the pending frames, and gives the file its name.
    pub fn finish(mut self) -> Result<()> {
        self.write_first(self.pending.len())?;
        let file =
            self.writer.into_inner().into_inner().map_err(|error| error.into_error()).context(writing(&self.path))?;
        file.keep()
    }

    fn write_first(&mut self, count: usize) -> Result<()> {
        self.pending.sort_by_key(|frame| frame.at);
        let first: Vec<_> = self.pending.drain(..count).collect();
        first.into_iter().try_for_each(|frame| self.write(frame))
    }

    fn write(&mut self, frame: CapturedFrame<'_>) -> Result<()> {
        self.writer.write(frame).context(writing(&self.path))
    }
}

fn writing(path: &Path) -> String {
    format!("write {}", path.display())
}

fn of_recording(place: CapturedInterface, recording: &LinkRecording) -> impl Iterator<Item = CapturedFrame<'_>> {
    let probes = recording.probes.iter();
    let of_probes = probes.flat_map(move |(probe, observation)| frame_comments::of_probe(place, probe, observation));
    let of_packets =
        recording.packets.iter().flat_map(move |(cell, response)| frame_comments::of_packet(place, cell, response));
    of_probes.chain(of_packets).chain(recording.rest.iter().map(move |frame| frame_comments::of_lab(place, frame)))
}
