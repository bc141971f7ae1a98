//! The rules that decided about a packet.

use super::PredeploySubject;
use crate::net::Family;
use crate::probe::path::Step;

/// The rules, as `FILE:LINE: TEXT`.
pub fn blame(subject: &PredeploySubject, family: Family, took: &[Step]) -> Vec<String> {
    let Some((_, source)) = subject.rulesets.iter().find(|(of, _)| *of == family) else { return Vec::new() };
    let place = |step: &Step| {
        let line = step.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}{line}: {}", source.name.display(), step.text)
    };
    took.iter().map(place).collect()
}
