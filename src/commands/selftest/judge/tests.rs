//! With a broken guard, the self-test fails: every guard of the lab that could break is one of these observations.

use super::*;
use crate::commands::selftest::fault_lab::ProbeOutcome;
use crate::probe::scan::{PortState, Reason};

/// A fault that was planted, and that the instrument met.
fn met(fault: Fault) -> std::sync::Arc<Sabotage> {
    let sabotage = Sabotage::new(fault);
    sabotage.plant(1);
    sabotage.meet();
    sabotage
}

fn wrong_verdict() -> WrongVerdict {
    WrongVerdict {
        probe: "ipv4 syn 22".to_owned(),
        expected: ProbeOutcome { state: PortState::Open, reason: Reason::SynAck, lines: 0 },
        observed: ProbeOutcome { state: PortState::Closed, reason: Reason::Reset, lines: 0 },
    }
}

fn blind() -> CannotMeasure {
    CannotMeasure::Blind { instrument: "kernel log", evidence: "a canary left no line".to_owned() }
}

fn not_loaded() -> CannotMeasure {
    CannotMeasure::ProgramFailed { program: "iptables-restore".to_owned(), problem: "no rule in INPUT".to_owned() }
}

fn loss() -> CannotMeasure {
    CannotMeasure::Loss { instrument: "kernel log", evidence: "EPIPE".to_owned() }
}

#[test]
fn each_fault_has_an_ending_that_is_right() {
    for fault in Fault::ALL {
        let (found, right) = match Ending::expected(fault) {
            Ending::Blind => (Err(blind()), FaultOutcome::Caught),
            Ending::NotLoaded => (Err(not_loaded()), FaultOutcome::Caught),
            Ending::Loss => (Err(loss()), FaultOutcome::Caught),
            Ending::Right => (Ok(Vec::new()), FaultOutcome::Right),
        };
        assert_eq!(judge(&met(fault), &found).0, right, "{fault:?}");
    }
}

#[test]
fn a_wrong_verdict_is_never_right() {
    for fault in Fault::ALL {
        let (outcome, happened) = judge(&met(fault), &Ok(vec![wrong_verdict()]));
        assert_eq!(outcome, FaultOutcome::Fooled, "{fault:?}");
        assert!(happened.contains("ipv4 syn 22: expected open syn-ack, observed closed reset"), "{happened}");
    }
}

#[test]
fn a_loss_that_goes_unnoticed_is_not_accepted() {
    for fault in [Fault::BlindLog, Fault::LogOverrun, Fault::FullConntrack] {
        let (outcome, happened) = judge(&met(fault), &Ok(Vec::new()));
        assert_eq!(
            (outcome, &*happened),
            (FaultOutcome::Fooled, "no one noticed; every verdict is right"),
            "{fault:?}"
        );
    }
}

#[test]
fn an_error_of_the_wrong_kind_is_no_catch() {
    let deadline = || CannotMeasure::Deadline { what: "the answer".to_owned(), seconds: 10 };
    for fault in Fault::ALL {
        assert_eq!(judge(&met(fault), &Err(deadline())).0, FaultOutcome::Fooled, "{fault:?}");
    }
    assert_eq!(judge(&met(Fault::BlindLog), &Err(loss())).0, FaultOutcome::Fooled);
    assert_eq!(judge(&met(Fault::LogOverrun), &Err(blind())).0, FaultOutcome::Fooled);
}

#[test]
fn a_fault_that_was_never_met_is_not_planted_or_fooled() {
    for fault in Fault::ALL {
        let found = if Ending::expected(fault) == Ending::Blind { Err(blind()) } else { Ok(Vec::new()) };
        let outcome = judge(&Sabotage::new(fault), &found).0;
        assert!(matches!(outcome, FaultOutcome::NotPlanted | FaultOutcome::Fooled), "{fault:?}: {outcome:?}");
    }
}

#[test]
fn a_fault_that_the_machine_declines_did_not_run() {
    let sabotage = Sabotage::new(Fault::FullConntrack);
    sabotage.decline("nf_conntrack_max is 0".to_owned());
    let judged = judge(&sabotage, &Ok(Vec::new()));
    assert_eq!(judged, (FaultOutcome::NotRun, "nf_conntrack_max is 0".to_owned()));
}
