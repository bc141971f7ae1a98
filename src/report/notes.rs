//! The notes of probes for people: facts that a verdict does not show, once for all probes that share them.

use std::collections::BTreeMap;

use super::columns::new_table;
use super::{Environment, ProbeRecord};
use crate::net::Family;
use crate::net::port::PortSet;
use crate::probe::note::Note;
use crate::probe::scan::Technique;
use crate::text::escape::visible;

/// `note  syn at 22 (ipv4): a copy of the probe leaves to 203.0.113.66 (line 3)`; empty if no probe has a note.
pub fn block(probes: &[ProbeRecord], environment: &Environment, width: u16) -> String {
    let notes = in_words(probes, environment);
    if notes.is_empty() {
        return String::new();
    }
    let mut table = new_table(width);
    for note in notes {
        table.add_row(["note".to_owned(), visible(&note)]);
    }
    format!("{}\n\n", table.trim_fmt())
}

/// Each note with its probes.
pub fn in_words(probes: &[ProbeRecord], environment: &Environment) -> Vec<String> {
    let mut ports: BTreeMap<(Option<&str>, Family, Technique, &Note), PortSet> = BTreeMap::new();
    for probe in probes {
        // In a scenario, the check of a connect scan reports by itself that the connection is half open.
        let is_in_check = |note: &&Note| probe.scenario.is_some() && **note == Note::HalfOpen;
        for note in probe.notes.iter().filter(|note| !is_in_check(note)) {
            let of = ports.entry((probe.scenario.as_deref(), probe.family, probe.scan, note)).or_default();
            *of = of.ranges().chain(probe.ports().ranges()).collect();
        }
    }
    let mut scans: BTreeMap<(Option<&str>, Family, &Note, String), Vec<Technique>> = BTreeMap::new();
    for ((scenario, family, scan, note), ports) in ports {
        scans.entry((scenario, family, note, ports.to_string())).or_default().push(scan);
    }
    let words = |((scenario, family, note, ports), scans): ((Option<&str>, Family, &Note, String), Vec<Technique>)| {
        let file = scenario.map(|file| format!("{file}: ")).unwrap_or_default();
        let scans: Vec<&str> = scans.iter().map(|scan| scan.name()).collect();
        let at = if ports.is_empty() { String::new() } else { format!(" at {}", ports.replace(',', ", ")) };
        let value = value(note, environment);
        format!("{file}{}{at} ({family}): {note}{value}", scans.join(", "))
    };
    scans.into_iter().map(words).collect()
}

/// `, here it is 1`
fn value(note: &Note, environment: &Environment) -> String {
    const LOOSE: &str = "net.netfilter.nf_conntrack_tcp_loose";
    let loose = environment.sysctls.get(LOOSE).filter(|_| matches!(note, Note::SynProxy { .. }));
    loose.map(|value| format!(", here it is {value}")).unwrap_or_default()
}
