//! The self-test: faults of the instrument itself, injected one at a time, each in a lab whose verdicts are known.
//! Every one must be noticed, or have no effect.
//!
//! A self-test that cannot fail proves nothing. So [`mod@judge`] is separate from the labs, and a fault counts only if
//! the instrument has really met it: see [`Sabotage::met`].

mod fault_lab;
mod judge;

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Result;
use crate::lab::{Capture, Fault, LabOptions, LinkMode, PinnedSysctls, Sabotage};

pub use fault_lab::{ProbeOutcome, WrongVerdict};
pub use judge::{Ending, judge};

/// The result of a self-test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfTest {
    /// The control, then one row for each fault.
    pub rows: Vec<FaultRow>,
    /// The pinned sysctls of the lab without a fault.
    pub pinned_sysctls: PinnedSysctls,
}

/// One fault, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Row")]
pub struct FaultRow {
    /// The fault's name; `none` for the control.
    pub fault: &'static str,
    /// The injected fault in words.
    pub planted: String,
    /// The event in words.
    pub happened: String,
    /// The outcome.
    pub outcome: FaultOutcome,
}

/// The outcome of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "FaultOutcome")]
pub enum FaultOutcome {
    /// The instrument was fooled: a wrong verdict, a loss that went unnoticed, or an error that is not about the fault.
    Fooled,
    /// The instrument never met the fault, so it proves nothing.
    NotPlanted,
    /// This machine does not permit the fault to be injected: never green.
    NotRun,
    /// The lab noticed, and reported that it cannot measure.
    Caught,
    /// All verdicts are correct nevertheless.
    Right,
}

impl fmt::Display for FaultOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FaultOutcome::Fooled => "FOOLED",
            FaultOutcome::NotPlanted => "NOT PLANTED",
            FaultOutcome::NotRun => "not run",
            FaultOutcome::Caught => "caught",
            FaultOutcome::Right => "right",
        })
    }
}

/// Runs the control and then every fault. An error means that the lab cannot run here at all. When the future is
/// dropped, no further lab is begun.
pub async fn run(equipment: LabOptions) -> Result<SelfTest> {
    let equipment = Arc::new(equipment);
    let (control, pinned_sysctls) = in_a_lab(&equipment, fault_lab::control).await?;
    let mut rows = vec![control_row(&control)];
    for fault in Fault::ALL.into_iter() {
        rows.push(in_a_lab(&equipment, move |equipment| row(equipment, fault)).await?);
    }
    Ok(SelfTest { rows, pinned_sysctls })
}

/// A lab blocks its thread.
async fn in_a_lab<T: Send + 'static>(
    equipment: &Arc<LabOptions>,
    work: impl FnOnce(&LabOptions) -> Result<T> + Send + 'static,
) -> Result<T> {
    let equipment = equipment.clone();
    let done = tokio::task::spawn_blocking(move || work(&equipment)).await;
    done.unwrap_or_else(|panic| resume_unwind(panic.into_panic()))
}

fn control_row(mistakes: &[WrongVerdict]) -> FaultRow {
    let (outcome, happened) = judge::verdicts(mistakes);
    FaultRow { fault: "none", planted: "nothing: the control".to_owned(), happened, outcome }
}

fn row(equipment: &LabOptions, fault: Fault) -> Result<FaultRow> {
    let sabotage = Sabotage::new(fault);
    let found = fault_lab::with(equipment, &sabotage)?;
    let (outcome, happened) = judge(&sabotage, &found);
    Ok(FaultRow { fault: fault.as_str(), planted: planted(&sabotage, equipment), happened, outcome })
}

/// The injected fault in words.
fn planted(sabotage: &Sabotage, equipment: &LabOptions) -> String {
    let (count, capture, link) = (sabotage.planted(), equipment.capture, equipment.link);
    match sabotage.fault {
        Fault::BlindLog if capture == Capture::Nflog => "the reader of logged packets withholds every line".to_owned(),
        Fault::LogOverrun if capture == Capture::Nflog => "a socket for logged packets that is too small".to_owned(),
        Fault::BlindLog => "the reader of the kernel's log withholds every line".to_owned(),
        Fault::NothingLoaded => "an iptables-restore that ends without an error and loads nothing".to_owned(),
        Fault::LostTrace => "a socket for rule traces that is too small".to_owned(),
        Fault::LostRouting => "a reader of rule traces that withholds where packets are routed".to_owned(),
        Fault::StaleReply => format!("{count} SYN/ACKs that answer earlier probes of the same ports"),
        Fault::WrongFence if link == LinkMode::Tun => format!("{count} fences with other numbers"),
        Fault::WrongFence => format!("{count} ARP answers to other fences"),
        Fault::ResetOfAStranger => format!("{count} RSTs from an address that was not probed"),
        Fault::ResetOutOfWindow => format!("{count} RSTs whose numbers do not fit"),
        Fault::LogOverrun => "lines that wrap the kernel's log around before a probe's line is read".to_owned(),
        Fault::FullConntrack => format!("{count} connections that cannot be evicted"),
    }
}
