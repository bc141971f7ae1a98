//! `scanlab check`: a ruleset against the intent, before it is deployed. It runs the checks of a run, and answers the
//! questions of an administrator: first the verdict, then each problem.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::check_files::{CheckFileArguments, CheckFiles};
use super::equipment::EquipmentArguments;
use super::no_clobber::spare;
use super::question;
use super::report_files::ReportArguments;
use crate::commands::live::Machine;
use crate::commands::predeploy::{self, Answers, ScannedPorts};
use crate::commands::run::{self, FailFast, Settings};
use crate::error::{InputError, Result, Source};
use crate::intent::scenario::{RulesetFiles, Scenario};
use crate::lab::{Capture, HOST_MAC, Lab, LabOptions, LinkMode, WatchedEvents};
use crate::net::{Addresses, Family, InterfaceName};
use crate::report::{self, Deployment, Detail, Environment, Report};
use crate::rules::lint::{self, LintFinding};
use crate::sensor::mac_vendor::VendorDb;
use crate::sensor::{LinkFile, Sensor, SensorEntry, SensorFile, SshFrom};
use crate::verdict::findings::{self, RulesetFindings};

/// The end of `check --help`.
pub const AFTER_HELP: &str = "\
The first line is the verdict: SAFE TO DEPLOY, DO NOT DEPLOY with the number of
reasons, or CANNOT TELL with the number of things that could not be checked.
Each reason is explained: what happens, the rule, and the fix.

The questions: Will I be locked out? Is anything open that should not be? Can it
be identified as a Raspberry Pi? Will scans be logged? What does an attacker see?

Nothing is loaded on this machine, and its log gets no lines.";

/// The options of `scanlab check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    #[command(flatten)]
    files: CheckFileArguments,
    /// Read this machine's own rules, SSH server, interface and addresses; rulesets on the command line are loaded
    /// over them, in the lab. Nothing is changed
    #[arg(long)]
    live: bool,
    /// With --live: the interface to scan, in place of the one with the default route
    #[arg(long, value_name = "NAME", requires = "live")]
    interface: Option<InterfaceName>,
    /// The address that you log in from over SSH; one for each family
    #[arg(long, value_name = "ADDRESS")]
    admin: Vec<IpAddr>,
    /// Test all 65535 ports instead of one per group that the rules distinguish
    #[arg(long)]
    every_port: bool,
    /// Show every check and result, unreachable rules and lint findings
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    equipment: EquipmentArguments,
    #[command(flatten)]
    report: ReportArguments,
}

/// The input of `check`, read and combined.
#[derive(Debug, Clone)]
struct CheckInput {
    scenario: Scenario,
    sensor: Sensor,
    machine: Option<Machine>,
    admins: Vec<IpAddr>,
    link: Option<LinkFile>,
    ports: ScannedPorts,
    /// The extent of the measurement.
    depth: CheckDepth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CheckDepth {
    Answers,
    Everything,
}

/// Checks, and reports. The status is that of a run, 1 if an answer is a reason not to deploy, and 3 if only something is
/// not known; findings do not change it.
pub fn check(options: CheckOptions) -> Result<ExitCode> {
    // A report for programs has no room for questions.
    let can_ask = options.report.is_for_people() && question::is_possible();
    let input = options.files.resolve(options.live, can_ask);
    let in_folders = input.iter().flat_map(CheckFiles::paths);
    spare(options.files.paths().chain(in_folders), options.report.paths())?;
    let files = options.report.begin()?;
    let sensor = input.as_ref().ok().and_then(|input| input.sensor.clone());
    let measured = input.and_then(|input| measure(&options, &input));
    files.settle(measured, sensor.as_deref(), |files, report| {
        let status = match (report.deployment(), super::run::status(&report)) {
            (Deployment::Unsafe { .. }, _) => 1,
            (Deployment::Unknown { .. }, 0) => 3,
            (Deployment::Safe | Deployment::FlavoursDiffer | Deployment::Unknown { .. }, status) => status,
        };
        files.write(&report, status, |report| if options.verbose { verbose_text(report) } else { text(report) })?;
        Ok(ExitCode::from(status))
    })
}

fn measure(options: &CheckOptions, files: &CheckFiles) -> Result<Report> {
    // By default `check` leaves no lines in the machine's own log.
    let flavours = options.equipment.find_all(LinkMode::Tap, || Capture::Nflog)?;
    let case = case(options, files, &flavours[0])?;
    let vendors = Arc::new(super::run::vendors(None)?);
    let watch = options.report.watch();
    let mut reports = Vec::new();
    for equipment in flavours {
        reports.push(check_with(equipment, watch, &case, &vendors)?);
    }
    let answers = all_answers(&reports);
    Ok(Report { answers: Some(answers), ..Report::of_flavours(reports) })
}

/// The answers of the first flavour, with those facts of the other that differ.
fn all_answers(reports: &[Report]) -> Answers {
    let of = |report: &Report| report.answers.clone().expect("every flavour has its answers");
    let mut answers = of(&reports[0]);
    for report in &reports[1..] {
        answers.add_of(
            &format!("iptables {} {}", report.environment.iptables, report::backend_name(report.environment.backend)),
            &of(report),
        );
    }
    answers
}

/// The report of one flavour: the checks of a run, and the questions that only a deployment asks.
fn check_with(
    equipment: LabOptions,
    watch: WatchedEvents,
    case: &CheckInput,
    vendors: &Arc<VendorDb>,
) -> Result<Report> {
    let equipment = equipment.over(&case.scenario.host.sysctls);
    let jobs = usize::from(super::run::default_jobs());
    let settings = Settings { equipment: equipment.clone(), watch, jobs, vendors: Arc::clone(vendors) };
    let rulesets = run::rulesets(&case.scenario);
    let lint = Some(lint(&equipment, &rulesets));
    let case = Arc::new(CaseOfFlavour { equipment, case: case.clone(), rulesets, vendors: Arc::clone(vendors) });
    let (mut found, set_sysctls, predeploy_found, findings) = super::interruptible(async {
        let asking = Arc::clone(&case);
        let predeploy_found =
            tokio::task::spawn_blocking(move || Ok((predeploy::measure_all(&asking.subject())?, asking.findings()?)));
        let scenarios = vec![case.case.scenario.clone()];
        let mut found = run::run(scenarios.clone(), settings.clone(), FailFast::TheEnd).await?;
        run::without_chance(&scenarios, &settings, &mut found).await?;
        let set = run::decided(&scenarios, &settings, &found, settings.equipment.sysctls.unusual()).await?;
        let predeploy_found =
            predeploy_found.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        predeploy_found.map(|(predeploy_found, findings)| (found, set, predeploy_found, findings))
    })?;
    if case.case.machine.is_some() {
        // Over a family that the machine does not have, no packet arrives.
        let missing = Family::BOTH.into_iter().filter(|family| Lab::must_have(*family).is_err());
        missing.for_each(|family| found.scenarios[0].leave_out(family));
    }
    let environment = super::environment(&case.equipment, found.pinned_sysctls.clone());
    let environment = Environment { set_sysctls, ..environment };
    let answers = predeploy_found.answers(&case.subject(), &found.scenarios[0]);
    Ok(Report { findings, lint, answers: Some(answers), ..Report::of_run(&found, environment) })
}

/// The input, with the lab options of one flavour.
struct CaseOfFlavour {
    equipment: LabOptions,
    case: CheckInput,
    rulesets: Vec<(Family, Source)>,
    vendors: Arc<VendorDb>,
}

impl CaseOfFlavour {
    fn subject(&self) -> predeploy::PredeploySubject<'_> {
        predeploy::PredeploySubject {
            equipment: &self.equipment,
            scenario: &self.case.scenario,
            sensor: &self.case.sensor,
            rulesets: &self.rulesets,
            machine: self.case.machine.as_ref(),
            admins: &self.case.admins,
            link: self.case.link.as_ref(),
            vendors: &self.vendors,
            ports: self.case.ports,
        }
    }

    fn findings(&self) -> Result<Option<RulesetFindings>> {
        match self.case.depth {
            CheckDepth::Answers => Ok(None),
            CheckDepth::Everything => findings(&self.case.scenario, &self.equipment, &self.rulesets).map(Some),
        }
    }
}

/// Lint findings on the text of these rulesets.
pub fn lint(equipment: &LabOptions, rulesets: &[(Family, Source)]) -> Vec<LintFinding> {
    let listing = |wanted: Family| {
        let ruleset = rulesets.iter().find(|(family, _)| *family == wanted);
        ruleset.map(|(family, source)| equipment.listing(*family, source))
    };
    lint::lint(listing(Family::Ipv4).as_ref(), listing(Family::Ipv6).as_ref())
}

fn case(options: &CheckOptions, files: &CheckFiles, equipment: &LabOptions) -> Result<CheckInput> {
    let named = files.sensor.as_deref().map(SensorFile::load).transpose()?;
    let machine = match options.live || named.is_none() {
        true => Some(Machine::read(&equipment.iptables, options.interface.as_ref())?),
        false => None,
    };
    let file = match (named, &machine) {
        (None, Some(machine)) => {
            options.equipment.admit_sizes(machine.rulesets.iter().map(|(_, source)| source))?;
            super::init::asked_of_machine(equipment, machine)?
        }
        (named, _) => named.expect("without a sensor file the machine is read"),
    };
    let SensorFile { source, sensor, mut host, mut lines } = file;
    let link = files.link.as_deref().map(Source::read).transpose()?;
    let link = link.as_ref().map(LinkFile::parse).transpose()?.or_else(|| host.link.clone());
    if let Some(machine) = &machine {
        host.interface = machine.interface.clone();
        host.addresses = machine.link_addresses();
        host.mac = machine.mac.or(host.mac);
        host.sysctls = host.sysctls.with(&machine.sysctls);
    }
    host.mac = link.as_ref().map(|link| link.mac).or(host.mac);
    if files.link.is_some() || machine.as_ref().is_some_and(|machine| machine.mac.is_some()) {
        lines.forget(SensorEntry::Mac);
    }
    let admins = admins(options, machine.is_some(), &sensor.ssh_from, &host.addresses)?;
    let ruleset = rulesets(files, machine.as_ref())?;
    let named = ruleset.iter().flat_map(|files| files.v4.iter().chain(&files.v6));
    options.equipment.admit_sizes(named)?;
    let title = "the ruleset does what the sensor file says".to_owned();
    let (expect, known) = (Vec::new(), Vec::new());
    let scenario =
        Scenario { source, title, tags: Vec::new(), sensor: Some(sensor.clone()), ruleset, host, lines, expect, known };
    let ports = if options.every_port { ScannedPorts::All } else { ScannedPorts::ThatRulesTellApart };
    let is_plain = !options.verbose && options.report.is_for_people();
    let depth = if is_plain { CheckDepth::Answers } else { CheckDepth::Everything };
    Ok(CheckInput { scenario, sensor, machine, admins, link, ports, depth })
}

/// The rulesets of the command line; with --live, a family without one gets the machine's own ruleset, which stays.
fn rulesets(files: &CheckFiles, machine: Option<&Machine>) -> Result<Option<RulesetFiles>> {
    let of = |path: &Option<PathBuf>, family: Family| {
        let own = || machine?.rulesets.iter().find(|(of, _)| *of == family).map(|(_, source)| source.clone());
        path.as_deref().map(Source::read).transpose().map(|read| read.or_else(own))
    };
    let (v4, v6) = (of(&files.rules, Family::Ipv4)?, of(&files.rules6, Family::Ipv6)?);
    Ok((v4.is_some() || v6.is_some()).then_some(RulesetFiles { v4, v6 }))
}

/// The administrator's address of each family: from --admin, else the peer of the current SSH connection, else an
/// address that the sensor accepts, a neighbour if possible. None if the sensor accepts SSH from nowhere.
fn admins(options: &CheckOptions, is_live: bool, ssh_from: &SshFrom, addresses: &Addresses) -> Result<Vec<IpAddr>> {
    let connected = || {
        let connection = std::env::var("SSH_CONNECTION").ok().filter(|_| is_live)?;
        connection.split(' ').next()?.parse::<IpAddr>().ok()
    };
    let named: Vec<IpAddr> = options.admin.iter().copied().chain(connected()).collect();
    if let Some(wrong) = named.iter().find(|address| {
        let is_own = addresses.host(Family::from_address(**address)) == **address;
        is_own || address.is_loopback() || address.is_multicast() || address.is_unspecified()
    }) {
        let hint = "name the address of the machine that you log in from";
        return Err(InputError::new(format!("no one can log in from {wrong}"), hint).into());
    }
    let of = |family| {
        let own = named.iter().copied().find(|address| Family::from_address(*address) == family);
        own.or_else(|| ssh_from.clients(addresses, family).first().copied())
    };
    Ok(Family::BOTH.into_iter().filter_map(of).collect())
}

fn findings(scenario: &Scenario, equipment: &LabOptions, rulesets: &[(Family, Source)]) -> Result<RulesetFindings> {
    findings::measure(&findings::FindingsSubject {
        equipment,
        interface: &scenario.host.interface,
        mac: scenario.host.mac.unwrap_or(HOST_MAC),
        addresses: &scenario.host.addresses,
        rulesets: &rulesets.iter().map(|(family, source)| (*family, source)).collect::<Vec<_>>(),
    })
}

fn text(report: &Report) -> String {
    report::answers_text(report, super::width(), Detail::Problems)
}

fn verbose_text(report: &Report) -> String {
    let width = super::width();
    let parts = [
        Some(report::answers_text(report, width, Detail::Everything)),
        report.findings.as_ref().map(|findings| report::findings_table(findings, width)),
        report.lint.as_ref().map(|lint| report::lint_table(lint, width)),
        Some(report::run_table(report, width)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}
