//! The report of `exec`: the effect of the ruleset on the frames of a tool. Frames with the same result are grouped.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Environment, HostSummary, SCHEMA};
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::{Port, PortSet};
use crate::probe::observation::LogRecord;
use crate::probe::packet_summary::{PacketSummary, SummaryKind};
use crate::probe::path::{Fate, Path, Step};
use crate::probe::scan::FilterVerdict;
use crate::probe::tool_run::{RelayedFrame, ToolRun, ToolStatus};
use crate::wire::frame::Direction;
use crate::wire::tcp_flags::TcpFlags;

/// A report of `exec`, as the JSON shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Exec {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `scanlab X.Y.Z`.
    pub tool: String,
    /// The environment of the measurement.
    pub environment: Environment,
    /// The host.
    pub host: HostSummary,
    /// The command that was run.
    pub command: Vec<String>,
    /// The exit status of the tool.
    pub tool_status: ToolStatusRecord,
    /// Frames with the same result, in the order in which they began.
    pub groups: Vec<FrameGroup>,
    /// Every log line.
    pub log: Vec<ExecLogLine>,
    /// Each distinct path of a packet through the rules.
    pub paths: Vec<PathRecord>,
    /// Every frame.
    pub frames: Vec<FrameRecord>,
    /// Packets that the host sent and its own rules held back.
    pub held_back: Vec<HeldBackRecord>,
}

/// The way the tool ended.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct ToolStatusRecord {
    /// The exit status; `None` if a signal ended the tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// True if the tool exceeded its time limit and was killed.
    pub timed_out: bool,
    /// The run time in seconds.
    pub seconds: f64,
}

/// Frames with the same result.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Group")]
pub struct FrameGroup {
    /// `to-host`, or `from-host` for packets that the host sent by itself.
    pub direction: FrameDirection,
    /// The family; `None` for ARP and other frames that are not IP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `arp`, or a number.
    pub protocol: String,
    /// The kind of frame: `tcp xmas`, `tcp RST`, `connection`.
    pub what: String,
    /// The number of frames.
    pub frames: usize,
    /// The number of connections that they belong to, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// The host's ports: `1-21,23`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<String>,
    /// The verdict of the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<FilterVerdict>,
    /// The rule or policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Step>,
    /// Their path, as an index into `paths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<usize>,
    /// The immediate answer of the host: `tcp RST,ACK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The path of the answer that the host's own rules held back, as an index into `paths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_back: Option<usize>,
    /// The prefixes of the log lines that each frame caused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// The direction of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Way")]
pub enum FrameDirection {
    /// The tool sent it.
    ToHost,
    /// The host sent it.
    FromHost,
}

/// A line of the kernel's log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "LoggedLine")]
pub struct ExecLogLine {
    /// The frame that caused it, as an index into `frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// Prefix and line.
    #[serde(flatten)]
    pub record: LogRecord,
}

/// A path through the rules.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PathRecord {
    /// Rules and policies, in order.
    pub steps: Vec<Step>,
    /// The conntrack state of the packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conntrack: Option<ConntrackState>,
    /// The end of the path.
    pub fate: Fate,
}

/// One frame, without its bytes: those are in the capture.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FrameRecord {
    /// Seconds since the first frame.
    pub seconds: f64,
    /// The direction.
    pub direction: FrameDirection,
    /// The kind of frame.
    pub what: String,
    /// The source address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The destination address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The length in bytes.
    pub length: usize,
    /// The frame that it answers, as an index into `frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<usize>,
    /// The verdict of the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<FilterVerdict>,
    /// Its path, as an index into `paths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<usize>,
}

/// A packet of the host that did not reach the link.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HeldBackRecord {
    /// The frame that the host was processing, as an index into `frames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<usize>,
    /// Its path, as an index into `paths`.
    pub path: usize,
}

impl Exec {
    /// The report of a run of `command`.
    pub fn new(command: Vec<String>, relayed: &ToolRun, host: HostSummary, environment: Environment) -> Exec {
        let mut ways = Ways::default();
        let glances: Vec<PacketSummary> = relayed.frames.iter().map(|frame| PacketSummary::at(&frame.bytes)).collect();
        let frames = frame_records(&relayed.frames, &glances, &mut ways);
        let held_back: Vec<HeldBackRecord> = relayed
            .held_back
            .iter()
            .map(|one| HeldBackRecord { cause: one.cause, path: ways.place(&one.path) })
            .collect();
        let groups = groups(relayed, &glances, &frames, &held_back, &ways);
        Exec {
            schema: SCHEMA,
            tool: format!("scanlab {}", env!("CARGO_PKG_VERSION")),
            environment,
            host,
            command,
            tool_status: status(relayed),
            groups,
            log: log(relayed),
            paths: ways.paths.iter().map(|path| path_record(path)).collect(),
            frames,
            held_back,
        }
    }
}

/// The distinct paths, with their indices.
#[derive(Default)]
struct Ways {
    places: HashMap<Arc<Path>, usize>,
    paths: Vec<Arc<Path>>,
}

impl Ways {
    fn place(&mut self, path: &Arc<Path>) -> usize {
        if let Some(place) = self.places.get(path) {
            return *place;
        }
        self.places.insert(Arc::clone(path), self.paths.len());
        self.paths.push(Arc::clone(path));
        self.paths.len() - 1
    }
}

fn frame_records(frames: &[RelayedFrame], glances: &[PacketSummary], ways: &mut Ways) -> Vec<FrameRecord> {
    let begin = frames.first().map(|frame| frame.at).unwrap_or_default();
    let record = |(frame, glance): (&RelayedFrame, &PacketSummary)| FrameRecord {
        seconds: frame.at.saturating_sub(begin).as_secs_f64(),
        direction: way(frame.direction),
        what: glance.kind.to_string(),
        source: glance.ends.map(|(source, _)| end(source, glance.ports.map(|ports| ports.0))),
        destination: glance.ends.map(|(_, destination)| end(destination, glance.ports.map(|ports| ports.1))),
        length: frame.bytes.len(),
        cause: frame.cause,
        verdict: frame.verdict,
        path: frame.path.as_ref().map(|path| ways.place(path)),
    };
    frames.iter().zip(glances).map(record).collect()
}

fn way(direction: Direction) -> FrameDirection {
    match direction {
        Direction::In => FrameDirection::ToHost,
        Direction::Out => FrameDirection::FromHost,
    }
}

fn end(address: std::net::IpAddr, port: Option<Port>) -> String {
    match port {
        Some(port) => std::net::SocketAddr::new(address, port.0).to_string(),
        None => address.to_string(),
    }
}

fn status(relayed: &ToolRun) -> ToolStatusRecord {
    let (exit, signal, timed_out) = match relayed.status {
        ToolStatus::Exited(status) => (Some(status), None, false),
        ToolStatus::Signalled(signal) => (None, Some(signal), false),
        ToolStatus::TimedOut(_) => (None, None, true),
    };
    ToolStatusRecord { exit, signal, timed_out, seconds: rounded(relayed.elapsed) }
}

fn rounded(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

fn log(relayed: &ToolRun) -> Vec<ExecLogLine> {
    let of = |frame: Option<usize>, log: &[LogRecord]| {
        log.iter().map(|record| ExecLogLine { frame, record: record.clone() }).collect::<Vec<_>>()
    };
    let frames = relayed.frames.iter().enumerate().flat_map(|(place, frame)| of(Some(place), &frame.log));
    frames.chain(relayed.held_back.iter().flat_map(|one| of(one.cause, &one.log))).collect()
}

fn path_record(path: &Path) -> PathRecord {
    PathRecord { steps: path.steps.clone(), conntrack: path.conntrack, fate: path.fate }
}

/// The facts that the frames of a group share.
#[derive(PartialEq, Eq, Hash)]
struct Common {
    direction: Direction,
    family: Option<Family>,
    /// `None` for the frames of a connection after its first.
    kind: Option<SummaryKind>,
    verdict: Option<FilterVerdict>,
    path: Option<usize>,
    answer: Option<SummaryKind>,
    held_back: Option<usize>,
    log: Vec<String>,
}

/// The members of a group.
#[derive(Default)]
struct Members {
    frames: usize,
    ports: Vec<Port>,
    connections: BTreeSet<ToolConnection>,
}

/// A connection: the tool's end, and the host's.
type ToolConnection = ((std::net::IpAddr, Port), (std::net::IpAddr, Port));

/// Groups the frames: an answer belongs to the frame that it answers; each other frame was sent by the tool, or by the
/// host by itself.
fn groups(
    relayed: &ToolRun,
    glances: &[PacketSummary],
    records: &[FrameRecord],
    held_back: &[HeldBackRecord],
    ways: &Ways,
) -> Vec<FrameGroup> {
    let answers = answers(&relayed.frames, glances);
    let held: HashMap<usize, usize> = held_back.iter().filter_map(|one| Some((one.cause?, one.path))).collect();
    let connections = connections(&relayed.frames, glances);
    let mut places: HashMap<Common, usize> = HashMap::new();
    let mut all: Vec<Members> = Vec::new();
    for (place, frame) in relayed.frames.iter().enumerate() {
        let glance = &glances[place];
        if frame.cause.is_some() && !is_neighbour_request(glance.kind) {
            continue;
        }
        let connection =
            connection(frame.direction, glance).filter(|one| connections.get(one).is_some_and(|begin| *begin < place));
        let common = Common {
            direction: frame.direction,
            family: glance.family(),
            kind: if connection.is_some() { None } else { Some(glance.kind) },
            verdict: frame.verdict,
            path: records[place].path,
            answer: if connection.is_some() { None } else { answers.get(&place).copied() },
            held_back: held.get(&place).copied(),
            log: frame.log.iter().map(|record| record.prefix.clone()).collect(),
        };
        let number = *places.entry(common).or_insert_with(|| {
            all.push(Members::default());
            all.len() - 1
        });
        let members = &mut all[number];
        members.frames += 1;
        members.connections.extend(connection);
        members.ports.extend(glance.ports.map(|(source, destination)| match frame.direction {
            Direction::In => destination,
            Direction::Out => source,
        }));
    }
    let mut groups: Vec<(usize, FrameGroup)> =
        places.into_iter().map(|(common, number)| (number, group(common, &all[number], ways))).collect();
    groups.sort_by_key(|(number, group)| (is_housekeeping(&group.what), *number));
    groups.into_iter().map(|(_, group)| group).collect()
}

fn group(common: Common, members: &Members, ways: &Ways) -> FrameGroup {
    let ports: PortSet = members.ports.iter().copied().collect();
    let step = |place: usize| ways.paths[place].deciding().cloned();
    FrameGroup {
        direction: way(common.direction),
        family: common.family,
        protocol: common.kind.map_or("tcp".to_owned(), SummaryKind::protocol),
        what: common.kind.map_or("connection".to_owned(), |kind| kind.to_string()),
        frames: members.frames,
        connections: common.kind.is_none().then_some(members.connections.len()),
        ports: (!ports.is_empty()).then(|| ports.to_string()),
        verdict: common.verdict,
        decided_by: common.path.and_then(step),
        path: common.path,
        answer: common.answer.map(|kind| kind.to_string()),
        held_back: common.held_back,
        log: common.log,
    }
}

/// ARP requests and neighbour solicitations: the host sends these on its own account, whatever frame it is processing.
fn is_neighbour_request(kind: SummaryKind) -> bool {
    matches!(kind, SummaryKind::Arp(1) | SummaryKind::Icmp(Family::Ipv6, 135, _))
}

/// Frames that keep the link working, which are listed last: ARP, neighbour discovery, multicast listener reports.
fn is_housekeeping(what: &str) -> bool {
    ["arp ", "icmpv6 133", "icmpv6 134", "icmpv6 135", "icmpv6 136", "icmpv6 143"]
        .iter()
        .any(|word| what.starts_with(word))
}

/// The first frame that the host sent back to the source of each frame.
fn answers(frames: &[RelayedFrame], glances: &[PacketSummary]) -> HashMap<usize, SummaryKind> {
    let mut answers = HashMap::new();
    for (frame, glance) in frames.iter().zip(glances) {
        let Some(cause) = frame.cause else { continue };
        if is_neighbour_request(glance.kind) {
            continue;
        }
        let goes_back = glance.ends.zip(glances[cause].ends).is_some_and(|((_, to), (from, _))| to == from);
        if goes_back {
            answers.entry(cause).or_insert(glance.kind);
        }
    }
    answers
}

/// Established connections, each with the index of its SYN: the host answered it with SYN/ACK, and the tool went on
/// with anything but a RST.
fn connections(frames: &[RelayedFrame], glances: &[PacketSummary]) -> HashMap<ToolConnection, usize> {
    const HANDSHAKE: u8 = TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST;
    let (mut opened, mut answered, mut made) = (HashMap::new(), HashMap::new(), HashMap::new());
    for (place, (frame, glance)) in frames.iter().zip(glances).enumerate() {
        let Some((one, flags)) = connection(frame.direction, glance).zip(glance.tcp_flags()) else { continue };
        match (frame.direction, flags & HANDSHAKE) {
            (Direction::In, TcpFlags::SYN) => drop(opened.insert(one, place)),
            (Direction::Out, flags) if flags == TcpFlags::SYN | TcpFlags::ACK => {
                answered.extend(opened.get(&one).map(|begin| (one, *begin)));
            }
            (Direction::In, TcpFlags::ACK) => made.extend(answered.get(&one).map(|begin| (one, *begin))),
            _ => {}
        }
    }
    made
}

fn connection(direction: Direction, glance: &PacketSummary) -> Option<ToolConnection> {
    glance.tcp_flags()?;
    let ((source, destination), (source_port, destination_port)) = glance.ends.zip(glance.ports)?;
    let (from, to) = ((source, source_port), (destination, destination_port));
    Some(match direction {
        Direction::In => (from, to),
        Direction::Out => (to, from),
    })
}
