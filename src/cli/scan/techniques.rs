//! The scan techniques, by their names or in nmap's letters.

use super::ScanOptions;
use super::nmap_args::left_to_nmap;
use crate::error::{InputError, Result};
use crate::probe::scan::Technique;

pub(super) fn technique_names() -> String {
    format!("Scan techniques: {}", Technique::ALL.map(Technique::name).join(", "))
}

pub(super) fn technique_letters() -> String {
    let options = Technique::ALL.map(|technique| technique.profile().nmap);
    let letters: Vec<&str> = options.into_iter().filter(|option| option.starts_with("-s")).collect();
    format!("Scan techniques, in nmap's letters: {}", letters.join(", "))
}

/// The techniques, each once, in the order given; a SYN scan by default, as in nmap.
pub(super) fn techniques(options: &ScanOptions) -> Result<Vec<Technique>> {
    let mut techniques = options.scan.clone();
    for letter in options.nmap.iter().flat_map(|letters| letters.chars()) {
        let option = format!("-s{letter}");
        let found = Technique::ALL.into_iter().find(|technique| technique.profile().nmap == option);
        let unknown = || {
            let known = Technique::ALL.map(|technique| technique.profile().nmap).join(", ");
            let hint = match letter {
                'V' | 'C' => left_to_nmap(&option, "it does not detect services"),
                'n' | 'L' | 'P' => left_to_nmap(&option, "without probes to ports nothing would be proved"),
                'I' => {
                    left_to_nmap(&option, "all probes come from the prober itself; the lab has no zombie but the host")
                }
                'O' | 'Y' | 'Z' => left_to_nmap(&option, "only TCP, UDP and ICMP echo are scanned"),
                _ => format!("use {known}"),
            };
            InputError::new(format!("{} is not a scan technique of scanlab", option.escape_debug()), hint)
        };
        techniques.push(found.ok_or_else(unknown)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    techniques.retain(|technique| seen.insert(*technique));
    Ok(if techniques.is_empty() { vec![Technique::Syn] } else { techniques })
}
