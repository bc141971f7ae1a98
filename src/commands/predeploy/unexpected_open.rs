//! The question of unexpected openings: packets that are accepted in addition to those for the services of the sensor.

use super::blame::blame;
use super::holes::Hole;
use super::other_protocols::OtherProtocol;
use super::scans::intended;
use super::{
    Assessment, Fact, Families, Measured, PredeployQuestion, PredeploySubject, QuestionAnswer, RelatedChecks, beyond,
    inbound_peers, merge_families,
};
use crate::lab::Lab;
use crate::net::Family;
use crate::net::port::PortSet;
use crate::probe::path::StepVerdict;
use crate::probe::probe_group::ProbeGroup;
use crate::probe::scan::{FilterVerdict, Technique};
use crate::sensor::Deny;
use crate::text::group::once;

pub fn answer(subject: &PredeploySubject, measured: &Measured) -> QuestionAnswer {
    let wanted: PortSet = intended(subject.sensor).into_iter().collect();
    let families = Lab::families();
    let mut facts = Vec::new();
    let open = families.iter().map(|family| (*family, let_in(measured, Technique::Syn, *family).difference(&wanted)));
    for (families, ports) in merge_families(open.collect()) {
        let fact = of_tcp(subject, measured, &families, &ports);
        let is_contradicted = measured.holes.iter().any(|hole| families.contains(hole.family));
        facts.extend(Some(fact).filter(|fact| fact.tone != Assessment::Good || !is_contradicted));
    }
    facts.extend(beyond::facts(subject, measured));
    facts.extend(beyond::other_firewalls(subject).into_iter().filter(|fact| fact.tone == Assessment::Unknown));
    let strangers = inbound_peers::unnamed_peers(subject, &measured.callers);
    facts.extend(strangers.into_iter().filter(|fact| fact.tone != Assessment::Good || measured.holes.is_empty()));
    facts.extend(measured.holes.iter().filter(|hole| !is_reported(measured, hole, &wanted)).map(Hole::fact));
    let meant: PortSet = subject.sensor.open_udp().copied().collect();
    let udp = families.iter().map(|family| (*family, let_in(measured, Technique::Udp, *family).difference(&meant)));
    for (families, ports) in merge_families(udp.collect()) {
        facts.extend(of_udp(subject, &families, &ports));
    }
    for (families, (let_in, kept_out)) in merge_families(measured.other.iter().map(of_others).collect()) {
        facts.push(other_fact(subject, &families, &let_in, &kept_out));
    }
    QuestionAnswer::new(PredeployQuestion::Unasked, facts, ["Yes.", "No."])
}

/// True if its packets are already reported: they go to ports that every scanner finds open, a scanner's probe is
/// redirected by their rule, or their protocol was found to be accepted.
fn is_reported(measured: &Measured, hole: &Hole, wanted: &PortSet) -> bool {
    if let Some(line) = hole.led_by() {
        return is_met(measured, hole, line, wanted);
    }
    let open = measured.other.iter().filter(|(family, _)| *family == hole.family).flat_map(|(_, open)| open);
    if open.into_iter().any(|other| other.is_in(hole)) {
        return true;
    }
    let syn = let_in(measured, Technique::Syn, hole.family).difference(wanted);
    let udp = let_in(measured, Technique::Udp, hole.family);
    hole.has_port(if hole.is_udp() { &udp } else { &syn })
}

/// True if the rule in `line` redirects a probe of the hole's kind of port, intended or not.
fn is_met(measured: &Measured, hole: &Hole, line: usize, wanted: &PortSet) -> bool {
    let technique = if hole.is_udp() { Technique::Udp } else { Technique::Syn };
    let of = |group: &&ProbeGroup| group.first.technique == technique && group.first.family() == hole.family;
    let is_through = |group: &&ProbeGroup| {
        let seen = &group.observation;
        seen.filter == Some(FilterVerdict::Accept) || seen.verdict.left().is_some()
    };
    let names = |group: &ProbeGroup| {
        let steps = group.observation.path.iter().flat_map(|path| &path.steps);
        steps.into_iter().any(|step| step.line == Some(line))
    };
    let is_wanted = |group: &ProbeGroup| group.ports().ranges().collect::<PortSet>().difference(wanted).is_empty();
    let mut groups = measured.doors.groups.iter().filter(of).filter(is_through);
    groups.any(|group| names(group) && (hole.is_udp() || hole.is_served() == is_wanted(group)))
}

fn of_tcp(subject: &PredeploySubject, measured: &Measured, families: &Families, ports: &PortSet) -> Fact {
    let everything = ports.len() + intended(subject.sensor).len() >= measured.tried.len();
    if ports.is_empty() {
        let count = measured.tried.len();
        let how = match count == usize::from(u16::MAX) {
            true => "all 65535 ports were tested".to_owned(),
            false => format!("{count} ports were tested; the rules treat all others the same"),
        };
        return Fact::new(
            Assessment::Good,
            format!("TCP over {families}: only what the sensor serves is accepted; {how}"),
        );
    }
    let has_no_rules = subject.rulesets.iter().all(|(family, _)| !families.contains(*family));
    let text = match (everything, has_no_rules) {
        (true, true) => format!("everything, over {families}: there are no rules for it"),
        (true, false) => format!("everything: TCP over {families} is accepted on every port"),
        (false, _) => {
            let verb = if ports.len() == 1 { "port" } else { "ports" };
            format!("TCP {verb} {} over {families}: accepted, but the sensor serves nothing there", ports.listed(", "))
        }
    };
    let rules = families.0.iter().flat_map(|family| accepting(subject, measured, *family, ports));
    Fact::new(Assessment::Bad, text).by(once(rules)).about(families, RelatedChecks::Connections(ports.clone()))
}

/// The rules that accept a SYN to one of these ports.
fn accepting(subject: &PredeploySubject, measured: &Measured, family: Family, ports: &PortSet) -> Vec<String> {
    let of = measured.doors.groups.iter().filter(|group| {
        let is_asked = group.first.technique == Technique::Syn && group.first.family() == family;
        is_asked && !group.ports().intersection(ports).is_empty()
    });
    let last = of.filter_map(|group| group.observation.path.as_ref()?.steps.last().cloned());
    blame(subject, family, &last.filter(|step| step.verdict == StepVerdict::Accept).collect::<Vec<_>>())
}

fn of_udp(subject: &PredeploySubject, families: &Families, ports: &PortSet) -> Option<Fact> {
    if ports.is_empty() {
        return Some(Fact::new(
            Assessment::Good,
            match subject.sensor.open_udp().next() {
                None => format!("UDP over {families}: not accepted on any port that was tested"),
                Some(_) => {
                    format!("UDP over {families}: of the ports that were tested, only those in `open` accept it")
                }
            },
        ));
    }
    Some(match subject.sensor.deny {
        Deny::Tcp => {
            let text = format!("UDP over {families} is accepted, as the sensor file says: `deny = \"all\"` would not");
            Fact::new(Assessment::Note, text)
        }
        Deny::All => {
            let name = if ports.len() == 1 { "port" } else { "ports" };
            let denied = "accepted, but the sensor denies all";
            let text = format!("UDP {name} {} over {families}: {denied}", ports.listed(", "));
            Fact::new(Assessment::Bad, text)
        }
    })
}

/// The names of the accepted protocols and of the others. IGMP, which exists in one family only, is left out if it has
/// the same result as the others.
fn of_others((family, open): &(Family, Vec<OtherProtocol>)) -> (Family, (String, String)) {
    let all = OtherProtocol::in_family(*family);
    let is_uniform = open.is_empty() || open.len() == all.len();
    let names = |is_open: bool| {
        let wanted =
            |other: &&OtherProtocol| open.contains(other) == is_open && !(is_uniform && **other == OtherProtocol::Igmp);
        all.iter().filter(wanted).map(|other| other.name()).collect::<Vec<_>>().join(", ")
    };
    (*family, (names(true), names(false)))
}

fn other_fact(subject: &PredeploySubject, families: &Families, let_in: &str, kept_out: &str) -> Fact {
    match (let_in.is_empty(), subject.sensor.deny) {
        (true, _) => Fact::new(Assessment::Good, format!("other protocols over {families}: {kept_out} are kept out")),
        (false, Deny::Tcp) => Fact::new(
            Assessment::Note,
            format!("other protocols over {families}: {let_in} are accepted, as the sensor file says"),
        ),
        (false, Deny::All) => {
            let text = format!("other protocols over {families}: {let_in} accepted, but the sensor denies all");
            Fact::new(Assessment::Bad, text)
        }
    }
}

/// The ports at which the filter accepts a probe, with or without a listener.
fn let_in(measured: &Measured, technique: Technique, family: Family) -> PortSet {
    let groups = measured.doors.groups.iter();
    let of = groups.filter(|group| group.first.technique == technique && group.first.family() == family);
    let accepted = of.filter(|group| group.observation.filter == Some(FilterVerdict::Accept));
    accepted.flat_map(|group| group.ports().ranges().collect::<Vec<_>>()).collect()
}
