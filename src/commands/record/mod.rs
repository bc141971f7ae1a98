//! `scanlab record`: the scenario that describes what a ruleset does today, so that tomorrow's change shows.
//!
//! 1. A sweep of each ruleset, to choose the packets that are worth a row (`choose`; `walk` reads rules to guess which).
//! 2. One run in which everything is asked, and nothing expected: every technique at every port that a rule names and
//!    beside it, and the packets. What was observed are the `facts`.
//! 3. The `rows`, as text (`emit`).
//! 4. The scenario is run as `scanlab run` would. What is not the same the second time is no fact, and is left out.
//!
//! A *thorough* recording goes on until no mutant of the ruleset survives that a row could tell.

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

/// What is to be recorded.
pub struct RecordRequest {
    /// The rulesets, IPv4 first.
    pub rulesets: Vec<NamedRuleset>,
    /// The machine.
    pub host: Host,
    /// Where the scenario is going to be: its errors are told with this name.
    pub file: PathBuf,
}

/// A ruleset, and how the scenario names it.
#[derive(Debug, Clone)]
pub struct NamedRuleset {
    /// Its family.
    pub family: Family,
    /// Its text.
    pub source: Source,
    /// Its path, taken from the folder of the scenario.
    pub name: String,
}

impl NamedRuleset {
    /// The name of its file, without its folder.
    fn short(&self) -> String {
        let name = Path::new(&self.name).file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| self.name.clone())
    }
}

/// How much is recorded.
pub enum RecordDepth {
    /// What reading finds worth a row.
    Usual,
    /// Until no mutant survives that a row could tell.
    Thorough(Arc<dyn Progress>),
}

/// All that the text is made of.
struct Recorded<'a> {
    rulesets: &'a [NamedRuleset],
    host: &'a Host,
    facts: &'a RecordedFacts,
    known: BTreeSet<&'static str>,
    left_out: BTreeSet<String>,
    gap: Option<UnrecordedReason>,
}

/// Why packets that the rules tell apart were not all asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnrecordedReason {
    /// Their ports, addresses and flags combine to more packets than a sweep has.
    TooMany,
    /// The rules keep lists of what was seen (`recent`, `hashlimit`), so that a sweep would tell of itself.
    Lists,
}

/// What is asked about.
struct Questions {
    ports: PortSet,
    packets: BTreeSet<Packet>,
    gap: Option<UnrecordedReason>,
}

/// So many times survivors are asked about.
const ROUNDS: usize = 4;

/// Records, and returns the text of the scenario.
///
/// # Errors
/// A ruleset that is refused, and everything that keeps a lab from measuring.
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
    /// Whether there is something to record.
    ///
    /// # Errors
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
            sensor: None,
            ruleset: Some(RulesetFiles { v4: of(Family::Ipv4), v6: of(Family::Ipv6) }),
            host: self.host.clone(),
            lines: EntryLines::default(),
            expect,
            known: Vec::new(),
        }
    }

    /// The scenario that `text` is, with the rulesets as they were read.
    fn read(&self, text: &str) -> Result<Scenario> {
        let source = Source { name: self.file.clone(), text: text.into() };
        let folder = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let read = |path: &Path| {
            let named = self.rulesets.iter().find(|ruleset| folder.join(&ruleset.name) == path);
            named.map_or_else(|| Source::read(path), |ruleset| Ok(ruleset.source.clone()))
        };
        Scenario::parse_with(source, &read)
    }

    /// The packets that rows speak of.
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
    /// The ports and the packets to ask about.
    async fn questions(&self) -> Result<Questions> {
        let host = &self.recording.host;
        let listings = self.recording.listings(&self.settings.equipment);
        let plans: Vec<SweepPlan> = listings.iter().map(|listing| SweepPlan::new(listing, &host.addresses)).collect();
        let ports = plans.iter().flat_map(|plan| plan.services().iter().collect::<Vec<_>>());
        let ports: PortSet = ports.chain(host.listen.iter().copied()).collect();
        let stand_in = SweepPlan::stand_in(plans.iter(), &host.listen);
        let job = Arc::new(Job::new(self.recording.scenario(Vec::new()), self.settings)?);
        if job.plan.keeps_lists {
            return Ok(Questions { ports, packets: BTreeSet::new(), gap: Some(UnrecordedReason::Lists) });
        }
        let (interface, addresses) = (host.interface.as_str().to_owned(), host.addresses);
        let scanned_ports = ports.clone();
        let of_family = move |family: Family| {
            let swept = sweep(&job, family)?;
            let scanned = Scanned { interface: &interface, addresses: &addresses, ports: &scanned_ports, stand_in };
            Ok((choose::packets(&swept, &scanned), swept.plan.is_complete))
        };
        let found = self.workforce.map(self.recording.families(), of_family).await?;
        let gap = found.iter().any(|(_, is_complete)| !is_complete).then_some(UnrecordedReason::TooMany);
        Ok(Questions { ports, packets: found.into_iter().flat_map(|(packets, _)| packets).collect(), gap })
    }

    /// The text of what is measured, proved by a run of it.
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
        let evidence = "it does something else each time that it is asked".to_owned();
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
        let asked = self.recording.scenario(expectation_rows(&self.recording.families(), ports, packets));
        let job = Arc::new(Job::new(asked, self.settings)?);
        let found = self.workforce.perform(&[job]).await?.remove(0);
        Ok(RecordedFacts::new(found, &self.recording.listings(&self.settings.equipment)))
    }

    /// The checks that do not match when the recording is run.
    async fn wrong(&self, text: &str) -> Result<Vec<Check>> {
        let job = Arc::new(Job::new(self.recording.read(text)?, self.settings)?);
        let found = self.workforce.perform(&[Arc::clone(&job)]).await?.remove(0);
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

/// What the ruleset tells apart, and what it would tell apart if somebody mistook a prefix, the port of SSH or a protocol:
/// those mistakes show in packets that nothing else asks for.
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

/// Rows that ask everything; what they expect is not looked at.
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

/// What was not the same the second time; who answers neighbours is no row's business, but known.
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

/// Which rulesets speak of interfaces that the lab does not have, and of which: what comes over them is not recorded.
pub fn other_interfaces(rulesets: &[NamedRuleset], host: &Host) -> BTreeMap<String, BTreeSet<String>> {
    let of = |ruleset: &NamedRuleset| {
        let listing = Listing::parse(ruleset.family, &ruleset.source);
        (ruleset.name.clone(), choose::other_interfaces(&listing, host.interface.as_str()))
    };
    rulesets.iter().map(of).filter(|(_, interfaces)| !interfaces.is_empty()).collect()
}
