//! The ports that nmap groups as "Not shown", and their order.

use std::cmp::Reverse;

use super::{NmapReport, PortRow, Shown, may_be_open};
use crate::net::Protocol;
use crate::net::port::PortSet;
use crate::probe::scan::{PortState, Reason};
use crate::text::group::grouped;

/// The ports of one state that are not listed individually.
pub(super) struct UnshownPorts {
    pub state: PortState,
    pub count: usize,
    pub groups: Vec<ReasonGroup>,
}

/// Those of them that share a reason.
pub(super) struct ReasonGroup {
    pub reason: Reason,
    pub protocol: Protocol,
    pub ports: PortSet,
}

/// The rows that are listed, in order, and the grouped ports.
pub(super) struct Collapsed<'a> {
    pub shown: Vec<&'a PortRow>,
    pub ignored: Vec<UnshownPorts>,
}

/// A state is grouped if more ports than this have it; every `-v` adds as many.
const FEW: usize = 25;

/// Separates the ports that are not listed:
///
/// 1. With `--open`, every state that is not open and cannot be.
/// 2. A state other than open that more than 25 ports have. With `-vvv` open|filtered stays.
pub(super) fn collapse(report: &NmapReport) -> Collapsed<'_> {
    let rows = report.sorted_ports();
    let ignored: Vec<UnshownPorts> = states(&rows)
        .into_iter()
        .filter(|(state, count)| is_ignored(report, *state, *count))
        .map(|(state, count)| {
            let of_state = rows.iter().filter(|row| row.state == state).copied();
            UnshownPorts { state, count, groups: groups(of_state) }
        })
        .collect();
    let is_shown = |row: &&PortRow| !ignored.iter().any(|ignored| ignored.state == row.state);
    let shown = rows.iter().copied().filter(is_shown).collect();
    Collapsed { shown, ignored }
}

fn is_ignored(report: &NmapReport, state: PortState, count: usize) -> bool {
    let verbosity = report.presentation.verbosity;
    let many = count > FEW * (usize::from(verbosity) + 1);
    match state {
        PortState::Open => false,
        state if report.presentation.shown == Shown::Open && !may_be_open(state) => true,
        PortState::OpenFiltered if verbosity > 2 => false,
        _ => many,
    }
}

/// The number of ports in each state, highest first; equal numbers in the order of [`rank_of_state`].
fn states(rows: &[&PortRow]) -> Vec<(PortState, usize)> {
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    let mut states: Vec<_> = PortState::ALL.map(|state| (state, count(state))).into();
    states.retain(|(_, count)| *count > 0);
    states.sort_by_key(|(state, count)| (Reverse(*count), rank_of_state(*state)));
    states
}

/// The reasons of one state, most ports first; for equal numbers TCP first, then in the order of [`rank_of_reason`].
fn groups<'a>(rows: impl Iterator<Item = &'a PortRow>) -> Vec<ReasonGroup> {
    let mut groups = grouped(rows.map(|row| ((row.reason, row.protocol), row.port)));
    groups.sort_by_key(|((reason, protocol), ports)| (Reverse(ports.len()), *protocol, rank_of_reason(*reason)));
    groups
        .into_iter()
        .map(|((reason, protocol), ports)| ReasonGroup { reason, protocol, ports: ports.into_iter().collect() })
        .collect()
}

/// nmap's order of states with equally many ports, as measured.
fn rank_of_state(state: PortState) -> u8 {
    match state {
        PortState::Closed => 0,
        PortState::Open => 1,
        PortState::Filtered => 2,
        PortState::Unfiltered => 3,
        PortState::OpenFiltered => 4,
        PortState::ClosedFiltered => 5,
        PortState::Unknown => 6,
    }
}

/// nmap's order of reasons with equally many ports, measured for all that Linux can send; the ranks of param-problem,
/// beyond-scope, udp-response and split-handshake-syn are arbitrary.
fn rank_of_reason(reason: Reason) -> u8 {
    match reason {
        Reason::ParamProblem => 0,
        Reason::RejectRoute => 1,
        Reason::BeyondScope => 2,
        Reason::NoResponse => 3,
        Reason::TimeExceeded => 4,
        Reason::AdminProhibited => 5,
        Reason::HostProhibited => 6,
        Reason::NetProhibited => 7,
        Reason::PortUnreach => 8,
        Reason::ProtoUnreach => 9,
        Reason::HostUnreach => 10,
        Reason::NetUnreach => 11,
        Reason::NoRoute => 12,
        Reason::EchoReply => 13,
        Reason::UdpResponse => 14,
        Reason::SplitHandshakeSyn => 15,
        Reason::SynAck => 16,
        Reason::ConnRefused => 17,
        Reason::Reset => 18,
        Reason::Left(_) => 19,
    }
}
