use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::intent::scenario::Scenario;
use crate::rules::generate::generate;

fn listing(family: Family, text: &str) -> Listing {
    Listing::parse(family, &Source { name: "rules".into(), text: text.into() })
}

/// The generated ruleset of the built-in sensor.
fn hardened() -> [Listing; 2] {
    let scenario = Scenario::load(Path::new("scenarios/sensor-hardened.toml")).unwrap();
    let generated = generate(&scenario.sensor.unwrap());
    [listing(Family::Ipv4, &generated.v4), listing(Family::Ipv6, &generated.v6)]
}

/// The mutants of `operator` for rules of INPUT: their texts, without the lines that are no rules.
fn made(operator: Operator, rules: &str) -> String {
    let listing = listing(Family::Ipv4, &format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}\nCOMMIT\n"));
    let wanted = mutants(&listing).into_iter().filter(|mutant| mutant.operator == operator);
    let rules = |mutant: Mutant| {
        mutant.apply(&listing.source).text.lines().filter(|line| line.starts_with('-')).collect::<Vec<_>>().join("\n")
    };
    wanted.map(rules).collect::<Vec<_>>().join("\n\n")
}

fn described(listing: &Listing, operators: &[Operator]) -> String {
    let wanted = mutants(listing).into_iter().filter(|mutant| operators.contains(&mutant.operator));
    wanted.map(|mutant| format!("{}: {}\n", mutant.operator, mutant.description)).collect()
}

#[test]
fn how_many_mutants_the_hardened_sensor_has() {
    let mut counts: BTreeMap<Operator, [usize; 2]> = BTreeMap::new();
    let all: Vec<Mutant> = hardened().iter().flat_map(mutants).collect();
    for mutant in &all {
        let count = counts.entry(mutant.operator).or_default();
        count[0] += 1;
        count[1] += usize::from(mutant.equivalent.is_some());
    }
    let rows = counts.iter().map(|(operator, [all, equivalent])| format!("{operator:18}{all:4}{equivalent:4}\n"));
    let equivalent = all.iter().filter(|mutant| mutant.equivalent.is_some()).count();
    assert_snapshot!(format!("{}{:18}{:4}{equivalent:4}", rows.collect::<String>(), "", all.len()));
}

#[test]
fn no_two_mutants_are_the_same_text_and_none_is_the_original() {
    for listing in hardened() {
        let mut seen = HashSet::from([listing.source.text.clone()]);
        for mutant in mutants(&listing) {
            assert!(seen.insert(mutant.apply(&listing.source).text), "{}", mutant.description);
        }
    }
}

/// A ruleset with the options that the hardened one does not have.
const SMALL: &str = r#"*filter
:INPUT DROP [0:0]
:visits - [0:0]
-A INPUT -i eth0 -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -s 10.0.0.0/8 -p udp -m udp --dport 53 -j REJECT
-A INPUT -p tcp -m multiport --dports 22,8000:8010 -m limit --limit 5/min --limit-burst 7 -j LOG --log-prefix "in: "
-A INPUT -p tcp -m multiport --dports 22,8000:8010 -j visits
-A INPUT -p tcp --syn -j DROP
COMMIT
"#;

#[test]
fn all_mutants_of_a_small_ruleset() {
    assert_snapshot!(described(&listing(Family::Ipv4, SMALL), &Operator::ALL));
}

const LOG: &str = "-A INPUT -p tcp --dport 23 -m limit --limit 5/min --limit-burst 7 -j LOG --log-prefix \"in \"";
const BETWEEN: &str = "-A INPUT -p udp -j ACCEPT";
const VERDICT: &str = "-A INPUT -p tcp -j DROP";

#[test]
fn a_log_rule_goes_behind_the_rule_that_takes_all_it_logs() {
    let rules = [LOG, BETWEEN, VERDICT].join("\n");
    assert_eq!(made(Operator::LogAfterVerdict, &rules), [BETWEEN, VERDICT, LOG].join("\n"));
    let not_all = format!("{LOG}\n-A INPUT -p tcp --dport 23 -m mark --mark 0x1 -j DROP");
    assert_eq!(made(Operator::LogAfterVerdict, &not_all), "");
}

#[test]
fn the_limit_of_a_log_rule_comes_to_its_verdict() {
    let limited = "-A INPUT -p tcp -m limit --limit 5/min --limit-burst 7 -j DROP";
    let rules = [LOG, BETWEEN, VERDICT].join("\n");
    assert_eq!(made(Operator::LimitVerdict, &rules), [LOG, BETWEEN, limited].join("\n"));
}

#[test]
fn a_log_rule_goes_to_a_nat_table_that_is_there_or_is_made() {
    let moved = LOG.replace("INPUT", "PREROUTING");
    assert_eq!(made(Operator::LogInNat, &[LOG, VERDICT].join("\n")), [VERDICT, &moved].join("\n"));
    let nat = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT";
    let listing = listing(Family::Ipv4, &format!("{nat}\n*filter\n{LOG}\nCOMMIT\n"));
    let in_nat = mutants(&listing).into_iter().find(|mutant| mutant.operator == Operator::LogInNat).unwrap();
    let first = nat.replace("-A PREROUTING -j", &format!("{moved}\n-A PREROUTING -j"));
    assert_eq!(&*in_nat.apply(&listing.source).text, format!("{first}\n*filter\nCOMMIT\n"));
}

#[test]
fn a_prefix_is_quoted_as_it_was_and_keeps_the_other_options() {
    let rule = r#"-A INPUT -j LOG --log-level 7 --log-prefix "a \"b\" " --log-uid"#;
    assert_snapshot!(made(Operator::LogPrefix, rule), @r#"
    -A INPUT -j LOG --log-level 7 --log-prefix "a \"B\" " --log-uid

    -A INPUT -j LOG --log-level 7 --log-prefix "a \"b\"" --log-uid
    "#);
}

#[test]
fn tcp_becomes_udp_with_its_match_and_only_where_udp_has_the_same() {
    assert_eq!(
        made(Operator::Protocol, "-A INPUT -p tcp -m tcp --dport 53 -j DROP"),
        "-A INPUT -p udp -m udp --dport 53 -j DROP"
    );
    for rule in
        ["-p tcp --syn -j DROP", "-p tcp -j REJECT --reject-with tcp-reset", "-p tcp -m tcp --tcp-option 8 -j DROP"]
    {
        assert_eq!(made(Operator::Protocol, &format!("-A INPUT {rule}")), "", "{rule}");
    }
}

#[test]
fn syn_and_new_are_taken_for_one_another() {
    let new = "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT";
    let syn = "-A INPUT -p tcp -m tcp --dport 22 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT";
    assert_eq!(made(Operator::SynOrNew, new), syn);
    assert_eq!(made(Operator::SynOrNew, syn), new);
    assert_eq!(made(Operator::SynOrNew, "-A INPUT -p tcp --syn -m state --state NEW -j ACCEPT"), "");
    assert_eq!(made(Operator::SynOrNew, "-A INPUT -p udp -m state --state NEW -j ACCEPT"), "");
}

#[test]
fn ports_end_where_ports_end() {
    let ports = |operator, port: &str| made(operator, &format!("-A INPUT -p udp --dport {port}"));
    assert_eq!(ports(Operator::PortOffByOne, "0"), "-A INPUT -p udp --dport 1");
    assert_eq!(ports(Operator::PortOffByOne, "65535"), "-A INPUT -p udp --dport 65534");
    assert_eq!(ports(Operator::PortRange, "65535"), "");
    assert_eq!(ports(Operator::PortRange, "ssh"), "-A INPUT -p udp --dport 22:23");
    assert_eq!(ports(Operator::PortRange, "9:"), "-A INPUT -p udp --dport 65535");
    let full = "-A INPUT -p udp -m multiport --dports 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29";
    assert_eq!(made(Operator::PortRange, full), "", "sixteen do not fit");
}

#[test]
fn a_rule_is_moved_only_where_lines_stand_in_the_order_of_rules() {
    let rules = "-A INPUT -m state --state ESTABLISHED -j ACCEPT\n-A INPUT -j DROP";
    assert_ne!(made(Operator::SwapNeighbours, rules), "");
    assert_eq!(made(Operator::SwapNeighbours, &rules.replace("-A INPUT -m", "-I INPUT -m")), "");
    assert_eq!(made(Operator::MoveStateRule, &rules.replace("-A INPUT -j", "-I INPUT -j")), "");
    let declared = "-A INPUT -p tcp -j ACCEPT\n-N late\n-A INPUT -j late";
    assert_eq!(made(Operator::SwapNeighbours, declared), "", "the chain is not there yet");
}

proptest! {
    /// Words in any order, and any text between them.
    #[test]
    fn any_text_has_mutants_and_no_two_are_the_same(words in prop::collection::vec(word(), 0..60)) {
        for family in Family::BOTH {
            let listing = listing(family, &words.concat());
            let texts: Vec<_> = mutants(&listing).iter().map(|mutant| mutant.apply(&listing.source).text).collect();
            let distinct: HashSet<_> = texts.iter().chain([&listing.source.text]).collect();
            prop_assert_eq!(distinct.len(), texts.len() + 1);
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    let words = [
        "*filter\n",
        "*nat\n",
        ":INPUT ACCEPT [0:0]\n",
        ":x - [0:0]\n",
        "COMMIT\n",
        "\n-A INPUT ",
        "\n-A x ",
        "\n-I INPUT 1 ",
        "! ",
        "-p tcp ",
        "-p udp ",
        "-m tcp ",
        "-m limit ",
        "--limit 5/min ",
        "--limit-burst 9 ",
        "--dport 22 ",
        "--sport 1:9 ",
        "-m multiport --dports 1,2:3 ",
        "--syn ",
        "--tcp-flags ALL NONE ",
        "-m state --state NEW,INVALID ",
        "-i lo ",
        "-o é ",
        "-s 10.0.0.0/8 ",
        "-d ::/1 ",
        "-s 1.1.1.1,2.2.2.2 ",
        "-j DROP ",
        "-j REJECT ",
        "-g x ",
        "-j LOG --log-prefix \"é ü \" ",
        "--icmp-type 8 ",
        "\"",
    ];
    prop_oneof![9 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}
