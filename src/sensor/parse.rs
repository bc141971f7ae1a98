//! Reads the `[sensor]` and `[host]` tables and reports every error with its place, so that later code can rely on a
//! [`Sensor`]. In particular, no name may inject a rule.

use std::path::Path;

use super::host::read_host;
use super::limit::read_limit;
use super::lines::EntryLines;
use super::prefix::{check_prefix, check_scan_prefixes};
use super::service::{UsedNames, read_open, read_services, read_ssh};
use super::ssh_from::read_ssh_from;
use super::table::{TomlTable, Value};
use super::{Deny, Host, OpenService, RuleOrder, Sensor, SensorLimit};
use crate::error::{Result, Source};
use crate::probe::scan::Technique;

/// A file that contains a sensor and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorFile {
    /// The file.
    pub source: Source,
    /// Its `[sensor]`.
    pub sensor: Sensor,
    /// Its `[host]`.
    pub host: Host,
    /// The lines of the entries of both.
    pub lines: EntryLines,
}

impl SensorFile {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<SensorFile> {
        SensorFile::parse(Source::read(path)?)
    }

    /// Parses a sensor file; the files that it names are looked up in its folder.
    pub fn parse(source: Source) -> Result<SensorFile> {
        let mut file = TomlTable::parse(&source)?;
        let Some(sensor) = file.take_table("sensor")? else {
            return Err(source.error(0..0, "there is no [sensor] in this file", "begin it with [sensor]").into());
        };
        let host = file.take_table("host")?;
        if file.has("title") {
            let hint = "a file with a title is a scenario: run it with `scanlab run`, or remove the title";
            return Err(file.take("title").expect("is there").error("a sensor file has no title", hint).into());
        }
        file.finish()?;
        let sensor = read_sensor(sensor)?;
        let host = read_host(host, Some(&sensor), &Source::read_regular)?;
        let lines = EntryLines::read(&source);
        Ok(SensorFile { source, sensor, host, lines })
    }
}

/// Reads a `[sensor]`; the files that it names are looked up in the folder of its source.
pub fn read_sensor(mut table: TomlTable<'_>) -> Result<Sensor> {
    let mut claims = UsedNames::default();
    let ssh = read_ssh(&mut table, &mut claims)?;
    let ssh_from = read_ssh_from(&mut table, &ssh)?;
    let open = read_open(table.take_table("open")?, &mut claims)?;
    let scans = read_scans(&mut table, &open)?;
    let prefix = read_prefix(&mut table, &scans)?;
    let honeypot = read_services(table.take_table("honeypot")?, &prefix, &mut claims)?;
    let watched = read_services(table.take_table("watched")?, &prefix, &mut claims)?;
    let limit = table.take("limit").map_or(Ok(SensorLimit::default()), read_limit)?;
    let deny = choice(table.take("deny"), [("tcp", Deny::Tcp), ("all", Deny::All)])?;
    let order = choice(table.take("order"), [("hardened", RuleOrder::Hardened), ("article", RuleOrder::Article)])?;
    table.finish()?;
    Ok(Sensor { ssh, ssh_from, open, honeypot, watched, scans, limit, prefix, deny, order })
}

/// The techniques of `scans`; by default all, or none for an ordinary server.
fn read_scans(table: &mut TomlTable<'_>, open: &[OpenService]) -> Result<Vec<Technique>> {
    let logs_ports = table.has("honeypot") || table.has("watched");
    let default = if open.is_empty() || logs_ports { Technique::LOGGED.to_vec() } else { Vec::new() };
    let Some(value) = table.take("scans") else { return Ok(default) };
    let mut scans = Vec::new();
    for value in value.into_list()? {
        let scan = logged_technique(&value)?;
        if scans.contains(&scan) {
            return Err(value.error(format!("{scan} is listed twice"), "name each technique once").into());
        }
        scans.push(scan);
    }
    Ok(scans)
}

fn logged_technique(value: &Value<'_>) -> Result<Technique> {
    let known = format!("use some of {}", Technique::LOGGED.map(Technique::name).join(", "));
    match value.text()?.parse() {
        Ok(Technique::Connect) => {
            let hint = "its first packet is a SYN: `syn` logs it, and so does the rule of the port";
            Err(value.error("a sensor cannot distinguish a connect from a SYN scan", hint).into())
        }
        Ok(technique) if Technique::LOGGED.contains(&technique) => Ok(technique),
        Ok(_) | Err(_) => {
            let problem = format!("`{}` is not a scan that a sensor logs", value.text()?.escape_debug());
            Err(value.error(problem, known).into())
        }
    }
}

fn read_prefix(table: &mut TomlTable<'_>, scans: &[Technique]) -> Result<String> {
    let Some(value) = table.take("prefix") else { return Ok("<IPT> ".to_owned()) };
    check_prefix(&value)?;
    check_scan_prefixes(&value, scans)?;
    Ok(value.text()?.to_owned())
}

/// One of two words; the first is the default.
fn choice<T>(value: Option<Value<'_>>, choices: [(&str, T); 2]) -> Result<T> {
    let [(first, default), (second, other)] = choices;
    let Some(value) = value else { return Ok(default) };
    match value.text()? {
        text if text == first => Ok(default),
        text if text == second => Ok(other),
        text => {
            let problem = format!("`{}` is not a value of `{}`", text.escape_debug(), value.key.name);
            Err(value.error(problem, format!("use \"{first}\" or \"{second}\"")).into())
        }
    }
}
