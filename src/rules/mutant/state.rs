//! Conntrack states: a missing or an additional one.

use std::collections::BTreeSet;

use crate::net::conntrack::ConntrackState;
use crate::rules::iptables_save::{Clause, Match};

use super::draft::Draft;
use super::site::MutationSite;

/// The order of iptables-save.
const ORDER: [ConntrackState; 5] = [
    ConntrackState::Invalid,
    ConntrackState::New,
    ConntrackState::Related,
    ConntrackState::Established,
    ConntrackState::Untracked,
];

/// The states that are likely added by mistake: NEW accepts everyone, INVALID accepts scans.
const TOO_MANY: [ConntrackState; 2] = [ConntrackState::Invalid, ConntrackState::New];

/// Deletes each state of a list in turn.
pub fn drop(site: &MutationSite<'_>) -> Vec<Draft> {
    let lists = lists(site).filter(|(_, states)| states.len() > 1);
    lists.flat_map(|(clause, states)| states.iter().map(move |state| without(site, clause, states, *state))).collect()
}

fn without(
    site: &MutationSite<'_>,
    clause: &Clause,
    states: &BTreeSet<ConntrackState>,
    state: ConntrackState,
) -> Draft {
    let mut states = states.clone();
    states.remove(&state);
    site.replace(clause, &option(clause, &states))
}

/// Adds INVALID and NEW to each list without them.
pub fn add(site: &MutationSite<'_>) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (clause, states) in lists(site) {
        let absent = TOO_MANY.into_iter().filter(|state| !states.contains(state));
        drafts.extend(absent.map(|state| with(site, clause, states, state)));
    }
    drafts
}

fn with(site: &MutationSite<'_>, clause: &Clause, states: &BTreeSet<ConntrackState>, state: ConntrackState) -> Draft {
    let states = states.iter().copied().chain([state]).collect();
    site.replace(clause, &option(clause, &states))
}

fn lists<'a>(site: &MutationSite<'a>) -> impl Iterator<Item = (&'a Clause, &'a BTreeSet<ConntrackState>)> {
    site.rule.clauses.iter().filter_map(|clause| match &clause.ask {
        Match::State(states) => Some((clause, states)),
        _ => None,
    })
}

fn option(clause: &Clause, states: &BTreeSet<ConntrackState>) -> String {
    let name = if clause.module.as_deref() == Some("state") { "--state" } else { "--ctstate" };
    let listed: Vec<&str> = ORDER.iter().filter(|state| states.contains(state)).map(|state| state.as_str()).collect();
    format!("{name} {}", listed.join(","))
}
