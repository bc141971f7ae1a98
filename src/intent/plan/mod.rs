//! From a scenario to probes: cells (one probe each), bursts (many probes of one port, for the rate), and *rounds*, the
//! cells that share a lab. Within a round no cell uses up a limit of another, so no check depends on the order of the
//! checks.
//!
//! Expectations come from the sensor, through the oracle, and from `[[expect]]` rows. The ruleset is not read here,
//! except for the names of matches that need a lab of their own.

mod packets;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::intent::check::CheckFacts;
use crate::intent::expect::{self, Author, expectations, rate_expectations};
use crate::intent::scenario::{ExpectRow, Scenario, quoted};
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::{PortState, Technique};
use crate::sensor::{Sensor, SensorLimit, Service};

pub use packets::PacketCell;

/// A probe and its expected result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The technique.
    pub technique: Technique,
    /// The family.
    pub family: Family,
    /// The port.
    pub port: Port,
    /// The expected facts.
    pub expected: CheckFacts,
}

/// A burst of probes and its expected result for one log line. If a probe causes several lines, one burst measures all
/// their rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burst {
    /// The technique.
    pub technique: Technique,
    /// The family.
    pub family: Family,
    /// The port.
    pub port: Port,
    /// The number of probes.
    pub probes: u16,
    /// True if the rule must have a limit of its own, as in a sensor: then the burst is sent twice, once with fresh
    /// limits, and once after the bursts of all other rules, which must not have used it.
    pub own_limit: bool,
    /// The rate at which the limit recovers.
    pub limit: SensorLimit,
    /// The time until one of the limits of the burst permits one more packet.
    pub refill: Duration,
    /// The prefixes of other lines that each probe causes: they are not counted.
    pub besides: Vec<String>,
    /// The expected facts.
    pub expected: CheckFacts,
}

impl Cell {
    /// The key that distinguishes it from other cells.
    pub fn key(&self) -> CellKey {
        (self.family, self.technique, self.port)
    }
}

impl Burst {
    /// The key that distinguishes it from other bursts.
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
    /// Bursts, alternating between the families; those of one probe are adjacent.
    pub bursts: Vec<Burst>,
    /// Bursts that are longer than [`BURST_MAX`]: not run, and reported as such.
    pub too_long: Vec<Burst>,
    /// True if the ruleset has lists of addresses (xt_recent, xt_hashlimit), which outlive its rules: then every cell
    /// needs a lab of its own.
    pub keeps_lists: bool,
    /// Packets that are no scan, grouped by lab.
    pub packets: Vec<Vec<PacketCell>>,
}

/// The minimum number of probes of a burst: `limit` permits 5 of them by default.
const BURST_OF: u32 = 20;

/// The maximum number of source ports of one burst, by nmap's numbering of tries.
pub const BURST_MAX: u32 = 120;

impl ScenarioPlan {
    /// Plans `scenario`; `keeps_lists` is true if its ruleset has lists of addresses.
    pub fn new(scenario: &Scenario, keeps_lists: bool) -> Result<ScenarioPlan> {
        let cells = cells(scenario)?;
        let bursts = bursts(scenario, &cells)?.into_iter();
        let (bursts, too_long) = bursts.partition(|burst| u32::from(burst.probes) <= BURST_MAX);
        let bursts = seen_together(bursts);
        let packets = packets::plan(scenario, keeps_lists)?;
        Ok(ScenarioPlan { rounds: rounds(cells, keeps_lists), bursts, too_long, keeps_lists, packets })
    }

    /// The bursts that are sent: one of those that are measured together.
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

/// The key of a cell or a burst.
pub type CellKey = (Family, Technique, Port);

fn cells(scenario: &Scenario) -> Result<Vec<Cell>> {
    let mut cells: BTreeMap<CellKey, CheckFacts> = BTreeMap::new();
    if let Some(sensor) = &scenario.sensor {
        let author = author(scenario);
        for expectation in expectations(sensor, &scenario.host, author) {
            let expect::Expected { state, log } = expectation.expected;
            let log = expected_log(sensor, author, log.as_deref());
            let expected = CheckFacts { state: Some(state), log, ..CheckFacts::default() };
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

fn author(scenario: &Scenario) -> Author {
    if scenario.ruleset.is_some() { Author::Other } else { Author::Sensor }
}

/// The expected log lines: none or one; `None` if any number of lines is fine.
fn expected_log(sensor: &Sensor, author: Author, prefix: Option<&str>) -> Option<Vec<String>> {
    if author.owes_connections_only(sensor) { None } else { CheckFacts::one_line(prefix) }
}

/// The probes that a row selects; a row of packets selects none.
fn keys(row: &ExpectRow) -> Vec<CellKey> {
    let techniques = row.select.subjects.iter().filter_map(|subject| subject.technique());
    // A technique without ports is probed once, with the flow's number in place of a port.
    let ports: Vec<Port> = match &row.select.ports {
        Some(ports) => ports.iter().collect(),
        None => vec![Port(0)],
    };
    techniques
        .flat_map(|technique| row.select.families.iter().map(move |family| (*family, technique)))
        .flat_map(|(family, technique)| ports.iter().map(move |port| (family, technique, *port)))
        .collect()
}

/// The row overrides the facts that it names; other facts stay.
fn overlay(expected: &mut CheckFacts, row: &ExpectRow) {
    expected.state = row.state.or(expected.state);
    expected.verdict = row.verdict.or(expected.verdict);
    if row.rate.is_none() {
        expected.log = row.log.clone().or_else(|| expected.log.take());
    }
}

/// Adds the expectations of a connect to an open port: the service gets the connection, and its greeting arrives.
fn with_conversation(scenario: &Scenario, technique: Technique, port: Port, expected: CheckFacts) -> CheckFacts {
    if technique != Technique::Connect || expected.state != Some(PortState::Open) {
        return expected;
    }
    CheckFacts { accepted: Some(true), greeting: greeting(scenario, port).map(str::to_owned), ..expected }
}

/// The greeting of the listener on `port`: an SSH server speaks first, and so does a honeypot that imitates one.
pub fn greeting(scenario: &Scenario, port: Port) -> Option<&'static str> {
    let sensor = scenario.sensor.as_ref()?;
    let is_ssh = |service: &Service| service.name.to_ascii_lowercase().contains("ssh") && service.ports.contains(&port);
    (sensor.ssh.contains(&port) || sensor.honeypot.iter().any(is_ssh)).then_some(SSH_BANNER)
}

/// The greeting of an SSH server (RFC 4253, section 4.2); the version is that of Raspbian Stretch, the article's.
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

/// The prefix of the line whose rate is meant: the row's own, or that of another row of the same probe with one line.
fn prefix_of_rate<'a>(scenario: &'a Scenario, row: &'a ExpectRow, key: CellKey) -> Result<Option<&'a str>> {
    match row.log.as_deref().or_else(|| logged_elsewhere(scenario, key)) {
        None => Ok(None),
        Some([prefix]) => Ok(Some(prefix)),
        Some(prefixes) => Err(of_no_one_line(scenario, row, key, prefixes)),
    }
}

/// The prefixes that another row has for the same probe.
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
    let problem = format!(
        "a rate is for one line, but another row expects that {technique}{at} is logged with \
                           {lines}"
    );
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

/// The log lines that one probe is expected to cause.
fn lines_of(cells: &[Cell], key: CellKey) -> &[String] {
    let cell = cells.binary_search_by_key(&key, Cell::key).ok().map(|place| &cells[place]);
    cell.and_then(|cell| cell.expected.log.as_deref()).unwrap_or_default()
}

/// True if the rates are of two lines that the probe causes; otherwise the later row overrides the earlier one.
fn are_of_two_lines(one: &Burst, other: &Burst, lines: &[String]) -> bool {
    let is_there = |burst: &Burst| burst.expected.log.iter().flatten().any(|prefix| lines.contains(prefix));
    one.expected.log != other.expected.log && is_there(one) && is_there(other)
}

/// Bursts of one probe are measured in one burst, which is long enough for each of them.
fn seen_together(mut bursts: Vec<Burst>) -> Vec<Burst> {
    for together in bursts.chunk_by_mut(|one, other| one.key() == other.key()) {
        let probes = together.iter().map(|burst| burst.probes).max().unwrap_or_default();
        let refill = together.iter().map(|burst| burst.refill).min().unwrap_or_default();
        together.iter_mut().for_each(|burst| (burst.probes, burst.refill) = (probes, refill));
    }
    bursts
}

/// The prefixes of the other lines that a probe of the burst causes, which occur in the burst as well.
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

/// The number of cells that share a round, chosen so that several labs pay off, since each lab waits for the kernel.
/// The cells of one technique are dealt out in turn, so that no limit is used too often in a round.
const ROUND: usize = 80;

/// The maximum number of labs for one kind of work. More would load the ruleset more often, and would never run at the
/// same time.
pub const MOST_LABS: usize = 32;

/// Rounds of about [`ROUND`] cells, at most [`MOST_LABS`] of them; or of one cell each. Without cells there is one
/// empty round, since the first round also does the vendor and neighbour checks.
fn rounds(cells: Vec<Cell>, keeps_lists: bool) -> Vec<Round> {
    if keeps_lists && !cells.is_empty() {
        return cells.into_iter().map(|cell| vec![cell]).collect();
    }
    let mut cells = cells;
    // The families alternate, since their limits are renewed together.
    cells.sort_by_key(|cell| (cell.technique, cell.port, cell.family));
    let count = cells.len().div_ceil(ROUND).clamp(1, MOST_LABS);
    let mut rounds = vec![Round::new(); count];
    for (number, pair) in cells.chunk_by(|one, other| one.family < other.family).enumerate() {
        rounds[number % count].extend_from_slice(pair);
    }
    rounds
}
