//! The self-test through the built program, and the proof that its faults are really planted. Needs root.

use std::fs;
use std::process::Command;

use crate::support::binary::{Ended, ended, have_the_machine_alone};
use scanlab::commands::selftest::{FaultOutcome, judge};
use scanlab::error::Error;
use scanlab::lab::{Fault, Flavour, Lab, LabOptions, LabSpec, LinkMode, Sabotage};
use scanlab::net::port::Port;
use scanlab::net::{Addresses, Family, InterfaceName};
use scanlab::probe::Probe;
use scanlab::probe::observation::Observation;
use scanlab::probe::scan::Technique;
use scanlab::probe::scan_pass::{PassNumbering, SEED};

/// The ending of each fault, worked out by hand.
const ENDINGS: [(&str, &str); 11] = [
    ("none", "right"),
    ("nothing loaded", "caught"),
    ("blind log", "caught"),
    ("lost trace", "caught"),
    ("lost routing", "caught"),
    ("stale reply", "right"),
    ("wrong fence", "right"),
    ("RST of a stranger", "right"),
    ("RST out of window", "right"),
    ("log overrun", "caught"),
    ("full conntrack table", "caught"),
];

fn selftest(arguments: &[&str]) -> Ended {
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    ended(command.arg("selftest").args(arguments).env("COLUMNS", "80").output().expect("the program starts"))
}

#[test]
fn every_fault_is_caught_or_changes_no_verdict() {
    let _machine = have_the_machine_alone();
    let equipments = [
        ("nft", "kmsg", "tap"),
        ("legacy", "kmsg", "tap"),
        ("nft", "nflog", "tap"),
        ("legacy", "nflog", "tap"),
        ("nft", "kmsg", "tun"),
    ];
    for (flavour, capture, link) in equipments {
        let ended = selftest(&["--format", "json", "--iptables", flavour, "--capture", capture, "--link", link]);
        let report = ended.report();
        let rows = report["faults"].as_array().expect("faults");
        let word = |row: &serde_json::Value, key: &str| row[key].as_str().expect("a word").to_owned();
        let found: Vec<_> = rows.iter().map(|row| (word(row, "fault"), word(row, "outcome"))).collect();
        let expected: Vec<_> =
            ENDINGS.into_iter().map(|(fault, outcome)| (fault.to_owned(), outcome.to_owned())).collect();
        assert_eq!(found, expected, "{}", ended.stdout);
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
    }
}

#[test]
fn the_table_fits_a_terminal_and_the_machine_is_as_before() {
    let _machine = have_the_machine_alone();
    let before = conntrack_count();
    let ended = selftest(&[]);
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
    let last = "10 faults: 6 caught, 4 right, 0 fooled, 0 not planted, 0 not run";
    assert_eq!((ended.stdout.lines().last(), ended.status), (Some(last), Some(0)), "{}", ended.stderr);
    assert_eq!(conntrack_count(), before);
}

/// Connections of the machine's own namespace. There are none if conntrack is not loaded.
fn conntrack_count() -> String {
    fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or_else(|_| "0\n".to_owned())
}

/// The result of these probes in a lab with this fault. Port 24 is redirected to another machine; the rules make
/// conntrack track.
fn lab_with(
    (flavour, link): (Flavour, LinkMode),
    sabotage: &std::sync::Arc<Sabotage>,
    probes: &[Probe],
) -> Result<Vec<Observation>, Error> {
    let usual = LabOptions::usual(flavour, &std::env::var("PATH").unwrap_or_default()).expect("iptables");
    let equipment = LabOptions { link, ..usual };
    let (interface, addresses) = (InterfaceName::default(), Addresses::default());
    let tracking = "*nat\n-A PREROUTING -p tcp --dport 24 -j DNAT --to-destination 198.51.100.9\nCOMMIT\n\
                    *filter\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n";
    let ruleset = scanlab::error::Source { name: "<test>".into(), text: tracking.into() };
    let rulesets = [(Family::Ipv4, &ruleset)];
    let spec = LabSpec { fault: Some(sabotage.clone()), ..LabSpec::new(&equipment, &interface, &addresses, &rulesets) };
    Lab::run(&spec, |lab| lab.send(probes))
}

fn syn(port: u16) -> Probe {
    PassNumbering::new(SEED).phase(Technique::Syn, Family::Ipv4, Addresses::default()).probe(Port(port), 0)
}

#[test]
fn each_fault_is_really_planted_and_met() {
    let _machine = have_the_machine_alone();
    let all = |flavour, link| Fault::ALL.map(|fault| ((flavour, link), fault));
    let of_nft = [all(Flavour::Nft, LinkMode::Tap), all(Flavour::Nft, LinkMode::Tun)].concat();
    let of_legacy = [((Flavour::Legacy, LinkMode::Tap), Fault::LostTrace)];
    for (equipment, fault) in of_nft.into_iter().chain(of_legacy) {
        let sabotage = Sabotage::new(fault);
        let port = if fault == Fault::LostRouting { 24 } else { 23 };
        let found = lab_with(equipment, &sabotage, &[syn(port)]);
        assert!(sabotage.declined().is_none(), "{fault:?}: {:?}", sabotage.declined());
        assert!(sabotage.planted() > 0 && sabotage.met() > 0, "{fault:?}: {sabotage:?}, {found:?}");
        match fault {
            // Every forged frame or packet was read by the prober.
            Fault::StaleReply | Fault::ResetOfAStranger | Fault::ResetOutOfWindow => {
                assert_eq!((sabotage.planted(), sabotage.met()), (1, 1), "{fault:?}");
            }
            Fault::WrongFence => assert_eq!((sabotage.planted(), sabotage.met()), (2, 2)),
            Fault::NothingLoaded => assert_ends_in(&found, "iptables-restore failed"),
            Fault::BlindLog => assert_ends_in(&found, "the kernel log is blind"),
            Fault::LostRouting | Fault::LostTrace => assert_ends_in(&found, "the rule trace lost records"),
            Fault::LogOverrun => assert_ends_in(&found, "the kernel log lost records"),
            // A full table looks like a filter: without the error, the port would be reported as filtered.
            Fault::FullConntrack => assert_ends_in(&found, "the conntrack table lost records"),
        }
    }
}

fn assert_ends_in(found: &Result<Vec<Observation>, Error>, words: &str) {
    let error = found.as_ref().expect_err("the lab cannot measure");
    assert!(matches!(error, Error::CannotMeasure(_)) && error.to_string().starts_with(words), "{error}");
}

/// Nothing is sent, so nothing is forged: a correct result that proves nothing.
#[test]
fn a_fault_that_the_instrument_never_met_is_not_planted() {
    let _machine = have_the_machine_alone();
    let sabotage = Sabotage::new(Fault::StaleReply);
    let found = lab_with((Flavour::Auto, LinkMode::Tap), &sabotage, &[]).expect("an idle lab stands");
    assert!(found.is_empty());
    assert_eq!(judge(&sabotage, &Ok(Vec::new())).0, FaultOutcome::NotPlanted);
}
