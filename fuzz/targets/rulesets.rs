//! Rulesets in iptables-save format: parsed, linted, mutated, and written again.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use scanlab::error::Source;
use scanlab::net::Family;
use scanlab::rules::iptables_save::{self, Listing};
use scanlab::rules::{lint, mutant};

/// There are many mutants, and each holds the whole text.
const SHORT: usize = 2000;

fuzz_target!(|text: &str| {
    let source = Source { name: "rules".into(), text: Arc::from(text) };
    let lines = text.lines().count();
    for family in [Family::Ipv4, Family::Ipv6] {
        let listing = Listing::parse(family, &source);
        for chain in listing.tables.iter().flat_map(|table| &table.chains) {
            assert!(chain.line.is_none_or(|line| (1..=lines).contains(&line)));
        }
        for rule in listing.rules() {
            assert!((1..=lines).contains(&rule.line));
            assert_eq!(text.get(rule.span.clone()), Some(rule.text.as_str()));
            for clause in &rule.clauses {
                rule.text.get(clause.span.clone()).expect("a clause of the rule's text");
                let _ = (rule.without(clause), rule.negating(clause));
            }
            let _ = (rule.with_target(""), rule.log_prefix(), rule.limit(), rule.is_terminal());
        }
        assert_eq!(iptables_save::apply(&listing.source, &[]), listing.source);
        if text.len() > SHORT {
            continue;
        }
        for finding in lint::lint(Some(&listing), Some(&listing)) {
            assert!((1..=lines.max(1)).contains(&finding.line), "{finding:?}");
        }
        for mutant in mutant::mutants(&listing) {
            assert_ne!(mutant.apply(&listing.source), listing.source, "{mutant:?}");
        }
    }
});
