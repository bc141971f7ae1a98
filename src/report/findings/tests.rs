//! The findings as printed at 80 columns.

use super::*;
use crate::net::Family;
use crate::rules::sweep::FlagCoverage;
use crate::verdict::findings::UntriedRuleset;

fn rule(line: usize, text: &str) -> FindingPlace {
    let (file, table, chain) = ("rules.v4".to_owned(), "filter".to_owned(), "INPUT".to_owned());
    FindingPlace { family: Family::Ipv4, file, line, table, chain, rule: line - 4, text: text.to_owned() }
}

fn front(line: Option<usize>, packets: usize, text: &str) -> ShadowingRule {
    let (table, chain) = ("filter".to_owned(), "INPUT".to_owned());
    ShadowingRule { table, chain, rule: line.map(|line| line - 4), line, text: text.to_owned(), packets }
}

#[test]
fn every_kind_of_line() {
    let findings = RulesetFindings {
        unreachable: vec![
            DeadRule {
                severity: Severity::DeadLog,
                place: rule(6, "-A INPUT -p tcp -m tcp --tcp-flags ALL NONE -j LOG --log-prefix \"Null scan\u{1b}: \""),
                in_front: vec![front(Some(5), 38, "-A INPUT -m state --state INVALID -j DROP")],
                reason: "NULL packets are INVALID to conntrack, and line 5 drops INVALID packets".to_owned(),
            },
            DeadRule {
                severity: Severity::Dead,
                place: rule(9, "-A INPUT -j ACCEPT"),
                in_front: vec![front(None, 7, ":PREROUTING DROP")],
                reason: "the policy of PREROUTING drops its packets before".to_owned(),
            },
        ],
        not_provable: vec![NotProvable {
            place: rule(10, "-A INPUT -m recent --rcheck -j DROP"),
            reason: "no packet of the sweep matches --rcheck".to_owned(),
        }],
        not_tried: vec![UntriedRuleset { family: Family::Ipv6, file: "rules.v6".to_owned() }],
        parity: vec![Disparity {
            lets_in: Family::Ipv6,
            packets: vec!["tcp syn".to_owned(), "tcp ack".to_owned()],
            ports: "80,443,8080-8089".to_owned(),
            ipv4: LastStep {
                file: Some("rules.v4".to_owned()),
                line: Some(12),
                text: "-A INPUT -p tcp -m multiport --dports 80,443,8080:8089 -j DROP".to_owned(),
            },
            ipv6: LastStep { file: None, line: None, text: ":INPUT ACCEPT".to_owned() },
        }],
        sweeps: vec![SweepSummary {
            family: Family::Ipv4,
            interface: "eth0".to_owned(),
            stimuli: 4175,
            octets: FlagCoverage::Distinguished,
            complete: true,
        }],
    };
    let text = anstream::adapter::strip_str(&findings_table(&findings, 80)).to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn nothing_found() {
    assert!(findings_table(&RulesetFindings::default(), 80).contains("every rule is reached"));
}
