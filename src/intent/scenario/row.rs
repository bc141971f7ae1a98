//! The rows of a scenario: expectations and known mismatches.

use std::fmt::Display;
use std::str::FromStr;

use super::CheckSubject;
use super::packets::read_packets;
use super::selection::{Selection, names, read_checks};
use crate::error::{Result, Source};
use crate::log_line::NFLOG_NAME;
use crate::probe::scan::{FilterVerdict, PortState};
use crate::sensor::{SensorLimit, TomlTable, Value, check_whole_prefix, read_limit};

/// An `[[expect]]` row: its facts are expected of every check that it selects; all other expectations stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectRow {
    /// The checks.
    pub select: Selection,
    /// The port state.
    pub state: Option<PortState>,
    /// The exact prefixes of the lines that a probe causes, in log order; in a row with a rate, the prefix of its line.
    pub log: Option<Vec<String>>,
    /// The verdict of the filter.
    pub verdict: Option<FilterVerdict>,
    /// The rate of the log lines.
    pub rate: Option<SensorLimit>,
    /// The line on which the row begins.
    pub line: usize,
}

impl ExpectRow {
    /// True if it has expectations of single probes. The `log` of a row with a rate is about a burst.
    pub fn expects_of_one_probe(&self) -> bool {
        self.state.is_some() || self.verdict.is_some() || (self.log.is_some() && self.rate.is_none())
    }
}

/// A `[[known]]` row: a mismatch that does not fail the run, and fails it once it no longer occurs. The values are the
/// *observed* ones; without values the row covers any mismatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRow {
    /// The checks.
    pub select: Selection,
    /// The port state.
    pub state: Option<PortState>,
    /// The exact prefixes of the lines, in log order; of a burst each once, in the order of their first lines.
    pub log: Option<Vec<String>>,
    /// The verdict of the filter.
    pub verdict: Option<FilterVerdict>,
    /// True if the row is about the check of the rate.
    pub rate: bool,
    /// The reason for the mismatch.
    pub because: String,
    /// The line on which the row begins.
    pub line: usize,
}

/// Reads `[[expect]]` or `[[known]]`; `read` gets the first line of a row.
pub fn read_rows<T>(rows: Option<Value<'_>>, read: fn(TomlTable<'_>, usize) -> Result<T>) -> Result<Vec<T>> {
    let Some(rows) = rows else { return Ok(Vec::new()) };
    let name = rows.key.name.clone();
    if rows.is_table() {
        return Err(rows
            .error(format!("[{name}] is one table"), format!("write [[{name}]]: there can be many"))
            .into());
    }
    let mut lines = LinesInOrder { at: 0, line: 1 };
    let spot = rows.spot();
    let rows = rows.into_list()?;
    if rows.len() > MOST_ROWS {
        let problem = format!("a scenario has at most {MOST_ROWS} rows of [[{name}]], and this one has {}", rows.len());
        return Err(spot.error(problem, "name several ports in a row, or write several scenarios").into());
    }
    let row = |row: Value<'_>| {
        let row = row.into_table()?;
        let line = lines.line_of(row.source, row.span.start);
        read(row, line)
    };
    rows.into_iter().map(row).collect()
}

/// Bounded, since every check is compared with every row.
pub const MOST_ROWS: usize = 5_000;

/// Computes the line numbers of ascending offsets: no byte is read twice, however many rows there are.
struct LinesInOrder {
    at: usize,
    line: usize,
}

impl LinesInOrder {
    fn line_of(&mut self, source: &Source, offset: usize) -> usize {
        let passed = source.text.as_bytes().get(self.at..offset).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = self.at.max(offset);
        self.line
    }
}

/// Reads one `[[expect]]`.
pub fn read_expect(mut row: TomlTable<'_>, line: usize) -> Result<ExpectRow> {
    let select = read_selection(&mut row)?;
    let state = read_word(row.take("state"))?;
    let (log, verdict, rate) = (row.take("log"), read_word(row.take("verdict"))?, row.take("rate"));
    let log = if rate.is_some() { read_log_of_rate(log)? } else { read_log(log)? };
    let rate = rate.map(read_limit).transpose()?;
    let is_of_packets = select.subjects.iter().all(|subject| subject.packet().is_some());
    let facts = if is_of_packets { "`verdict`, `log` or both" } else { "`state`, `log`, `verdict` or `rate`" };
    let spot = row.spot();
    row.finish()?;
    if state.is_none() && log.is_none() && verdict.is_none() && rate.is_none() {
        return Err(spot.error("the row expects nothing", format!("add {facts}")).into());
    }
    let more_than_verdict = state.is_some() || log.is_some() || rate.is_some();
    let is_of_scans = select.subjects.iter().all(|subject| subject.technique().is_some());
    if !is_of_scans && !is_of_packets && (more_than_verdict || select.subjects.contains(&CheckSubject::Vendor)) {
        let problem = "only a verdict can be expected of what is not a scan";
        return Err(spot.error(problem, not_a_scan_hint(&select)).into());
    }
    Ok(ExpectRow { select, state, log, verdict, rate, line })
}

fn not_a_scan_hint(select: &Selection) -> &'static str {
    match select.subjects.contains(&CheckSubject::Vendor) {
        true => "the expected vendor is in [host]: vendor = \"VMware\"",
        false => "write verdict = \"accept\" or \"drop\", and nothing else",
    }
}

/// Reads one `[[known]]`.
pub fn read_known(mut row: TomlTable<'_>, line: usize) -> Result<KnownRow> {
    let select = read_selection(&mut row)?;
    let state = read_word(row.take("state"))?;
    let log = read_log(row.take("log"))?;
    let verdict = read_word(row.take("verdict"))?;
    let rate = row.take("rate").map_or(Ok(false), |value| value.boolean())?;
    let because = read_because(&mut row)?;
    row.finish()?;
    Ok(KnownRow { select, state, log, verdict, rate, because, line })
}

fn read_because(row: &mut TomlTable<'_>) -> Result<String> {
    let hint = "a known mismatch has a reason: because = \"...\"";
    match row.take_text("because")? {
        None => Err(row.error("the row has no `because`", hint).into()),
        Some((span, because)) if because.trim().is_empty() => {
            Err(row.source.error(span, "`because` is empty", hint).into())
        }
        Some((_, because)) => Ok(because.trim().to_owned()),
    }
}

fn read_word<T: FromStr<Err: Display>>(value: Option<Value<'_>>) -> Result<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    Ok(Some(value.text()?.parse().map_err(|error| value.error(error, ""))?))
}

/// A string is the prefix of the only line, and `""` means no line. A list has the prefix of every line, so `""` in it
/// is a line without a prefix.
fn read_log(value: Option<Value<'_>>) -> Result<Option<Vec<String>>> {
    match value {
        Some(value) if value.as_text() == Some("") => Ok(Some(Vec::new())),
        value => value.map(read_prefixes).transpose(),
    }
}

/// The prefix of the line whose rate is meant; `""` is a line without a prefix, since no line would have no rate.
fn read_log_of_rate(value: Option<Value<'_>>) -> Result<Option<Vec<String>>> {
    let Some(value) = value else { return Ok(None) };
    let hint = "name only the prefix of that line; expect other lines of the probe in a row without `rate`";
    let spot = value.spot();
    let prefixes = read_prefixes(value)?;
    if prefixes.len() == 1 { Ok(Some(prefixes)) } else { Err(spot.error("a rate is for one line", hint).into()) }
}

fn read_prefixes(value: Value<'_>) -> Result<Vec<String>> {
    let read = |value: Value<'_>| {
        check_whole_prefix(&value)?;
        let text = value.text()?;
        // The rule has no prefix of its own.
        let is_group_alone = text.starts_with(NFLOG_NAME) && !text.contains(' ');
        Ok(if is_group_alone { format!("{text} ") } else { text.to_owned() })
    };
    value.into_one_or_many().into_iter().map(read).collect()
}

/// Removes the keys of a selection from a row.
fn read_selection(row: &mut TomlTable<'_>) -> Result<Selection> {
    match (row.take("scan"), row.take("packet")) {
        (Some(scan), None) => read_checks(row, scan),
        (None, Some(packet)) => read_packets(row, packet),
        (Some(_), Some(packet)) => {
            Err(packet.error("the row has both `scan` and `packet`", "write a row for each").into())
        }
        (None, None) => {
            let hint = format!("name its subject: packet = \"tcp SYN to 80\", or scan: {}", names());
            Err(row.error("the row has neither `scan` nor `packet`", hint).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_order_have_the_lines_that_the_source_says() {
        let source = Source { name: "s.toml".into(), text: "a\nb\r\n\nc\nd".into() };
        let mut lines = LinesInOrder { at: 0, line: 1 };
        for offset in [0, 2, 2, 5, 6, 8, 100] {
            assert_eq!(lines.line_of(&source, offset), source.line_of(offset), "{offset}");
        }
    }

    #[test]
    fn many_rows_take_no_longer_than_their_bytes() {
        let rows: String =
            (1..=MOST_ROWS).map(|row| format!("[[known]]\nscan = \"syn\"\nports = {row}\nbecause = \"x\"\n")).collect();
        let source =
            Source { name: "s.toml".into(), text: format!("title = \"t\"\n[sensor]\nssh = 22\n{rows}").into() };
        let started = std::time::Instant::now();
        let scenario = super::super::Scenario::parse(source).unwrap();
        assert_eq!(scenario.known.last().map(|row| row.line), Some(4 + 4 * (MOST_ROWS - 1)));
        // Counting lines from the start for each of 50,000 rows took minutes.
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }
}
