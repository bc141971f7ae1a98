//! The data of each cell for the page's script: the path of the probe, its log line, its frames, and the outcome of the
//! check. Values that many cells share are stored once and referenced by number.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use serde::Serialize;

use crate::error::Source;
use crate::intent::check::{Check, Outcome};
use crate::lab::LinkMode;
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::probe::observation::LogRecord;
use crate::probe::packet_summary::PacketSummary;
use crate::probe::path::{Fate, Path, Step};
use crate::probe::scan::{PortState, Technique};
use crate::report::ProbeRecord;
use crate::rules::coverage::RuleHits;
use crate::wire::dissect::{HeaderField, LinkKind, dissect};
use crate::wire::frame::Direction;
use crate::wire::frame::{Frame, FramePart};

/// The facts of a cell.
#[derive(Debug, Clone, Copy, Default)]
pub struct CellFacts<'a> {
    /// The check.
    pub check: Option<&'a Check>,
    /// The probe.
    pub probe: Option<&'a ProbeRecord>,
}

/// The key by which equal cells are merged: outcome, expected and observed; state and reason; paths and prefixes.
pub type CellLikeness =
    (Option<(Outcome, String, String)>, Option<(PortState, String)>, [Option<usize>; 2], Vec<String>);

impl CellFacts<'_> {
    /// The state; `None` if no result was observed.
    pub fn state(&self) -> Option<PortState> {
        let observed = || self.check?.observed.as_ref()?.state;
        self.probe.map(|probe| probe.state).or_else(observed)
    }

    /// The outcome of the check, if there is one.
    pub fn outcome(&self) -> Option<Outcome> {
        self.check.map(|check| check.outcome)
    }

    /// True if the probe caused a log line.
    pub fn is_logged(&self) -> bool {
        self.probe.is_some_and(|probe| !probe.log.is_empty())
    }

    /// The key by which equal cells are merged. Probes on the same path share the `Arc`, so its address identifies the
    /// path.
    pub fn look(&self) -> CellLikeness {
        let check = self.check.map(|check| (check.outcome, check.expected.to_string(), observed(check)));
        let state = self.probe.map(|probe| (probe.state, probe.reason.to_string()));
        let address = |path: &Option<Arc<Path>>| path.as_ref().map(|path| Arc::as_ptr(path).addr());
        let ways = self.probe.map_or([None, None], |probe| [address(&probe.path), address(&probe.answer_path)]);
        let prefixes = self.probe.map(|probe| probe.log.iter().map(|record| record.prefix.clone()).collect());
        (check, state, ways, prefixes.unwrap_or_default())
    }
}

/// The number of cells whose frames are included; later cells have no frames.
const WITH_FRAMES: usize = 1500;

/// The maximum number of frames of one probe; the rest of a connection is much the same.
const FRAMES: usize = 12;

/// The details of all cells of a page.
pub struct AllCellDetails {
    link: LinkKind,
    ways: Distinct<Path>,
    words: Distinct<String>,
    rulesets: Vec<Chains>,
    stories: Vec<CellDetails>,
}

/// Distinct values, each with a number.
struct Distinct<T> {
    numbers: HashMap<T, usize>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Distinct<T> {
    fn new() -> Distinct<T> {
        Distinct { numbers: HashMap::new(), values: Vec::new() }
    }

    fn number(&mut self, value: &T) -> usize {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), self.values.len() - 1);
        self.values.len() - 1
    }
}

/// The JSON that the script reads.
#[derive(Serialize)]
pub struct StoryJson<'a> {
    stories: &'a [CellDetails],
    ways: Vec<RulePathJson<'a>>,
    rulesets: &'a [Chains],
    words: &'a [String],
}

#[derive(Serialize)]
struct RulePathJson<'a> {
    steps: &'a [Step],
    fate: Fate,
}

/// A ruleset, with those of its rules that are shown.
#[derive(Serialize)]
struct Chains {
    file: String,
    /// The number of rules in each chain: table, chain, rules.
    lengths: Vec<(String, String, usize)>,
    rules: Vec<RuleHits>,
}

#[derive(Serialize)]
struct CellDetails {
    title: String,
    technique: &'static str,
    nmap: &'static str,
    /// The port of the probe that is shown, if the cell is for several ports.
    shown: Option<Port>,
    state: Option<PortState>,
    reason: Option<String>,
    outcome: Option<Outcome>,
    expected: String,
    observed: String,
    why: String,
    conntrack: Option<ConntrackState>,
    way: Option<usize>,
    answer: Option<usize>,
    log: Vec<LogRecord>,
    followup: Vec<LogRecord>,
    greeting: Option<String>,
    ruleset: Option<usize>,
    frames: Vec<ToldFrame>,
    /// The number of frames that are left out.
    more_frames: usize,
}

#[derive(Serialize)]
struct ToldFrame {
    part: &'static str,
    direction: &'static str,
    glance: String,
    hex: String,
    layers: Vec<ToldLayer>,
}

#[derive(Serialize)]
struct ToldLayer {
    name: usize,
    quoted: bool,
    /// Name, first byte, end of the bytes (exclusive), value, and note (-1 if there is none).
    fields: Vec<(usize, usize, usize, usize, i64)>,
}

impl AllCellDetails {
    /// A page without cells.
    pub fn new(link: LinkMode) -> AllCellDetails {
        let link = if link.has_macs() { LinkKind::Ethernet } else { LinkKind::Ip };
        AllCellDetails {
            link,
            ways: Distinct::new(),
            words: Distinct::new(),
            rulesets: Vec::new(),
            stories: Vec::new(),
        }
    }

    /// Adds a ruleset with those of its rules whose lines are shown; returns its number.
    pub fn ruleset(&mut self, source: &Source, rules: &[RuleHits], is_shown: impl Fn(usize) -> bool) -> usize {
        let mut lengths: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for RuleHits { table, chain, rule, .. } in rules {
            let length = lengths.entry((table, chain)).or_default();
            *length = (*length).max(*rule);
        }
        let length = |((table, chain), rules): ((&str, &str), usize)| (table.to_owned(), chain.to_owned(), rules);
        self.rulesets.push(Chains {
            file: source.name.display().to_string(),
            lengths: lengths.into_iter().map(length).collect(),
            rules: rules.iter().filter(|rule| is_shown(rule.line)).cloned().collect(),
        });
        self.rulesets.len() - 1
    }

    /// Adds a cell for `count` ports; returns its number and its summary in one line.
    pub fn add(
        &mut self,
        (port, technique, family): (Option<Port>, Technique, Family),
        ports: &str,
        count: usize,
        facts: &CellFacts<'_>,
        ruleset: Option<usize>,
    ) -> (usize, String) {
        let (check, probe) = (facts.check, facts.probe);
        let has_room = self.stories.len() < WITH_FRAMES;
        let recorded: Vec<&Frame> = probe
            .into_iter()
            .flat_map(|probe| &probe.frames)
            .filter(|frame| !matches!(frame.part, FramePart::Fence | FramePart::Other))
            .collect();
        let frames: Vec<_> = recorded.iter().filter(|_| has_room).take(FRAMES).map(|one| self.frame(one)).collect();
        let shown = probe.and_then(|probe| probe.port.or_else(|| probe.ports().iter().next()));
        let mut way = |path: Option<&Arc<Path>>| path.map(|path| self.ways.number(path));
        let story = CellDetails {
            title: title(port, technique, family, ports, count),
            technique: technique.name(),
            nmap: technique.profile().nmap,
            shown: shown.filter(|_| count > 1 || probe.is_some_and(|probe| probe.ports.is_some())),
            state: facts.state(),
            reason: probe.map(reason),
            outcome: facts.outcome(),
            expected: check.map(|check| check.expected.to_string()).unwrap_or_default(),
            observed: check.map(observed).unwrap_or_default(),
            why: check.map(why).unwrap_or_default(),
            conntrack: probe.and_then(|probe| probe.conntrack),
            way: way(probe.and_then(|probe| probe.path.as_ref())),
            answer: way(probe.and_then(|probe| probe.answer_path.as_ref())),
            log: probe.map(|probe| probe.log.clone()).unwrap_or_default(),
            followup: probe.map(|probe| probe.followup.clone()).unwrap_or_default(),
            greeting: probe.and_then(|probe| probe.connection.as_ref()).map(|connection| connection.greeting.clone()),
            ruleset,
            more_frames: recorded.len() - frames.len(),
            frames,
        };
        let words = story.in_words();
        self.stories.push(story);
        (self.stories.len() - 1, words)
    }

    /// The JSON of all cells.
    pub fn json(&self) -> StoryJson<'_> {
        let ways = self.ways.values.iter().map(|path| RulePathJson { steps: &path.steps, fate: path.fate }).collect();
        StoryJson { stories: &self.stories, ways, rulesets: &self.rulesets, words: &self.words.values }
    }

    fn frame(&mut self, frame: &Frame) -> ToldFrame {
        let mut layers = Vec::new();
        for layer in dissect(&frame.bytes, self.link) {
            let field = |field: &HeaderField| {
                let note = field.note.as_ref().map_or(-1, |note| self.words.number(note) as i64);
                let (name, value) = (self.words.number(&field.name.to_owned()), self.words.number(&field.value));
                (name, field.bytes.start, field.bytes.end, value, note)
            };
            let fields = layer.fields.iter().map(field).collect();
            layers.push(ToldLayer { name: self.words.number(&layer.name.to_owned()), quoted: layer.is_quoted, fields });
        }
        ToldFrame {
            part: part(frame.part),
            direction: match frame.direction {
                Direction::In => "to the host",
                Direction::Out => "from the host",
            },
            glance: glance(&frame.bytes, self.link),
            hex: frame.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            layers,
        }
    }
}

impl CellDetails {
    /// `xmas scan of port 80 over IPv4: open|filtered, as expected, leaves a log line`
    fn in_words(&self) -> String {
        let state = self.state.map_or("nothing seen", PortState::as_str);
        let outcome = match self.outcome {
            Some(Outcome::Matched) => ", as expected".to_owned(),
            Some(Outcome::Mismatched) => format!(", mismatched: expected {}", self.expected),
            Some(Outcome::Known) => format!(", known mismatch: expected {}", self.expected),
            Some(Outcome::NotRun) => ", not run".to_owned(),
            None => String::new(),
        };
        let log = if self.log.is_empty() { "" } else { ", leaves a log line" };
        format!("{}: {state}{outcome}{log}", self.title)
    }
}

fn title(port: Option<Port>, technique: Technique, family: Family, ports: &str, count: usize) -> String {
    let family = family_name(family);
    let of = match port {
        None => "the host".to_owned(),
        Some(_) if count > 1 => format!("{count} ports ({ports})"),
        Some(port) => format!("port {port}"),
    };
    format!("{technique} to {of} over {family}")
}

/// The family in usual spelling.
pub fn family_name(family: Family) -> &'static str {
    family.pick("IPv4", "IPv6")
}

fn observed(check: &Check) -> String {
    check.observed.as_ref().map_or_else(|| "not run".to_owned(), ToString::to_string)
}

fn why(check: &Check) -> String {
    match (&check.explanation, check.outcome) {
        (Some(explanation), Outcome::Mismatched) => explanation.words.clone(),
        _ => check.why.clone(),
    }
}

/// As nmap prints it: `reset ttl 64`.
fn reason(probe: &ProbeRecord) -> String {
    let from = probe.reason_ip.map(|address| format!(" from {address}")).unwrap_or_default();
    let ttl = probe.reason_ttl.map(|ttl| format!(", ttl {ttl}")).unwrap_or_default();
    format!("{}{from}{ttl}", probe.reason)
}

fn part(part: FramePart) -> &'static str {
    match part {
        FramePart::Probe => "probe",
        FramePart::Answer => "answer",
        FramePart::Followup => "followup",
        FramePart::Fence => "fence",
        FramePart::Other => "other",
    }
}

fn glance(bytes: &[u8], link: LinkKind) -> String {
    let summary = match link {
        LinkKind::Ethernet => PacketSummary::at(bytes),
        LinkKind::Ip => PacketSummary::at_packet(bytes),
    };
    summary.kind.to_string()
}
