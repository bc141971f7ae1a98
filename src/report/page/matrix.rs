//! The matrix of ports and techniques: observed states, expectations, and outcomes.

use std::collections::BTreeMap;

use super::cell_details::{AllCellDetails, CellFacts};
use super::listed::shortened;
use crate::intent::check::{Check, Outcome};
use crate::intent::scenario::CheckSubject;
use crate::net::Family;
use crate::net::port::{Port, PortSet};
use crate::probe::scan::{PortState, Technique};
use crate::report::ProbeRecord;

/// Rows are ports, columns are techniques in both families.
#[derive(Debug, Default)]
pub struct Matrix {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, in the order of the ports.
    pub rows: Vec<MatrixRow>,
    /// True if a row may be for several ports.
    pub is_grouped: bool,
    /// The number of rows that are left out.
    pub left_out: usize,
}

/// A technique.
#[derive(Debug)]
pub struct Column {
    /// The technique.
    pub technique: Technique,
    /// The families in which it was tried.
    pub families: Vec<Family>,
}

/// A port, or several with the same results.
#[derive(Debug)]
pub struct MatrixRow {
    /// `80`, `1-21, 23`; `host` for a technique without ports.
    pub ports: String,
    /// A cell for each technique and family.
    pub cells: Vec<Option<MatrixCell>>,
}

/// The result of one technique at one port or at several.
#[derive(Debug)]
pub struct MatrixCell {
    /// The number of its details in [`AllCellDetails`].
    pub story: usize,
    /// The state; `None` if no result was observed.
    pub state: Option<PortState>,
    /// The outcome of the check; `None` without one.
    pub outcome: Option<Outcome>,
    /// True if the probe caused a log line.
    pub is_logged: bool,
    /// Its summary in words.
    pub words: String,
}

/// The number of ports above which ports with the same results share a row.
const SINGLY: usize = 24;

/// The maximum number of rows.
const ROWS: usize = 200;

type RowKey = (Option<Port>, Technique, Family);

impl Matrix {
    /// The matrix of these checks and probes; the details of its cells are added to `stories`. `ways` are the rulesets
    /// that the probes passed.
    pub fn of<'a>(
        checks: &'a [Check],
        probes: impl Iterator<Item = &'a ProbeRecord>,
        stories: &mut AllCellDetails,
        ways: &[(Family, usize)],
    ) -> Matrix {
        let seen = gather(checks, probes);
        let columns = columns(seen.keys());
        let ports: Vec<Option<Port>> = {
            let mut ports: Vec<_> = seen.keys().map(|(port, ..)| *port).collect();
            ports.dedup();
            ports
        };
        let is_grouped = ports.len() > SINGLY;
        let mut groups = groups(&ports, &columns, &seen, is_grouped);
        let left_out = groups.len().saturating_sub(ROWS);
        groups.truncate(ROWS);
        let rows = groups.into_iter().map(|group| row(group, &columns, &seen, stories, ways)).collect();
        Matrix { columns, rows, is_grouped, left_out }
    }

    /// True if this column is the first one of a technique.
    pub fn begins(&self, column: &usize) -> bool {
        let mut begin = 0;
        self.columns.iter().any(|one| {
            begin += one.families.len();
            begin - one.families.len() == *column
        })
    }
}

/// Checks and their probes, by port, technique and family. Of several probes the first is the one that was compared;
/// the others belong to a burst.
fn gather<'a>(checks: &'a [Check], probes: impl Iterator<Item = &'a ProbeRecord>) -> BTreeMap<RowKey, CellFacts<'a>> {
    let mut seen: BTreeMap<RowKey, CellFacts> = BTreeMap::new();
    for check in checks.iter().filter(|check| check.burst_of.is_none()) {
        if let (CheckSubject::Scan(technique), Some(family)) = (check.subject, check.family) {
            let port = check.port.filter(|_| technique.has_ports());
            seen.entry((port, technique, family)).or_default().check.get_or_insert(check);
        }
    }
    for probe in probes {
        let ports: Vec<Option<Port>> = match probe.ports().iter().map(Some).collect::<Vec<_>>() {
            ports if ports.is_empty() || !probe.scan.has_ports() => vec![None],
            ports => ports,
        };
        for port in ports {
            seen.entry((port, probe.scan, probe.family)).or_default().probe.get_or_insert(probe);
        }
    }
    seen
}

fn columns<'a>(keys: impl Iterator<Item = &'a RowKey>) -> Vec<Column> {
    let mut families: BTreeMap<Technique, Vec<Family>> = BTreeMap::new();
    for (_, technique, family) in keys {
        let families = families.entry(*technique).or_default();
        if !families.contains(family) {
            families.push(*family);
            families.sort();
        }
    }
    families.into_iter().map(|(technique, families)| Column { technique, families }).collect()
}

/// Groups ports whose cells are all equal.
fn groups(
    ports: &[Option<Port>],
    columns: &[Column],
    seen: &BTreeMap<RowKey, CellFacts<'_>>,
    is_grouped: bool,
) -> Vec<Vec<Option<Port>>> {
    if !is_grouped {
        return ports.iter().map(|port| vec![*port]).collect();
    }
    let mut places = BTreeMap::new();
    let mut groups: Vec<Vec<Option<Port>>> = Vec::new();
    for port in ports {
        let keys = keys(*port, columns);
        let look: Vec<_> = keys.map(|key| seen.get(&key).map(CellFacts::look)).collect();
        let place = *places.entry((port.is_none(), look)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(*port),
            None => groups.push(vec![*port]),
        }
    }
    groups
}

fn keys(port: Option<Port>, columns: &[Column]) -> impl Iterator<Item = RowKey> {
    columns.iter().flat_map(move |column| column.families.iter().map(move |family| (port, column.technique, *family)))
}

fn row(
    group: Vec<Option<Port>>,
    columns: &[Column],
    seen: &BTreeMap<RowKey, CellFacts<'_>>,
    stories: &mut AllCellDetails,
    ways: &[(Family, usize)],
) -> MatrixRow {
    let set: PortSet = group.iter().copied().flatten().collect();
    let ports = if set.is_empty() { "host".to_owned() } else { shortened(&set.to_string().replace(',', ", ")) };
    let mut cell = |key: RowKey| {
        let facts = seen.get(&key)?;
        let way = ways.iter().find(|(family, _)| *family == key.2).map(|(_, way)| *way);
        let (story, words) = stories.add(key, &ports, group.len(), facts, way);
        Some(MatrixCell { story, words, state: facts.state(), outcome: facts.outcome(), is_logged: facts.is_logged() })
    };
    let cells = keys(group[0], columns).map(&mut cell).collect();
    MatrixRow { ports, cells }
}

impl MatrixCell {
    /// The abbreviation of the state.
    pub fn letters(&self) -> &'static str {
        letters(self.state)
    }

    /// The CSS class of the state.
    pub fn look(&self) -> &'static str {
        look(self.state)
    }

    /// The CSS class of the outcome.
    pub fn mark(&self) -> &'static str {
        match self.outcome {
            Some(Outcome::Mismatched) => "is-mismatched",
            Some(Outcome::Known) => "is-known",
            Some(Outcome::NotRun) => "is-not-run",
            Some(Outcome::Matched) | None => "",
        }
    }

    /// The character of the outcome, for readers who cannot see the colour.
    pub fn sign(&self) -> &'static str {
        match self.outcome {
            Some(Outcome::Mismatched) => "≠",
            Some(Outcome::Known) => "≈",
            Some(Outcome::NotRun) => "?",
            Some(Outcome::Matched) | None => "",
        }
    }
}

/// The CSS class of a state.
pub fn look(state: Option<PortState>) -> &'static str {
    match state {
        None => "none",
        Some(PortState::Open) => "open",
        Some(PortState::Closed) => "closed",
        Some(PortState::Filtered) => "filtered",
        Some(PortState::Unfiltered) => "unfiltered",
        Some(PortState::OpenFiltered) => "open-filtered",
        Some(PortState::ClosedFiltered) => "closed-filtered",
        Some(PortState::Unknown) => "unknown",
    }
}

/// The abbreviation of a state.
pub fn letters(state: Option<PortState>) -> &'static str {
    match state {
        None => "–",
        Some(PortState::Open) => "O",
        Some(PortState::Closed) => "C",
        Some(PortState::Filtered) => "F",
        Some(PortState::Unfiltered) => "U",
        Some(PortState::OpenFiltered) => "O|F",
        Some(PortState::ClosedFiltered) => "C|F",
        Some(PortState::Unknown) => "?",
    }
}
