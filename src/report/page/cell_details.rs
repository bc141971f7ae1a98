//! What the script of a page is told of each cell: the probe's way, its log line, its frames, and what came of the check.
//! What many cells have in common is told once, and pointed at by its number.

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

/// What is known of a cell.
#[derive(Debug, Clone, Copy, Default)]
pub struct CellFacts<'a> {
    /// The check.
    pub check: Option<&'a Check>,
    /// The probe.
    pub probe: Option<&'a ProbeRecord>,
}

/// What two cells have in common when they are alike: outcome, expected and observed; state and reason; ways and prefixes.
pub type CellLikeness =
    (Option<(Outcome, String, String)>, Option<(PortState, String)>, [Option<usize>; 2], Vec<String>);

impl CellFacts<'_> {
    /// The state; `None` if nothing was seen.
    pub fn state(&self) -> Option<PortState> {
        let observed = || self.check?.observed.as_ref()?.state;
        self.probe.map(|probe| probe.state).or_else(observed)
    }

    /// What came of the check.
    pub fn outcome(&self) -> Option<Outcome> {
        self.check.map(|check| check.outcome)
    }

    /// Whether the probe left a line.
    pub fn is_logged(&self) -> bool {
        self.probe.is_some_and(|probe| !probe.log.is_empty())
    }

    /// What makes it like others. Probes that went the same way share the path.
    pub fn look(&self) -> CellLikeness {
        let check = self.check.map(|check| (check.outcome, check.expected.to_string(), observed(check)));
        let state = self.probe.map(|probe| (probe.state, probe.reason.to_string()));
        let address = |path: &Option<Arc<Path>>| path.as_ref().map(|path| Arc::as_ptr(path).addr());
        let ways = self.probe.map_or([None, None], |probe| [address(&probe.path), address(&probe.answer_path)]);
        let prefixes = self.probe.map(|probe| probe.log.iter().map(|record| record.prefix.clone()).collect());
        (check, state, ways, prefixes.unwrap_or_default())
    }
}

/// More stories than this, and the rest is told without frames.
const WITH_FRAMES: usize = 1500;

/// Frames of one probe; the rest of a conversation is much the same.
const FRAMES: usize = 12;

/// All stories of a page.
pub struct AllCellDetails {
    link: LinkKind,
    ways: Distinct<Path>,
    words: Distinct<String>,
    rulesets: Vec<Chains>,
    stories: Vec<CellDetails>,
}

/// Each value once, with its number.
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

/// What the script reads.
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

/// The rules of a ruleset, as far as they are shown.
#[derive(Serialize)]
struct Chains {
    file: String,
    /// How many rules each chain has: table, chain, rules.
    lengths: Vec<(String, String, usize)>,
    rules: Vec<RuleHits>,
}

#[derive(Serialize)]
struct CellDetails {
    title: String,
    technique: &'static str,
    nmap: &'static str,
    /// The port of the probe that is shown, when the cell stands for several.
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
    /// Frames that are not shown.
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
    /// Name, first byte, byte behind the last, value, and note, or -1.
    fields: Vec<(usize, usize, usize, usize, i64)>,
}

impl AllCellDetails {
    /// No story yet.
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

    /// Tells of a ruleset, and of those of its rules whose lines are shown; its number.
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

    /// Tells the story of a cell that stands for `count` ports: its number, and what it says in one line.
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

    /// All that was told.
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

/// The family as people write it.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
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

/// A packet of a TUN is looked at behind an Ethernet header that says what it is.
fn glance(bytes: &[u8], link: LinkKind) -> String {
    let kind = match link {
        LinkKind::Ethernet => PacketSummary::at(bytes).kind,
        LinkKind::Ip => {
            let ethertype: [u8; 2] =
                if bytes.first().is_some_and(|byte| byte >> 4 == 6) { [0x86, 0xdd] } else { [8, 0] };
            PacketSummary::at(&[&[0; 12], &ethertype[..], bytes].concat()).kind
        }
    };
    kind.to_string()
}
