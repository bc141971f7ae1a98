//! Growth of the findings by sets of packets: rulesets of four shapes, the time to judge every rule and to compare each
//! ruleset with one of which the last rule is missing, and in the same run the time in which iptables-restore loads it in
//! a namespace. `cargo bench --bench sets` as root; `cargo bench --bench sets -- 1000` for rulesets up to 1,000 rules.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use scanlab::error::Source;
use scanlab::net::{Family, InterfaceName};
use scanlab::rules::iptables_save::Listing;
use scanlab::rules::space::{Sets, Space, compare};

type Shape = (&'static str, fn(usize) -> Vec<String>);

const SHAPES: [Shape; 4] = [("ports", ports), ("blocklist", blocklist), ("user chains", user_chains), ("mixed", mixed)];

fn main() {
    let wanted = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(10_000);
    println!(
        "{:<12} {:>6} {:>11} {:>6} {:>6} {:>7} {:>11} {:>11} {:>8}",
        "shape", "rules", "findings", "dead", "alive", "unknown", "compare", "load", "peak MB"
    );
    for (name, rules) in SHAPES {
        for count in [10, 100, 1_000, 10_000].into_iter().filter(|count| *count <= wanted) {
            measure(name, count, &listing(&rules(count)));
        }
    }
}

fn measure(name: &str, count: usize, listing: &Listing) {
    let start = Instant::now();
    let sets = Sets::new(Space::new(&[listing], &InterfaceName::default()), listing);
    let (mut dead, mut alive, mut unknown) = (0, 0, 0);
    for at in listing.placed_rules() {
        let arrivals = sets.arrivals(at.table, at.chain, at.number);
        match (arrivals.found.is_empty(), arrivals.is_all) {
            (true, true) => dead += 1,
            (true, false) => unknown += 1,
            (false, _) => alive += 1,
        }
    }
    let findings = start.elapsed();
    let compared = compared(listing);
    let load = load(&listing.source.text);
    println!(
        "{name:<12} {count:>6} {findings:>11.3?} {dead:>6} {alive:>6} {unknown:>7} {compared:>11} {load:>11.3?} {:>8}",
        peak()
    );
}

/// The time in which it is compared with itself without its last rule.
fn compared(listing: &Listing) -> String {
    let last = listing.source.text.lines().rfind(|line| line.starts_with("-A")).expect("a rule");
    let text = listing.source.text.replace(&format!("{last}\n"), "");
    let other = parsed(text);
    let start = Instant::now();
    let space = Space::new(&[listing, &other], &InterfaceName::default());
    let found = compare(&space, [listing, &other]);
    let time = start.elapsed();
    if found.is_ok() { format!("{time:.3?}") } else { format!("!{time:.3?}") }
}

/// The time of iptables-restore in a namespace of its own.
fn load(rules: &str) -> Duration {
    let start = Instant::now();
    let mut command = Command::new("unshare");
    let mut child =
        command.args(["--net", "iptables-nft-restore"]).stdin(Stdio::piped()).spawn().expect("unshare starts");
    child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("rules are read");
    assert!(child.wait().expect("it ends").success(), "iptables-nft-restore refuses the rules; are you root?");
    start.elapsed()
}

/// The largest memory of this process so far, in megabytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") / 1024
}

fn listing(rules: &[String]) -> Listing {
    let mut chains: Vec<&str> = rules.iter().filter_map(|rule| rule.split(' ').nth(1)).collect();
    chains.sort_unstable();
    chains.dedup();
    let users: String =
        chains.iter().filter(|name| **name != "INPUT").map(|name| format!(":{name} - [0:0]\n")).collect();
    parsed(format!("*filter\n:INPUT DROP [0:0]\n{users}{}\nCOMMIT\n", rules.join("\n")))
}

fn parsed(text: String) -> Listing {
    Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() })
}

/// One port each, with the first again at the end, and a rule for all others.
fn ports(count: usize) -> Vec<String> {
    let rule = |at: usize| format!("-A INPUT -p tcp --dport {} -j ACCEPT", 1 + at % 60_000);
    let last = ["-A INPUT -p tcp --dport 1 -j LOG".to_owned(), "-A INPUT -p tcp -j LOG".to_owned()];
    (0..count - 2).map(rule).chain(last).collect()
}

fn source(at: usize) -> String {
    format!("10.{}.{}.{}", at * 7 % 251, at / 250, at % 250)
}

/// One source each, a few services after them, and the first source again.
fn blocklist(count: usize) -> Vec<String> {
    let drop = |at: usize| format!("-A INPUT -s {} -j DROP", source(at));
    let services = [22, 80, 443].map(|port| format!("-A INPUT -p tcp --dport {port} -j ACCEPT"));
    (0..count - 4)
        .map(drop)
        .chain(services)
        .chain([format!("{} --dport 22 -j LOG", drop(0).replace("-j DROP", "-p tcp"))])
        .collect()
}

/// Chains of ten rules, one for each source network.
fn user_chains(count: usize) -> Vec<String> {
    let chains = (count / 10).max(1);
    let jump = |at: usize| format!("-A INPUT -s 10.{}.{}.0/24 -j net{at}", at / 250, at % 250);
    let inside = |at: usize| match at % 9 {
        7 => format!("-A net{} -p tcp -j REJECT", at / 9),
        8 => format!("-A net{} -p tcp --dport 22 -j LOG", at / 9),
        place => format!("-A net{} -p tcp --dport {} -j ACCEPT", at / 9, 20 + place),
    };
    (0..chains).map(jump).chain((0..count - chains).map(inside).filter(|rule| is_of(rule, chains))).collect()
}

fn is_of(rule: &str, chains: usize) -> bool {
    let number = rule.split(' ').nth(1).and_then(|name| name.strip_prefix("net")?.parse::<usize>().ok());
    number.is_some_and(|number| number < chains)
}

/// The usual beginning, then rules on everything, and rules that catch the rest.
fn mixed(count: usize) -> Vec<String> {
    let head = [
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -m conntrack --ctstate INVALID -j DROP",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ];
    let rule = |at: usize| match at % 6 {
        0 => format!("-A INPUT -s {} -p tcp --dport {} -j ACCEPT", source(at), 1 + at % 9_000),
        1 => format!("-A INPUT -s {} -j DROP", source(at)),
        2 => format!("-A INPUT -p udp --dport {} -m limit --limit 5/min -j LOG", 1 + at % 30_000),
        3 => format!("-A INPUT -p udp --dport {} -j ACCEPT", 1 + at % 30_000),
        4 => format!("-A INPUT -s {}/28 -p tcp --syn -j ACCEPT", source(at)),
        _ => format!("-A INPUT -p tcp -m multiport --dports {},{} -j REJECT", 1 + at % 20_000, 20_001 + at % 20_000),
    };
    let tail = ["-A INPUT -p icmp -j ACCEPT", "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j LOG", "-A INPUT -j LOG"];
    let middle = (0..count - head.len() - tail.len()).map(rule);
    head.map(str::to_owned).into_iter().chain(middle).chain(tail.map(str::to_owned)).collect()
}
