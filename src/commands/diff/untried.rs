//! Sets of packets that the two sides may treat differently, beyond the sweeps. One packet of each is sent, if the lab
//! can send it; if it shows no difference, the set counts as not tried, and no claim is made about it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::measure::Over;
use super::{Behaviour, Compared, Comparison, PacketDifference};
use crate::error::Result;
use crate::net::{Family, InterfaceName};
use crate::probe::packet::Stimulus;
use crate::rules::iptables_save::Listing;
use crate::rules::space::{SetDifference, Space, TooMany, WitnessPacket, compare, witnesses};

/// Packets that the two sides may treat differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "DifferenceNotTried")]
pub struct UntriedPackets {
    /// Their family.
    pub family: Family,
    /// The table in which the two differ.
    pub table: String,
    /// The chain at which the packets begin.
    pub chain: String,
    /// The rules or policies, as `FILE:LINE`.
    pub places: Vec<String>,
    /// A description of the packets.
    pub what: String,
    /// The reason why they were not tried.
    pub because: String,
}

/// The maximum number that is listed; there may be thousands.
const NAMED: usize = 12;

/// Adds the sets of `family` to `compared`.
pub(super) fn family(
    comparison: &Comparison,
    family: Family,
    listings: &[Listing; 2],
    compared: &mut Compared,
) -> Result<()> {
    let space = Space::new(&listings.each_ref(), &comparison.interface);
    let gaps = match compare(&space, listings.each_ref()) {
        Ok(gaps) => gaps,
        Err(TooMany) => {
            let what = "the rules that differ distinguish more kinds of packets than can be judged".to_owned();
            let (table, chain, because) = (String::new(), String::new(), "too many".to_owned());
            compared.not_tried.push(UntriedPackets { family, table, chain, places: Vec::new(), what, because });
            return Ok(());
        }
    };
    let unreported = |compared: &Compared| {
        let known = places(&compared.differences, family);
        let is_reported = |one: &UntriedPackets| one.places.iter().any(|place| known.contains(place));
        let all = gaps.iter().map(|gap| (gap, not_tried(&space, family, listings, gap)));
        all.filter(|(_, one)| !is_reported(one)).collect::<Vec<_>>()
    };
    let mut over: BTreeMap<String, Vec<Stimulus>> = BTreeMap::new();
    for (gap, _) in unreported(compared) {
        for WitnessPacket { interface, stimulus } in witnesses(&space, &gap.region, gap.hook, &comparison.addresses) {
            let stimuli = over.entry(interface).or_default();
            if !stimuli.contains(&stimulus) {
                stimuli.push(stimulus);
            }
        }
    }
    for (interface, stimuli) in over {
        let Ok(interface) = interface.parse::<InterfaceName>() else { continue };
        Over { comparison, family, interface: &interface, listings }.these(compared, &stimuli)?;
    }
    let unreported: BTreeSet<UntriedPackets> = unreported(compared).into_iter().map(|(_, one)| one).collect();
    compared.not_tried.extend(unreported.into_iter().take(NAMED));
    Ok(())
}

/// The rules that cause the observed differences.
fn places(differences: &[PacketDifference], family: Family) -> BTreeSet<String> {
    let of = differences.iter().filter(|one| one.family == family);
    let sides = of.flat_map(|one| [&one.before, &one.after]);
    let of_side = |one: &Behaviour| {
        let logs = one.log.iter().map(|line| line.by.clone());
        let limits = one.limits.iter().map(|guard| guard.by.clone());
        let copies = one.copies.iter().map(|copy| copy.by.clone());
        let answer = one.answer.as_ref().and_then(|answer| answer.by.clone());
        let all = logs.chain(limits).chain(copies).chain([one.by.clone(), answer]).flatten();
        all.map(|place| format!("{}:{}", place.file, place.line)).collect::<Vec<_>>()
    };
    sides.flat_map(of_side).collect()
}

fn not_tried(space: &Space, family: Family, listings: &[Listing; 2], gap: &SetDifference) -> UntriedPackets {
    let named = |(lines, listing): (&Vec<usize>, &Listing)| {
        let file = listing.source.name.display().to_string();
        lines.iter().map(|line| format!("{file}:{line}")).collect::<Vec<_>>()
    };
    let because = match (space.opaque(&gap.region), gap.hook) {
        (Some(fields), _) => format!("no sweep varies {fields}"),
        (None, "FORWARD") => "nothing is forwarded in the lab".to_owned(),
        (None, _) => "the lab sends no such packet".to_owned(),
    };
    UntriedPackets {
        family,
        table: gap.table.clone(),
        chain: gap.hook.to_owned(),
        places: gap.lines.iter().zip(listings).flat_map(named).collect(),
        what: space.describe(&gap.region),
        because,
    }
}
