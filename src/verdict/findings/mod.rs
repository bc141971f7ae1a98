//! Findings without any expectation: the rules that no packet of an exhaustive sweep can reach, each with the rules that
//! stand in front of it and with the reason. A LOG rule that can never fire comes first: it is a blind spot.
//!
//! That a rule is never reached is measured. That nothing else could reach it is proved by sets ([`crate::rules::space`]): a rule
//! is called dead only if the rules before it take every packet that it asks for; else it is *not provable*, after a packet
//! of what they leave was sent, if the lab can send one.

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

/// The rulesets of a host, and how they are loaded.
#[derive(Debug, Clone, Copy)]
pub struct FindingsSubject<'a> {
    /// What the labs are made with.
    pub equipment: &'a LabOptions,
    /// The interface that is swept first; those that rules name come after it.
    pub interface: &'a InterfaceName,
    /// The host's MAC address.
    pub mac: Mac,
    /// Addresses of both ends.
    pub addresses: &'a Addresses,
    /// iptables-save text, one for each family that has any.
    pub rulesets: &'a [(Family, &'a Source)],
}

impl<'a> FindingsSubject<'a> {
    /// A lab of the rulesets, over `interface`, in which nothing listens.
    fn blueprint(&self, interface: &'a InterfaceName) -> LabSpec<'a> {
        LabSpec { mac: self.mac, ..LabSpec::new(self.equipment, interface, self.addresses, self.rulesets) }
    }
}

/// What is found in the rulesets of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Findings")]
pub struct RulesetFindings {
    /// Rules that nothing reaches: LOG rules first, then those that drop, then the rest, each in the order of the file.
    pub unreachable: Vec<DeadRule>,
    /// Rules that nothing reached, and that something else might.
    pub not_provable: Vec<NotProvable>,
    /// What one family lets in and the other keeps out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parity: Vec<Disparity>,
    /// Rulesets that nothing was sent to, since this machine does not have their family: of their rules nothing is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_tried: Vec<UntriedRuleset>,
    /// What was sent.
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

/// Where a rule stands.
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

/// A rule that nothing reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Unreachable")]
pub struct DeadRule {
    /// How much it matters.
    pub severity: Severity,
    /// The rule.
    #[serde(flatten)]
    pub place: FindingPlace,
    /// What took the packets that it asks for, most of them first.
    pub in_front: Vec<ShadowingRule>,
    /// Why it is never reached, in words.
    pub reason: String,
}

/// What a rule that is never reached would have done; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It would log: a blind spot.
    DeadLog,
    /// It would drop or reject.
    DeadDrop,
    /// Anything else.
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

/// A rule or policy that took packets which another rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "InFront")]
pub struct ShadowingRule {
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its number there; none for a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Its line; none for the policy of a chain that the file does not declare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its text.
    pub text: String,
    /// How many packets of the sweep it took.
    pub packets: usize,
}

/// A rule that nothing reached, without a proof that nothing can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotProvable {
    /// The rule.
    #[serde(flatten)]
    pub place: FindingPlace,
    /// What is missing for a proof.
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
    /// How many packets were sent, not counting those that lead to them.
    pub stimuli: usize,
    /// Which flag octets.
    pub octets: FlagCoverage,
    /// Whether everything was sent that the ruleset tells apart.
    pub complete: bool,
}
