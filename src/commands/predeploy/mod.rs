//! The measurements of `scanlab check`: the questions of the administrator before a deployment ([`PredeployQuestion`]), with
//! answers in plain words. The module of a question has a function `answer`: that of `lockout` decides whether SSH is locked
//! out.
//!
//! The answers are measured: by the checks of a run, by a scan in either family, and by connections that are open while
//! the rules are loaded. Only facts of a file or an address are read (`mac_masquerade`).

mod attacker_view;
mod beyond;
mod blame;
mod counted;
mod delivered;
mod endurance;
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
mod ssh_admins;
mod time_dependent;
mod unexpected_open;

use std::net::IpAddr;
use std::thread;

use schemars::JsonSchema;
use serde::Serialize;

use crate::commands::live::Machine;
use crate::commands::parallel;
use crate::commands::run::ScenarioReport;
use crate::commands::scan::{Fresh, LabOrder, NoObserver, PortScan, PortScanResult};
use crate::error::{Result, Source};
use crate::intent::check::{Check, Outcome};
use crate::intent::scenario::Scenario;
use crate::lab::{
    AfterLoad, HOST_MAC, HostService, Lab, LabOptions, LabSpec, Opening, Survival, Timing, WatchedEvents,
};
use crate::net::port::{Port, PortSet};
use crate::net::{Family, Protocol};
use crate::probe::hidden::Hidden;
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED};
use crate::rules::iptables_save::{Clause, Match, Rule};
use crate::rules::sweep::SweepPlan;
use crate::sensor::mac_vendor::VendorDb;
use crate::sensor::{EntryLines, LinkFile, Sensor, SensorEntry};
use crate::text::group::{grouped, merged};

use self::endurance::Endured;
use self::holes::Hole;
use self::inbound_peers::Caller;
use self::kept_out::KeptOut;
use self::other_protocols::OtherProtocol;
use self::reply_changes::ReplyChange;

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

/// The number of ports, from 1 on, in the scan whose lines are counted: as many as nmap scans by default.
const SCAN: u16 = 1000;

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

/// All questions with their answers, worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Answers(pub Vec<QuestionAnswer>);

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Answer")]
pub struct QuestionAnswer {
    /// The question.
    pub question: PredeployQuestion,
    /// The question in words.
    pub asks: &'static str,
    /// The worst of its facts.
    pub tone: Assessment,
    /// The answer in a word or two.
    pub answer: &'static str,
    /// The line of the sensor's file that it is about; `None` if the file has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The facts that it is based on, worst first.
    pub facts: Vec<Fact>,
}

/// The questions, most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Question")]
pub enum PredeployQuestion {
    /// Will I be locked out?
    LockedOut,
    /// Will a scan leave a line?
    LogLines,
    /// What does an attacker see?
    Attacker,
    /// Does it still look like a Raspberry Pi?
    Disguise,
    /// Which ports are open that are not in the sensor file?
    Unasked,
    /// Does anything else differ from the sensor file?
    Others,
}

/// The assessment of a fact for a deployment; worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Tone")]
pub enum Assessment {
    /// A reason not to deploy.
    Bad,
    /// Not measurable here: neither a reason against a deployment nor for it.
    Unknown,
    /// Something to know.
    Note,
    /// As it should be.
    Good,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fact {
    /// Its assessment.
    pub tone: Assessment,
    /// In plain words.
    pub text: String,
    /// The log line that it is about, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

impl Fact {
    fn new(tone: Assessment, text: impl Into<String>) -> Fact {
        Fact { tone, text: text.into(), line: None }
    }
}

/// The answer if a fact is unknown and none is a reason not to deploy.
const NOT_KNOWN: &str = "Not known.";

impl QuestionAnswer {
    /// The worst of the facts selects one of `words`, for a reason not to deploy and for none, or [`NOT_KNOWN`].
    fn new(question: PredeployQuestion, mut facts: Vec<Fact>, words: [&'static str; 2]) -> QuestionAnswer {
        facts.sort_by_key(|fact| fact.tone);
        let tone = facts.iter().map(|fact| fact.tone).min().unwrap_or(Assessment::Good);
        let [bad, good] = words;
        let answer = match tone {
            Assessment::Bad => bad,
            Assessment::Unknown => NOT_KNOWN,
            Assessment::Note | Assessment::Good => good,
        };
        QuestionAnswer { question, asks: question.text(), tone, answer, line: None, facts }
    }

    /// Adds those facts of `other` that are bad or unknown, and new.
    fn add_of(&mut self, when: &str, other: &QuestionAnswer) {
        let is_news = |fact: &&Fact| fact.tone <= Assessment::Unknown && !self.facts.contains(fact);
        let news = other.facts.iter().filter(is_news);
        let news: Vec<Fact> =
            news.map(|fact| Fact { text: format!("{} ({when})", fact.text), ..fact.clone() }).collect();
        if other.tone < self.tone && !news.is_empty() {
            (self.tone, self.answer) = (other.tone, other.answer);
        }
        self.facts.splice(0..0, news);
        self.facts.sort_by_key(|fact| fact.tone);
    }

    /// The answer with the line of the sensor's entry that it is about.
    fn at_its_entry(self, lines: &EntryLines) -> QuestionAnswer {
        let line = self.question.entries().iter().find_map(|entry| lines.line(*entry));
        QuestionAnswer { line, ..self }
    }
}

impl PredeployQuestion {
    /// The question in words.
    pub const fn text(self) -> &'static str {
        match self {
            PredeployQuestion::LockedOut => "Will I be locked out?",
            PredeployQuestion::LogLines => "Will a scan leave a line in the log?",
            PredeployQuestion::Attacker => "What does an attacker see?",
            PredeployQuestion::Disguise => "Does it still look like a Raspberry Pi?",
            PredeployQuestion::Unasked => "Is anything open that nobody asked for?",
            PredeployQuestion::Others => "Is anything else not as the sensor means it?",
        }
    }

    /// The sensor's entries that it is about, most relevant first.
    const fn entries(self) -> &'static [SensorEntry] {
        match self {
            PredeployQuestion::LockedOut => &[SensorEntry::Ssh, SensorEntry::Sensor],
            PredeployQuestion::LogLines => &[SensorEntry::Scans, SensorEntry::Sensor],
            PredeployQuestion::Disguise => {
                &[SensorEntry::Vendor, SensorEntry::Mac, SensorEntry::Host, SensorEntry::Sensor]
            }
            PredeployQuestion::Unasked => &[SensorEntry::Deny, SensorEntry::Sensor],
            PredeployQuestion::Attacker | PredeployQuestion::Others => &[SensorEntry::Sensor],
        }
    }
}

impl Answers {
    /// The reasons not to deploy.
    pub fn reasons(&self) -> usize {
        self.0.iter().flat_map(|answer| &answer.facts).filter(|fact| fact.tone == Assessment::Bad).count()
    }

    /// The number of unknown facts.
    pub fn unknowns(&self) -> usize {
        self.0.iter().flat_map(|answer| &answer.facts).filter(|fact| fact.tone == Assessment::Unknown).count()
    }

    /// Adds the bad and unknown facts of another flavour of iptables or another time, if they are new.
    pub fn add_of(&mut self, when: &str, other: &Answers) {
        let all = std::mem::take(&mut self.0).into_iter().chain(other.0.iter().cloned());
        self.0 = merged(all, |own, others| own.question == others.question, |own, others| own.add_of(when, &others));
        self.sort();
    }

    /// The answers to one question.
    fn about(mut self, question: PredeployQuestion) -> Answers {
        self.0.retain(|answer| answer.question == question);
        self
    }

    /// Sorts answers with a reason not to deploy to the front; the others stay in the order of importance.
    fn sort(&mut self) {
        self.0.sort_by_key(|answer| (answer.tone != Assessment::Bad, answer.question));
    }
}

/// The findings without the checks of a run.
#[derive(Debug, Clone)]
pub struct PredeployFindings {
    answers: Answers,
    callers: Vec<Caller>,
}

/// Measures the facts that no check of a run has, in the present state and in the other states of time-dependent rules.
pub fn measure_all(subject: &PredeploySubject) -> Result<PredeployFindings> {
    let measured = measure(subject)?;
    let mut answers = answers_of(subject, &measured);
    for (moment, then) in time_dependent::answers_then(subject)? {
        answers.add_of(&moment, &then);
    }
    Ok(PredeployFindings { answers, callers: measured.callers })
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
        log_lines::answer(subject, measured),
        attacker_view::answer(subject, measured),
        mac_masquerade::answer(subject),
        unexpected_open::answer(subject, measured),
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
            1 => "1 check is".to_owned(),
            count => format!("{count} checks are"),
        };
        let checks = report.checks.len();
        let text = format!("{count} not as expected, of {checks} (--verbose tells all); the first: {}", first.name());
        facts.push(Fact::new(Assessment::Bad, text));
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

/// The scan: every technique that a sensor can log, at the first thousand ports; and a SYN at ports that rules name.
fn scan(subject: &PredeploySubject, tried: &PortSet) -> PortScan {
    let thousand: PortSet = [1..=SCAN].into_iter().collect();
    let with_named: PortSet = thousand.ranges().chain(tried.ranges()).collect();
    survey(subject, WatchedEvents::Replies, Fresh::EachPhase, &Technique::LOGGED, |technique| match technique {
        Technique::Syn => with_named.clone(),
        _ => thousand.clone(),
    })
}

fn doors(subject: &PredeploySubject, tried: &PortSet) -> PortScan {
    let udp: Vec<Port> = UDP.into_iter().map(Port).chain(boundaries(subject)).collect();
    let fresh = if tried.len() > SINGLY { Fresh::EachPhase } else { Fresh::EachProbe };
    survey(subject, WatchedEvents::Paths, fresh, &[Technique::Syn, Technique::Udp], |technique| match technique {
        Technique::Udp => udp.iter().copied().collect(),
        _ => tried.clone(),
    })
}

/// The number of ports above which probes of one technique share their limits: each renewal waits for the kernel.
const SINGLY: usize = 256;

fn survey(
    subject: &PredeploySubject,
    watch: WatchedEvents,
    fresh: Fresh,
    techniques: &[Technique],
    ports: impl Fn(Technique) -> PortSet,
) -> PortScan {
    let host = &subject.scenario.host;
    let mut numbering = PassNumbering::new(SEED);
    let families = Lab::families();
    let all = techniques.iter().flat_map(|technique| families.iter().map(move |family| (*technique, *family)));
    let phase = |(technique, family)| (numbering.phase(technique, family, host.addresses), ports(technique));
    PortScan {
        equipment: subject.equipment.clone(),
        interface: host.interface.clone(),
        mac: host.mac.unwrap_or(HOST_MAC),
        addresses: host.addresses,
        services: host.listen.iter().map(|port| listener(*port)).collect(),
        rulesets: subject.rulesets.to_vec(),
        watch,
        order: LabOrder::SideBySide,
        fresh,
        discovery: None,
        phases: all.map(phase).collect(),
    }
}

/// UDP ports of usual services on a Pi: DNS, DHCP, NTP, SNMP, SSDP, mDNS; and one without a usual service.
const UDP: [u16; 7] = [53, 68, 123, 161, 1900, 5353, 40_000];

/// Matches that can match ports without naming them.
const OPAQUE: [&str; 5] = ["u32", "bpf", "set", "string", "cgroup"];

fn ports(subject: &PredeploySubject) -> PortSet {
    let listings = || subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let mut opaque = listings().map(|listing| listing.rules().any(may_ask_for_any_port));
    if subject.ports == ScannedPorts::All || opaque.any(|is_opaque| is_opaque) {
        return [1..=u16::MAX].into_iter().collect();
    }
    boundaries(subject).into_iter().chain(intended(subject.sensor)).collect()
}

/// True if a rule may distinguish ports that are not next to one of its boundaries.
fn may_ask_for_any_port(rule: &Rule) -> bool {
    let names_all = |clause: &Clause| match &clause.ask {
        Match::DestinationPorts(ports) => {
            !clause.negated && ports.ranges().all(|range| range.end() - range.start() <= 1)
        }
        _ => false,
    };
    rule.modules.iter().any(|module| OPAQUE.contains(&module.name.as_str())) && !rule.clauses.iter().any(names_all)
}

/// The ports on either side of every boundary in the rules, for any protocol.
fn boundaries(subject: &PredeploySubject) -> Vec<Port> {
    let listings = subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let points = listings.flat_map(|listing| {
        let points = SweepPlan::new(&listing, &subject.scenario.host.addresses).services();
        points.iter().collect::<Vec<_>>()
    });
    points.collect()
}

/// The ports that the sensor accepts: SSH and the honeypot.
fn intended(sensor: &Sensor) -> Vec<Port> {
    let honeypot = sensor.honeypot.iter().flat_map(|service| &service.ports);
    sensor.ssh.iter().chain(honeypot).copied().collect()
}

/// Merges equal results of both families: `over IPv4 and IPv6`.
fn merge_families<T: PartialEq>(of: Vec<(Family, T)>) -> Vec<(String, T)> {
    let names = |mut families: Vec<Family>| {
        families.sort();
        families.dedup();
        families.into_iter().map(Family::title).collect::<Vec<_>>().join(" and ")
    };
    let groups = grouped(of.into_iter().map(|(family, what)| (what, family)));
    groups.into_iter().map(|(what, families)| (names(families), what)).collect()
}

#[cfg(test)]
mod tests;
