//! `scanlab check`: a ruleset against the intent, before it is deployed. The checks of a run, then what nothing can reach,
//! then what is wrong with the text.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::equipment::EquipmentArguments;
use super::report_files::ReportArguments;
use crate::error::{Result, Source};
use crate::findings::{self, Findings, Subject};
use crate::iptables_save::Listing;
use crate::lab::{Capture, Equipment, HOST_MAC, LinkMode, Watch};
use crate::lint::{self, Finding};
use crate::net::Family;
use crate::report::{self, Report};
use crate::run::{self, Settings, Until};
use crate::scenario::{RulesetFiles, Scenario};
use crate::sensor::SensorFile;
use crate::vendor::VendorDb;

/// The options of `scanlab check`.
#[derive(Debug, Args)]
pub struct Options {
    /// The sensor's TOML file: the intent
    #[arg(long, value_name = "FILE")]
    sensor: PathBuf,
    /// IPv4 ruleset, iptables-save text; without any ruleset, the one that the sensor generates
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// IPv6 ruleset, ip6tables-save text
    #[arg(long, value_name = "FILE")]
    rules6: Option<PathBuf>,
    #[command(flatten)]
    equipment: EquipmentArguments,
    #[command(flatten)]
    report: ReportArguments,
}

/// Checks, and reports. The status is that of a run; findings do not change it.
pub fn check(options: Options) -> Result<ExitCode> {
    let scenario = scenario(&options)?;
    // Whoever checks before he deploys finds nothing of it in his log.
    let flavours = options.equipment.find_all(LinkMode::Tap, || Capture::Nflog)?;
    let files = options.report.begin()?;
    let vendors = Arc::new(super::run::vendors(None)?);
    let watch = options.report.watch();
    let reports = flavours.into_iter().map(|equipment| check_with(equipment, watch, &scenario, &vendors));
    let report = Report::of_flavours(reports.collect::<Result<_>>()?);
    files.write(&report, super::run::status(&report), text)?;
    Ok(ExitCode::from(super::run::status(&report)))
}

/// The report of one flavour.
fn check_with(equipment: Equipment, watch: Watch, scenario: &Scenario, vendors: &Arc<VendorDb>) -> Result<Report> {
    let jobs = usize::from(super::run::default_jobs());
    let settings = Settings { equipment: equipment.clone(), watch, jobs, vendors: Arc::clone(vendors) };
    let rulesets = run::rulesets(scenario);
    let lint = Some(lint(&rulesets));
    let found = super::interruptible(run::run(vec![scenario.clone()], settings, Until::TheEnd))?;
    let environment = super::environment(&equipment, found.weather.clone());
    let scenario = scenario.clone();
    let findings = super::interruptible_blocking(move || findings(&scenario, &equipment, &rulesets))?;
    Ok(Report { findings: Some(findings), lint, ..Report::of_run(&found, environment) })
}

/// What is wrong with the text of these rulesets.
pub fn lint(rulesets: &[(Family, Source)]) -> Vec<Finding> {
    let listing = |wanted: Family| {
        let ruleset = rulesets.iter().find(|(family, _)| *family == wanted);
        ruleset.map(|(family, source)| Listing::parse(*family, source))
    };
    lint::lint(listing(Family::Ipv4).as_ref(), listing(Family::Ipv6).as_ref())
}

fn scenario(options: &Options) -> Result<Scenario> {
    let SensorFile { source, sensor, host } = SensorFile::load(&options.sensor)?;
    let read = |path: &Option<PathBuf>| path.as_deref().map(Source::read).transpose();
    let (v4, v6) = (read(&options.rules)?, read(&options.rules6)?);
    let ruleset = (v4.is_some() || v6.is_some()).then_some(RulesetFiles { v4, v6 });
    let title = "the ruleset does what the sensor means".to_owned();
    Ok(Scenario { source, title, sensor: Some(sensor), ruleset, host, expect: Vec::new(), known: Vec::new() })
}

fn findings(scenario: &Scenario, equipment: &Equipment, rulesets: &[(Family, Source)]) -> Result<Findings> {
    findings::measure(&Subject {
        equipment,
        interface: &scenario.host.interface,
        mac: scenario.host.mac.unwrap_or(HOST_MAC),
        addresses: &scenario.host.addresses,
        rulesets: &rulesets.iter().map(|(family, source)| (*family, source)).collect::<Vec<_>>(),
    })
}

fn text(report: &Report) -> String {
    let width = super::width();
    let parts = [
        report.findings.as_ref().map(|findings| report::findings_table(findings, width)),
        report.lint.as_ref().map(|lint| report::lint_table(lint, width)),
        Some(report::flavours_block(report, width)).filter(|block| !block.is_empty()),
        Some(report::run_table(report, width)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}
