//! `scanlab selftest`: plants faults in the instrument itself, and tells whether it notices.

use std::process::ExitCode;

use clap::Args;

use super::Format;
use super::equipment::{EquipmentArguments, LinkArgument};
use crate::commands::selftest::{self, Outcome};
use crate::error::Result;
use crate::report::{self, SelfTestReport};

/// The options of `scanlab selftest`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    equipment: EquipmentArguments,
    /// What lies between prober and host: Ethernet frames, or bare IP packets
    #[arg(long, value_enum, default_value_t = LinkArgument::Tap)]
    link: LinkArgument,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What else there is to know, for `--help`.
pub const AFTER_HELP: &str = "\
Each fault is planted in a throw-away lab of its own: replies that are forged or stale, a kernel log that wraps around \
under its reader, a conntrack table that is full. Each must end in \"could not measure\", or leave every verdict right.

This leaves lines in the kernel log of this machine: for `log overrun` it logs canaries (\"scanlab canary: \") until the \
log has wrapped around, so that older lines are gone from it; what a syslog daemon has read of them stays there. For \
`full conntrack table` it makes nf_conntrack_max entries in a namespace of its own, about 80 MB for a short time.";

/// Runs the self-test and reports.
pub fn selftest(options: Options) -> Result<ExitCode> {
    let equipment = options.equipment.find(options.link.into())?;
    let found = super::interruptible(selftest::run(equipment.clone()))?;
    let status = status(found.rows.iter().map(|row| row.outcome).min());
    let report = SelfTestReport::new(&found, super::environment(&equipment, found.weather.clone()));
    super::print(&match options.format {
        Format::Table => report::selftest_table(&report, super::width()),
        Format::Json => report::to_json(&report),
    })?;
    Ok(status)
}

fn status(worst: Option<Outcome>) -> ExitCode {
    match worst {
        Some(Outcome::Fooled | Outcome::NotPlanted) => ExitCode::from(1),
        Some(Outcome::NotRun) | None => ExitCode::from(3),
        Some(Outcome::Caught | Outcome::Right) => ExitCode::SUCCESS,
    }
}
