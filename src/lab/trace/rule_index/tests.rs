//! Matching the rules of the file with those of the kernel; if they differ, nothing is guessed.

use super::*;
use crate::error::{Error, Source};
use crate::lab::trace::nft_rules::{self, Rules};

const RULES: &str = "*filter
:INPUT DROP [0:0]
:scans - [0:0]
-A INPUT -p tcp -j scans
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -p tcp --dport 80 -j REJECT
-A scans -j LOG --log-prefix \"scan: \"
COMMIT
";

fn listing() -> Listing {
    Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: RULES.into() })
}

/// The handles that the kernel has for these rules, in order.
fn kernel(input: &[u64]) -> Rules {
    let own = ("scanlab", "prerouting", 1);
    let input = input.iter().map(|handle| ("filter", "INPUT", *handle));
    Rules::named(Family::Ipv4, input.chain([own, ("filter", "scans", 5)]))
}

fn compile(kernel: Rules) -> Result<RuleIndex> {
    RuleIndex::compile(&[listing()], nft_rules::all_known(&[kernel])?)
}

fn event<'a>(chain: &'a str, handle: Option<u64>, verdict: Code<'a>) -> Event<'a> {
    Event {
        family: Family::Ipv4,
        packet: 1,
        table: b"filter",
        chain: chain.as_bytes(),
        kind: TraceEventKind::Rule,
        handle,
        verdict,
        conntrack: None,
        network: None,
        transport: None,
    }
}

fn step(chain: &str, handle: u64, verdict: Code) -> Step {
    let index = compile(kernel(&[7, 9, 4])).expect("a rulebook");
    index.step(&event(chain, Some(handle), verdict)).expect("a known rule").expect("a step")
}

/// The text of the disagreement.
fn disagreement<T>(result: Result<T>) -> String {
    match result {
        Err(Error::CannotMeasure(CannotMeasure::Disagreement(words))) => words,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("no disagreement"),
    }
}

#[test]
fn handles_are_rules_in_the_order_in_which_they_stand() {
    let found = [7, 9, 4].map(|handle| step("INPUT", handle, Code::Continue).line);
    assert_eq!(found, [Some(4), Some(5), Some(6)]);
    let log = step("scans", 5, Code::Continue);
    assert_eq!((log.rule, log.log_prefix.as_deref()), (Some(1), Some("scan: ")));
}

#[test]
fn verdicts_are_those_of_the_event() {
    assert_eq!(step("INPUT", 7, Code::Jump(b"scans")).verdict, StepVerdict::Jump("scans".to_owned()));
    assert_eq!(step("INPUT", 9, Code::Accept).verdict, StepVerdict::Accept);
    assert_eq!(step("INPUT", 9, Code::Drop).verdict, StepVerdict::Drop);
    assert_eq!(step("INPUT", 4, Code::Drop).verdict, StepVerdict::Reject);
}

#[test]
fn a_policy_has_its_declaration_and_the_end_of_a_chain_is_no_step() {
    let index = compile(kernel(&[7, 9, 4])).expect("a rulebook");
    let policy = |chain| Event { kind: TraceEventKind::Policy, ..event(chain, None, Code::Drop) };
    let step = index.step(&policy("INPUT")).expect("a policy").expect("a step");
    assert_eq!(
        (step.rule, step.line, step.text.as_str(), step.verdict),
        (None, Some(2), ":INPUT DROP", StepVerdict::Drop)
    );
    let undeclared = index.step(&policy("FORWARD")).expect("a policy").expect("a step");
    assert_eq!((undeclared.line, undeclared.text.as_str()), (None, ":FORWARD DROP"));
    assert_eq!(index.step(&event("scans", None, Code::Continue)).expect("the end"), None);
}

#[test]
fn a_rule_too_much_or_too_few_is_a_disagreement() {
    for handles in [&[7, 9][..], &[7, 9, 4, 11]] {
        let words = disagreement(compile(kernel(handles)));
        let expected =
            format!("chain INPUT of table filter (ipv4) has {} rules in the kernel, and 3 in the file", handles.len());
        assert_eq!(words, expected);
    }
}

#[test]
fn a_chain_that_the_file_does_not_have_is_a_disagreement() {
    let stranger = Rules::named(Family::Ipv4, [("nat", "PREROUTING", 3)].into_iter());
    let words = disagreement(compile(stranger));
    assert_eq!(words, "chain PREROUTING of table nat (ipv4) has 1 rules in the kernel, and 0 in the file");
}

#[test]
fn a_handle_that_was_not_loaded_is_a_disagreement() {
    let index = compile(kernel(&[7, 9, 4])).expect("a rulebook");
    let words = disagreement(index.step(&event("INPUT", Some(12), Code::Accept)));
    assert_eq!(words, "the trace names rule 12 of chain INPUT in table filter (ipv4), which the lab did not load");
    // Handles belong to a table, and those of the other family are different rules.
    disagreement(index.step(&Event { table: b"mangle", ..event("INPUT", Some(7), Code::Accept) }));
    disagreement(index.step(&Event { family: Family::Ipv6, ..event("INPUT", Some(7), Code::Accept) }));
}

#[test]
fn a_rule_with_a_new_handle_is_known_by_it_and_no_longer_by_the_old_one() {
    let (before, after) = ([kernel(&[7, 9, 4])], [kernel(&[7, 12, 4])]);
    let renamed = nft_rules::renamed(&before, &after);
    let ids: Vec<(u64, u64)> = renamed.iter().map(|one| (one.before, one.after)).collect();
    assert_eq!(ids, [(9, 12)]);
    let mut index = compile(kernel(&[7, 9, 4])).expect("a rulebook");
    index.rename(&renamed);
    let of = |handle| index.step(&event("INPUT", Some(handle), Code::Accept));
    assert_eq!(of(12).expect("a known rule").and_then(|step| step.rule), Some(2));
    assert!(of(9).is_err());
}
