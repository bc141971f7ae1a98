//! Packets that are no scan: what the rules were seen to do with each.
//!
//! Two witnesses are asked, the rule trace and the kernel's log; the lab has compared them. There is no third: what the
//! host would answer to such packets, nmap's table of states does not say.

use super::{check, missing, not_run};
use crate::check::{Check, Findings, Outcome};
use crate::frame::Direction;
use crate::iptables_save::Content;
use crate::path::Fate;
use crate::plan::PacketCell;
use crate::scan::FilterVerdict;
use crate::scenario::Subject;
use crate::sweep::Response;

/// One packet. Over loopback it is seen twice: the last that is seen of it counts.
pub fn packet(cell: &PacketCell, response: &Response) -> Check {
    let log = response.own.iter().flat_map(|own| own.path.log_prefixes()).map(str::to_owned).collect();
    let last = response.own.last().map(|own| own.path.fate);
    if let Some(left) = last.and_then(Fate::left) {
        return not_run(Subject::Packet(cell.packet), Some(cell.family), cell.expected.clone(), left.to_string());
    }
    let verdict = last.and_then(FilterVerdict::of);
    let observed = Findings { verdict, log: Some(log), ..Findings::default() }.only(&cell.expected);
    let check = check(Subject::Packet(cell.packet), Some(cell.family), cell.expected.clone(), observed);
    match check.outcome {
        Outcome::Mismatched if cell.packet.needs_a_service() && !was_answered(response) => {
            Check { why: format!("{}; {NOBODY_ANSWERED}", check.why), ..check }
        }
        _ => check,
    }
}

const NOBODY_ANSWERED: &str = "nothing answered the SYN that was to open its connection";

/// Whether a SYN/ACK was on its way out.
fn was_answered(response: &Response) -> bool {
    const SYN_ACK: u8 = 18;
    let mut out = response.others.iter().filter(|other| other.direction == Direction::Out);
    out.any(|other| matches!(other.headers.content, Content::Tcp { flags: SYN_ACK, .. }))
}

/// A packet of a family that this machine does not have.
pub fn packet_of_no_family(cell: &PacketCell) -> Check {
    not_run(Subject::Packet(cell.packet), Some(cell.family), cell.expected.clone(), missing(cell.family))
}
