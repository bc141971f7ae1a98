//! `scanlab diff`: what behaves differently between two rulesets, by probes and not by text. Both get the same packets,
//! everything that either of them tells apart, and nmap's techniques at every port that either names; where something else
//! becomes of one, the rules that are responsible are told on either side.
//!
//! A limit is as good as the rule that has it: a packet which meets a rule with another limit than before is a difference,
//! too. What lies behind a limit that guards a verdict is looked at with limits that are used up.

mod behaviour;
mod difference;
mod measure;
mod untried;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{InputError, Result, Source};
use crate::lab::{Lab, LabOptions, PinnedSysctls};
use crate::net::{Addresses, Family, InterfaceName, Mac};
use crate::rules::iptables_save::keeps_lists;

pub use behaviour::{Behaviour, DecidingRule, LoggedBy};
pub use difference::{PacketDifference, ScanView, SeenByScans};
pub use untried::UntriedPackets;

/// One of the two.
#[derive(Debug, Clone)]
pub struct Side {
    /// What the user calls it.
    pub name: String,
    /// The ruleset of each family that has one.
    pub rulesets: Vec<(Family, Source)>,
}

/// What is compared, and how.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Before and after.
    pub sides: [Side; 2],
    /// What the labs are made with.
    pub equipment: LabOptions,
    /// The interface that the rules speak of; others that they name come after it.
    pub interface: InterfaceName,
    /// The host's MAC address.
    pub mac: Mac,
    /// Both ends of the link.
    pub addresses: Addresses,
}

/// What was found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Compared {
    /// The names of both sides.
    pub sides: [String; 2],
    /// Packets that are dealt with in another way, those with one story together.
    pub differences: Vec<PacketDifference>,
    /// Ports that look different to a scan.
    pub scans: Vec<SeenByScans>,
    /// Packets that the two may treat differently, and that were not tried, or showed nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_tried: Vec<UntriedPackets>,
    /// How many packets were sent to either side.
    pub sent: usize,
    /// Whether everything was sent that the rulesets tell apart.
    pub complete: bool,
    /// The sysctls that were pinned.
    #[serde(skip)]
    pub weather: PinnedSysctls,
}

impl Compared {
    /// Whether no packet that was sent tells the two apart.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.scans.is_empty()
    }

    /// Whether sets prove that no other packet does, either.
    pub fn is_proved(&self) -> bool {
        self.not_tried.is_empty()
    }
}

/// Compares.
///
/// # Errors
/// A side without a ruleset, rulesets that are refused, and everything that keeps a lab from measuring.
pub fn compare(comparison: &Comparison) -> Result<Compared> {
    comparison.sides.iter().try_for_each(check)?;
    let mut compared = Compared {
        sides: comparison.sides.clone().map(|side| side.name),
        differences: Vec::new(),
        scans: Vec::new(),
        not_tried: Vec::new(),
        sent: 0,
        complete: true,
        weather: PinnedSysctls::default(),
    };
    for family in comparison.families() {
        let listings = measure::family(comparison, family, &mut compared)?;
        untried::family(comparison, family, &listings, &mut compared)?;
    }
    compared.differences = difference::together(compared.differences);
    compared.scans = difference::scans_together(compared.scans);
    Ok(compared)
}

impl Comparison {
    /// Those of which at least one side has a ruleset.
    fn families(&self) -> Vec<Family> {
        let has = |family: &Family| self.sides.iter().flat_map(|side| &side.rulesets).any(|(of, _)| of == family);
        Family::BOTH.into_iter().filter(has).collect()
    }
}

fn check(side: &Side) -> Result<()> {
    for (family, source) in &side.rulesets {
        Lab::can_ask(*family, source)?;
        if keeps_lists(source) {
            let problem = format!(
                "{} keeps lists of what it saw, so that what it does depends on what came before",
                source.name.display()
            );
            let hint = "compare it by a scenario: `scanlab record` for one, `scanlab run` with the other";
            return Err(InputError::new(problem, hint).into());
        }
    }
    Ok(())
}
