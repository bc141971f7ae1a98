//! The path of every packet according to scanlab is that of `xtables-monitor --trace`: an independent witness, with
//! code of its own, and with packets of nmap over a cable, in a namespace of its own.
//!
//! Differences that are removed before the comparison: the monitor prints the rule that enables tracing; it prints `-j
//! REJECT` as a drop and RETURN as a number; a policy has no text; LOG is replaced by NFLOG on its side, see
//! [`silent`]. The rulesets are written as iptables-save writes them, so that the text of a rule is compared to the
//! byte. Needs root, see `.ci/setup tests`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;

use scanlab::net::Family;
use scanlab::net::port::PortSet;
use scanlab::probe::scan::Technique;
use serde_json::Value;

use crate::support::hosts::{Hosts, silent};

/// Every table, and every way from chain to chain: jump, goto, RETURN, the end of a chain, policies. The IPv6 rules
/// have no matches and targets of modules (`--dport`, LOG): xtables-monitor 1.8.9 crashes when it prints one of those.
const V4: &str = include_str!("../paths/every-way.v4");
const V6: &str = include_str!("../paths/every-way.v6");
const LISTEN: &[u16] = &[22, 8080];
const PORTS: &str = "22,23,80,443,5555,8080";
const TECHNIQUES: [Technique; 5] = [Technique::Syn, Technique::Null, Technique::Fin, Technique::Xmas, Technique::Ack];

/// Every step of a packet's path, by technique and port.
type Ways = BTreeMap<(Technique, u16), Vec<String>>;

#[test]
fn ipv4_paths_are_those_of_the_monitor() {
    assert_same_paths(Family::Ipv4, &["nat ", " accept -A", " drop -A", " reject -A"]);
}

#[test]
fn ipv6_paths_are_those_of_the_monitor() {
    assert_same_paths(Family::Ipv6, &[" accept -A"]);
}

/// Steps that packets of both families must have.
const EVERY_WAY: [&str; 7] = ["raw ", "mangle ", " jump ", " goto ", " return ", " accept policy ", " drop policy "];

/// The comparison can fail: two swapped rules are noticed, but only for packets that reach both.
#[test]
fn swapped_rules_are_noticed() {
    let swapped = swapped(V4, "-j RETURN", "-j LOG --log-prefix \"scan: \"");
    let differ = differences(&monitored(Family::Ipv4), &told(Family::Ipv4, &swapped, V6));
    assert!(!differ.is_empty(), "nothing was noticed");
    let other = |key: &(Technique, u16)| key.0 != Technique::Xmas;
    assert!(!differ.iter().any(other), "more was noticed: {differ:?}");
}

/// Swaps the rules that contain `one` and `other`.
fn swapped(rules: &str, one: &str, other: &str) -> String {
    let mut lines: Vec<&str> = rules.lines().collect();
    let find = |words: &str| lines.iter().position(|line| line.ends_with(words)).expect("a rule");
    let (one, other) = (find(one), find(other));
    lines.swap(one, other);
    lines.join("\n") + "\n"
}

fn assert_same_paths(family: Family, ways: &[&str]) {
    let (monitored, told) = (monitored(family), told(family, V4, V6));
    assert_eq!(monitored.len(), TECHNIQUES.len() * 6, "{monitored:#?}");
    for key in differences(&monitored, &told) {
        assert_eq!(monitored.get(&key), told.get(&key), "monitor on the left: {key:?} {family}");
    }
    assert_every_way_is_gone(&monitored, &EVERY_WAY);
    assert_every_way_is_gone(&monitored, ways);
}

fn differences(monitored: &Ways, told: &Ways) -> Vec<(Technique, u16)> {
    let keys = monitored.keys().chain(told.keys().filter(|key| !monitored.contains_key(key)));
    keys.copied().filter(|key| monitored.get(key) != told.get(key)).collect()
}

/// Checks that all kinds of steps were compared.
fn assert_every_way_is_gone(ways: &Ways, words: &[&str]) {
    for word in words {
        let gone = ways.values().flatten().any(|step| format!("{step} ").contains(word));
        assert!(gone, "no packet met {word:?} in {ways:#?}");
    }
}

/// The paths according to the monitor, each technique in a pair of namespaces of its own.
fn monitored(family: Family) -> Ways {
    let monitor = |technique| thread::spawn(move || monitored_scan(technique, family));
    let scans = TECHNIQUES.map(monitor);
    scans.into_iter().flat_map(|scan| scan.join().expect("the monitor's witness")).collect()
}

/// The last probe, to port 9, shows that all earlier lines have been printed.
fn monitored_scan(technique: Technique, family: Family) -> Ways {
    let rulesets = [traced(V4), traced(V6)];
    let programs = ["iptables-nft-restore", "ip6tables-nft-restore"];
    let hosts = Hosts::start(programs, [&rulesets[0], &rulesets[1]], LISTEN);
    let monitor = hosts.monitor(family);
    hosts.nmap(technique.profile().nmap, family, PORTS);
    hosts.nmap(technique.profile().nmap, family, "9");
    read_monitor(technique, &monitor.lines_until(" DPORT=9 "))
}

/// The same ruleset, with a first rule that enables tracing.
fn traced(rules: &str) -> String {
    let first = rules.find("-A PREROUTING").expect("a rule of the raw table");
    format!("{}{TRACE}\n{}", &rules[..first], &rules[first..])
}

const TRACE: &str = "-A PREROUTING -p tcp -j TRACE";

/// Parses `PACKET: 2 d3c5f09f IN=eth0 ... DPORT=80 FIN PSH URG`, and then, for each step of that packet in that hook,
/// `TRACE: 2 d3c5f09f filter:INPUT:rule:0x7:GOTO:G  -4 -t filter -A INPUT -p tcp -g G`. The rule that enables tracing
/// begins a packet, since a later packet may have the number of an earlier one. The first packet with the flags of the
/// technique is the probe; nmap's retry is another packet.
fn read_monitor(technique: Technique, lines: &[String]) -> Ways {
    let mut on_their_way: BTreeMap<&str, (Technique, u16)> = BTreeMap::new();
    let mut ways = Ways::new();
    let mut headers = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PACKET:", ..] => headers = words,
            ["TRACE:", _, number, ..] if line.ends_with(TRACE) => {
                on_their_way.remove(number);
                if let Some(key) = probe_of(technique, &headers).filter(|key| !ways.contains_key(key)) {
                    on_their_way.insert(number, key);
                    ways.insert(key, Vec::new());
                }
            }
            ["TRACE:", _, number, event, ..] => {
                let way = on_their_way.get(number).and_then(|key| ways.get_mut(key));
                way.into_iter().for_each(|way| way.extend(monitored_step(event, line)));
            }
            _ => panic!("the monitor says {line:?}"),
        }
    }
    ways
}

/// The port of an incoming packet with the flags of the technique.
fn probe_of(technique: Technique, words: &[&str]) -> Option<(Technique, u16)> {
    let port = words.iter().position(|word| word.starts_with("DPORT="))?;
    let came_in = words.contains(&"IN=eth0");
    let flags = match technique {
        Technique::Syn => &["SYN"][..],
        Technique::Fin => &["FIN"],
        Technique::Xmas => &["FIN", "PSH", "URG"],
        Technique::Ack => &["ACK"],
        _ => &[],
    };
    let number = words[port].trim_start_matches("DPORT=").parse().expect("a port");
    (came_in && &words[port + 1..] == flags).then_some((technique, number))
}

/// Returns a step such as `filter INPUT goto -A INPUT -p tcp -g G`. Older kernels (6.1) trace the end of a chain as an
/// event of its own, `return`, which is no step.
fn monitored_step(event: &str, line: &str) -> Option<String> {
    let rule = line.split_once(" -A ").map(|(_, rule)| format!("-A {}", rule.trim_end()));
    let text = rule.unwrap_or_else(|| "policy".to_owned());
    let parts: Vec<&str> = event.split(':').collect();
    let (table, chain, verdict) = match parts.as_slice() {
        [table, chain, "rule", _, verdict, ..] => (table, chain, verdict),
        [table, chain, "policy", verdict] => (table, chain, verdict),
        [_, _, "return", ..] => return None,
        _ => panic!("the monitor says {line:?}"),
    };
    let verdict = match *verdict {
        "0xfffffffb" => "return".to_owned(),
        "DROP" if text.contains("-j REJECT") => "reject".to_owned(),
        verdict => verdict.to_lowercase(),
    };
    Some(format!("{table} {chain} {verdict} {text}"))
}

/// The paths according to `scanlab scan --trace`.
fn told(family: Family, v4: &str, v6: &str) -> Ways {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), v4).expect("write the ruleset");
    fs::write(folder.path().join("rules.v6"), v6).expect("write the ruleset");
    let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    scan.args(["scan", "--rules", "rules.v4", "--rules6", "rules.v6", "--iptables", "nft", "-p", PORTS]);
    scan.args(["--trace", "--format", "json", "--scan", &TECHNIQUES.map(Technique::name).join(",")]);
    scan.args(["--listen", &LISTEN.iter().map(u16::to_string).collect::<Vec<_>>().join(",")]);
    if family == Family::Ipv6 {
        // The rules drop neighbour discovery, and both ends of the cable have permanent entries for each other.
        scan.args(["-6", "--static-neighbour"]);
    }
    let output = scan.current_dir(folder.path()).output().expect("run scanlab");
    assert!(output.status.success(), "(needs root) {}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    report["probes"].as_array().expect("probes").iter().flat_map(told_of).collect()
}

/// Expands a result for several ports.
fn told_of(probe: &Value) -> Vec<((Technique, u16), Vec<String>)> {
    let word = |key: &str| probe[key].as_str().unwrap_or_else(|| panic!("no {key} in {probe}"));
    let ports = probe["port"].as_u64().map_or_else(|| word("ports").to_owned(), |port| port.to_string());
    let ports: PortSet = ports.parse().expect("ports");
    let technique = TECHNIQUES.into_iter().find(|technique| technique.name() == word("scan")).expect("a technique");
    let steps: Vec<String> = probe["path"].as_array().expect("a path").iter().map(told_step).collect();
    ports.iter().map(|port| ((technique, port.0), steps.clone())).collect()
}

fn told_step(step: &Value) -> String {
    let word = |key: &str| step[key].as_str().unwrap_or_else(|| panic!("no {key} in {step}"));
    let text = if step.get("rule").is_some() { word("text") } else { "policy" };
    format!("{} {} {} {}", word("table"), word("chain"), word("verdict"), silent(text))
}
