//! `scanlab record`: the scenario that describes the present behaviour of a ruleset, so that a later change shows.
//!
//! 1. A sweep of each ruleset, to choose the packets that need a row (`choose`; `walk` derives which).
//! 2. One run with all probes and without expectations: every technique at every port that a rule names and at its
//!    neighbours, and the packets. The observations are the `facts`.
//! 3. The `rows`, as text (`emit`).
//! 4. A run of the scenario, as by `scanlab run`. Facts that differ the second time are left out.
//!
//! A *thorough* recording continues until no mutant of the ruleset survives that a row could kill.

mod choose;
mod effect;
mod emit;
mod facts;
mod rates;
mod rows;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::choose::{RecordSweep, Scanned};
use self::facts::RecordedFacts;
use crate::commands::mutate::{MutantOutcome, Progress, Sweeps, mutate};
use crate::commands::run::Settings;
use crate::commands::run::checks::CheckInputs;
use crate::commands::run::job::Job;
use crate::commands::run::lab_pool::LabPool;
use crate::error::{CannotMeasure, Result, Source};
use crate::intent::check::{Check, Outcome};
use crate::intent::scenario::{CheckSubject, ExpectRow, Packet, RulesetFiles, Scenario, Selection};
use crate::lab::{Lab, LabOptions, LimitOverride};
use crate::net::port::{Port, PortSet};
use crate::net::{Addresses, Family};
use crate::probe::scan::{FilterVerdict, PortState, Technique};
use crate::rules::iptables_save::Listing;
use crate::rules::mutant::{Mutant, Operator, mutants};
use crate::rules::sweep::SweepPlan;
use crate::sensor::{EntryLines, Host};

/// The rulesets and the host to record.
pub struct RecordRequest {
    /// The rulesets, IPv4 first.
    pub rulesets: Vec<NamedRuleset>,
    /// The machine.
    pub host: Host,
    /// The file name of the scenario, for error messages.
    pub file: PathBuf,
}

/// A ruleset, and its name in the scenario.
#[derive(Debug, Clone)]
pub struct NamedRuleset {
    /// Its family.
    pub family: Family,
    /// Its text.
    pub source: Source,
    /// Its path, relative to the folder of the scenario.
    pub name: String,
}

impl NamedRuleset {
    /// The name of its file, without its folder.
    fn short(&self) -> String {
        let name = Path::new(&self.name).file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| self.name.clone())
    }
}

/// The extent of a recording.
pub enum RecordDepth {
    /// The packets that `choose` selects.
    Usual,
    /// More packets, until no mutant survives that a row could kill.
    Thorough(Arc<dyn Progress>),
}

/// The facts that become the text.
struct Recorded<'a> {
    rulesets: &'a [NamedRuleset],
    host: &'a Host,
    facts: &'a RecordedFacts,
    known: BTreeSet<&'static str>,
    left_out: BTreeSet<String>,
    gap: Option<UnrecordedReason>,
}

/// The reason why not all packets that the rules distinguish were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnrecordedReason {
    /// Their ports, addresses and flags combine to more packets than a sweep has.
    TooMany,
    /// The rules have lists of addresses (`recent`, `hashlimit`), which a sweep itself would change.
    Lists,
}

/// The ports and packets to record.
struct Questions {
    ports: PortSet,
    packets: BTreeSet<Packet>,
    gap: Option<UnrecordedReason>,
}

/// The maximum number of rounds for survivors.
const ROUNDS: usize = 4;

/// Records, and returns the text of the scenario.
///
/// # Errors
///
/// If a ruleset is refused, or a lab cannot measure.
pub async fn record(recording: RecordRequest, settings: &Settings, depth: RecordDepth) -> Result<String> {
    let recorder = Recorder { recording: Arc::new(recording), settings, workforce: LabPool::new(settings.jobs) };
    let mut questions = recorder.questions().await?;
    let mut text = recorder.written(&questions).await?;
    let RecordDepth::Thorough(progress) = depth else { return Ok(text) };
    for _ in 0..ROUNDS {
        let scenario = recorder.recording.read(&text)?;
        let found = mutate(scenario, settings, Sweeps::Telling, Arc::clone(&progress)).await?;
        let survivors = found.mutants.iter().filter_map(|mutant| match &mutant.fate {
            MutantOutcome::Survived { row: Some(row), .. } => Some(row.as_str()),
            _ => None,
        });
        let more = recorder.recording.packets_of(survivors)?;
        if more.is_subset(&questions.packets) {
            break;
        }
        questions.packets.extend(more);
        text = recorder.written(&questions).await?;
    }
    Ok(text)
}

impl RecordRequest {
    /// Checks that there are paths to record.
    ///
    /// # Errors
    ///
    /// See [`Lab::can_ask`].
    pub fn check(&self) -> Result<()> {
        self.rulesets.iter().try_for_each(|ruleset| Lab::can_ask(ruleset.family, &ruleset.source))
    }

    fn families(&self) -> Vec<Family> {
        self.rulesets.iter().map(|ruleset| ruleset.family).collect()
    }

    fn listings(&self, equipment: &LabOptions) -> Vec<Listing> {
        self.rulesets.iter().map(|ruleset| equipment.listing(ruleset.family, &ruleset.source)).collect()
    }

    /// A scenario of these rulesets that expects `expect`.
    fn scenario(&self, expect: Vec<ExpectRow>) -> Scenario {
        let of = |family| self.rulesets.iter().find(|one| one.family == family).map(|one| one.source.clone());
        Scenario {
            source: Source { name: self.file.clone(), text: "".into() },
            title: "what the ruleset does".to_owned(),
            tags: Vec::new(),
            sensor: None,
            ruleset: Some(RulesetFiles { v4: of(Family::Ipv4), v6: of(Family::Ipv6) }),
            host: self.host.clone(),
            lines: EntryLines::default(),
            expect,
            known: Vec::new(),
        }
    }

    /// Parses `text` as a scenario, with the rulesets as they were read.
    fn read(&self, text: &str) -> Result<Scenario> {
        let source = Source { name: self.file.clone(), text: text.into() };
        let folder = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let read = |path: &Path| {
            let named = self.rulesets.iter().find(|ruleset| folder.join(&ruleset.name) == path);
            named.map_or_else(|| Source::read(path), |ruleset| Ok(ruleset.source.clone()))
        };
        Scenario::parse_with(source, &read)
    }

    /// The packets of these rows.
    fn packets_of<'r>(&self, rows: impl Iterator<Item = &'r str>) -> Result<BTreeSet<Packet>> {
        let rows: Vec<&str> = rows.collect();
        let key = |ruleset: &NamedRuleset| if ruleset.family == Family::Ipv4 { "v4" } else { "v6" };
        let rulesets: String = self
            .rulesets
            .iter()
            .map(|ruleset| format!("{} = {}\n", key(ruleset), crate::intent::scenario::quoted(&ruleset.name)))
            .collect();
        let scenario = self.read(&format!("title = \"rows\"\n[ruleset]\n{rulesets}{}", rows.join("\n")))?;
        let subjects = scenario.expect.iter().flat_map(|row| &row.select.subjects);
        Ok(subjects.filter_map(|subject| subject.packet()).collect())
    }
}

struct Recorder<'a> {
    recording: Arc<RecordRequest>,
    settings: &'a Settings,
    workforce: LabPool,
}

impl Recorder<'_> {
    /// The ports and the packets to record.
    async fn questions(&self) -> Result<Questions> {
        let host = &self.recording.host;
        let listings = self.recording.listings(&self.settings.equipment);
        let plans: Vec<SweepPlan> = listings.iter().map(|listing| SweepPlan::new(listing, &host.addresses)).collect();
        let ports = plans.iter().flat_map(|plan| plan.services().iter().collect::<Vec<_>>());
        let ports: PortSet = ports.chain(host.listen.iter().copied()).collect();
        let sample_port = SweepPlan::sample_port(plans.iter(), &host.listen);
        let job = Arc::new(Job::new(self.recording.scenario(Vec::new()), self.settings)?);
        if job.plan.keeps_lists {
            return Ok(Questions { ports, packets: BTreeSet::new(), gap: Some(UnrecordedReason::Lists) });
        }
        let (interface, addresses) = (host.interface.as_str().to_owned(), host.addresses);
        let scanned_ports = ports.clone();
        let of_family = move |family: Family| {
            let swept = sweep(&job, family)?;
            let scanned = Scanned { interface: &interface, addresses: &addresses, ports: &scanned_ports, sample_port };
            Ok((choose::packets(&swept, &scanned), swept.plan.is_complete))
        };
        let found = self.workforce.map(self.recording.families(), of_family).await?;
        let gap = found.iter().any(|(_, is_complete)| !is_complete).then_some(UnrecordedReason::TooMany);
        Ok(Questions { ports, packets: found.into_iter().flat_map(|(packets, _)| packets).collect(), gap })
    }

    /// The text of the measurements, verified by a run.
    async fn written(&self, questions: &Questions) -> Result<String> {
        let mut facts = self.measured(questions).await?;
        let mut known = BTreeSet::new();
        let mut left_out = BTreeSet::new();
        for _ in 0..ROUNDS {
            let text = self.text(&facts, known.clone(), left_out.clone(), questions.gap);
            let wrong = self.wrong(&text).await?;
            if wrong.is_empty() {
                return Ok(text);
            }
            wrong.iter().for_each(|check| leave_out(check, &mut facts, &mut known, &mut left_out));
        }
        let evidence = "it behaves differently each time".to_owned();
        Err(CannotMeasure::Disagreement(format!("the ruleset cannot be recorded: {evidence}")).into())
    }

    fn text(
        &self,
        facts: &RecordedFacts,
        known: BTreeSet<&'static str>,
        left_out: BTreeSet<String>,
        gap: Option<UnrecordedReason>,
    ) -> String {
        let RecordRequest { rulesets, host, .. } = &*self.recording;
        emit::scenario(&Recorded { rulesets, host, facts, known, left_out, gap })
    }

    async fn measured(&self, Questions { ports, packets, .. }: &Questions) -> Result<RecordedFacts> {
        let scenario = self.recording.scenario(expectation_rows(&self.recording.families(), ports, packets));
        let job = Arc::new(Job::new(scenario, self.settings)?);
        let found = self.workforce.perform_one(&job).await?;
        Ok(RecordedFacts::new(found, &self.recording.listings(&self.settings.equipment)))
    }

    /// The checks that do not match when the recording is run.
    async fn wrong(&self, text: &str) -> Result<Vec<Check>> {
        let job = Arc::new(Job::new(self.recording.read(text)?, self.settings)?);
        let found = self.workforce.perform_one(&job).await?;
        let checks = job.checks(&CheckInputs::new(found))?;
        Ok(checks.into_iter().filter(|check| matches!(check.outcome, Outcome::Mismatched | Outcome::NotRun)).collect())
    }
}

fn sweep(job: &Job, family: Family) -> Result<RecordSweep> {
    let source = job.ruleset(family).expect("the family has a ruleset");
    let listing = job.listing(family, source);
    let mut plan = plan_of(&listing, &job.scenario.host.addresses);
    let (stimuli, responses) = job.in_lab(&[(family, source)], |lab| lab.sweep_all(&mut plan, LimitOverride::Wide))?;
    Ok(RecordSweep { listing, plan, stimuli, responses })
}

/// The packets that the ruleset distinguishes, and those that it would distinguish with a wrong prefix, SSH port or
/// protocol: no other packet shows these mistakes.
fn plan_of(listing: &Listing, addresses: &Addresses) -> SweepPlan {
    let draws_a_boundary = |mutant: &Mutant| {
        use Operator::{NarrowAddress, Protocol, SshPort, WidenAddress};
        matches!(mutant.operator, NarrowAddress | Protocol | SshPort | WidenAddress)
    };
    let broken = mutants(listing).into_iter().filter(draws_a_boundary).map(|mutant| mutant.apply(&listing.source));
    let broken: Vec<Listing> =
        broken.map(|source| Listing::parse_for(listing.backend, listing.family, &source)).collect();
    let all: Vec<&Listing> = [listing].into_iter().chain(&broken).collect();
    let plan = SweepPlan::of_all(listing.family, &all, addresses);
    if plan.is_complete { plan } else { SweepPlan::new(listing, addresses) }
}

/// Rows that select everything; their expectations are ignored.
fn expectation_rows(families: &[Family], ports: &PortSet, packets: &BTreeSet<Packet>) -> Vec<ExpectRow> {
    let families = families.to_vec();
    let row = |subjects: Vec<CheckSubject>, ports: Option<PortSet>| ExpectRow {
        select: Selection { subjects, ports, families: families.clone() },
        state: Some(PortState::Filtered),
        log: Some(Vec::new()),
        verdict: Some(FilterVerdict::Drop),
        rate: None,
        line: 1,
    };
    let scans = |has_ports| {
        let techniques = Technique::ALL.into_iter().filter(move |technique| technique.has_ports() == has_ports);
        techniques.map(CheckSubject::Scan).collect()
    };
    let packets = packets.iter().copied().map(CheckSubject::Packet).collect();
    let of_packets = ExpectRow { state: None, ..row(packets, None) };
    vec![row(scans(true), Some(ports.clone())), row(scans(false), None), of_packets]
}

/// Removes the fact that differed the second time; the answers to neighbours become a known mismatch instead, since no
/// row can expect them.
fn leave_out(
    check: &Check,
    facts: &mut RecordedFacts,
    known: &mut BTreeSet<&'static str>,
    left_out: &mut BTreeSet<String>,
) {
    let port = check.port.unwrap_or(Port(0));
    match (check.subject, check.family) {
        (CheckSubject::Scan(technique), Some(family)) if check.burst_of.is_some() => {
            let prefix = check.expected.log.iter().flatten().next().cloned().unwrap_or_default();
            facts.rates.remove(&((technique, family, port), prefix));
        }
        (CheckSubject::Scan(technique), Some(family)) => drop(facts.cells.remove(&(technique, family, port))),
        (CheckSubject::Packet(packet), Some(family)) => drop(facts.packets.remove(&(family, packet))),
        (subject, _) => {
            known.insert(subject.name());
            return;
        }
    }
    left_out.insert(check.name());
}

/// The rulesets that name interfaces that the lab does not have, with these: packets over them are not recorded.
pub fn other_interfaces(rulesets: &[NamedRuleset], host: &Host) -> BTreeMap<String, BTreeSet<String>> {
    let of = |ruleset: &NamedRuleset| {
        let listing = Listing::parse(ruleset.family, &ruleset.source);
        (ruleset.name.clone(), choose::other_interfaces(&listing, &host.interface))
    };
    rulesets.iter().map(of).filter(|(_, interfaces)| !interfaces.is_empty()).collect()
}
