//! Every check catches a planted fault: the hardened ruleset, with one rule changed, is tested against the intent. The
//! report has exactly the cells that the change affects; they are worked out by hand. Needs root.

use std::collections::BTreeSet;
use std::fs;

use crate::support::binary::{Ended, HARDENED, run_files, share_the_machine};
use scanlab::intent::scenario::Scenario;
use scanlab::rules::generate;

/// The ports that the hardened scenario names, and examples of the others.
const ALL: [u16; 13] = [1, 21, 22, 23, 80, 139, 443, 445, 5555, 32231, 32232, 32233, 65535];
const UNNAMED: [u16; 6] = [1, 21, 23, 32231, 32233, 65535];
/// Ports that have a LOG rule of their own.
const LOGGED: [u16; 6] = [22, 80, 139, 443, 445, 5555];

struct Rules {
    v4: Vec<String>,
    v6: Vec<String>,
}

impl Rules {
    fn generated() -> Rules {
        let sensor = Scenario::load(HARDENED.as_ref()).expect("a scenario").sensor.expect("a sensor");
        let generated = generate::generate(&sensor);
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Rules { v4: lines(&generated.v4), v6: lines(&generated.v6) }
    }
}

/// Index of the only rule that contains all of `words`.
fn rule(lines: &[String], words: &[&str]) -> usize {
    let found: Vec<usize> =
        (0..lines.len()).filter(|index| words.iter().all(|word| lines[*index].contains(word))).collect();
    assert_eq!(found.len(), 1, "{words:?} in {lines:#?}");
    found[0]
}

fn delete(lines: &mut Vec<String>, words: &[&str]) {
    let index = rule(lines, words);
    lines.remove(index);
}

fn alter(lines: &mut [String], words: &[&str], from: &str, to: &str) {
    let line = &mut lines[rule(lines, words)];
    assert!(line.contains(from), "{line}");
    *line = line.replacen(from, to, 1);
}

/// Puts a rule before all others.
fn prepend(lines: &mut Vec<String>, new: &str) {
    let first = lines.iter().position(|line| line.starts_with("-A")).expect("a rule");
    lines.insert(first, new.to_owned());
}

fn run_rules(rules: &Rules, options: &[&str]) -> Ended {
    let text = |lines: &[String]| format!("{}\n", lines.join("\n"));
    let scenario = fs::read_to_string(HARDENED).expect("a scenario");
    let both = "[ruleset]\nv4 = \"rules.v4\"\nv6 = \"rules.v6\"\n";
    let only_v4 = "[ruleset]\nv4 = \"rules.v4\"\n";
    let scenario = format!("{scenario}\n{}", if rules.v6.is_empty() { only_v4 } else { both });
    run_files(&[("s.toml", &scenario), ("rules.v4", &text(&rules.v4)), ("rules.v6", &text(&rules.v6))], options)
}

/// Plants the fault; `expected` are all checks that must not match.
fn assert_caught(plant: impl FnOnce(&mut Rules), expected: impl IntoIterator<Item = String>) {
    assert_caught_with(&[], plant, expected);
}

fn assert_caught_with(options: &[&str], plant: impl FnOnce(&mut Rules), expected: impl IntoIterator<Item = String>) {
    let _machine = share_the_machine();
    let mut rules = Rules::generated();
    plant(&mut rules);
    let ended = run_rules(&rules, options);
    let expected: BTreeSet<String> = expected.into_iter().collect();
    assert_eq!(ended.not_matched(), expected, "{}", ended.stderr);
    assert_eq!(ended.status, Some(i32::from(!expected.is_empty())), "{}", ended.stderr);
}

fn cells(family: &str, scan: &str, ports: &[u16]) -> Vec<String> {
    ports.iter().map(|port| format!("{family} {scan} {port}")).collect()
}

/// The checks of packets in a connection to each of `ports`.
fn established(family: &str, ports: &[u16]) -> Vec<String> {
    let at = |port: &u16| ["ACK", "PSH,ACK"].map(|flags| format!("{family} tcp {flags} to {port} established"));
    ports.iter().flat_map(at).collect()
}

fn rate(family: &str, scan: &str, port: u16) -> Vec<String> {
    vec![format!("{family} {scan} {port} rate")]
}

/// The checks that open a connection to `port`, and the rate of its LOG rule.
fn opening(family: &str, port: u16) -> Vec<String> {
    [cells(family, "syn", &[port]), cells(family, "connect", &[port]), rate(family, "syn", port)].concat()
}

/// Every probe of `scan`, and the rate of its LOG rule.
fn whole_scan(family: &str, scan: &str) -> Vec<String> {
    [cells(family, scan, &ALL), rate(family, scan, 1)].concat()
}

#[test]
fn no_fault_no_mismatch() {
    assert_caught(|_| {}, []);
}

#[test]
fn xmas_is_not_logged() {
    assert_caught(|rules| delete(&mut rules.v4, &["Xmas scan: "]), whole_scan("ipv4", "xmas"));
}

#[test]
fn xmas_is_not_logged_by_legacy() {
    let plant = |rules: &mut Rules| delete(&mut rules.v4, &["Xmas scan: "]);
    assert_caught_with(&["--iptables", "legacy"], plant, whole_scan("ipv4", "xmas"));
}

/// The default deny drops it all the same: no packet shows the difference.
#[test]
fn xmas_is_dropped_by_the_default_deny_instead() {
    assert_caught(|rules| delete(&mut rules.v4, &["FIN,PSH,URG ", "-j DROP"]), []);
}

#[test]
fn ack_is_not_logged_over_ipv6() {
    assert_caught(|rules| delete(&mut rules.v6, &["ACK scan: "]), whole_scan("ipv6", "ack"));
}

/// The host answers with a RST: unfiltered.
#[test]
fn ack_is_accepted() {
    let plant = |rules: &mut Rules| alter(&mut rules.v4, &["RST,PSH,ACK,URG ACK", "-j DROP"], "DROP", "ACCEPT");
    assert_caught(plant, whole_scan("ipv4", "ack"));
}

#[test]
fn http_is_dropped_before_it_is_logged() {
    let plant = |rules: &mut Rules| {
        let (log, verdict) = (rule(&rules.v4, &["HTTP port: "]), rule(&rules.v4, &["--dport 80 ", "-j DROP"]));
        rules.v4.swap(log, verdict);
    };
    assert_caught(plant, opening("ipv4", 80));
}

#[test]
fn a_prefix_differs_by_one_byte() {
    assert_caught(|rules| alter(&mut rules.v6, &["FIN scan: "], "FIN scan", "Fin scan"), whole_scan("ipv6", "fin"));
}

#[test]
fn a_limit_has_a_smaller_burst() {
    let plant = |rules: &mut Rules| {
        alter(&mut rules.v4, &["Null scan: "], "--limit 5/min", "--limit 1/hour --limit-burst 1");
    };
    assert_caught(plant, rate("ipv4", "null", 1));
}

/// A packet beyond the limit matches no other rule: the host answers that the port is closed.
#[test]
fn the_default_deny_has_a_limit() {
    let plant = |rules: &mut Rules| alter(&mut rules.v4, &["-p tcp -j DROP"], "-j", "-m limit --limit 5/min -j");
    assert_caught(plant, rate("ipv4", "syn", 1));
}

/// A packet beyond the limit continues, and is logged as a scan.
#[test]
fn the_drop_of_a_watched_port_has_a_limit() {
    let plant = |rules: &mut Rules| {
        alter(&mut rules.v4, &["--dport 80 ", "-j DROP"], "-j", "-m limit --limit 5/min -j");
    };
    assert_caught(plant, rate("ipv4", "syn", 80));
}

#[test]
fn there_is_no_default_deny() {
    let plant = |rules: &mut Rules| delete(&mut rules.v6, &["-p tcp -j DROP"]);
    let syn = [cells("ipv6", "syn", &UNNAMED), cells("ipv6", "connect", &UNNAMED), rate("ipv6", "syn", 1)];
    assert_caught(plant, syn.concat());
}

/// The last segment of the handshake is logged as an ACK scan.
const UNGREETED: [&str; 2] = ["ipv4 connect 22", "ipv4 connect 32232"];

#[test]
fn established_connections_are_cut() {
    let cut = [UNGREETED.map(str::to_owned).to_vec(), established("ipv4", &[22, 32232])].concat();
    assert_caught(|rules| delete(&mut rules.v4, &["ESTABLISHED"]), cut);
}

#[test]
fn established_connections_are_cut_by_legacy() {
    let plant = |rules: &mut Rules| delete(&mut rules.v4, &["ESTABLISHED"]);
    let cut = [UNGREETED.map(str::to_owned).to_vec(), established("ipv4", &[22, 32232])].concat();
    assert_caught_with(&["--iptables", "legacy"], plant, cut);
}

#[test]
fn the_management_port_is_off_by_one() {
    let plant = |rules: &mut Rules| alter(&mut rules.v4, &["--dport 32232 "], "32232", "32233");
    let ports = [32232, 32233];
    let opening = [cells("ipv4", "syn", &ports), cells("ipv4", "connect", &ports)].concat();
    assert_caught(plant, [opening, established("ipv4", &[32232])].concat());
}

#[test]
fn the_honeypot_is_closed() {
    let plant = |rules: &mut Rules| alter(&mut rules.v6, &["--dport 22 ", "-j ACCEPT"], "ACCEPT", "DROP");
    assert_caught(plant, [opening("ipv6", 22), established("ipv6", &[22])].concat());
}

#[test]
fn a_watched_port_answers_with_a_reset() {
    let reject = "REJECT --reject-with tcp-reset";
    assert_caught(|rules| alter(&mut rules.v4, &["--dport 139 ", "-j DROP"], "DROP", reject), opening("ipv4", 139));
}

/// Conntrack calls all three INVALID.
#[test]
fn invalid_packets_are_dropped_before_the_scan_rules() {
    let plant = |rules: &mut Rules| prepend(&mut rules.v4, "-A INPUT -m conntrack --ctstate INVALID -j DROP");
    assert_caught(plant, ["null", "fin", "xmas"].map(|scan| whole_scan("ipv4", scan)).concat());
}

/// All checks except those of ports that are open and leave no line in any case.
#[test]
fn there_is_no_ruleset_for_ipv6() {
    let but_ssh: Vec<u16> = ALL.into_iter().filter(|port| *port != 32232).collect();
    let mut expected = ["null", "fin", "xmas", "ack"].map(|scan| whole_scan("ipv6", scan)).concat();
    expected.extend(["syn", "connect"].map(|scan| cells("ipv6", scan, &but_ssh)).concat());
    expected.extend(LOGGED.into_iter().chain([1]).flat_map(|port| rate("ipv6", "syn", port)));
    assert_caught(|rules| rules.v6.clear(), expected);
}

#[test]
fn neighbour_discovery_is_cut_off() {
    let _machine = share_the_machine();
    let mut rules = Rules::generated();
    prepend(&mut rules.v6, "-A INPUT -p ipv6-icmp -j DROP");
    let ended = run_rules(&rules, &[]);
    let not_run = ended.not_run();
    let mismatched: BTreeSet<String> = ended.not_matched().difference(&not_run).cloned().collect();
    assert_eq!(mismatched, BTreeSet::from(["ipv6 ndp".to_owned()]), "{}", ended.stderr);
    // Discovery does not find the host, so its ports have no result.
    assert!(ALL.iter().all(|port| not_run.contains(&format!("ipv6 syn {port}"))), "{not_run:?}");
    assert!(not_run.iter().all(|name| name.starts_with("ipv6 ")), "{not_run:?}");
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
}
