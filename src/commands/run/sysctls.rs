//! Finds the sysctls that affected a check: the run is repeated with the usual value of each, and the checks are
//! compared.

use super::{FailFast, RunReport, Settings, run_each};
use crate::error::Result;
use crate::intent::scenario::Scenario;
use crate::net::sysctl::SetSysctl;

/// For each sysctl in `set`, the checks of `found` that have another observation with the usual value.
pub async fn decided(
    scenarios: &[Scenario],
    settings: &Settings,
    found: &RunReport,
    set: Vec<SetSysctl>,
) -> Result<Vec<SetSysctl>> {
    let mut all = Vec::with_capacity(set.len());
    for sysctl in set {
        let mut settings = settings.clone();
        // Never fails: name and value are from the list.
        let _ = settings.equipment.sysctls.set(&sysctl.name, sysctl.usual, "");
        let usual = run_each(scenarios.to_vec(), settings, FailFast::TheEnd).await?;
        let decides = Some(differing(found, &usual));
        all.push(SetSysctl { decides, ..sysctl });
    }
    Ok(all)
}

fn differing(found: &RunReport, usual: &RunReport) -> Vec<String> {
    let pairs = found.scenarios.iter().zip(&usual.scenarios);
    let checks = pairs.flat_map(|(found, usual)| found.checks.iter().zip(&usual.checks));
    let differ = checks.filter(|(found, usual)| found.observed != usual.observed);
    differ.map(|(found, _)| found.name()).collect()
}
