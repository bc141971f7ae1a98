//! Ports and techniques: what was seen, what was expected, and how the two go together.

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
    /// Whether a row may stand for several ports.
    pub is_grouped: bool,
    /// Rows that there was no room for.
    pub left_out: usize,
}

/// A technique.
#[derive(Debug)]
pub struct Column {
    /// The technique.
    pub technique: Technique,
    /// In which families it was tried.
    pub families: Vec<Family>,
}

/// A port, or several that are alike.
#[derive(Debug)]
pub struct MatrixRow {
    /// `80`, `1-21, 23`; `host` for what has no ports.
    pub ports: String,
    /// One for each technique and family.
    pub cells: Vec<Option<MatrixCell>>,
}

/// What was seen.
#[derive(Debug)]
pub struct MatrixCell {
    /// The number of its story.
    pub story: usize,
    /// The state; `None` if nothing was seen.
    pub state: Option<PortState>,
    /// What came of the check; `None` if nobody asked.
    pub outcome: Option<Outcome>,
    /// Whether the probe left a line in the log.
    pub is_logged: bool,
    /// All of it, in words.
    pub words: String,
}

/// More ports than this, and those that are alike share a row.
const SINGLY: usize = 24;

/// No more rows than this.
const ROWS: usize = 200;

type RowKey = (Option<Port>, Technique, Family);

impl Matrix {
    /// The matrix of these checks and probes; the stories of its cells go to `stories`. `ways` are the rulesets that the
    /// probes went through.
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

    /// Whether a technique begins in this column.
    pub fn begins(&self, column: &usize) -> bool {
        let mut begin = 0;
        self.columns.iter().any(|one| {
            begin += one.families.len();
            begin - one.families.len() == *column
        })
    }
}

/// A check and its probe, by what they ask. The first probe that asks is the one that was compared; those of a burst come
/// later.
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

/// Ports whose cells are all alike.
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
    /// The letters of the state.
    pub fn letters(&self) -> &'static str {
        letters(self.state)
    }

    /// The name of its look.
    pub fn look(&self) -> &'static str {
        look(self.state)
    }

    /// The name of the look of its outcome.
    pub fn mark(&self) -> &'static str {
        match self.outcome {
            Some(Outcome::Mismatched) => "is-mismatched",
            Some(Outcome::Known) => "is-known",
            Some(Outcome::NotRun) => "is-not-run",
            Some(Outcome::Matched) | None => "",
        }
    }

    /// The character of its outcome, for those who see no colours.
    pub fn sign(&self) -> &'static str {
        match self.outcome {
            Some(Outcome::Mismatched) => "≠",
            Some(Outcome::Known) => "≈",
            Some(Outcome::NotRun) => "?",
            Some(Outcome::Matched) | None => "",
        }
    }
}

/// The name of the look of a state.
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

/// The letters of a state.
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
