//! Why is a check not as expected? Which rule took the packet, which was meant to, and why that one did not.
//!
//! What happened is measured: the path that the kernel told. Only what did *not* happen is worked out here, by reading the
//! rule that was meant against the packet, clause by clause. A change that would mend it is proposed by [`mend`], and told
//! only after it has been tried on the kernel (`run` does that).

mod goal;
mod meant;
pub mod mend;
mod why;
mod words;

use crate::check::Check;
use crate::explanation::{Cause, Explanation, Place};
use crate::iptables_save::{Content, Listing, Packet, Rule};
use crate::net::InterfaceName;
use crate::observation::Observation;
use crate::path::{Path, Step};
use crate::probe::Probe;

use self::goal::Goal;

/// Where the packets met the rules.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The rules of the family.
    pub listing: &'a Listing,
    /// Those of the other family, where there are any.
    pub twin: Option<&'a Listing>,
    /// The interface that the rules speak of.
    pub interface: &'a InterfaceName,
}

/// A rule, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stand<'a> {
    table: &'a str,
    chain: &'a str,
    number: usize,
    rule: &'a Rule,
}

/// What is found of a mismatch, before it is put into words.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding<'a> {
    /// The kind of mistake.
    pub cause: Cause,
    /// What took the packet.
    pub took: Option<&'a Step>,
    /// The rule that was meant to.
    pub(crate) meant: Option<Stand<'a>>,
    /// The clause of it that does not fit, by its place.
    clause: Option<usize>,
    /// The packet.
    packet: Packet,
    /// What it was meant to do.
    goal: Goal,
}

/// Explains a check that is not as expected; `probes` are those of the check, in the order in which they were sent. None
/// when nothing of it is the ruleset's doing, or when no paths are known.
pub fn explain<'a>(check: &Check, probes: &'a [(Probe, Observation)], scene: Scene<'a>) -> Option<Finding<'a>> {
    let goal = Goal::of(check)?;
    let (probe, observation) = goal.decisive(probes)?;
    let path = observation.path.as_deref()?;
    let packet = packet(probe, path, scene.interface);
    Some(why::find(goal, packet, observation, probes, scene))
}

impl Finding<'_> {
    /// In words, without a patch.
    pub fn explanation(&self, scene: Scene) -> Explanation {
        Explanation {
            cause: self.cause,
            took: self.took.map(|step| place_of_step(step, scene.listing)),
            meant: self.meant.map(|stand| stand.place(scene.listing)),
            words: words::of(self, scene),
            patch: None,
        }
    }
}

impl Stand<'_> {
    fn place(&self, listing: &Listing) -> Place {
        Place {
            file: listing.source.name.clone(),
            line: Some(self.rule.line),
            table: self.table.to_owned(),
            chain: self.chain.to_owned(),
            rule: Some(self.number),
            text: self.rule.text.clone(),
        }
    }

    /// Whether the rule matched a packet on this path.
    fn is_on(&self, path: &Path) -> bool {
        path.steps.iter().any(|step| self.is(step))
    }

    fn is(&self, step: &Step) -> bool {
        (step.table.as_str(), step.chain.as_str(), step.rule) == (self.table, self.chain, Some(self.number))
    }
}

fn place_of_step(step: &Step, listing: &Listing) -> Place {
    Place {
        file: listing.source.name.clone(),
        line: step.line,
        table: step.table.clone(),
        chain: step.chain.clone(),
        rule: step.rule,
        text: step.text.clone(),
    }
}

/// All rules of a ruleset, with where they stand.
fn stands(listing: &Listing) -> impl Iterator<Item = Stand<'_>> {
    listing.rules().map(|(table, chain, number, rule)| Stand { table: &table.name, chain: &chain.name, number, rule })
}

/// The rule of a step.
fn stand_of<'a>(step: &Step, listing: &'a Listing) -> Option<Stand<'a>> {
    stands(listing).find(|stand| stand.is(step))
}

/// The probe, as a rule sees it when it comes in.
fn packet(probe: &Probe, path: &Path, interface: &InterfaceName) -> Packet {
    const TCP: u8 = 6;
    Packet {
        family: probe.family(),
        in_interface: Some(interface.to_string()),
        out_interface: None,
        source: probe.flow.prober,
        destination: probe.flow.host,
        protocol: TCP,
        content: Content::Tcp { source: probe.flow.prober_port, destination: probe.flow.port, flags: probe.flags() },
        conntrack: path.conntrack,
    }
}
