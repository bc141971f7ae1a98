//! A scenario: a file that states its claim, names a sensor or a ruleset, and lists expectations.
//!
//! This room reads and validates; it runs nothing, and derives no expectations, which `expect` does. Relative paths are
//! relative to the folder of the scenario.

mod discover;
mod emit;
mod packets;
mod row;
mod schema;
mod selection;
mod subject;
mod tags;

use std::path::Path;

use crate::error::{InputError, Result, Source};
use crate::sensor::{EntryLines, Host, ReadFile, Sensor, TomlTable, beside, read_host, read_sensor};

pub use discover::{discover, discover_below, discover_each};
pub use emit::{quoted, quoted_log};
pub use row::{ExpectRow, KnownRow};
pub use schema::ScenarioShape;
pub use selection::Selection;
pub use subject::{CheckSubject, SubjectError};
pub use tags::tag;

pub use crate::probe::packet::Packet;

/// One scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The file.
    pub source: Source,
    /// The claim that it proves.
    pub title: String,
    /// Words by which a command line selects it.
    pub tags: Vec<String>,
    /// The intent, if there is one: the expectations come from it, and so does the ruleset unless another is given.
    pub sensor: Option<Sensor>,
    /// The user's own ruleset.
    pub ruleset: Option<RulesetFiles>,
    /// The machine under test.
    pub host: Host,
    /// The lines of the entries of the sensor and of the host in the file.
    pub lines: EntryLines,
    /// Expectations that add to those of the sensor, or override them.
    pub expect: Vec<ExpectRow>,
    /// Mismatches that are known.
    pub known: Vec<KnownRow>,
}

/// A ruleset in iptables-save form, at least one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesetFiles {
    /// For iptables-restore.
    pub v4: Option<Source>,
    /// For ip6tables-restore.
    pub v6: Option<Source>,
}

impl Scenario {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Scenario> {
        Scenario::parse(Source::read(path)?)
    }

    /// Reads a scenario, and the files that it names.
    pub fn parse(source: Source) -> Result<Scenario> {
        Scenario::parse_with(source, &Source::read_regular)
    }

    /// Parses a scenario; `read` reads the files that it names, since those of a built-in scenario are in no folder.
    pub fn parse_with(source: Source, read: ReadFile<'_>) -> Result<Scenario> {
        let mut file = TomlTable::parse(&source)?;
        let title = read_title(&mut file)?;
        let tags = tags::read_tags(&mut file)?;
        let sensor = file.take_table("sensor")?.map(read_sensor).transpose()?;
        let ruleset = file.take_table("ruleset")?.map(|table| read_ruleset(table, read)).transpose()?;
        let host = read_host(file.take_table("host")?, sensor.as_ref(), read)?;
        let expect = row::read_rows(file.take("expect"), row::read_expect)?;
        let known = row::read_rows(file.take("known"), row::read_known)?;
        file.finish()?;
        bounded(&source, &expect)?;
        if sensor.is_none() && ruleset.is_none() {
            return Err(nothing_to_test(&source).into());
        }
        let lines = EntryLines::read(&source);
        Ok(Scenario { source, title, tags, sensor, ruleset, host, lines, expect, known })
    }
}

/// The maximum number of probes and packets that the rows of a scenario select: one technique at every port in both
/// families.
const MOST_PROBES: usize = 2 * 65_535;

fn bounded(source: &Source, rows: &[ExpectRow]) -> Result<()> {
    let mut count: usize = 0;
    for row in rows {
        count = count.saturating_add(row.select.count());
        if count > MOST_PROBES {
            let problem = format!("with this row the scenario asks for more than {MOST_PROBES} probes");
            let hint = "name fewer ports, or write several scenarios; `scanlab scan` sweeps all ports faster";
            return Err(source.error(source.span_of_line(row.line), problem, hint).into());
        }
    }
    Ok(())
}

fn read_title(file: &mut TomlTable<'_>) -> Result<String> {
    let hint = "add a title that says what it proves: title = \"the sensor logs every scan\"";
    match file.take_text("title")? {
        None => Err(file.source.error(0..0, "the scenario has no title", hint).into()),
        Some((span, title)) if title.trim().is_empty() => {
            Err(file.source.error(span, "the title is empty", hint).into())
        }
        Some((_, title)) => Ok(title.trim().to_owned()),
    }
}

fn read_ruleset(mut table: TomlTable<'_>, read: ReadFile<'_>) -> Result<RulesetFiles> {
    let v4 = read_rules(&mut table, "v4", read)?;
    let v6 = read_rules(&mut table, "v6", read)?;
    if v4.is_none() && v6.is_none() {
        let hint =
            "name the files: v4 = \"rules.v4\", v6 = \"rules.v6\", as iptables-save and ip6tables-save wrote them";
        return Err(table.error("[ruleset] names neither `v4` nor `v6`", hint).into());
    }
    table.finish()?;
    Ok(RulesetFiles { v4, v6 })
}

fn read_rules(table: &mut TomlTable<'_>, key: &'static str, read: ReadFile<'_>) -> Result<Option<Source>> {
    let Some((span, path)) = table.take_text(key)? else { return Ok(None) };
    let path = beside(table.source, Path::new(&path));
    let absent = |error| table.source.error(span, error, "paths are relative to the folder of the scenario");
    match read(&path) {
        Err(crate::error::Error::Input(error)) if error.place.is_none() => Err(absent(error.problem).into()),
        read => read.map(Some),
    }
}

fn nothing_to_test(source: &Source) -> InputError {
    let hint =
        "add [sensor] to test a generated ruleset, [ruleset] to test yours, or both to test yours against the intent";
    source.error(0..0, "the scenario has neither [sensor] nor [ruleset]", hint)
}

#[cfg(test)]
mod tests;
