//! The results of a sweep of one ruleset: every packet with its headers and its path, and the rules that matched.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::net::InterfaceName;
use crate::net::conntrack::ConntrackState;
use crate::probe::packet::{Journey, Response};
use crate::probe::path::Path;
use crate::rules::iptables_save::{Listing, Packet};
use crate::rules::space::{Sets, Space};
use crate::wire::frame::Direction;

/// The results of a sweep of one ruleset.
#[derive(Debug)]
pub struct RulesetEvidence<'a> {
    /// The ruleset.
    pub listing: &'a Listing,
    /// True if every packet that the ruleset distinguishes was sent.
    pub is_complete: bool,
    /// The packets that its rules match.
    pub sets: Sets<'a>,
    pub(super) packets: Vec<Witnessed>,
    matched: HashSet<(String, String, usize)>,
    known: HashSet<(Direction, String, Journey)>,
    paths: HashSet<*const Path>,
}

/// A packet and its path.
#[derive(Debug)]
pub(super) struct Witnessed {
    pub packet: Packet,
    pub direction: Direction,
    pub path: Arc<Path>,
}

impl<'a> RulesetEvidence<'a> {
    /// Evidence without results, on a host whose link is `interface`.
    pub fn new(listing: &'a Listing, interface: &InterfaceName) -> RulesetEvidence<'a> {
        RulesetEvidence {
            listing,
            is_complete: true,
            sets: Sets::new(Space::new(&[listing], interface), listing),
            packets: Vec::new(),
            matched: HashSet::new(),
            known: HashSet::new(),
            paths: HashSet::new(),
        }
    }

    /// Adds the results on `interface`, of packets from and to `host`.
    pub fn add(&mut self, responses: &[Response], interface: &InterfaceName, host: IpAddr) {
        let journeys = responses.iter().flat_map(Response::journeys);
        for journey in journeys.filter(|journey| journey.headers.family() == self.listing.family) {
            let packet = Packet::from_journey(journey, interface.as_str(), host);
            let over = packet.in_interface.clone().or(packet.out_interface.clone()).unwrap_or_default();
            if self.paths.insert(Arc::as_ptr(&journey.path)) {
                self.note_matches(&journey.path);
            }
            if self.known.insert((journey.direction, over, journey.clone())) {
                self.packets.push(Witnessed { packet, direction: journey.direction, path: Arc::clone(&journey.path) });
            }
        }
    }

    /// True if a packet matched rule `number` of `chain`.
    pub fn has_matched(&self, table: &str, chain: &str, number: usize) -> bool {
        self.matched.contains(&(table.to_owned(), chain.to_owned(), number))
    }

    fn note_matches(&mut self, path: &Path) {
        let rules = path.steps.iter().filter_map(|step| Some((step.table.clone(), step.chain.clone(), step.rule?)));
        self.matched.extend(rules);
    }
}

/// The packet as a table sees it. In the raw table conntrack has not yet seen a packet from outside, and `--state`
/// treats that as INVALID (`conntrack_mt` in net/netfilter/xt_conntrack.c). A packet that arrives over loopback was
/// seen when it was sent.
pub(super) fn as_seen_in(table: &str, one: &Witnessed) -> Packet {
    let is_first = one.direction == Direction::Out || one.packet.in_interface.as_deref() != Some("lo");
    let unseen = table == "raw" && is_first;
    let conntrack = if unseen { Some(ConntrackState::Invalid) } else { one.packet.conntrack };
    Packet { conntrack, ..one.packet.clone() }
}
