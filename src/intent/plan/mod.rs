//! From a scenario to what is asked of the kernel: cells (one probe each), bursts (many probes of one port, for the
//! rate), and *rounds*: what shares a lab. Within a round every cell meets limits that still have room, so that no check
//! depends on the order of the checks.
//!
//! Expectations come from the sensor, through the oracle, and from `[[expect]]` rows; the ruleset is not read here, but
//! for the names of matches that need a lab of their own.

mod packets;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::intent::check::CheckFacts;
use crate::intent::expect::{self, expectations, rate_expectations};
use crate::intent::scenario::{ExpectRow, Scenario, quoted};
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::{PortState, Technique};
use crate::sensor::{SensorLimit, Service};

pub use packets::PacketCell;

/// What one probe must find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The technique.
    pub technique: Technique,
    /// The family.
    pub family: Family,
    /// The port.
    pub port: Port,
    /// What must come of it.
    pub expected: CheckFacts,
}

/// What a burst of probes must find of one line. Of several lines of a probe the rates are seen in one burst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burst {
    /// The technique.
    pub technique: Technique,
    /// The family.
    pub family: Family,
    /// The port.
    pub port: Port,
    /// How many probes.
    pub probes: u16,
    /// Whether the limit is to be the rule's own, as a sensor means it: then the burst is sent twice, once with fresh
    /// limits, and once after the bursts of all other rules, which must not have touched it.
    pub own_limit: bool,
    /// How fast the limit recovers.
    pub limit: SensorLimit,
    /// How soon one of the limits that the burst is about lets one more through.
    pub refill: Duration,
    /// The prefixes of what each probe leaves besides the line whose rate is asked: those lines are not counted.
    pub besides: Vec<String>,
    /// What must come of it.
    pub expected: CheckFacts,
}

impl Cell {
    /// Key that distinguishes it from other cells.
    pub fn key(&self) -> CellKey {
        (self.family, self.technique, self.port)
    }
}

impl Burst {
    /// Key that distinguishes it from other bursts.
    pub fn key(&self) -> CellKey {
        (self.family, self.technique, self.port)
    }
}

/// Cells that share a lab.
pub type Round = Vec<Cell>;

/// The whole plan of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScenarioPlan {
    /// Single probes, each in one round.
    pub rounds: Vec<Round>,
    /// Bursts, the families in turn; those of one probe are adjacent.
    pub bursts: Vec<Burst>,
    /// Bursts that are longer than [`BURST_MAX`]: not run, and said so.
    pub too_long: Vec<Burst>,
    /// Whether the ruleset keeps lists of what it saw (xt_recent, xt_hashlimit), which outlive their rules: then every cell
    /// needs a lab of its own.
    pub keeps_lists: bool,
    /// Packets that are no scan, by the lab that they share.
    pub packets: Vec<Vec<PacketCell>>,
}

/// Probes of a burst, at least: `limit` lets 5 of them through by default.
const BURST_OF: u32 = 20;

/// Source ports that one burst may take up, by nmap's numbering of tries.
pub const BURST_MAX: u32 = 120;

impl ScenarioPlan {
    /// Plans `scenario`; `keeps_lists` says whether its ruleset keeps lists of what it saw.
    pub fn new(scenario: &Scenario, keeps_lists: bool) -> Result<ScenarioPlan> {
        let cells = cells(scenario)?;
        let bursts = bursts(scenario, &cells)?.into_iter();
        let (bursts, too_long) = bursts.partition(|burst| u32::from(burst.probes) <= BURST_MAX);
        let bursts = seen_together(bursts);
        let packets = packets::plan(scenario, keeps_lists)?;
        Ok(ScenarioPlan { rounds: rounds(cells, keeps_lists), bursts, too_long, keeps_lists, packets })
    }

    /// The bursts that are sent: one of those that are seen together.
    pub fn sent(&self) -> Vec<&Burst> {
        one_of_each(self.bursts.iter())
    }

    /// The bursts that are sent again, after those of all other rules.
    pub fn sent_in_a_row(&self) -> Vec<&Burst> {
        one_of_each(self.bursts.iter().filter(|burst| burst.own_limit))
    }
}

fn one_of_each<'a>(bursts: impl Iterator<Item = &'a Burst>) -> Vec<&'a Burst> {
    let mut sent: Vec<&Burst> = bursts.collect();
    sent.dedup_by_key(|burst| burst.key());
    sent
}

/// Key that distinguishes a cell, or a burst.
pub type CellKey = (Family, Technique, Port);

fn cells(scenario: &Scenario) -> Result<Vec<Cell>> {
    let mut cells: BTreeMap<CellKey, CheckFacts> = BTreeMap::new();
    if let Some(sensor) = &scenario.sensor {
        for expectation in expectations(sensor, &scenario.host) {
            let expect::Expected { state, log } = expectation.expected;
            let expected =
                CheckFacts { state: Some(state), log: CheckFacts::one_line(log.as_deref()), ..CheckFacts::default() };
            cells.insert((expectation.family, expectation.technique, expectation.port), expected);
        }
    }
    for row in scenario.expect.iter().filter(|row| row.expects_of_one_probe()) {
        for key in keys(row) {
            overlay(cells.entry(key).or_default(), row);
        }
    }
    let cells = cells.into_iter().map(|((family, technique, port), expected)| Cell {
        technique,
        family,
        port,
        expected: with_conversation(scenario, technique, port, expected),
    });
    Ok(cells.collect())
}

/// The probes that a row speaks of; rows that are no scan have none.
fn keys(row: &ExpectRow) -> Vec<CellKey> {
    let techniques = row.select.subjects.iter().filter_map(|subject| subject.technique());
    // What has no ports is asked once, by the number that its flow has in place of a port.
    let ports: Vec<Port> = match &row.select.ports {
        Some(ports) => ports.iter().collect(),
        None => vec![Port(0)],
    };
    techniques
        .flat_map(|technique| row.select.families.iter().map(move |family| (*family, technique)))
        .flat_map(|(family, technique)| ports.iter().map(move |port| (family, technique, *port)))
        .collect()
}

/// What a row says adds to what is expected, or overrides it.
fn overlay(expected: &mut CheckFacts, row: &ExpectRow) {
    expected.state = row.state.or(expected.state);
    expected.verdict = row.verdict.or(expected.verdict);
    if row.rate.is_none() {
        expected.log = row.log.clone().or_else(|| expected.log.take());
    }
}

/// A connect to an open port is more than a SYN/ACK: the service must get the connection, and be heard.
fn with_conversation(scenario: &Scenario, technique: Technique, port: Port, expected: CheckFacts) -> CheckFacts {
    if technique != Technique::Connect || expected.state != Some(PortState::Open) {
        return expected;
    }
    CheckFacts { accepted: Some(true), greeting: greeting(scenario, port).map(str::to_owned), ..expected }
}

/// What listens on `port` says first: SSH servers speak first, and so does a honeypot that plays one.
pub fn greeting(scenario: &Scenario, port: Port) -> Option<&'static str> {
    let sensor = scenario.sensor.as_ref()?;
    let is_ssh = |service: &Service| service.name.to_ascii_lowercase().contains("ssh") && service.ports.contains(&port);
    (sensor.ssh.contains(&port) || sensor.honeypot.iter().any(is_ssh)).then_some(SSH_BANNER)
}

/// What an SSH server says first (RFC 4253, section 4.2); the version is that of Raspbian Stretch, the article's.
const SSH_BANNER: &str = "SSH-2.0-OpenSSH_7.4p1 Raspbian-10+deb9u7";

fn bursts(scenario: &Scenario, cells: &[Cell]) -> Result<Vec<Burst>> {
    let mut bursts: BTreeMap<CellKey, Vec<Burst>> = BTreeMap::new();
    if let Some(sensor) = &scenario.sensor {
        for rate in rate_expectations(sensor, &scenario.host) {
            let key = (rate.family, rate.technique, rate.port);
            let found = CheckFacts { state: Some(rate.state), ..CheckFacts::default() };
            bursts.insert(key, vec![burst(key, Some(&rate.prefix), rate.limit, found, true)]);
        }
    }
    for row in &scenario.expect {
        let Some(limit) = row.rate else { continue };
        for key in keys(row) {
            if limit.burst + 1 > BURST_MAX {
                return Err(too_long(scenario, row, limit));
            }
            let prefix = prefix_of_rate(scenario, row, key)?;
            let found = CheckFacts { state: row.state, ..CheckFacts::default() };
            let burst = burst(key, prefix, limit, found, false);
            let others = bursts.entry(key).or_default();
            others.retain(|other| are_of_two_lines(other, &burst, lines_of(cells, key)));
            others.push(burst);
        }
    }
    let bursts = bursts.into_values().flatten();
    let mut bursts: Vec<Burst> = bursts.map(|burst| besides_what(lines_of(cells, burst.key()), burst)).collect();
    bursts.sort_by_key(|burst| (burst.technique, burst.port, burst.family));
    Ok(bursts)
}

/// Of which line the rate is: the row says so itself, or another row of the same probe that knows of one line.
fn prefix_of_rate<'a>(scenario: &'a Scenario, row: &'a ExpectRow, key: CellKey) -> Result<Option<&'a str>> {
    match row.log.as_deref().or_else(|| logged_elsewhere(scenario, key)) {
        None => Ok(None),
        Some([prefix]) => Ok(Some(prefix)),
        Some(prefixes) => Err(of_no_one_line(scenario, row, key, prefixes)),
    }
}

/// The prefixes that another row names for the same probe.
fn logged_elsewhere(scenario: &Scenario, key: CellKey) -> Option<&[String]> {
    let speaks_of_it = |row: &&ExpectRow| row.rate.is_none() && keys(row).contains(&key);
    scenario.expect.iter().rev().filter(speaks_of_it).find_map(|row| row.log.as_deref())
}

fn of_no_one_line(scenario: &Scenario, row: &ExpectRow, (_, technique, port): CellKey, prefixes: &[String]) -> Error {
    let span = scenario.source.span_of_line(row.line);
    let (lines, example) = match prefixes {
        [] => ("no line", "\"...\"".to_owned()),
        [prefix, ..] => ("several lines", quoted(prefix)),
    };
    let at = if technique.has_ports() { format!(" at {port}") } else { String::new() };
    let problem = format!("a rate is that of one line, and by another row {technique}{at} leaves {lines}");
    scenario.source.error(span, problem, format!("name the prefix of that line in this row: log = {example}")).into()
}

fn burst(key: CellKey, prefix: Option<&str>, limit: SensorLimit, found: CheckFacts, own_limit: bool) -> Burst {
    let (family, technique, port) = key;
    let probes = BURST_OF.max(limit.burst + 1).min(u32::from(u16::MAX)) as u16;
    let log = prefix.map(|prefix| vec![prefix.to_owned()]);
    let expected = CheckFacts { lines: Some(limit.burst), rate: Some(limit.rate()), log, ..found };
    let refill = Duration::from_secs(u64::from(limit.per.seconds())) / limit.count.max(1);
    Burst { technique, family, port, probes, own_limit, limit, refill, besides: Vec::new(), expected }
}

/// The lines that one probe is expected to leave.
fn lines_of(cells: &[Cell], key: CellKey) -> &[String] {
    let cell = cells.binary_search_by_key(&key, Cell::key).ok().map(|place| &cells[place]);
    cell.and_then(|cell| cell.expected.log.as_deref()).unwrap_or_default()
}

/// Whether both are rates of a probe that leaves both lines; else the later one overrides the earlier one.
fn are_of_two_lines(one: &Burst, other: &Burst, lines: &[String]) -> bool {
    let is_there = |burst: &Burst| burst.expected.log.iter().flatten().any(|prefix| lines.contains(prefix));
    one.expected.log != other.expected.log && is_there(one) && is_there(other)
}

/// Those of one probe are seen in one burst, which is long enough for each of them.
fn seen_together(mut bursts: Vec<Burst>) -> Vec<Burst> {
    for together in bursts.chunk_by_mut(|one, other| one.key() == other.key()) {
        let probes = together.iter().map(|burst| burst.probes).max().unwrap_or_default();
        let refill = together.iter().map(|burst| burst.refill).min().unwrap_or_default();
        together.iter_mut().for_each(|burst| (burst.probes, burst.refill) = (probes, refill));
    }
    bursts
}

/// A probe that is expected to leave the line of the burst and others leaves the others in a burst as well.
fn besides_what(lines: &[String], burst: Burst) -> Burst {
    let besides = match burst.expected.log.as_deref() {
        Some([own]) if lines.contains(own) => lines.iter().filter(|prefix| *prefix != own).cloned().collect(),
        _ => Vec::new(),
    };
    Burst { besides, ..burst }
}

fn too_long(scenario: &Scenario, row: &ExpectRow, limit: SensorLimit) -> Error {
    let span = scenario.source.span_of_line(row.line);
    let problem = format!("a burst of {} is more than the {BURST_MAX} probes that one check sends", limit.burst);
    scenario.source.error(span, problem, "expect the rate of a rule with a smaller --limit-burst").into()
}

/// Cells that share a round: as many as makes several labs worth their while, since each lab waits for the kernel. The
/// cells of one technique are dealt out in turn, so that no limit is asked too often in a round.
const ROUND: usize = 80;

/// Labs for one kind of work. More of them would load the ruleset more often, and are never in use at the same time.
pub const MOST_LABS: usize = 32;

/// Rounds of about [`ROUND`] cells, [`MOST_LABS`] of them at most; or of one cell each. There is a round without a cell as well: the first one also asks who is
/// there.
fn rounds(cells: Vec<Cell>, keeps_lists: bool) -> Vec<Round> {
    if keeps_lists && !cells.is_empty() {
        return cells.into_iter().map(|cell| vec![cell]).collect();
    }
    let mut cells = cells;
    // The families take turns, since their limits are renewed together.
    cells.sort_by_key(|cell| (cell.technique, cell.port, cell.family));
    let count = cells.len().div_ceil(ROUND).clamp(1, MOST_LABS);
    let mut rounds = vec![Round::new(); count];
    for (number, pair) in cells.chunk_by(|one, other| one.family < other.family).enumerate() {
        rounds[number % count].extend_from_slice(pair);
    }
    rounds
}
