//! Packets that leave what the lab models: for a published port, a queue, a transparent proxy, another firewall. The
//! rules of this machine alone do not show what answers there, so it is never reported as closed.

use std::collections::BTreeMap;

use super::blame::blame;
use super::scans::intended;
use super::{Assessment, Fact, Families, Measured, PredeploySubject, RelatedChecks, merge_families};
use crate::lab::Lab;
use crate::net::port::PortSet;
use crate::net::{Family, Protocol};
use crate::probe::left_the_world::LeftTheWorld;
use crate::probe::note::Note;
use crate::probe::path::Step;
use crate::probe::probe_group::ProbeGroup;
use crate::probe::scan::Technique;

/// A fact for each destination outside the lab. It is a reason not to deploy if the sensor does not serve the port, and
/// unknown if it does.
pub fn facts(subject: &PredeploySubject, measured: &Measured) -> Vec<Fact> {
    let served: PortSet = intended(subject.sensor).into_iter().collect();
    let mut facts = Vec::new();
    for technique in [Technique::Syn, Technique::Udp] {
        let of = Lab::families().into_iter().map(|family| (family, gone(subject, measured, technique, family)));
        for (families, gone) in merge_families(of.collect()) {
            facts.extend(gone.into_iter().map(|gone| fact(technique, &families, gone, &served)));
        }
    }
    let copies = Lab::families()
        .into_iter()
        .map(|family| (family, notes(measured, family, |note| matches!(note, Note::Copied { .. }))));
    for (families, copies) in merge_families(copies.collect()) {
        facts.extend(copies.into_iter().map(|copy| Fact::new(Assessment::Note, format!("over {families}: {copy}"))));
    }
    facts
}

/// A fact for each rule that answers in place of the host.
pub fn proxies(measured: &Measured) -> Vec<Fact> {
    let of = |family| notes(measured, family, |note| matches!(note, Note::SynProxy { .. }));
    let merged = merge_families(Lab::families().into_iter().map(|family| (family, of(family))).collect());
    let facts = merged.into_iter().flat_map(|(families, proxies)| {
        proxies.into_iter().map(move |proxy| Fact::new(Assessment::Note, format!("over {families}: {proxy}")))
    });
    facts.collect()
}

/// The wanted notes of SYNs and datagrams, with their ports: `TCP port 22: a copy of the probe leaves to 203.0.113.66`.
fn notes(measured: &Measured, family: Family, wanted: fn(&Note) -> bool) -> Vec<String> {
    let mut ports: BTreeMap<(Protocol, &Note), PortSet> = BTreeMap::new();
    for group in measured.doors.groups.iter().filter(|group| group.first.family() == family) {
        for note in group.observation.notes.iter().filter(|note| wanted(note)) {
            let of = ports.entry((group.first.flow.protocol, note)).or_default();
            *of = of.ranges().chain(group.ports().ranges()).collect();
        }
    }
    let words = |((protocol, note), ports): ((Protocol, &Note), PortSet)| {
        format!("{} port {}: {note}", protocol.to_string().to_uppercase(), ports.to_string().replace(',', ", "))
    };
    ports.into_iter().map(words).collect()
}

/// A fact for each firewall of this machine that the lab does not have; its effect is unknown.
pub fn other_firewalls(subject: &PredeploySubject) -> Vec<Fact> {
    let others = subject.machine.into_iter().flat_map(|machine| &machine.others);
    let tone = |is_idle: bool| if is_idle { Assessment::Note } else { Assessment::Unknown };
    others.map(|other| Fact::new(tone(other.is_idle), other.text.clone())).collect()
}

/// Probes that left the modelled world.
#[derive(PartialEq)]
struct Gone {
    left: LeftTheWorld,
    /// The probed ports.
    ports: PortSet,
    /// The rules that sent them there.
    rules: Vec<String>,
}

/// The probes of `technique` that left the modelled world.
fn gone(subject: &PredeploySubject, measured: &Measured, technique: Technique, family: Family) -> Vec<Gone> {
    let groups = measured.doors.groups.iter();
    let of = groups.filter(|group| group.first.technique == technique && group.first.family() == family);
    let gone = |group: &ProbeGroup| {
        let steps = group.observation.path.iter().flat_map(|path| &path.steps);
        let led: Vec<Step> = steps.filter(|step| LeftTheWorld::can_be_by(&step.text)).cloned().collect();
        let left = group.observation.verdict.left()?;
        Some(Gone { left, ports: group.ports().ranges().collect(), rules: blame(subject, family, &led) })
    };
    of.filter_map(gone).collect()
}

fn fact(technique: Technique, families: &Families, gone: Gone, served: &PortSet) -> Fact {
    let Gone { left, ports, rules } = gone;
    let is_served = technique == Technique::Syn && ports.difference(served).is_empty();
    let protocol = technique.protocol().to_string().to_uppercase();
    let what = format!("{protocol} port {ports} over {families}: {left}");
    match is_served {
        true => Fact::new(Assessment::Unknown, format!("{what}; its answer cannot be seen in the lab")).by(rules),
        false => Fact::new(Assessment::Bad, format!("{what}, and the sensor serves nothing there"))
            .by(rules)
            .about(families, RelatedChecks::Connections(ports)),
    }
}
