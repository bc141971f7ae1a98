//! The flag octets to send: all 64 of the six flags that rules can match, or one of each kind that a rule or conntrack
//! distinguishes.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::rules::iptables_save::{Match, Rule};
use crate::wire::tcp_flags::TcpFlags;

/// The flag octets of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Octets")]
pub enum FlagCoverage {
    /// All 64.
    All,
    /// One of each kind that a rule or conntrack distinguishes.
    Distinguished,
}

/// All octets of the six flags.
pub fn all() -> Vec<u8> {
    (0..64).collect()
}

/// One octet of each kind, the smallest: two octets are of one kind if every `--tcp-flags` of the rules has the same
/// result for both, and conntrack does too.
pub fn distinguished(rules: &[&Rule]) -> Vec<u8> {
    let masks: Vec<(u8, u8)> = rules.iter().flat_map(|rule| rule.clauses.iter().filter_map(mask)).collect();
    let answers = |octet: u8| masks.iter().map(|(mask, comp)| octet & mask == *comp).collect::<Vec<bool>>();
    let mut kinds = BTreeMap::new();
    for octet in all() {
        kinds.entry((conntrack_kind(octet), answers(octet))).or_insert(octet);
    }
    let mut octets: Vec<u8> = kinds.into_values().collect();
    octets.sort_unstable();
    octets
}

fn mask(clause: &crate::rules::iptables_save::Clause) -> Option<(u8, u8)> {
    match clause.ask {
        Match::TcpFlags { mask, comp } => Some((mask, comp)),
        _ => None,
    }
}

/// conntrack ignores PSH, and uses URG only to find valid combinations; all others are one kind (`tcp_valid_flags` in
/// net/netfilter/nf_conntrack_proto_tcp.c).
fn conntrack_kind(octet: u8) -> Option<u8> {
    use TcpFlags as Flags;
    let seen = octet & !Flags::PSH;
    match (seen & !Flags::URG, seen & Flags::URG != 0) {
        (kind @ (Flags::SYN | Flags::FIN_ACK | Flags::ACK), _)
        | (kind @ (Flags::SYN_ACK | Flags::RST | Flags::RST_ACK), false) => Some(kind),
        _ => None,
    }
}
