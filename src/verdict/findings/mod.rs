//! Findings without any expectation: the rules that no packet of an exhaustive sweep can reach, each with the earlier
//! rules that shadow it and with the reason. LOG rules that can never fire come first: they are blind spots.
//!
//! That no packet of the sweep reaches a rule is measured. That no other packet can reach it is proved by sets
//! ([`crate::rules::space`]): a rule is called dead only if the rules before it match every packet that it matches;
//! else it is *not provable*, after one of the remaining packets was sent, if the lab can send one.

mod evidence;
mod judge;
mod measure;
mod parity;
mod reason;
mod tried;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::error::Source;
use crate::lab::{LabOptions, LabSpec};
use crate::net::{Addresses, Family, InterfaceName, Mac};
use crate::rules::sweep::FlagCoverage;

pub use evidence::RulesetEvidence;
pub use measure::{interfaces, measure};
pub use parity::{Disparity, LastStep};

/// The rulesets of a host, and the options for loading them.
#[derive(Debug, Clone, Copy)]
pub struct FindingsSubject<'a> {
    /// The options of the labs.
    pub equipment: &'a LabOptions,
    /// The interface that is swept first; those that rules name follow.
    pub interface: &'a InterfaceName,
    /// The host's MAC address.
    pub mac: Mac,
    /// Addresses of both ends.
    pub addresses: &'a Addresses,
    /// iptables-save text, one for each family that has any.
    pub rulesets: &'a [(Family, &'a Source)],
}

impl<'a> FindingsSubject<'a> {
    /// A lab of the rulesets, over `interface`, without listeners.
    fn spec(&self, interface: &'a InterfaceName) -> LabSpec<'a> {
        LabSpec { mac: self.mac, ..LabSpec::new(self.equipment, interface, self.addresses, self.rulesets) }
    }
}

/// Findings in the rulesets of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Findings")]
pub struct RulesetFindings {
    /// Rules that no packet can reach: LOG rules first, then those that drop, then the others, each in the order of the
    /// file.
    pub unreachable: Vec<DeadRule>,
    /// Rules that no packet reached, without a proof.
    pub not_provable: Vec<NotProvable>,
    /// Packets that one family accepts and the other does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parity: Vec<Disparity>,
    /// Rulesets of a family that this machine does not have: no packets were sent to them, so their rules are not
    /// judged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_tried: Vec<UntriedRuleset>,
    /// The sweeps.
    pub sweeps: Vec<SweepSummary>,
}

/// A ruleset that was not tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "NotTried")]
pub struct UntriedRuleset {
    /// Its family.
    pub family: Family,
    /// Its file.
    pub file: String,
}

/// The place of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingPlace {
    /// Its family.
    pub family: Family,
    /// The file.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its number in the chain, from 1.
    pub rule: usize,
    /// Its text.
    pub text: String,
}

/// A rule that no packet can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Unreachable")]
pub struct DeadRule {
    /// The severity.
    pub severity: Severity,
    /// The rule.
    #[serde(flatten)]
    pub place: FindingPlace,
    /// The earlier rules that match its packets, those with most packets first.
    pub in_front: Vec<ShadowingRule>,
    /// The reason why it is never reached, in words.
    pub reason: String,
}

/// The severity of an unreachable rule, by its intended effect; worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It would log: a blind spot.
    DeadLog,
    /// It would drop or reject.
    DeadDrop,
    /// Any other effect.
    Dead,
}

impl Severity {
    /// Its name in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::DeadLog => "dead LOG",
            Severity::DeadDrop => "dead DROP",
            Severity::Dead => "dead rule",
        }
    }
}

impl JsonSchema for Severity {
    fn schema_name() -> Cow<'static, str> {
        "Severity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = [Severity::DeadLog, Severity::DeadDrop, Severity::Dead].map(Severity::as_str);
        json_schema!({ "description": "What a rule that is never reached would have done.", "enum": words })
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A rule or policy that matched packets of a later rule first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "InFront")]
pub struct ShadowingRule {
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its number there; `None` for a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Its line; `None` for the policy of a chain that the file does not declare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its text.
    pub text: String,
    /// The number of packets of the sweep that it matched.
    pub packets: usize,
}

/// A rule that no packet reached, without a proof that none can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotProvable {
    /// The rule.
    #[serde(flatten)]
    pub place: FindingPlace,
    /// The missing part of the proof.
    pub reason: String,
}

/// One sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Swept")]
pub struct SweepSummary {
    /// The family.
    pub family: Family,
    /// The interface.
    pub interface: String,
    /// The number of packets that were sent, without their leads.
    pub stimuli: usize,
    /// The TCP flag octets that were sent.
    pub octets: FlagCoverage,
    /// True if every packet that the ruleset distinguishes was sent.
    pub complete: bool,
}
