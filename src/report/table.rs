//! The report for people: checks that are not as expected, with the reason; then the others; then a summary line.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use comfy_table::Table;

use super::check_location::{scan, whereabouts};
use super::check_rows::{CheckRow, rows};
use super::columns::new_table;
use super::{
    CheckCounts, Environment, HiddenHost, HostStatus, ProbeRecord, Report, ReportedScenario, coverage_text, explained,
    notes, paths,
};
use crate::intent::check::{Check, Outcome};
use crate::lab::Capture;
use crate::net::port::PortSet;
use crate::text::count::counted;
use crate::text::escape::visible;
use crate::text::group::grouped;

/// The report of a run with every check, at most `width` columns wide, with ANSI styles (the caller strips them where there is no
/// terminal).
pub fn run_table(report: &Report, width: u16) -> String {
    let mut text = String::new();
    for scenario in report.scenarios.iter().flatten() {
        text.push_str(&block(scenario, width));
    }
    if let Some(line) = report.not_applicable {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(&notes::block(&report.probes, &report.environment, width));
    text.push_str(&environment_notes(&report.environment, width));
    if let Some(summary) = report.summary {
        text.push_str(&summary_line(&summary));
    }
    text
}

fn block(scenario: &ReportedScenario, width: u16) -> String {
    let (mut text, style) = (String::new(), style(scenario.outcome));
    let _ = writeln!(text, "{style}{:>10}{style:#}  {}", scenario.outcome, visible(&scenario.name));
    let _ = writeln!(text, "{:>10}  {}", "", visible(&scenario.file));
    for table in checks_tables(scenario, width) {
        let _ = writeln!(text, "{}", table.trim_fmt());
    }
    if let Some(reasons) = reasons_table(scenario, width) {
        let _ = writeln!(text, "{}", reasons.trim_fmt());
    }
    text.push_str(&explained::blocks(&scenario.checks, width));
    text.push_str(&coverage_text::block(&scenario.coverage, width));
    text.push('\n');
    text
}

/// Changed sysctls, and a note on the part that NFLOG capture does not test; empty if there is neither.
fn environment_notes(environment: &Environment, width: u16) -> String {
    environment_words(environment).iter().map(|words| paragraph(words, width)).collect()
}

/// The same in words.
pub fn environment_words(environment: &Environment) -> Vec<String> {
    let of_capture = (environment.capture != Capture::Kmsg).then(|| {
        "The rules were loaded as given, then replaced by a copy with NFLOG in place of LOG: log lines are what LOG \
         would print, but the LOG target itself was not tested."
            .to_owned()
    });
    sysctls_in_words(environment).into_iter().chain(of_capture).collect()
}

/// The sysctls that differ from the lab's usual values; empty if there are none.
pub fn set_sysctls(environment: &Environment, width: u16) -> String {
    sysctls_in_words(environment).map(|words| paragraph(&words, width)).unwrap_or_default()
}

fn sysctls_in_words(environment: &Environment) -> Option<String> {
    let shown: Vec<String> = environment.set_sysctls.iter().map(|one| visible(&one.to_string())).collect();
    (!shown.is_empty()).then(|| format!("sysctls set: {}", shown.join("; ")))
}

fn paragraph(words: &str, width: u16) -> String {
    let mut table = new_table(width);
    table.add_row([words]);
    format!("{}\n\n", table.trim_fmt())
}

/// Two tables: packets, whose texts need more room and have no ports, and all other checks; the one with the worst
/// outcome is first.
fn checks_tables(scenario: &ReportedScenario, width: u16) -> Vec<Table> {
    let (packets, others): (Vec<&Check>, Vec<&Check>) =
        scenario.checks.iter().partition(|check| check.subject.packet().is_some());
    let (packets, others) = (rows(packets), rows(others));
    let worst = |rows: &[CheckRow]| rows.first().map(|row| row.first.outcome);
    let packets_first = worst(&packets).is_some_and(|worst_of_packets| Some(worst_of_packets) < worst(&others));
    let is_there = |rows: &[CheckRow]| !rows.is_empty();
    let table_of_packets = is_there(&packets).then(|| packets_table(&packets, width));
    let table_of_others = is_there(&others).then(|| others_table(&others, width));
    let tables = if packets_first { [table_of_packets, table_of_others] } else { [table_of_others, table_of_packets] };
    tables.into_iter().flatten().collect()
}

fn others_table(rows: &[CheckRow], width: u16) -> Table {
    let mut table = new_table(width);
    table.set_header(["outcome", "scan", "ports", "family", "expected", "observed"]);
    for row in rows {
        table.add_row(cells(row));
    }
    table
}

fn packets_table(rows: &[CheckRow], width: u16) -> Table {
    let mut table = new_table(width);
    table.set_header(["outcome", "packet", "family", "expected", "observed"]);
    for row in rows {
        let [outcome, packet, _, family, expected, observed] = cells(row);
        table.add_row([outcome, packet, family, expected, observed]);
    }
    table
}

/// The reasons, each once for all checks that share it.
fn reasons_table(scenario: &ReportedScenario, width: u16) -> Option<Table> {
    let explained = scenario.checks.iter().filter(|check| !check.why.is_empty());
    let reasons = grouped(explained.map(|check| (check.why.as_str(), check)));
    let mut table = new_table(width);
    table.set_header(["why", ""]);
    for (why, checks) in &reasons {
        table.add_row([visible(&whereabouts(checks)), visible(why)]);
    }
    (!reasons.is_empty()).then_some(table)
}

fn cells(row: &CheckRow) -> [String; 6] {
    let Check { outcome, expected, observed, .. } = row.first;
    let observed = match observed {
        Some(_) if *outcome == Outcome::Matched => "as expected".to_owned(),
        Some(observed) => observed.to_string(),
        None => "not run".to_owned(),
    };
    let families = row.families.iter().map(|family| family.pick("v4", "v6")).collect::<Vec<_>>().join(" ");
    [outcome.to_string(), scan(row.first), row.ports(), families, expected.to_string(), observed]
        .map(|cell| lines_apart(&visible(&cell)))
}

/// Puts each log prefix on a line of its own if they do not fit on one: a table would break the line at the blank at
/// the end of a prefix.
fn lines_apart(cell: &str) -> String {
    const BESIDE: usize = 18;
    if cell.len() <= BESIDE { cell.to_owned() } else { cell.replace("\" + \"", "\"\n+ \"") }
}

fn summary_line(summary: &CheckCounts) -> String {
    let CheckCounts { scenarios, checks, matched, mismatched, known, not_run, coverage } = *summary;
    let outcome = match (mismatched, not_run, known) {
        (0, 0, 0) => Outcome::Matched,
        (0, 0, _) => Outcome::Known,
        (0, ..) => Outcome::NotRun,
        _ => Outcome::Mismatched,
    };
    let style = style(outcome);
    let covered = coverage.map_or_else(String::new, |percent| format!("; {percent:.1} % of the rules exercised"));
    let loudly = if not_run == 0 { String::new() } else { format!(" ({not_run} did not run: see above)") };
    format!(
        "{style}{}: {checks} checks: {matched} matched, {mismatched} mismatched, {known} known, \
         {not_run} not-run{style:#}{loudly}{covered}\n",
        counted(scenarios, "scenario"),
    )
}

/// The colour of an outcome.
pub fn style(outcome: Outcome) -> Style {
    let color = match outcome {
        Outcome::Matched => AnsiColor::Green,
        Outcome::Known => AnsiColor::Cyan,
        Outcome::NotRun => AnsiColor::Yellow,
        Outcome::Mismatched => AnsiColor::Red,
    };
    color.on_default().bold()
}

/// The report of a scan: one row for ports with the same result, per technique and family.
pub fn scan_table(report: &Report, width: u16) -> String {
    let mut text = String::new();
    if let Some(host) = &report.host {
        let _ = writeln!(text, "Scan of {} on {}", host.addresses.join(" and "), visible(&host.interface));
        let vendor = host.vendor.as_deref().unwrap_or("Unknown");
        let _ = match host.mac {
            Some(mac) => writeln!(text, "MAC Address: {} ({})\n", mac.to_string().to_uppercase(), visible(vendor)),
            None => writeln!(text, "MAC Address: none on a TUN link\n"),
        };
    }
    if let Some(hidden) = &report.hidden {
        text.push_str(&hidden_host(hidden, width));
    }
    if report.probes.is_empty() {
        return text + &environment_notes(&report.environment, width);
    }
    let mut table = new_table(width);
    table.set_header(["scan", "family", "ports", "state", "reason", "log"]);
    for (ports, record) in alike(&report.probes) {
        let cells = [
            record.scan.to_string(),
            record.family.to_string(),
            if ports.is_empty() { "-".to_owned() } else { ports.to_string().replace(',', ", ") },
            record.state.to_string(),
            reason(record),
            log(record),
        ];
        table.add_row(cells.map(|cell| lines_apart(&visible(&cell))));
    }
    let _ = writeln!(text, "{}", table.trim_fmt());
    text.push_str(&notes::block(&report.probes, &report.environment, width));
    text + &paths::blocks(&report.probes) + &environment_notes(&report.environment, width)
}

/// `2001:db8::10 is down: rules.v6:12 drops ...`
fn hidden_host(hidden: &HiddenHost, width: u16) -> String {
    let (what, then) = match hidden.status {
        HostStatus::Down => ("is down", "no neighbour finds it, and nmap scans no port of it"),
        HostStatus::Up => ("is hidden", "no neighbour finds it, and no probe reaches it"),
    };
    let mut table = new_table(width);
    let words = format!("{} {what}: {}; {then}", hidden.address, hidden.why);
    table.add_row([visible(&words)]);
    format!("{}\n\n", table.trim_fmt())
}

/// Groups probes that are equal in a table: technique, family, state, reason and prefixes.
fn alike(probes: &[ProbeRecord]) -> Vec<(PortSet, &ProbeRecord)> {
    let style =
        |probe: &ProbeRecord| (probe.scan, probe.family, format!("{} {}", probe.state, reason(probe)), log(probe));
    let rows = grouped(probes.iter().map(|probe| (style(probe), probe)));
    let ports =
        |probes: &[&ProbeRecord]| probes.iter().flat_map(|probe| probe.ports().ranges().collect::<Vec<_>>()).collect();
    rows.into_iter().map(|(_, probes)| (ports(&probes), probes[0])).collect()
}

/// As nmap prints it: `reset ttl 64`, `admin-prohibited from 10.0.0.1 ttl 64`.
fn reason(record: &ProbeRecord) -> String {
    let from = record.reason_ip.map(|address| format!(" from {address}")).unwrap_or_default();
    let ttl = record.reason_ttl.map(|ttl| format!(" ttl {ttl}")).unwrap_or_default();
    format!("{}{from}{ttl}", record.reason)
}

fn log(record: &ProbeRecord) -> String {
    record.log.iter().map(|line| format!("{:?}", line.prefix)).collect::<Vec<_>>().join(" + ")
}
