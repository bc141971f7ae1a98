//! Compares expected with observed facts, always in this order. Makes a [`Check`] of every cell, burst and neighbour,
//! and then applies the `[[known]]` rows.

mod nflog;
mod packets;
mod rates;
mod sensor_origin;

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Error, Result};
use crate::intent::check::{Check, CheckFacts, Outcome};
use crate::intent::plan::{BURST_MAX, Burst, Cell};
use crate::intent::scenario::{CheckSubject, ExpectRow, KnownRow, Scenario};
use crate::lab::{DiscoveredMacs, LinkMode};
use crate::log_line::NFLOG_NAME;
use crate::net::port::Port;
use crate::net::{Family, Mac};
use crate::probe::hidden::Hidden;
use crate::probe::observation::{LogRecord, Observation};
use crate::probe::scan::{PortState, Technique};
use crate::sensor::mac_vendor::VendorDb;

pub use packets::{packet, packet_of_no_family};

/// The check of one probe.
pub fn cell(cell: &Cell, observation: &Observation) -> Check {
    let subject = CheckSubject::Scan(cell.technique);
    if let Some(left) = observation.verdict.left() {
        return not_run(subject, Some(cell.family), cell.expected.clone(), left.to_string()).at(cell.port);
    }
    let mut observed = findings(observation).only(&cell.expected);
    let aside = nflog::set_aside(&cell.expected, &mut observed);
    nflog::report(check(subject, Some(cell.family), cell.expected.clone(), observed).at(cell.port), &aside)
}

/// The check of a burst, with fresh limits; and, if it was sent again after the bursts of other rules, of their effect
/// on its limit.
pub fn burst(burst: &Burst, afresh: &[Observation], in_a_row: &[Observation]) -> Check {
    let alone = one_burst(burst, afresh);
    if alone.outcome != Outcome::Matched || in_a_row.is_empty() || !burst.own_limit {
        return alone;
    }
    let check = one_burst(burst, in_a_row);
    match check.outcome {
        Outcome::Mismatched => Check { why: format!("{IN_A_ROW} {}", check.why), ..check },
        _ => check,
    }
}

/// The beginning of the reason if a burst matched alone, but not after others.
const IN_A_ROW: &str = "after bursts for other rules";

/// True if the mismatch of a burst is about the repetition after others.
pub fn is_of_burst_in_a_row(check: &Check) -> bool {
    check.why.starts_with(IN_A_ROW)
}

/// The state is that of every probe, or the first that differs; the prefixes are each listed once, in the order of
/// arrival. Other lines of a probe than the one whose rate is checked do not count.
fn one_burst(burst: &Burst, observations: &[Observation]) -> Check {
    if let Some(left) = observations.iter().find_map(|observation| observation.verdict.left()) {
        let subject = CheckSubject::Scan(burst.technique);
        let check = not_run(subject, Some(burst.family), burst.expected.clone(), left.to_string()).at(burst.port);
        return Check { burst_of: Some(u32::from(burst.probes)), ..check };
    }
    let states = observations.iter().map(|observation| observation.verdict.state);
    let expected = burst.expected.state;
    let state = states.clone().find(|state| Some(*state) != expected).or_else(|| states.clone().next());
    let lines = observations.iter().flat_map(|observation| &observation.log);
    let asks_nflog = burst.expected.log.iter().flatten().any(|prefix| prefix.starts_with(NFLOG_NAME));
    let is_compared = |record: &&LogRecord| asks_nflog || !record.prefix.starts_with(NFLOG_NAME);
    let lines = lines.filter(|record| !burst.besides.contains(&record.prefix)).filter(is_compared);
    let rate = rates::of_line(observations, burst.expected.log.as_deref());
    let observed = CheckFacts {
        state,
        log: Some(each_once(lines.clone().map(|record| &record.prefix))),
        lines: Some(lines.count() as u32),
        rate: rate.known(),
        ..CheckFacts::default()
    };
    // If no paths are known, only the number of lines shows the rate.
    let has_paths = observations.iter().any(|observation| observation.path.is_some());
    let unread = rate.unread(observed.lines.unwrap_or_default(), burst);
    let expected =
        CheckFacts { rate: burst.expected.rate.filter(|_| has_paths && unread.is_none()), ..burst.expected.clone() };
    let observed = observed.only(&expected);
    let (subject, family) = (CheckSubject::Scan(burst.technique), Some(burst.family));
    let check = match unread {
        Some(why) if expected == observed => not_run(subject, family, burst.expected.clone(), why),
        _ => check(subject, family, expected, observed),
    };
    Check { burst_of: Some(u32::from(burst.probes)), ..check.at(burst.port) }
}

fn each_once<'a>(prefixes: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for prefix in prefixes {
        if !found.contains(prefix) {
            found.push(prefix.clone());
        }
    }
    found
}

/// The check of a burst that is too long to be sent.
pub fn too_long(burst: &Burst) -> Check {
    let why = format!("a burst of {} is more than the {BURST_MAX} probes that one check sends", burst.limit.burst);
    let subject = CheckSubject::Scan(burst.technique);
    let check = not_run(subject, Some(burst.family), burst.expected.clone(), why).at(burst.port);
    Check { burst_of: Some(u32::from(burst.probes)), ..check }
}

/// The check of a probe in a family that this machine does not have.
pub fn no_family(technique: Technique, family: Family, port: Port, expected: &CheckFacts) -> Check {
    not_run(CheckSubject::Scan(technique), Some(family), expected.clone(), missing(family)).at(port)
}

/// The reason why no packet of a family was sent.
fn missing(family: Family) -> String {
    format!("this machine has no {}", family.title())
}

/// The checks of the facts that the host shows to its neighbours: its answers to ARP and NDP, the MAC addresses of the
/// log lines, and their vendor. The vendor is checked only if the scenario has a MAC address or a vendor.
pub fn neighbours(
    scenario: &Scenario,
    mac: Mac,
    families: &[Family],
    found: &DiscoveredMacs,
    in_log: &BTreeSet<Mac>,
    vendors: &VendorDb,
) -> Vec<Check> {
    let mut checks = vec![arp(mac, found)];
    checks.extend(families.contains(&Family::Ipv6).then(|| ndp(mac, found)));
    if scenario.host.mac.is_some() || scenario.host.vendor.is_some() {
        let seen = [found.arp, found.advertised].into_iter().flatten().chain(in_log.iter().copied());
        checks.push(vendor(scenario, mac, seen.collect(), vendors));
    }
    checks
}

/// Sets every scan over IPv6 to not run: neighbours cannot find the host, so results of probes are not those of a scan.
/// The check of NDP names the rule.
pub fn hide(checks: &mut [Check], hidden: &Hidden, file: Option<&Path>) {
    let reason = hidden.reason(file);
    for check in checks.iter_mut().filter(|check| check.family == Some(Family::Ipv6)) {
        match check.subject {
            CheckSubject::Scan(_) => {
                check.outcome = Outcome::NotRun;
                check.observed = None;
                check.why = format!("no neighbour finds the host: {reason}");
            }
            CheckSubject::Ndp => check.why = format!("{}; {reason}", check.why),
            CheckSubject::Packet(_) | CheckSubject::Arp | CheckSubject::Vendor => {}
        }
    }
}

fn arp(mac: Mac, found: &DiscoveredMacs) -> Check {
    let macs = |mac: Option<Mac>| CheckFacts { macs: Some(mac.into_iter().collect()), ..CheckFacts::default() };
    check(CheckSubject::Arp, Some(Family::Ipv4), macs(Some(mac)), macs(found.arp))
}

fn ndp(mac: Mac, found: &DiscoveredMacs) -> Check {
    let facts = |mac: Option<Mac>, resolves| CheckFacts {
        macs: Some(mac.into_iter().collect()),
        resolves: Some(resolves),
        ..CheckFacts::default()
    };
    let observed = facts(found.advertised, found.resolves);
    check(CheckSubject::Ndp, Some(Family::Ipv6), facts(Some(mac), true), observed)
}

/// The check of NDP that [`neighbours`] would make with IPv6.
pub fn no_neighbours_over_ipv6(mac: Mac) -> Check {
    let expected = CheckFacts { macs: Some(vec![mac]), resolves: Some(true), ..CheckFacts::default() };
    not_run(CheckSubject::Ndp, Some(Family::Ipv6), expected, missing(Family::Ipv6))
}

/// The vendor as nmap prints it, which must not be a Raspberry Pi. A scenario may use the IEEE's name.
fn vendor(scenario: &Scenario, mac: Mac, seen: BTreeSet<Mac>, vendors: &VendorDb) -> Check {
    let (nmap, ieee, is_pi) = seen.iter().next().map_or((None, None, false), |mac| {
        let vendor = vendors.lookup(*mac);
        let is_pi = vendor.is_raspberry_pi();
        (vendor.nmap, vendor.ieee, is_pi)
    });
    let wanted = scenario.host.vendor.clone();
    let named_by_ieee = ieee.is_some() && ieee == wanted;
    let vendor_name = if named_by_ieee { ieee } else { nmap }.unwrap_or_else(|| "(Unknown)".to_owned());
    let expected_vendor =
        wanted.unwrap_or_else(|| if is_pi { "not a Raspberry Pi".to_owned() } else { vendor_name.clone() });
    let facts = |macs: Vec<Mac>, vendor| CheckFacts { macs: Some(macs), vendor: Some(vendor), ..CheckFacts::default() };
    let expected = facts(vec![mac], expected_vendor);
    let observed = facts(seen.into_iter().collect(), vendor_name);
    let check = check(CheckSubject::Vendor, None, expected, observed);
    if is_pi && check.outcome == Outcome::Matched {
        let why = "a sensor must not look like a Raspberry Pi".to_owned();
        return Check { outcome: Outcome::Mismatched, why, ..check };
    }
    check
}

/// The facts of an observation.
fn findings(observation: &Observation) -> CheckFacts {
    let connection = observation.connection.as_ref();
    CheckFacts {
        state: Some(observation.verdict.state),
        log: Some(observation.log.iter().map(|record| record.prefix.clone()).collect()),
        verdict: observation.filter,
        accepted: Some(connection.is_some_and(|connection| connection.accepted)),
        greeting: Some(connection.map(|connection| connection.greeting.clone()).unwrap_or_default()),
        ..CheckFacts::default()
    }
}

fn check(subject: CheckSubject, family: Option<Family>, expected: CheckFacts, observed: CheckFacts) -> Check {
    let outcome = if expected == observed { Outcome::Matched } else { Outcome::Mismatched };
    let why = difference(&expected, &observed);
    Check { observed: Some(observed), outcome, ..not_run(subject, family, expected, why) }
}

fn not_run(subject: CheckSubject, family: Option<Family>, expected: CheckFacts, why: String) -> Check {
    Check {
        subject,
        port: None,
        family,
        burst_of: None,
        expected,
        observed: None,
        outcome: Outcome::NotRun,
        line: None,
        why,
        explanation: None,
    }
}

impl Check {
    /// Sets the port, unless the technique has none.
    fn at(self, port: Port) -> Check {
        let has_ports = self.subject.technique().is_none_or(Technique::has_ports);
        Check { port: Some(port).filter(|_| has_ports), ..self }
    }
}

/// The facts that differ, in words.
fn difference(expected: &CheckFacts, observed: &CheckFacts) -> String {
    let differs = [
        (expected.state != observed.state, "the port state differs"),
        (expected.verdict != observed.verdict, "the verdict of the filter differs"),
        (expected.log != observed.log, log_difference(expected, observed)),
        (expected.lines != observed.lines, "the number of log lines differs"),
        (expected.rate != observed.rate, "the limit recovers at another rate"),
        (
            expected.accepted != observed.accepted && is_answered(observed),
            "the SYN is answered, but the service never gets the connection",
        ),
        (
            expected.greeting != observed.greeting && is_answered(observed),
            "the service's greeting does not reach the client",
        ),
        (expected.macs != observed.macs, "the MAC address differs"),
        (expected.vendor != observed.vendor, "the vendor differs"),
        (expected.resolves != observed.resolves, "the host cannot resolve its neighbours"),
    ];
    let words: Vec<&str> = differs.iter().filter(|(differs, _)| *differs).map(|(_, words)| *words).collect();
    words.join("; ")
}

/// True if the SYN of a connect was answered by a SYN/ACK, or the state is not checked.
fn is_answered(observed: &CheckFacts) -> bool {
    observed.state.is_none_or(|state| state == PortState::Open)
}

/// The order counts: it is the only sign of two swapped rules.
fn log_difference(expected: &CheckFacts, observed: &CheckFacts) -> &'static str {
    let sorted = |findings: &CheckFacts| {
        let mut prefixes = findings.log.clone().unwrap_or_default();
        prefixes.sort();
        prefixes
    };
    match (sorted(expected), sorted(observed)) {
        (expected, observed) if expected == observed => "the order of the log lines differs",
        (expected, observed) if expected.len().max(observed.len()) > 1 => "the log lines differ",
        _ => "the log line differs",
    }
}

/// Applies the scenario's `[[known]]` rows: a mismatch that a row describes becomes *known*; a described mismatch that
/// does not occur becomes a mismatch. A row may select a check that is not applicable on this kind of link.
///
/// # Errors
///
/// If a row selects no check of this scenario.
pub fn apply_known(scenario: &Scenario, link: LinkMode, checks: &mut [Check]) -> Result<()> {
    for row in &scenario.known {
        let mut spoken_of = checks.iter().filter(|check| speaks_of(row, check)).peekable();
        let applicable = row.select.subjects.iter().all(|subject| is_applicable(*subject, link));
        if spoken_of.peek().is_none() && applicable {
            return Err(speaks_of_nothing(scenario, row));
        }
        let ill: Vec<RateCellKey> = spoken_of.filter(|check| check.outcome == Outcome::Mismatched).map(place).collect();
        let is_meant = |check: &&mut Check| {
            speaks_of(row, check) && (check.outcome != Outcome::Matched || !ill.contains(&place(check)))
        };
        checks.iter_mut().filter(is_meant).for_each(|check| apply(row, check));
    }
    Ok(())
}

/// The key of a probe's checks. If a probe has two rates, a row is about the one that mismatches.
type RateCellKey = (Option<Family>, Option<Port>, CheckSubject);

fn place(check: &Check) -> RateCellKey {
    (check.family, check.port, check.subject)
}

/// True if the check is applicable on this link: vendors and neighbours need MAC addresses.
fn is_applicable(subject: CheckSubject, link: LinkMode) -> bool {
    match subject {
        CheckSubject::Scan(_) | CheckSubject::Packet(_) => true,
        CheckSubject::Vendor | CheckSubject::Arp | CheckSubject::Ndp => link.has_macs(),
    }
}

fn speaks_of(row: &KnownRow, check: &Check) -> bool {
    let families = match check.family {
        Some(family) => row.select.covers(check.subject, check.port, family),
        None => row.select.families.iter().any(|family| row.select.covers(check.subject, check.port, *family)),
    };
    families && row.rate == check.burst_of.is_some()
}

fn apply(row: &KnownRow, check: &mut Check) {
    (check.outcome, check.why) = match check.outcome {
        Outcome::Matched => {
            let why = format!("known at line {} as a mismatch, but it no longer happens: remove the row", row.line);
            (Outcome::Mismatched, why)
        }
        Outcome::Mismatched if is_as_known(row, check) => (Outcome::Known, row.because.clone()),
        Outcome::Mismatched => {
            (Outcome::Mismatched, format!("{}; line {} expects another as known", check.why, row.line))
        }
        outcome => (outcome, check.why.clone()),
    };
}

fn is_as_known(row: &KnownRow, check: &Check) -> bool {
    let Some(observed) = &check.observed else { return false };
    row.state.is_none_or(|state| observed.state == Some(state))
        && row.verdict.is_none_or(|verdict| observed.verdict == Some(verdict))
        && (row.log.is_none() || observed.log == row.log)
}

fn speaks_of_nothing(scenario: &Scenario, row: &KnownRow) -> Error {
    let span = scenario.source.span_of_line(row.line);
    let hint = "name a scan, port and family, or a packet, that this scenario checks";
    scenario.source.error(span, "this row matches no check of the scenario", hint).into()
}

/// Sets the scenario's line of each check: that of the `[[known]]` row, else of the last `[[expect]]` row that selects
/// it, which overrides earlier ones, else of the sensor's entry.
pub fn name_lines(scenario: &Scenario, checks: &mut [Check]) {
    for check in checks {
        let known = scenario.known.iter().rfind(|row| speaks_of(row, check)).map(|row| row.line);
        let expected_row = || scenario.expect.iter().rfind(|row| selects(row, check)).map(|row| row.line);
        check.line = known.or_else(expected_row).or_else(|| sensor_origin::line(scenario, check));
    }
}

fn selects(row: &ExpectRow, check: &Check) -> bool {
    let asks = if check.burst_of.is_some() { row.rate.is_some() } else { row.expects_of_one_probe() };
    asks && check.family.is_some_and(|family| row.select.covers(check.subject, check.port, family))
}

/// The worst outcome of all: mismatched, not run, known, matched.
pub fn worst(checks: &[Check]) -> Outcome {
    checks.iter().map(|check| check.outcome).min().unwrap_or(Outcome::NotRun)
}
