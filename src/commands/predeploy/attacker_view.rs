//! The question of what an attacker sees: the ports by their state, as nmap would print them.

use std::collections::BTreeMap;

use super::scans::SCAN;
use super::{
    Assessment, Fact, Measured, PredeployQuestion, PredeploySubject, QuestionAnswer, RelatedChecks, beyond,
    inbound_peers, merge_families,
};
use crate::lab::Lab;
use crate::net::Family;
use crate::net::port::PortSet;
use crate::probe::scan::{PortState, Technique};

pub fn answer(subject: &PredeploySubject, measured: &Measured) -> QuestionAnswer {
    let seen = Lab::families().into_iter().filter(|family| !(measured.is_hidden() && *family == Family::Ipv6));
    let merged = merge_families(seen.map(|family| (family, states(measured, family))).collect());
    let mut facts: Vec<Fact> = merged
        .into_iter()
        .map(|(families, states)| {
            Fact::new(Assessment::Good, format!("{states} ({families})")).about(&families, RelatedChecks::None)
        })
        .collect();
    facts.extend(measured.hidden().map(|hidden| {
        let file = subject.rulesets.iter().find(|(family, _)| *family == Family::Ipv6);
        let reason = hidden.reason(file.map(|(_, source)| source.name.as_path()));
        Fact::new(Assessment::Note, format!("over IPv6: the host seems down, since no neighbour finds it: {reason}"))
    }));
    facts.extend(Family::BOTH.into_iter().filter(|family| !Lab::families().contains(family)).map(|family| {
        let name = family.title();
        let text = match subject.machine {
            Some(_) => format!(
                "over {name}: nothing, since this machine has no {name}; its rules for {name} were not tested: check \
                 again before you enable it"
            ),
            None => format!(
                "over {name}: not known, since this machine has no {name}; check on a machine that has it, or with \
                 --live, which checks this machine only"
            ),
        };
        Fact::new(Assessment::Note, text)
    }));
    let listening = subject.scenario.host.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let listening = if listening.is_empty() { "nothing".to_owned() } else { format!("ports {listening}") };
    let text = format!("as `nmap -sS` shows ports 1-{SCAN} and those that rules name, with {listening} listening");
    facts.push(Fact::new(Assessment::Good, text));
    facts.extend(beyond::proxies(measured));
    facts.extend(vantage(subject, measured));
    QuestionAnswer::new(PredeployQuestion::Attacker, facts, ["This.", "This."])
}

/// The position of the scanner, if SSH is not accepted from everywhere.
fn vantage(subject: &PredeploySubject, measured: &Measured) -> Vec<Fact> {
    let ssh_from = &subject.sensor.ssh_from;
    if !ssh_from.is_said() {
        return Vec::new();
    }
    let seen = |family: Family| {
        let prober = subject.scenario.host.addresses.prober(family);
        let place = match (ssh_from.contains(prober), inbound_peers::drops_other_sources(&measured.callers, family)) {
            (true, true) => "which `ssh_from` names: for others the SSH port looks like any unlisted port",
            (true, false) => "which `ssh_from` names",
            (false, _) => "which `ssh_from` does not name",
        };
        Fact::new(Assessment::Good, format!("over {} seen from {prober}, {place}", family.title()))
    };
    Lab::families().into_iter().map(seen).collect()
}

/// `22, 32232 open; 80 closed; 999 others filtered`: the state of most ports is last.
fn states(measured: &Measured, family: Family) -> String {
    let mut states: BTreeMap<&'static str, PortSet> = BTreeMap::new();
    let groups = measured.scan.groups.iter();
    for group in groups.filter(|group| group.first.technique == Technique::Syn && group.first.family() == family) {
        let ports = states.entry(PortState::as_str(group.observation.verdict.state)).or_default();
        *ports = ports.ranges().chain(group.ports().ranges()).collect();
    }
    let mut states: Vec<(&str, PortSet)> = states.into_iter().collect();
    states.sort_by_key(|(_, ports)| ports.len());
    let last = states.len().saturating_sub(1);
    let parts = states.iter().enumerate().map(|(place, (state, ports))| match place == last {
        true if last == 0 => format!("all {} {state}", ports.len()),
        true => format!("{} others {state}", ports.len()),
        false => format!("{} {state}", ports.listed(", ")),
    });
    parts.collect::<Vec<_>>().join("; ")
}
