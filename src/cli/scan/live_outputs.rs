//! The output during a scan: log lines, frames, and progress.

use std::sync::{Mutex, PoisonError};

use crate::cli::capture_file::{CaptureFile, OpenCapture};
use crate::cli::progress::Steps;
use crate::cli::syslog::SyslogFile;
use crate::commands::scan::{PortScan, PortScanResult, ScanObserver};
use crate::error::Result;
use crate::lab::{LinkMode, Rest};
use crate::net::Family;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::report::CaptureInterface;
use crate::report::frame_comments::{self, CapturedInterface};

/// Scans, and writes log lines and frames as they arrive.
pub fn perform(survey: &PortScan, syslog: Option<SyslogFile>, pcap: Option<CaptureFile>) -> Result<PortScanResult> {
    let link = survey.equipment.link;
    // Each family has a lab of its own.
    let interface = |family: &Family| CaptureInterface {
        name: survey.interface.to_string(),
        description: Some(family.to_string()),
        link,
    };
    let interfaces: Vec<CaptureInterface> = Family::BOTH.iter().map(interface).collect();
    let pcap = pcap.map(|file| file.open(&interfaces)).transpose()?;
    let steps = Steps::begin("probes", survey.probes());
    let listener = Listener { syslog: syslog.map(Mutex::new), capture: pcap.map(Mutex::new), link, steps };
    let found = survey.perform(&listener)?;
    let Listener { syslog, capture, .. } = listener;
    syslog.map_or(Ok(()), |file| file.into_inner().unwrap_or_else(PoisonError::into_inner).finish())?;
    capture.map_or(Ok(()), |file| file.into_inner().unwrap_or_else(PoisonError::into_inner).finish())?;
    Ok(found)
}

struct Listener {
    syslog: Option<Mutex<SyslogFile>>,
    capture: Option<Mutex<OpenCapture>>,
    link: LinkMode,
    steps: Steps,
}

impl Listener {
    fn place(&self, family: Family) -> CapturedInterface {
        let interface = Family::BOTH.iter().position(|of| *of == family).unwrap_or_default();
        CapturedInterface { interface, link: self.link }
    }
}

impl ScanObserver for Listener {
    fn probe(&self, probe: &Probe, observation: &Observation) -> Result<()> {
        self.steps.take();
        if let Some(capture) = &self.capture {
            let frames = frame_comments::of_probe(self.place(probe.family()), probe, observation);
            capture.lock().unwrap_or_else(PoisonError::into_inner).add(frames)?;
        }
        Ok(())
    }

    fn rest(&self, family: Family, Rest { frames, lines }: Rest) -> Result<()> {
        if let Some(syslog) = &self.syslog {
            syslog.lock().unwrap_or_else(PoisonError::into_inner).add(&lines)?;
        }
        let Some(capture) = &self.capture else { return Ok(()) };
        let place = self.place(family);
        let frames = frames.iter().map(|frame| frame_comments::of_lab(place, frame));
        capture.lock().unwrap_or_else(PoisonError::into_inner).add(frames)
    }
}
