//! Packets that are no scan: the expected result of each, and the groups that share a lab. Limits are disabled there,
//! so these checks are about *whether* a rule matches a packet; bursts measure how often.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::error::{Error, Result};
use crate::intent::check::CheckFacts;
use crate::intent::expect::packet_expectations;
use crate::intent::scenario::{ExpectRow, Packet, Scenario};
use crate::net::Family;

/// A packet and its expected result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketCell {
    /// The packet.
    pub packet: Packet,
    /// The family.
    pub family: Family,
    /// The expected facts.
    pub expected: CheckFacts,
}

/// The packets grouped by lab: all together, or each alone if the ruleset has lists of addresses.
pub fn plan(scenario: &Scenario, keeps_lists: bool) -> Result<Vec<Vec<PacketCell>>> {
    let cells = cells(scenario)?;
    let in_a_lab = if keeps_lists { 1 } else { cells.len().max(1) };
    Ok(cells.chunks(in_a_lab).map(<[PacketCell]>::to_vec).collect())
}

fn cells(scenario: &Scenario) -> Result<Vec<PacketCell>> {
    let mut cells: BTreeMap<(Family, Packet), CheckFacts> = BTreeMap::new();
    if let Some(sensor) = &scenario.sensor {
        let author = super::author(scenario);
        for expectation in packet_expectations(sensor, &scenario.host, author) {
            let log = super::expected_log(sensor, author, expectation.log.as_deref());
            let expected = CheckFacts { verdict: Some(expectation.verdict), log, ..CheckFacts::default() };
            cells.insert((expectation.family, expectation.packet), expected);
        }
    }
    for row in &scenario.expect {
        for (family, packet) in keys(row) {
            can_be_sent(scenario, row, packet)?;
            super::overlay(cells.entry((family, packet)).or_default(), row);
        }
    }
    let cell = |((family, packet), expected)| PacketCell { packet, family, expected };
    Ok(cells.into_iter().map(cell).collect())
}

/// The packets that a row selects, each in those families of the row that it can have.
fn keys(row: &ExpectRow) -> Vec<(Family, Packet)> {
    let packets: Vec<Packet> = row.select.subjects.iter().filter_map(|subject| subject.packet()).collect();
    let in_family = |family: &Family| {
        let family = *family;
        let is_of = move |packet: &&Packet| packet.family().is_none_or(|only| only == family);
        packets.iter().filter(is_of).map(move |packet| (family, *packet)).collect::<Vec<_>>()
    };
    row.select.families.iter().flat_map(in_family).collect()
}

/// Refuses a packet from the host's own address: no other machine has it.
fn can_be_sent(scenario: &Scenario, row: &ExpectRow, packet: Packet) -> Result<()> {
    let host = |address: &IpAddr| scenario.host.addresses.host(Family::from_address(*address)) == *address;
    match packet.foreign_address().filter(host) {
        Some(address) => Err(own_address(scenario, row, address)),
        None => Ok(()),
    }
}

fn own_address(scenario: &Scenario, row: &ExpectRow, address: IpAddr) -> Error {
    let span = scenario.source.span_of_line(row.line);
    let hint = "write `from host`, or `from host over lo` for what it sends to itself";
    scenario.source.error(span, format!("{address} is the host's own address"), hint).into()
}
