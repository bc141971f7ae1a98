//! For every condition of [`check_consistency`], by its number, a contradiction that it catches.

use std::sync::Arc;

use super::*;
use crate::net::Protocol;
use crate::net::port::Port;
use crate::probe::ProbeOverrides;
use crate::probe::path::{Step, StepVerdict};
use crate::probe::scan::Technique;
use crate::wire::reply::Flow;

fn probe() -> Probe {
    let (prober, host) = ("203.0.113.66".parse().unwrap(), "203.0.113.10".parse().unwrap());
    let flow = Flow { protocol: Protocol::Tcp, prober, prober_port: Port(40000), host, port: Port(80) };
    Probe {
        technique: Technique::Syn,
        flow,
        seq: 7,
        ack: 0,
        ttl: 57,
        ip_id: 4660,
        flow_label: 0,
        craft: ProbeOverrides::default(),
    }
}

/// A step at a rule that logs with `prefix`, or does not log.
fn step(table: &str, prefix: Option<&str>, verdict: StepVerdict) -> Step {
    let step = Step::new((table, "INPUT"), [Some(1), Some(5)], "", verdict);
    Step { log_prefix: prefix.map(str::to_owned), ..step }
}

fn path(prefixes: &[&str], fate: Fate) -> Arc<Path> {
    let steps = prefixes.iter().map(|prefix| step("filter", Some(prefix), StepVerdict::Continue)).collect();
    Arc::new(Path { steps, conntrack: None, fate })
}

fn lines(prefixes: &[&str]) -> Vec<LogRecord> {
    let line = |prefix: &&str| LogRecord { prefix: (*prefix).to_owned(), line: format!("{prefix}IN=eth0 OUT= ") };
    prefixes.iter().map(line).collect()
}

/// A probe that was logged, dropped and not answered.
fn dropped() -> Observation {
    let path = path(&["a: ", "b: "], Fate::Dropped);
    Observation { path: Some(path), log: lines(&["a: ", "b: "]), ..Observation::silence(Technique::Syn) }
}

/// A probe that was accepted and answered; the answer was logged in OUTPUT.
fn answered() -> Observation {
    Observation {
        path: Some(path(&["a: "], Fate::Accepted)),
        answer_path: Some(path(&["out: "], Fate::Accepted)),
        log: lines(&["a: ", "out: "]),
        ..Observation::silence(Technique::Syn)
    }
}

fn words(observation: &Observation, answered: bool) -> String {
    check_consistency(&probe(), observation, answered).expect_err("a contradiction").to_string()
}

fn assert_says(observation: &Observation, answered: bool, expected: &str) {
    let said = words(observation, answered);
    assert!(said.contains(expected), "{said}");
}

#[test]
fn witnesses_that_agree_tell_where_it_ended() {
    assert_eq!(check_consistency(&probe(), &dropped(), false).expect("agreement"), Fate::Dropped);
    assert_eq!(check_consistency(&probe(), &answered(), true).expect("agreement"), Fate::Accepted);
    let rejected = Observation { path: Some(path(&["a: "], Fate::Rejected)), ..answered() };
    assert_eq!(check_consistency(&probe(), &rejected, true).expect("agreement"), Fate::Rejected);
}

#[test]
fn condition_1_the_probe_was_traced() {
    assert_says(&Observation { path: None, ..dropped() }, false, "ipv4 syn probe of port 80 was not traced");
}

#[test]
fn condition_2_every_log_rule_left_its_line_in_order_and_no_other_is_there() {
    for log in [&["a: "][..], &["b: "], &[], &["b: ", "a: "], &["a: ", "b: ", "b: "], &["a: ", "c: "]] {
        assert_says(
            &Observation { log: lines(log), ..dropped() },
            false,
            "the trace shows LOG rules with the prefixes",
        );
    }
    assert_says(
        &Observation { log: lines(&["a: "]), ..answered() },
        true,
        "[\"a: \", \"out: \"], the log has [\"a: \"]",
    );
}

/// A prefix must match to the last byte: `IN=` follows directly.
#[test]
fn condition_2_a_prefix_that_only_begins_alike_is_another() {
    let observation = Observation { log: lines(&["a: ", "b: b: "]), ..dropped() };
    assert_says(&observation, false, "the log has [\"a: \", \"b: b: \"]");
}

#[test]
fn condition_3_what_followed_is_told_alike_in_any_order() {
    let followed = |log: &[&str]| Observation {
        followup_paths: vec![path(&["c: "], Fate::Accepted), path(&["d: "], Fate::Dropped)],
        followup: lines(log),
        ..answered()
    };
    assert!(check_consistency(&probe(), &followed(&["d: ", "c: "]), true).is_ok());
    for log in [&["c: "][..], &["c: ", "c: "], &["c: ", "d: ", "d: "], &[]] {
        assert_says(&followed(log), true, "the trace shows LOG rules with the prefixes [\"c: \", \"d: \"]");
    }
}

#[test]
fn condition_4_an_answer_came_if_one_was_sent_and_only_then() {
    assert_says(&answered(), false, "the trace shows an answer on its way out, but none arrived");
    assert_says(&dropped(), true, "an answer arrived that the trace does not show");
    let taken = Observation { answer_path: Some(path(&["out: "], Fate::Dropped)), ..answered() };
    assert!(check_consistency(&probe(), &taken, false).is_ok());
    assert_says(&taken, true, "an answer arrived that the trace does not show");
}

#[test]
fn condition_5_what_a_rule_dropped_was_not_answered() {
    let both = Observation { path: Some(path(&["a: "], Fate::Dropped)), ..answered() };
    assert_says(&both, true, "the trace shows it dropped, but it was answered");
}

#[test]
fn condition_6_nothing_but_another_table_sends_a_probe_off() {
    let vanished = |table| {
        let path = Path { steps: vec![step(table, None, StepVerdict::Accept)], conntrack: None, fate: Fate::Vanished };
        Observation { path: Some(Arc::new(path)), ..Observation::silence(Technique::Syn) }
    };
    assert_says(&vanished("filter"), false, "the trace ends between two hooks, and no rule has touched it");
    assert_eq!(check_consistency(&probe(), &vanished("nat"), false).expect("agreement"), Fate::Vanished);
}
