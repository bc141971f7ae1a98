//! Before a ruleset is deployed: five questions of the person at the machine, and their answers in plain words.
//!
//! What is answered here was measured: by the checks of a run, by a scan of either family, and by connections that are
//! open while the rules are loaded. Only what a file or an address says is read (`mac_masquerade`).

mod attacker_view;
mod beyond;
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
use crate::text::group::grouped;

use self::endurance::Endured;
use self::holes::Hole;
use self::inbound_peers::Caller;
use self::kept_out::KeptOut;
use self::other_protocols::OtherProtocol;
use self::reply_changes::ReplyChange;

/// What is about to be deployed, and where.
#[derive(Debug, Clone)]
pub struct PredeploySubject<'a> {
    /// What the labs are made with.
    pub equipment: &'a LabOptions,
    /// The sensor with its host, and the rules.
    pub scenario: &'a Scenario,
    /// What the sensor means.
    pub sensor: &'a Sensor,
    /// The rules that are about to be loaded.
    pub rulesets: &'a [(Family, Source)],
    /// Where the rules are loaded over others: the machine's own, where it is asked.
    pub machine: Option<&'a Machine>,
    /// Who works over SSH: one address of each family in which somebody may.
    pub admins: &'a [IpAddr],
    /// The `.link` file.
    pub link: Option<&'a LinkFile>,
    /// Where vendors are looked up.
    pub vendors: &'a VendorDb,
    /// Which ports are scanned.
    pub ports: ScannedPorts,
}

/// Which ports are scanned for what nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScannedPorts {
    /// Those on either side of every boundary that the rules draw: no rule tells the others apart. Of
    /// rules that can look at ports in ways that are not understood here it is every port.
    ThatRulesTellApart,
    /// Every port.
    All,
}

/// How many ports, from 1 on, the scan has whose lines are counted: as many as nmap scans by itself.
const SCAN: u16 = 1000;

/// Under which rules a connection was opened, over which the new ones are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A machine without rules: its conntrack has seen nothing.
    NoRules,
    /// A machine that tracks connections.
    Tracking,
    /// This machine.
    ThisMachine,
}

/// What was measured besides the checks of a run.
#[derive(Debug, Clone)]
struct Measured {
    sessions: Vec<(Before, AfterLoad)>,
    /// Sessions with much traffic, and connections in a row.
    endured: Endured,
    /// What a scanner sees, and the lines that he leaves.
    scan: PortScanResult,
    /// What the filter makes of a SYN, or a datagram, to ports that rules tell apart: with the path of each, since a rule
    /// that refuses politely looks like a closed port.
    doors: PortScanResult,
    /// The TCP ports of `doors`.
    tried: PortSet,
    /// What is let in of neither TCP nor UDP.
    other: Vec<(Family, Vec<OtherProtocol>)>,
    /// Who is let in over SSH, where somebody may not be.
    callers: Vec<Caller>,
    /// What the rules let in besides, as sets of packets.
    holes: Vec<Hole>,
    /// Clients of SSH that the sensor means and the rules keep out.
    kept_out: Vec<KeptOut>,
    /// Rules that change what those clients receive.
    reply_changes: Vec<ReplyChange>,
    /// The lines of rules that go by the moment, in the rules as they are given.
    of_the_moment: Vec<(Family, usize)>,
}

impl Measured {
    /// What hides the host from its neighbours over IPv6.
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

/// One question, answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Answer")]
pub struct QuestionAnswer {
    /// Which.
    pub question: PredeployQuestion,
    /// The question in words.
    pub asks: &'static str,
    /// The worst of its facts.
    pub tone: Assessment,
    /// The answer in a word or two.
    pub answer: &'static str,
    /// The line of the sensor's file that it is about; none where the file does not speak of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What it rests on, worst first.
    pub facts: Vec<Fact>,
}

/// The questions, in the order in which they matter.
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
    /// What is open that nobody asked for?
    Unasked,
    /// What else is not as the sensor means it?
    Others,
}

/// What a fact means for a deployment; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Tone")]
pub enum Assessment {
    /// A reason not to deploy.
    Bad,
    /// What could not be looked at here: no reason against it, and none for it.
    Unknown,
    /// Something to know.
    Note,
    /// As it should be.
    Good,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fact {
    /// What it means.
    pub tone: Assessment,
    /// In plain words.
    pub text: String,
    /// A line as it would stand in the log, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

impl Fact {
    fn new(tone: Assessment, text: impl Into<String>) -> Fact {
        Fact { tone, text: text.into(), line: None }
    }
}

/// The answer where a fact is unknown and none is a reason not to deploy.
const NOT_KNOWN: &str = "Not known.";

impl QuestionAnswer {
    /// The worst of the facts decides between `words`, for a reason not to deploy and for none, and [`NOT_KNOWN`].
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

    /// Adds those facts of `other` that speak against a deployment, or are unknown, and are no facts here.
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

    /// Shown at the entry of the sensor that it is about.
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

    /// The entries of a sensor that it is about, the most telling first.
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

    /// What could not be looked at.
    pub fn unknowns(&self) -> usize {
        self.0.iter().flat_map(|answer| &answer.facts).filter(|fact| fact.tone == Assessment::Unknown).count()
    }

    /// Adds what is a reason not to deploy, or unknown, with another flavour of iptables or at another moment, and is not
    /// so here.
    pub fn add_of(&mut self, when: &str, other: &Answers) {
        for others in &other.0 {
            match self.0.iter_mut().find(|own| own.question == others.question) {
                Some(own) => own.add_of(when, others),
                None => self.0.push(others.clone()),
            }
        }
        self.sort();
    }

    /// What is a reason not to deploy comes first; the rest stays in the order in which it matters.
    fn sort(&mut self) {
        self.0.sort_by_key(|answer| (answer.tone != Assessment::Bad, answer.question));
    }
}

/// What was found without the checks of a run.
#[derive(Debug, Clone)]
pub struct PredeployFindings {
    answers: Answers,
    callers: Vec<Caller>,
}

/// Asks what no check of a run tells, here and at other moments.
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

/// What was measured answers these.
fn answers_of(subject: &PredeploySubject, measured: &Measured) -> Answers {
    Answers(vec![
        lockout::answer(subject, measured),
        log_lines::answer(subject, measured),
        attacker_view::answer(subject, measured),
        mac_masquerade::answer(subject),
        unexpected_open::answer(subject, measured),
    ])
}

/// Each in labs of its own, side by side: a lab waits for the kernel most of the time.
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

/// What the checks of the run found, whatever question it belongs to: none of them may be red behind a green answer.
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

/// The checks that did not run, by the reason why: the rules are not to blame for it, and are not cleared by it.
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

/// A rule that counts and nothing else: conntrack watches because of it.
const TRACKING: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                        -A INPUT -m conntrack --ctstate ESTABLISHED\nCOMMIT\n";

/// Paths are asked for only when there is something to explain. Where they cannot be told (a table that the old rules had
/// and the new ones do not speak of stays, and no file has its rules) what was found stands without the rule's name.
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
    let blueprint = LabSpec { services: &services, watch, ..subject.blueprint(&old) };
    let of_port = |port: &Port| Timing::ALL.map(|asked| (*port, asked));
    let questions: Vec<(Port, Timing)> = subject.sensor.ssh.iter().flat_map(of_port).collect();
    let counts = fresh::counts(subject, &old) || fresh::counts(subject, &new);
    let size = if counts { 1 } else { questions.len().max(1) };
    let ask = |some: &[(Port, Timing)]| Lab::run(&blueprint, |lab| lab.load_under_sessions(subject.admins, some, &new));
    let found = questions.chunks(size).map(ask).collect::<Result<Vec<_>>>()?;
    found.into_iter().reduce(AfterLoad::and).map_or_else(|| ask(&[]), Ok)
}

fn listener(port: Port) -> HostService {
    HostService { protocol: Protocol::Tcp, port, greeting: None }
}

/// Every technique that a sensor can log, at the first thousand ports; and a SYN at those that rules name.
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

/// Above so many ports, probes of one technique share their limits: each renewal waits for the kernel.
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

/// UDP ports that something on a Pi may listen to: DNS, DHCP, NTP, SNMP, SSDP, mDNS; and one that nothing does.
const UDP: [u16; 7] = [53, 68, 123, 161, 1900, 5353, 40_000];

/// Matches that can look at ports without naming them.
const OPAQUE: [&str; 5] = ["u32", "bpf", "set", "string", "cgroup"];

fn ports(subject: &PredeploySubject) -> PortSet {
    let listings = || subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let mut opaque = listings().map(|listing| listing.rules().any(may_ask_for_any_port));
    if subject.ports == ScannedPorts::All || opaque.any(|is_opaque| is_opaque) {
        return [1..=u16::MAX].into_iter().collect();
    }
    boundaries(subject).into_iter().chain(intended(subject.sensor)).collect()
}

/// Whether a rule may distinguish ports that are not next to a boundary that it draws.
fn may_ask_for_any_port(rule: &Rule) -> bool {
    let names_all = |clause: &Clause| match &clause.ask {
        Match::DestinationPorts(ports) => {
            !clause.negated && ports.ranges().all(|range| range.end() - range.start() <= 1)
        }
        _ => false,
    };
    rule.modules.iter().any(|module| OPAQUE.contains(&module.name.as_str())) && !rule.clauses.iter().any(names_all)
}

/// On either side of every boundary that the rules draw, whatever protocol they speak of.
fn boundaries(subject: &PredeploySubject) -> Vec<Port> {
    let listings = subject.rulesets.iter().map(|(family, source)| subject.equipment.listing(*family, source));
    let points = listings.flat_map(|listing| {
        let points = SweepPlan::new(&listing, &subject.scenario.host.addresses).services();
        points.iter().collect::<Vec<_>>()
    });
    points.collect()
}

/// What the sensor lets in: SSH and the honeypot.
fn intended(sensor: &Sensor) -> Vec<Port> {
    let honeypot = sensor.honeypot.iter().flat_map(|service| &service.ports);
    sensor.ssh.iter().chain(honeypot).copied().collect()
}

/// What is said of each family, told once where it is the same: `over IPv4 and IPv6`.
fn told_once<T: PartialEq>(of: Vec<(Family, T)>) -> Vec<(String, T)> {
    let names = |mut families: Vec<Family>| {
        families.sort();
        families.dedup();
        families.into_iter().map(Family::title).collect::<Vec<_>>().join(" and ")
    };
    let told = grouped(of.into_iter().map(|(family, what)| (what, family)));
    told.into_iter().map(|(what, families)| (names(families), what)).collect()
}

#[cfg(test)]
mod tests;
