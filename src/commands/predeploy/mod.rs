//! The measurements of `scanlab check`: the questions of the administrator before a deployment ([`PredeployQuestion`]), with
//! answers in plain words. The module of a question has a function `answer`: that of `lockout` decides whether SSH is locked
//! out.
//!
//! The answers are measured: by the checks of a run, by a scan in either family, and by connections that are open while
//! the rules are loaded. Only facts of a file or an address are read (`mac_masquerade`).

mod answers;
mod attacker_view;
mod ban_list;
mod beyond;
mod blame;
mod by_chance;
mod counted;
mod delivered;
mod discover;
mod endurance;
mod fact;
mod fresh;
mod holes;
mod inbound_peers;
mod kept_out;
mod labs;
mod link_file;
mod lockout;
mod log_lines;
mod mac_masquerade;
mod other_protocols;
mod reply_changes;
mod scans;
mod ssh_admins;
mod time_dependent;
mod unexpected_open;

use std::net::IpAddr;
use std::thread;

use crate::commands::chance;
use crate::commands::live::Machine;
use crate::commands::parallel;
use crate::commands::run::ScenarioReport;
use crate::commands::scan::{NoObserver, PortScanResult};
use crate::error::{Result, Source};
use crate::intent::check::{Check, Outcome};
use crate::intent::scenario::Scenario;
use crate::lab::{AfterLoad, HostService, Lab, LabOptions, LabSpec, Opening, Survival, Timing, WatchedEvents};
use crate::net::port::{Port, PortSet};
use crate::net::{Family, Protocol};
use crate::probe::hidden::Hidden;
use crate::sensor::mac_vendor::VendorDb;
use crate::sensor::{LinkFile, Sensor};
use crate::text::group::grouped;

pub use discover::{Discovered, discover};

pub use answers::{Answers, Assessment, PredeployQuestion, QuestionAnswer};
pub use fact::{Fact, Families, RelatedChecks};

use self::ban_list::BanList;
use self::endurance::Endured;
use self::holes::Hole;
use self::inbound_peers::Caller;
use self::kept_out::KeptOut;
use self::other_protocols::OtherProtocol;
use self::reply_changes::ReplyChange;
use self::scans::{doors, ports, scan};

/// The ruleset to deploy, and its host.
#[derive(Debug, Clone)]
pub struct PredeploySubject<'a> {
    /// The options of the labs.
    pub equipment: &'a LabOptions,
    /// The sensor with its host, and the rules.
    pub scenario: &'a Scenario,
    /// The intent.
    pub sensor: &'a Sensor,
    /// The rules that will be loaded.
    pub rulesets: &'a [(Family, Source)],
    /// The machine itself with --live, whose own rules are loaded first.
    pub machine: Option<&'a Machine>,
    /// Addresses of SSH clients: one of each family in which SSH is accepted.
    pub admins: &'a [IpAddr],
    /// The `.link` file.
    pub link: Option<&'a LinkFile>,
    /// The vendor table.
    pub vendors: &'a VendorDb,
    /// The ports that are scanned.
    pub ports: ScannedPorts,
}

/// The ports that are scanned for unexpected openings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScannedPorts {
    /// Those on either side of every boundary in the rules: no rule distinguishes the others. All ports, if a rule can
    /// match ports in an unsupported way.
    ThatRulesTellApart,
    /// Every port.
    All,
}

/// The previous rules under which a connection was opened, before the new ones are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A machine without rules: conntrack has no entries.
    NoRules,
    /// A machine that tracks connections.
    Tracking,
    /// This machine.
    ThisMachine,
}

/// The measurements in addition to the checks of a run.
#[derive(Debug, Clone)]
struct Measured {
    sessions: Vec<(Before, AfterLoad)>,
    /// Sessions with much traffic, and connections in a row.
    endured: Endured,
    /// The result of a scan, with its log lines.
    scan: PortScanResult,
    /// The filter's verdict on a SYN, or a datagram, to ports that rules distinguish: with the path of each, since a
    /// port closed by REJECT looks like a closed port.
    doors: PortScanResult,
    /// The TCP ports of `doors`.
    tried: PortSet,
    /// Other protocols than TCP and UDP that are accepted.
    other: Vec<(Family, Vec<OtherProtocol>)>,
    /// The sources that can reach SSH, if rules or sensor distinguish sources.
    callers: Vec<Caller>,
    /// Other packets that the rules accept, as sets.
    holes: Vec<Hole>,
    /// SSH clients that the sensor intends and the rules keep out.
    kept_out: Vec<KeptOut>,
    ban_lists: Vec<BanList>,
    /// Rules that change the packets that those clients receive.
    reply_changes: Vec<ReplyChange>,
    /// The lines of time-dependent rules, in the rules as given.
    of_the_moment: Vec<(Family, usize)>,
}

impl Measured {
    /// The rule that hides the host from its neighbours over IPv6, if there is one.
    fn hidden(&self) -> Option<&Hidden> {
        self.sessions.iter().find_map(|(_, found)| found.neighbourhood.as_ref()?.hidden.as_ref())
    }

    fn is_hidden(&self) -> bool {
        self.hidden().is_some()
    }
}

/// The findings without the checks of a run.
#[derive(Debug, Clone)]
pub struct PredeployFindings {
    answers: Answers,
    callers: Vec<Caller>,
}

/// Measures the facts that no check of a run has. Rules that match by chance are tried in each of their states.
pub fn measure_all(subject: &PredeploySubject) -> Result<PredeployFindings> {
    let states = chance::states(subject.rulesets);
    if states.is_empty() {
        let (answers, measured) = at_all_moments(subject)?;
        return Ok(PredeployFindings { answers, callers: measured.callers });
    }
    let mut found = Vec::with_capacity(states.len());
    for state in &states {
        let then = PredeploySubject { rulesets: &state.rulesets, ..subject.clone() };
        let (answers, measured) = at_all_moments(&then)?;
        found.push((state.name.as_str(), answers, measured));
    }
    Ok(by_chance::combined(subject, found))
}

/// The answers in the present state and in the other states of time-dependent rules.
fn at_all_moments(subject: &PredeploySubject) -> Result<(Answers, Measured)> {
    let measured = measure(subject)?;
    let mut answers = answers_of(subject, &measured);
    for (moment, then) in time_dependent::answers_then(subject)? {
        answers.add_of(&moment, &then);
    }
    Ok((answers, measured))
}

impl PredeployFindings {
    /// The answers, worst first. `report` is that of the run of the same scenario.
    pub fn answers(mut self, subject: &PredeploySubject, report: &ScenarioReport) -> Answers {
        self.answers.0.extend(others(subject, &self.callers, report));
        self.answers.sort();
        let lines = &subject.scenario.lines;
        Answers(self.answers.0.into_iter().map(|answer| answer.at_its_entry(lines)).collect())
    }
}

/// The answers from measurements.
fn answers_of(subject: &PredeploySubject, measured: &Measured) -> Answers {
    Answers(vec![
        lockout::answer(subject, measured),
        unexpected_open::answer(subject, measured),
        mac_masquerade::answer(subject),
        log_lines::answer(subject, measured),
        attacker_view::answer(subject, measured),
    ])
}

/// Measures everything, each part in labs of its own and in parallel: a lab waits for the kernel most of the time.
fn measure(subject: &PredeploySubject) -> Result<Measured> {
    let before = match subject.machine {
        Some(_) => vec![Before::ThisMachine],
        None => vec![Before::NoRules, Before::Tracking],
    };
    let tried = ports(subject);
    thread::scope(|scope| {
        let sessions = before
            .into_iter()
            .map(|before| parallel::begin(scope, move || Ok((before, explained_sessions(subject, before)?))));
        let sessions: Vec<_> = sessions.collect::<Result<_>>()?;
        let endured = parallel::begin(scope, || endurance::measure(subject))?;
        let scan = parallel::begin(scope, || scan(subject, &tried).perform(&NoObserver))?;
        let doors = parallel::begin(scope, || doors(subject, &tried).perform(&NoObserver))?;
        let other = parallel::begin(scope, || other_protocols::let_in(subject))?;
        let holes = parallel::begin(scope, || holes::measure(subject))?;
        let kept_out = parallel::begin(scope, || kept_out::measure(subject))?;
        let callers = inbound_peers::measure(subject)?;
        Ok(Measured {
            sessions: sessions.into_iter().map(parallel::end).collect::<Result<_>>()?,
            endured: parallel::end(endured)?,
            scan: parallel::end(scan)?,
            doors: parallel::end(doors)?,
            tried: tried.clone(),
            other: parallel::end(other)?,
            callers,
            holes: parallel::end(holes)?,
            kept_out: parallel::end(kept_out)?,
            ban_lists: ban_list::find(subject)?,
            reply_changes: reply_changes::measure(subject)?,
            of_the_moment: time_dependent::places(subject),
        })
    })
}

/// The mismatches of the run, whatever question they belong to: a green answer must not hide a red check.
fn others(subject: &PredeploySubject, callers: &[Caller], report: &ScenarioReport) -> Option<QuestionAnswer> {
    let with = |outcome| report.checks.iter().filter(|check| check.outcome == outcome).collect::<Vec<&Check>>();
    let mismatched = with(Outcome::Mismatched);
    let mut facts = Vec::new();
    if let Some(first) = mismatched.first() {
        let count = match mismatched.len() {
            1 => "1 check".to_owned(),
            count => format!("{count} checks"),
        };
        let checks = report.checks.len();
        let text = format!("{count} of {checks} failed (--verbose lists all); the first: {}", first.name());
        facts.push(Fact::new(Assessment::Bad, text).about(&Families::default(), RelatedChecks::All));
    }
    if mismatched.iter().any(|check| check.destination().is_some_and(|port| subject.sensor.ssh.contains(&port))) {
        facts.extend(inbound_peers::sensor_change(subject, callers));
    }
    facts.extend(unknown(&with(Outcome::NotRun)));
    (!facts.is_empty()).then(|| QuestionAnswer::new(PredeployQuestion::Others, facts, ["Yes.", "No."]))
}

/// The checks that did not run, by reason: the rules are neither blamed for them nor cleared.
fn unknown(not_run: &[&Check]) -> Vec<Fact> {
    let reasons = grouped(not_run.iter().map(|check| (check.why.as_str(), *check)));
    let fact = |(why, checks): (&str, Vec<&Check>)| {
        let count = match checks.len() {
            1 => "1 check".to_owned(),
            count => format!("{count} checks"),
        };
        Fact::new(Assessment::Unknown, format!("{count} did not run: {why}; the first: {}", checks[0].name()))
    };
    reasons.into_iter().map(fact).collect()
}

/// A ruleset with one rule that only counts: it makes conntrack active.
const TRACKING: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                        -A INPUT -m conntrack --ctstate ESTABLISHED\nCOMMIT\n";

/// Sessions, with paths only if there is a problem to explain. If the paths cannot be reported (a table of the old
/// rules that the new ones do not mention stays, and no file has its rules) the results have no rule names.
fn explained_sessions(subject: &PredeploySubject, before: Before) -> Result<AfterLoad> {
    let found = sessions(subject, before, WatchedEvents::Replies)?;
    let is_seen = found.neighbourhood.as_ref().is_none_or(|found| found.hidden.is_none());
    let is_fine = is_seen
        && found.sessions.iter().all(|session| session.survival != Survival::Dead)
        && found.openings.iter().all(|attempt| attempt.opening == Opening::Opens);
    if is_fine { Ok(found) } else { sessions(subject, before, WatchedEvents::Paths).or(Ok(found)) }
}

fn sessions(subject: &PredeploySubject, before: Before, watch: WatchedEvents) -> Result<AfterLoad> {
    let tracking = Source { name: "<before>".into(), text: TRACKING.into() };
    let old: Vec<(Family, &Source)> = match (before, subject.machine) {
        (Before::NoRules, _) | (Before::ThisMachine, None) => Vec::new(),
        (Before::Tracking, _) => Family::BOTH.map(|family| (family, &tracking)).to_vec(),
        (Before::ThisMachine, Some(machine)) => {
            machine.rulesets.iter().map(|(family, source)| (*family, source)).collect()
        }
    };
    let new = subject.rules();
    let services: Vec<HostService> = subject.sensor.ssh.iter().map(|port| listener(*port)).collect();
    let spec = LabSpec { services: &services, watch, ..subject.spec(&old) };
    let of_port = |port: &Port| Timing::ALL.map(|timing| (*port, timing));
    let questions: Vec<(Port, Timing)> = subject.sensor.ssh.iter().flat_map(of_port).collect();
    let counts = fresh::counts(subject, &old) || fresh::counts(subject, &new);
    let size = if counts { 1 } else { questions.len().max(1) };
    let ask = |some: &[(Port, Timing)]| Lab::run(&spec, |lab| lab.load_under_sessions(subject.admins, some, &new));
    let found = questions.chunks(size).map(ask).collect::<Result<Vec<_>>>()?;
    found.into_iter().reduce(AfterLoad::and).map_or_else(|| ask(&[]), Ok)
}

fn listener(port: Port) -> HostService {
    HostService { protocol: Protocol::Tcp, port, greeting: None }
}

/// Merges equal results of both families: `over IPv4 and IPv6`.
fn merge_families<T: PartialEq>(of: Vec<(Family, T)>) -> Vec<(Families, T)> {
    let names = |mut families: Vec<Family>| {
        families.sort();
        families.dedup();
        Families(families)
    };
    let groups = grouped(of.into_iter().map(|(family, what)| (what, family)));
    groups.into_iter().map(|(what, families)| (names(families), what)).collect()
}

#[cfg(test)]
mod tests;
