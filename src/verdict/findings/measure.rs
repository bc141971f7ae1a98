//! Measures findings: a lab for every interface that the rules name, and a sweep of each family in it.

use std::collections::BTreeSet;

use super::evidence::RulesetEvidence;
use super::{FindingsSubject, RulesetFindings, SweepSummary, UntriedRuleset, parity};
use crate::error::{Result, Source};
use crate::lab::{HostService, Lab, LabSpec, LimitOverride};
use crate::net::{Family, InterfaceName, Protocol};
use crate::rules::interface_names::named;
use crate::rules::iptables_save::{Listing, Rule};
use crate::rules::sweep::SweepPlan;

/// Sweeps the rulesets, and returns the rules that no packet reaches.
pub fn measure(subject: &FindingsSubject) -> Result<RulesetFindings> {
    let families = Lab::families();
    let (here, missing): (Vec<(Family, &Source)>, Vec<_>) =
        subject.rulesets.iter().copied().partition(|(family, _)| families.contains(family));
    let listings: Vec<Listing> =
        here.into_iter().map(|(family, source)| subject.equipment.listing(family, source)).collect();
    let mut evidence: Vec<RulesetEvidence> =
        listings.iter().map(|listing| RulesetEvidence::new(listing, subject.interface)).collect();
    let mut sweeps = Vec::new();
    for interface in interfaces(subject.interface, &listings) {
        sweeps.extend(sweep(subject, &interface, &mut evidence)?);
    }
    evidence.iter_mut().try_for_each(|one| one.is_tried(subject))?;
    let parity = parity::compare(subject, &listings)?;
    let not_tried =
        |(family, source): (Family, &Source)| UntriedRuleset { family, file: source.name.display().to_string() };
    let not_tried = missing.into_iter().map(not_tried).collect();
    Ok(RulesetFindings { sweeps, parity, not_tried, ..RulesetFindings::from_evidence(&evidence) })
}

/// Sweeps over one interface.
fn sweep(
    subject: &FindingsSubject,
    interface: &InterfaceName,
    evidence: &mut [RulesetEvidence],
) -> Result<Vec<SweepSummary>> {
    let mut plans: Vec<SweepPlan> = evidence.iter().map(|one| SweepPlan::new(one.listing, subject.addresses)).collect();
    let ports: BTreeSet<_> = plans.iter().flat_map(|plan| plan.services().iter().collect::<Vec<_>>()).collect();
    let services: Vec<HostService> =
        ports.into_iter().map(|port| HostService { protocol: Protocol::Tcp, port, greeting: None }).collect();
    let spec = LabSpec { services: &services, ..subject.spec(interface) };
    let mut swept = Vec::new();
    for (evidence, plan) in evidence.iter_mut().zip(&mut plans) {
        let host = subject.addresses.host(evidence.listing.family);
        let mut stimuli = 0;
        for limits in limits(evidence.listing) {
            let (_, responses) = Lab::run(&spec, |lab| lab.sweep_all(plan, *limits))?;
            evidence.add(&responses, interface, host);
            stimuli += responses.len();
        }
        evidence.is_complete &= plan.is_complete;
        let (family, octets, complete) = (evidence.listing.family, plan.which_octets, plan.is_complete);
        swept.push(SweepSummary { family, interface: interface.to_string(), stimuli, octets, complete });
    }
    Ok(swept)
}

/// The limit overrides to sweep with: if a limit is exhausted, its packets go on to the following rules.
pub(super) fn limits(listing: &Listing) -> &'static [LimitOverride] {
    if listing.limits_more_than_lines() { &[LimitOverride::Wide, LimitOverride::Dry] } else { &[LimitOverride::Wide] }
}

/// The requested interface, and those that rules name, one for each pattern. `lo` is in every lab.
pub fn interfaces(first: &InterfaceName, listings: &[Listing]) -> Vec<InterfaceName> {
    let rules: Vec<&Rule> = listings.iter().flat_map(Listing::rules).collect();
    named(&rules, first).iter().filter(|name| *name != "lo").filter_map(|name| name.parse().ok()).collect()
}
