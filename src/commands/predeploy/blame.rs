//! The rules that took a packet, in words.

use super::PredeploySubject;
use crate::net::Family;
use crate::probe::path::Step;

/// The rules in words: `the rule is rules.v4:7: -A INPUT ...`.
pub fn blame(subject: &PredeploySubject, family: Family, took: &[Step]) -> Option<String> {
    let file = subject.rulesets.iter().find(|(of, _)| *of == family).map(|(_, source)| source.name.display())?;
    let place = |step: &Step| {
        let line = step.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{file}{line}: {}", step.text)
    };
    match took {
        [] => None,
        [only] => Some(format!("the rule is {}", place(only))),
        some => Some(format!("the rules are {}", some.iter().map(place).collect::<Vec<_>>().join(" and "))),
    }
}
