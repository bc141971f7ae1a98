use super::*;
use crate::lab::PinnedSysctls;

fn report(rows: Vec<FaultRow>) -> SelfTestReport {
    SelfTestReport::new(&SelfTest { rows, pinned_sysctls: PinnedSysctls::default() }, Environment::unmeasured())
}

fn row(fault: &'static str, happened: &str, outcome: FaultOutcome) -> FaultRow {
    FaultRow { fault, planted: "a thing that does not belong there".to_owned(), happened: happened.to_owned(), outcome }
}

fn printed(rows: Vec<FaultRow>) -> String {
    anstream::adapter::strip_str(&selftest_table(&report(rows), 80)).to_string()
}

#[test]
fn every_outcome_has_its_line() {
    let table = printed(vec![
        row("none", "every verdict is right", FaultOutcome::Right),
        row("first", "it is blind", FaultOutcome::Caught),
        row("second", "every verdict is right", FaultOutcome::Right),
        row("third", "a wrong verdict: ipv4 syn 22: expected open, observed closed", FaultOutcome::Fooled),
        row("fourth", "the instrument never met it", FaultOutcome::NotPlanted),
        row("fifth", "the table is \u{1b}[31mtoo large", FaultOutcome::NotRun),
    ]);
    insta::assert_snapshot!(table);
}

#[test]
fn a_control_that_is_wrong_is_told_in_the_last_line() {
    let table =
        printed(vec![row("none", "2 wrong verdicts", FaultOutcome::Fooled), row("first", "fine", FaultOutcome::Right)]);
    let last = "1 faults: 0 caught, 1 right, 0 fooled, 0 not planted, 0 not run (and wrong without any fault: see the first row)";
    assert_eq!(table.lines().last().map(str::trim_end), Some(last));
}
