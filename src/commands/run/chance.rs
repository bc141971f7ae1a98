//! Checks whose result depends on rules that match by chance (`-m statistic`): the run is repeated with rulesets in which
//! chance is decided, and what differs is not a result.

use super::{FailFast, RunReport, ScenarioReport, Settings, run_each};
use crate::commands::chance::{self, ChanceRule, ChanceState};
use crate::error::Result;
use crate::intent::check::{Check, Outcome};
use crate::intent::scenario::{RulesetFiles, Scenario};
use crate::net::Family;
use crate::verdict::compare;

/// Replaces the checks of `found` that chance decided: what a few retransmissions reach is that of a ruleset without the
/// rules that lose packets, and everything else did not run.
pub async fn without_chance(scenarios: &[Scenario], settings: &Settings, found: &mut RunReport) -> Result<()> {
    for report in &mut found.scenarios {
        let states = chance::states(&report.rulesets);
        let Some(scenario) = scenarios.iter().find(|scenario| scenario.source.name == report.file) else { continue };
        if states.is_empty() || report.checks.iter().all(|check| check.outcome == Outcome::NotRun) {
            continue;
        }
        let mut decided = Vec::with_capacity(states.len());
        for state in &states {
            let run = run_each(vec![in_state(scenario, state)], settings.clone(), FailFast::TheEnd).await?;
            decided.extend(run.scenarios.into_iter().map(|report| report.checks));
        }
        settle(report, &decided);
    }
    Ok(())
}

fn in_state(scenario: &Scenario, state: &ChanceState) -> Scenario {
    let of = |family| state.rulesets.iter().find(|(of, _)| *of == family).map(|(_, source)| source.clone());
    let ruleset = Some(RulesetFiles { v4: of(Family::Ipv4), v6: of(Family::Ipv6) });
    Scenario { ruleset, ..scenario.clone() }
}

fn settle(report: &mut ScenarioReport, decided: &[Vec<Check>]) {
    let rules = chance::rules(&report.rulesets);
    for (number, check) in report.checks.iter_mut().enumerate() {
        let in_states: Vec<&Check> = decided.iter().filter_map(|checks| checks.get(number)).collect();
        *check = settled(check, &in_states, &rules);
    }
    report.outcome = compare::worst(&report.checks);
}

/// The check, if its result is the same in all states, or that of the first state, if the rules only lose packets.
fn settled(check: &Check, in_states: &[&Check], rules: &[ChanceRule]) -> Check {
    let result = |check: &Check| (check.outcome, check.observed.clone());
    let own: Vec<&ChanceRule> =
        rules.iter().filter(|rule| check.family.is_none_or(|family| family == rule.family)).collect();
    let [first, rest @ ..] = in_states else { return check.clone() };
    let is_certain = own.is_empty() || rest.iter().all(|other| result(other) == result(first));
    match is_certain || chance::is_mild(&own) {
        true if result(check) == result(first) => check.clone(),
        // A fix was tried on other rules.
        true => Check { explanation: None, ..(*first).clone() },
        false => {
            let why = format!("chance decides: {}", chance::shares(&own));
            Check { outcome: Outcome::NotRun, observed: None, why, explanation: None, ..check.clone() }
        }
    }
}
