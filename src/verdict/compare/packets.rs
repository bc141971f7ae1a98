//! Packets that are no scan: the observed effect of the rules on each.
//!
//! There are two witnesses, the rule trace and the kernel's log, which the lab has compared. A reply is no third one:
//! nmap's table of states does not cover the host's answers to such packets.

use super::{check, missing, nflog, not_run};
use crate::intent::check::{Check, CheckFacts};
use crate::intent::plan::PacketCell;
use crate::intent::scenario::CheckSubject;
use crate::probe::packet::Response;
use crate::probe::path::Fate;
use crate::probe::scan::FilterVerdict;

/// The check of one packet. Over loopback it is observed twice, and the last observation counts. If its lead did not
/// get through, there is no connection, and the check did not run.
pub fn packet(cell: &PacketCell, response: &Response) -> Check {
    let subject = CheckSubject::Packet(cell.packet);
    if let Some(why) = response.failed_lead(cell.packet.lead()) {
        return not_run(subject, Some(cell.family), cell.expected.clone(), why);
    }
    let log = response.own.iter().flat_map(|own| own.path.log_prefixes()).map(str::to_owned).collect();
    let last = response.own.last().map(|own| own.path.fate);
    if let Some(left) = last.and_then(Fate::left) {
        return not_run(CheckSubject::Packet(cell.packet), Some(cell.family), cell.expected.clone(), left.to_string());
    }
    let verdict = last.and_then(FilterVerdict::from_fate);
    let mut observed = CheckFacts { verdict, log: Some(log), ..CheckFacts::default() }.only(&cell.expected);
    let aside = nflog::set_aside(&cell.expected, &mut observed);
    nflog::report(check(subject, Some(cell.family), cell.expected.clone(), observed), &aside)
}

/// The check of a packet in a family that this machine does not have.
pub fn packet_of_no_family(cell: &PacketCell) -> Check {
    not_run(CheckSubject::Packet(cell.packet), Some(cell.family), cell.expected.clone(), missing(cell.family))
}
