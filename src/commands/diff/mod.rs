//! `scanlab diff`: the differences in behaviour between two rulesets, measured by probes and not by text. Both get the
//! same packets: those that either of them distinguishes, and nmap's techniques at every port that either names. If a
//! packet has different effects, the responsible rules of either side are reported.
//!
//! A limit counts as an effect: a packet that matches a rule with another limit than before is a difference, too. Rules
//! after a limit on a verdict are measured with used-up limits.

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

/// One of the two rulesets.
#[derive(Debug, Clone)]
pub struct Side {
    /// The name that the user gave it.
    pub name: String,
    /// The ruleset of each family that has one.
    pub rulesets: Vec<(Family, Source)>,
}

/// The two rulesets, and the options of the comparison.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Before and after.
    pub sides: [Side; 2],
    /// The options of the labs.
    pub equipment: LabOptions,
    /// The interface that the rules name; others that they name follow.
    pub interface: InterfaceName,
    /// The host's MAC address.
    pub mac: Mac,
    /// Both ends of the link.
    pub addresses: Addresses,
}

/// The result of a comparison.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Compared {
    /// The names of both sides.
    pub sides: [String; 2],
    /// Packets that are treated differently, merged if they have the same effects.
    pub differences: Vec<PacketDifference>,
    /// Ports with different results of a scan.
    pub scans: Vec<SeenByScans>,
    /// Packets that the two may treat differently, and that were not sent, or showed no difference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_tried: Vec<UntriedPackets>,
    /// The number of packets that were sent to each side.
    pub sent: usize,
    /// True if every packet that the rulesets distinguish was sent.
    pub complete: bool,
    /// The sysctls that were pinned.
    #[serde(skip)]
    pub pinned_sysctls: PinnedSysctls,
}

impl Compared {
    /// True if no packet that was sent shows a difference.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.scans.is_empty()
    }

    /// True if sets prove that no other packet would, either.
    pub fn is_proved(&self) -> bool {
        self.not_tried.is_empty()
    }
}

/// Compares the two rulesets.
///
/// # Errors
///
/// If a side has no ruleset, a ruleset is refused, or a lab cannot measure.
pub fn compare(comparison: &Comparison) -> Result<Compared> {
    comparison.sides.iter().try_for_each(check)?;
    let mut compared = Compared {
        sides: comparison.sides.clone().map(|side| side.name),
        differences: Vec::new(),
        scans: Vec::new(),
        not_tried: Vec::new(),
        sent: 0,
        complete: true,
        pinned_sysctls: PinnedSysctls::default(),
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
    /// The families in which at least one side has a ruleset.
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
                "{} remembers packets in lists, so its behaviour depends on earlier packets",
                source.name.display()
            );
            let hint = "compare with a scenario instead: `scanlab record` one ruleset, `scanlab run` with the other";
            return Err(InputError::new(problem, hint).into());
        }
    }
    Ok(())
}
