//! Ports: one off, one too many, one too few.

use std::ops::RangeInclusive;

use crate::net::port::PortSet;
use crate::rules::iptables_save::{Clause, Match};

use super::draft::Draft;
use super::site::MutationSite;

/// The ports of one clause as written: neighbours are not merged.
type ClausePorts = Vec<RangeInclusive<u16>>;

/// `XT_MULTI_PORTS` of the kernel: a range counts as two.
const MULTIPORT_LIMIT: usize = 15;

/// Decreases, then increases each port and each end of a range in turn.
pub fn off_by_one(site: &MutationSite<'_>) -> Vec<Draft> {
    one_changed(site, |range| match (*range.start(), *range.end()) {
        (start, end) if start == end => steps(start).map(|port| port..=port).collect(),
        (start, end) => {
            let starts = steps(start).map(move |start| start..=end);
            starts.chain(steps(end).map(move |end| start..=end)).collect()
        }
    })
}

fn steps(port: u16) -> impl Iterator<Item = u16> {
    [port.checked_sub(1), port.checked_add(1)].into_iter().flatten()
}

/// Extends each port in turn to its successor; reduces a range to its last port.
pub fn range(site: &MutationSite<'_>) -> Vec<Draft> {
    one_changed(site, |range| match (*range.start(), *range.end()) {
        (start, end) if start == end => end.checked_add(1).map(|end| start..=end).into_iter().collect(),
        (_, end) => vec![end..=end],
    })
}

/// The port of SSH, and its usual alternative.
pub fn ssh(site: &MutationSite<'_>) -> Vec<Draft> {
    one_changed(site, |range| match (*range.start(), *range.end()) {
        (22, 22) => vec![2222..=2222],
        (2222, 2222) => vec![22..=22],
        _ => Vec::new(),
    })
}

/// Deletes each port of a list in turn.
pub fn drop(site: &MutationSite<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (clause, option, ports) in clauses(site).filter(|(.., ports)| ports.len() > 1) {
        let shorter = (0..ports.len()).map(|at| without(&ports, at));
        drafts.extend(shorter.map(|ports| site.replace(clause, &written(clause, option, &ports))));
    }
    drafts
}

fn without(ports: &ClausePorts, at: usize) -> ClausePorts {
    let mut ports = ports.clone();
    ports.remove(at);
    ports
}

/// Every list with one element replaced by the results of `change`.
fn one_changed(site: &MutationSite<'_>, change: fn(&RangeInclusive<u16>) -> ClausePorts) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (clause, option, ports) in clauses(site) {
        let lists = (0..ports.len()).flat_map(|at| changed_at(&ports, at, change)).filter(fits);
        drafts.extend(lists.map(|ports| site.replace(clause, &written(clause, option, &ports))));
    }
    drafts
}

fn changed_at(ports: &ClausePorts, at: usize, change: fn(&RangeInclusive<u16>) -> ClausePorts) -> Vec<ClausePorts> {
    let with = |new| ports.iter().enumerate().map(|(i, old)| if i == at { &new } else { old }.clone()).collect();
    let new = ports.get(at).map(change).unwrap_or_default();
    new.into_iter().filter(|new| !new.is_empty()).map(with).collect()
}

fn fits(ports: &ClausePorts) -> bool {
    let room = |range: &RangeInclusive<u16>| if range.start() == range.end() { 1 } else { 2 };
    ports.iter().map(room).sum::<usize>() <= MULTIPORT_LIMIT
}

fn clauses<'a>(site: &MutationSite<'a>) -> impl Iterator<Item = (&'a Clause, &'static str, ClausePorts)> {
    let site = *site;
    site.rule.clauses.iter().filter_map(move |clause| match &clause.ask {
        Match::SourcePorts(ports) => Some((clause, "--sport", listed(site.written(clause), ports))),
        Match::DestinationPorts(ports) => Some((clause, "--dport", listed(site.written(clause), ports))),
        _ => None,
    })
}

/// The ports as written; as parsed, if they are written with names.
fn listed(option: &str, ports: &PortSet) -> ClausePorts {
    let list = option.rsplit([' ', '\t', '=']).next().unwrap_or_default();
    let read: Option<ClausePorts> = list.split(',').map(element).collect();
    read.filter(|read| read.iter().cloned().collect::<PortSet>() == *ports).unwrap_or_else(|| ports.ranges().collect())
}

/// `80`, `80:90`, `:90` and `80:`.
fn element(text: &str) -> Option<RangeInclusive<u16>> {
    let Some((start, end)) = text.split_once(':') else {
        let port = text.parse().ok()?;
        return Some(port..=port);
    };
    let start = if start.is_empty() { 0 } else { start.parse().ok()? };
    let end = if end.is_empty() { u16::MAX } else { end.parse().ok()? };
    Some(start..=end)
}

fn written(clause: &Clause, option: &str, ports: &ClausePorts) -> String {
    let plural = if clause.module.as_deref() == Some("multiport") { "s" } else { "" };
    let words: Vec<String> = ports.iter().map(word).collect();
    format!("{option}{plural} {}", words.join(","))
}

fn word(range: &RangeInclusive<u16>) -> String {
    match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}:{end}"),
    }
}
