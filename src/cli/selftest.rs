//! `scanlab selftest`: injects faults into the instrument, and verifies that it detects them.

use std::process::ExitCode;

use clap::Args;

use super::ReportFormat;
use super::equipment::{EquipmentArguments, LinkArgument};
use crate::commands::selftest::{self, FaultOutcome};
use crate::error::Result;
use crate::report::{self, SelfTestReport};

/// The options of `scanlab selftest`.
#[derive(Debug, Args)]
pub struct SelftestOptions {
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// The link between prober and host: Ethernet frames, or bare IP packets
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
    /// Output format
    #[arg(long, value_enum, default_value_t = ReportFormat::Table)]
    format: ReportFormat,
}

/// The end of `selftest --help`.
pub const AFTER_HELP: &str = "\
Each fault is planted in a throw-away lab of its own: replies that are forged or stale, a kernel log that wraps around \
under its reader, a conntrack table that is full. Each must end in \"could not measure\", or leave every verdict right.

This leaves lines in the kernel log of this machine: for `log overrun` it logs canaries (\"scanlab canary: \") until the \
log has wrapped around, so that older lines are gone from it; lines that a syslog daemon has already read are kept there. For \
`full conntrack table` it makes nf_conntrack_max entries in a namespace of its own, about 80 MB for a short time.";

/// Runs the self-test and reports.
pub fn selftest(options: SelftestOptions) -> Result<ExitCode> {
    let equipment = options.equipment.find(options.link.into())?;
    let found = super::interruptible(selftest::run(equipment.clone()))?;
    let status = status(found.rows.iter().map(|row| row.outcome).min());
    let report = SelfTestReport::new(&found, super::environment(&equipment, found.pinned_sysctls.clone()));
    super::print(&match options.format {
        ReportFormat::Table => report::selftest_table(&report, super::width()),
        ReportFormat::Json => report::to_json(&report),
    })?;
    Ok(status)
}

fn status(worst: Option<FaultOutcome>) -> ExitCode {
    match worst {
        Some(FaultOutcome::Fooled | FaultOutcome::NotPlanted) => ExitCode::from(1),
        Some(FaultOutcome::NotRun) | None => ExitCode::from(3),
        Some(FaultOutcome::Caught | FaultOutcome::Right) => ExitCode::SUCCESS,
    }
}
