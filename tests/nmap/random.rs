//! Random rulesets: `scanlab scan` and `scanlab exec` have the results of real nmap over a cable, the same state,
//! reason and TTL for every port, for all rules, flavours, links, captures and users.
//!
//! Every ruleset has a seed of its own, which is printed. `SCANLAB_SEED=7 SCANLAB_SECONDS=0 cargo test --test nmap
//! random` tests that one alone; `SCANLAB_SECONDS=900` continues with the next ones for so long; CI tests the same few
//! every time, and `.ci/soak` others. A ruleset with a difference is reduced before it is printed. Needs root, nmap and
//! iptables, see `.ci/setup`.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::binary::share_the_machine;
use crate::support::hosts::{Hosts, attribute, nmap_command};
use crate::support::ordinary::{Home, Tun, USER};
use crate::support::random_rulesets::{LISTEN, LISTEN_BEHIND, MACHINE, PORTS, Random, Ruleset};
use scanlab::net::Family;
use scanlab::net::port::PortSet;
use serde_json::Value;

/// The number of tested rulesets, unless `SCANLAB_SECONDS` limits the time in which new ones are begun.
const RULESETS: u64 = 4;

/// The first of the seeds that are the same in every run.
const FIXED: u64 = 1;

/// The number of rulesets that are tested in parallel: nmap waits most of the time.
const WORKERS: usize = 2;

/// The names in scanlab and the options of nmap; `echo` tests the host.
const TECHNIQUES: [(&str, &str); 10] = [
    ("syn", "-sS"),
    ("connect", "-sT"),
    ("null", "-sN"),
    ("fin", "-sF"),
    ("xmas", "-sX"),
    ("ack", "-sA"),
    ("maimon", "-sM"),
    ("window", "-sW"),
    ("udp", "-sU"),
    ("echo", "-PE"),
];

/// Rulesets, and the options of their scans.
#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    rulesets: [Ruleset; 2],
    options: Vec<&'static str>,
    is_root: bool,
    /// A technique with odd flags.
    crafted: ((&'static str, &'static str), u8),
    /// True if a verdict depends on earlier packets.
    counts: bool,
}

/// One scan of one family: all ports with one technique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Scan {
    family: Family,
    name: &'static str,
    nmap: &'static str,
    flags: Option<u8>,
}

/// State, reason and TTL of every port; the host itself has the number 0.
type Answers = BTreeMap<u16, (String, String, u64)>;

impl Case {
    fn draw(seed: u64) -> Case {
        let mut random = Random(seed);
        let mut rulesets = Family::BOTH.map(|family| Ruleset::draw(&mut random, family));
        let is_root = !random.once_in(3);
        let mut options = vec!["--iptables", random.one_of(&["nft", "legacy"])];
        options.extend(["--link", random.one_of(&["tap", "tun"])]);
        let captures: &[&str] = if is_root { &["kmsg", "nflog"] } else { &["nflog"] };
        options.extend(["--capture", random.one_of(captures)]);
        // Both ends of the cable have permanent entries for each other.
        options.push("--static-neighbour");
        let traces = random.once_in(2);
        let technique = random.one_of(&[TECHNIQUES[0], TECHNIQUES[4], TECHNIQUES[5], TECHNIQUES[7]]);
        let crafted = (technique, random.next() as u8);
        let counts = random.once_in(3);
        // Unreachable rules are the same in every run: once is enough, and rules that count need a run for each scan.
        options.extend((traces && !counts).then_some("--trace"));
        if counts {
            for (family, ruleset) in Family::BOTH.into_iter().zip(&mut rulesets) {
                ruleset.add_rules_that_count(&mut random, family);
            }
        }
        Case { seed, rulesets, options, is_root, crafted, counts }
    }

    fn scans(&self) -> Vec<Scan> {
        let ((name, nmap), flags) = self.crafted;
        let crafted = Family::BOTH.map(|family| Scan { family, name, nmap, flags: Some(flags) });
        let plain = TECHNIQUES
            .iter()
            .flat_map(|(name, nmap)| Family::BOTH.map(|family| Scan { family, name, nmap, flags: None }));
        // The kernel retransmits the SYN of a connect.
        plain.chain(crafted).filter(|scan| !self.counts || scan.name != "connect").collect()
    }

    /// The programs that load rules as the lab does; they wait for the lock.
    fn programs(&self) -> [&'static str; 2] {
        match self.options[1] {
            "legacy" => ["iptables-legacy-restore -w", "ip6tables-legacy-restore -w"],
            _ => ["iptables-nft-restore", "ip6tables-nft-restore"],
        }
    }

    /// A cable with these rules at one end, those of one family. Their log lines do not go to the kernel's log, which
    /// labs with the same addresses read.
    fn hosts(&self, family: Family) -> Hosts {
        let mut texts = [String::new(), String::new()];
        let number = usize::from(family == Family::Ipv6);
        texts[number] = self.rulesets[number].to_string();
        Hosts::start(self.programs(), [&texts[0], &texts[1]], &LISTEN).with_machine_behind(MACHINE, &LISTEN_BEHIND)
    }

    /// The results of nmap through discovery as in `exec`: no end knows the MAC address of the other.
    fn nmap_among_strangers(&self, scan: &Scan) -> Answers {
        let hosts = self.hosts(scan.family);
        hosts.forget_neighbours();
        read_nmap(&hosts.nmap(scan.nmap, scan.family, &ports()))
    }

    fn nmap(&self, scan: &Scan) -> Answers {
        let flags = scan.flags.map(|flags| format!("{flags:#04x}"));
        let mut options: Vec<&str> = flags.iter().flat_map(|flags| ["--scanflags", flags]).collect();
        // In the order of the ports, and each of them once.
        options.extend(if self.counts { &["-r", "--max-retries", "0"][..] } else { &[] });
        let (xml, _) = self.hosts(scan.family).nmap_on_the_wire(scan.nmap, &options, scan.family, &ports());
        read_nmap(&xml)
    }

    fn scanlab(&self, home: &Home, scans: &[Scan]) -> Result<BTreeMap<Scan, Answers>, String> {
        let files = ["v4", "v6"].map(|name| home.path().join(format!("{:?}.{name}", thread::current().id())));
        for (file, ruleset) in files.iter().zip(&self.rulesets) {
            fs::write(file, ruleset.to_string()).expect("write the ruleset");
        }
        let files = files.map(|file| file.to_str().expect("UTF-8").to_owned());
        let mut seen = BTreeMap::new();
        // Rules that count meet one scan only, as on the host that nmap scans.
        let alike = |one: &&Scan, other: &&Scan| !self.counts && one.flags == other.flags;
        let scans: Vec<&Scan> = scans.iter().collect();
        for of_run in scans.chunk_by(alike) {
            let arguments = self.arguments(&files, of_run);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let report = report(if self.is_root {
                home.as_root(&arguments)
            } else {
                home.as_user(Tun::ForEverybody, &arguments)
            })
            .map_err(|why| format!("scanlab {}\n{why}", arguments.join(" ")))?;
            seen.extend(of_run.iter().map(|scan| (**scan, read_json(&report, scan))));
        }
        Ok(seen)
    }

    fn arguments(&self, [v4, v6]: &[String; 2], scans: &[&Scan]) -> Vec<String> {
        let mut names: Vec<&str> = scans.iter().map(|scan| scan.name).collect();
        names.dedup();
        let (names, ports, listen) = (names.join(","), ports(), LISTEN.map(|port| port.to_string()).join(","));
        let mut words = vec!["scan", "--rules", v4, "--rules6", v6, "--format", "json"];
        let families: BTreeSet<Family> = scans.iter().map(|scan| scan.family).collect();
        words.extend(families.iter().map(|family| if *family == Family::Ipv4 { "-4" } else { "-6" }));
        words.extend(["--scan", &names, "-p", &ports, "--listen", &listen]);
        words.extend(&self.options);
        let flags = scans[0].flags.map(|flags| format!("{flags:#04x}"));
        words.extend(flags.iter().flat_map(|flags| ["--scanflags", flags.as_str()]));
        words.into_iter().map(str::to_owned).collect()
    }
}

impl Display for Case {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let user = if self.is_root { "root" } else { "an ordinary user" };
        writeln!(formatter, "SCANLAB_SEED={} as {user} with {}", self.seed, self.options.join(" "))?;
        Family::BOTH.iter().zip(&self.rulesets).try_for_each(|(family, rules)| write!(formatter, "{family}:\n{rules}"))
    }
}

fn ports() -> String {
    PORTS.map(|port| port.to_string()).join(",")
}

fn report(mut command: Command) -> Result<Value, String> {
    let output = command.output().expect("scanlab starts");
    let talk = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout);
    if !output.status.success() {
        return Err(format!("{}: {talk}", output.status));
    }
    report.map_err(|error| format!("{error}: {talk}"))
}

/// Parses `probes[]` of the JSON report: `port`, or `ports` for several with the same result, or none.
fn read_json(report: &Value, scan: &Scan) -> Answers {
    let probes = report["probes"].as_array().expect("probes").iter();
    let of_scan = probes.filter(|probe| probe["family"] == scan.family.to_string() && probe["scan"] == scan.name);
    let mut answers = Answers::new();
    for probe in of_scan {
        let word = |key: &str| probe[key].as_str().unwrap_or_else(|| panic!("no {key} in {probe}")).to_owned();
        let ports = match (&probe["port"], &probe["ports"]) {
            (Value::Null, Value::Null) => vec![0],
            (Value::Null, ports) => numbers(ports.as_str().expect("ports")),
            (port, _) => vec![port.as_u64().expect("a port") as u16],
        };
        let answer = (word("state"), word("reason"), probe["reason_ttl"].as_u64().unwrap_or(0));
        // nmap reports only if the host is up.
        if scan.name != "echo" || answer.0 == "unfiltered" {
            answers.extend(ports.into_iter().map(|port| (port, answer.clone())));
        }
    }
    answers
}

fn numbers(ports: &str) -> Vec<u16> {
    ports.parse::<PortSet>().expect("ports").iter().map(|port| port.0).collect()
}

/// Parses the ports, which are too few for nmap to group.
fn read_nmap(xml: &str) -> Answers {
    assert!(!xml.contains("<extraports"), "{xml}");
    let mut answers = Answers::new();
    let mut port = None;
    let asks_for_the_host = !xml.contains("<scaninfo");
    // A hint of the host may precede it.
    for element in xml.rsplit("</hosthint>").next().expect("text").split('<') {
        let answer = |state: &str| {
            let ttl = attribute(element, "reason_ttl").parse().expect("a number");
            (state.to_owned(), attribute(element, "reason"), ttl)
        };
        match element.split([' ', '>']).next() {
            Some("status") if asks_for_the_host && attribute(element, "state") == "up" => {
                answers.insert(0, answer("unfiltered"));
            }
            Some("port") => port = attribute(element, "portid").parse().ok(),
            Some("state") => drop(answers.insert(port.expect("a port"), answer(&attribute(element, "state")))),
            _ => {}
        }
    }
    answers
}

/// One line for each port, so that a difference is readable.
fn table(answers: &Answers) -> Vec<String> {
    answers.iter().map(|(port, (state, reason, ttl))| format!("{port} {state} {reason} {ttl}")).collect()
}

/// True for a difference that a second SYN causes. nmap's kernel retransmits the SYN of a connect after a second, and
/// scanlab sends one. If the host's answer to the first was dropped in OUTPUT, conntrack has seen it all the same,
/// and calls the second SYN ESTABLISHED: rules with a conntrack match can refuse it. Measured with a rule of INPUT that
/// rejects ESTABLISHED and one of OUTPUT that drops the SYN/ACK; nmap then reports `conn-refused` after a second, and
/// with a single SYN there is no answer.
fn is_of_the_second_syn(case: &Case, scan: &Scan, nmap: &Answers, ours: &Answers) -> bool {
    let rules = case.rulesets[usize::from(scan.family == Family::Ipv6)].to_string();
    let (asks_conntrack, takes_answers) = (rules.contains("state") || rules.contains("--ct"), rules.contains("OUT"));
    let differ = nmap.iter().filter(|(port, answer)| ours.get(port) != Some(answer));
    let mut silent = differ.map(|(port, _)| ours.get(port).is_some_and(|(_, reason, _)| reason == "no-response"));
    scan.name == "connect" && asks_conntrack && takes_answers && silent.all(|is_silent| is_silent)
}

/// True if each port has nmap's answer, or none if a rule sends packets to the machine behind nmap's host: scanlab has
/// no answer there, and has to say so.
fn is_right(case: &Case, ours: &Answers, nmap: &Answers) -> bool {
    let forwards = case.rulesets.iter().any(|rules| rules.to_string().contains("DNAT --to-destination"));
    let is_not_tried = |answer: &(String, String, u64)| answer.0 == "unknown" && answer.1.starts_with("forwarded to ");
    let same = |port: &u16| ours.get(port) == nmap.get(port) || (forwards && ours.get(port).is_some_and(is_not_tried));
    let ports: BTreeSet<&u16> = ours.keys().chain(nmap.keys()).collect();
    ports.into_iter().all(same)
}

/// The differences between nmap and scanlab in these scans.
fn differences(case: &Case, home: &Home, scans: &[Scan]) -> BTreeMap<Scan, String> {
    thread::scope(|scope| {
        let nmap: Vec<_> = scans.iter().map(|scan| (*scan, scope.spawn(|| case.nmap(scan)))).collect();
        let scanlab = case.scanlab(home, scans);
        let mut different = BTreeMap::new();
        for (scan, nmap) in nmap {
            let nmap = nmap.join().expect("nmap's scan");
            match scanlab.as_ref().map(|seen| &seen[&scan]) {
                Err(why) => drop(different.insert(scan, why.clone())),
                Ok(ours) if is_right(case, ours, &nmap) || is_of_the_second_syn(case, &scan, &nmap, ours) => {}
                Ok(ours) => {
                    let (nmap, ours) = (table(&nmap), table(ours));
                    let words = nmap_command(scan.nmap, scan.family, &ports()).join(" ");
                    different.insert(scan, format!("{scan:?}\n{words}\nnmap:    {nmap:?}\nscanlab: {ours:?}"));
                }
            }
        }
        different
    })
}

/// Reduces the case to as few rules as still make a difference.
fn shrink(mut case: Case, mut what: String, differs: impl Fn(&Case) -> Option<String>) -> (Case, String) {
    'smaller: loop {
        for number in 0..2 {
            for ruleset in case.rulesets[number].smaller() {
                let mut smaller = case.clone();
                smaller.rulesets[number] = ruleset;
                if let Some(differs) = differs(&smaller) {
                    (case, what) = (smaller, differs);
                    continue 'smaller;
                }
            }
        }
        return (case, what);
    }
}

fn try_case(seed: u64, home: &Home) -> Result<(), String> {
    let case = Case::draw(seed);
    let found = catch_unwind(AssertUnwindSafe(|| differences(&case, home, &case.scans())));
    let found = found.map_err(|_| format!("the yardstick failed, see above\n{case}"))?;
    let names: Vec<String> =
        found.keys().map(|scan| format!("{} {} {:?}", scan.family, scan.name, scan.flags)).collect();
    let Some((scan, what)) = found.into_iter().next() else { return Ok(()) };
    let given = case.to_string();
    let (case, what) = shrink(case, what, |case| differences(case, home, &[scan]).remove(&scan));
    Err(format!("{given}\ndiffers in {names:?}; as small as it gets:\n{case}\n{what}\n"))
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Tests rulesets from this seed on, and reports the different ones.
fn assert_same_as_nmap(first: u64) {
    let _machine = share_the_machine();
    let seconds = number("SCANLAB_SECONDS").map(Duration::from_secs);
    println!("seeds from {first} on");
    let (start, next, tried) = (Instant::now(), AtomicU64::new(first), AtomicU64::new(0));
    let home = Home::new(USER, &[]);
    let different = Mutex::new(Vec::new());
    let is_over = |seed: u64| match seconds {
        Some(seconds) => seed > first && start.elapsed() >= seconds,
        None => seed >= first + RULESETS,
    };
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if is_over(seed) {
                return;
            }
            tried.fetch_add(1, Ordering::Relaxed);
            if let Err(what) = try_case(seed, &home) {
                println!("{what}");
                different.lock().expect("nobody panics here").push(seed);
            }
        }
    };
    thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let tried = tried.into_inner();
    println!("{tried} rulesets in {:?}", start.elapsed());
    let different = different.into_inner().expect("nobody panics here");
    assert!(different.is_empty(), "of {tried} rulesets these differ, see above: {different:?}");
}

#[test]
fn rulesets_of_fixed_seeds() {
    assert_same_as_nmap(number("SCANLAB_SEED").unwrap_or(FIXED));
}

/// A planted fault: scanlab has rules that nmap's host does not have. One of them makes a difference.
#[test]
fn a_difference_is_found_and_made_small() {
    let _machine = share_the_machine();
    let home = Home::new(USER, &[]);
    let (harmless, harmful) = ("-A INPUT -p tcp --dport 22 -j ACCEPT", "-A INPUT -p tcp --dport 23 -j DROP");
    let with =
        |rules: &[&str]| Case { rulesets: [Ruleset::of_rules(rules), Ruleset::of_rules(&[])], ..Case::draw(FIXED) };
    let scan = Scan { family: Family::Ipv4, name: "xmas", nmap: "-sX", flags: None };
    let nmap = with(&[]).nmap(&scan);
    let differs = |case: &Case| {
        let seen = case.scanlab(&home, &[scan]).unwrap_or_else(|why| panic!("{why}"));
        (seen[&scan] != nmap).then(|| format!("{:?}", table(&seen[&scan])))
    };
    assert_eq!(differs(&with(&[])), None);
    let given = with(&[harmless, harmful]);
    let what = differs(&given).expect("a difference");
    let (small, what) = shrink(given, what, differs);
    assert_eq!(small.rulesets[0].to_string(), Ruleset::of_rules(&[harmful]).to_string());
    assert!(what.contains("23 open|filtered no-response 0") && small.rulesets[1].to_string().is_empty(), "{what}");
}

/// The seed of a ruleset whose IPv6 part drops neighbour discovery, so that a tool finds no host.
const WITHOUT_NDP: u64 = 223_493_809_331_325;

/// nmap without discovery leaves that to its kernel: rules that drop neighbour discovery silence every port.
#[test]
fn an_undiscoverable_host_is_silent_for_nmap_and_scanlab() {
    let _machine = share_the_machine();
    let home = Home::new(USER, &[]);
    let options = ["--iptables", "nft", "--link", "tap", "-Pn", "--send-ip"];
    let hiding = Ruleset::of_rules(&["-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -j DROP"]);
    let open = Ruleset::of_rules(&["-A INPUT -p tcp --dport 23 -j DROP"]);
    for (ruleset, is_found) in [(open, true), (hiding, false)] {
        let rulesets = [Ruleset::of_rules(&[]), ruleset];
        let case = Case { options: options.to_vec(), is_root: true, rulesets, ..Case::draw(FIXED) };
        let scan = Scan { family: Family::Ipv6, name: "syn", nmap: "-sS", flags: None };
        let (nmap, seen) = (case.nmap_among_strangers(&scan), case.scanlab(&home, &[scan]));
        let ours = seen.unwrap_or_else(|why| panic!("{why}")).remove(&scan).expect("a scan");
        assert_eq!(nmap.values().any(|(_, reason, _)| reason != "no-response"), is_found, "{case}");
        assert_eq!(table(&nmap), table(&ours), "{case}");
    }
}

/// The relay of `scanlab exec` gives the same results as a cable.
#[test]
fn nmap_through_exec_sees_what_it_sees_over_a_cable() {
    let _machine = share_the_machine();
    let home = Home::new(USER, &[]);
    for seed in [FIXED, WITHOUT_NDP] {
        let case = Case::draw(seed);
        let different: Vec<String> = thread::scope(|scope| {
            let plain = case.scans().into_iter().filter(|scan| scan.flags.is_none() && scan.nmap != "-PE");
            let scans = plain.map(|scan| {
                let (case, home) = (&case, &home);
                let relay = scope.spawn(move || through_exec(case, home, &scan));
                (scan, scope.spawn(move || case.nmap_among_strangers(&scan)), relay)
            });
            let scans: Vec<_> = scans.collect();
            let answers = scans
                .into_iter()
                .map(|(scan, cable, relay)| (scan, cable.join().expect("nmap"), relay.join().expect("exec")));
            let is_same = |(scan, cable, relay): &(Scan, Answers, Answers)| {
                cable == relay
                    || (scan.name == "connect" && [cable, relay].iter().all(|answers| is_unanswered(answers)))
            };
            let different = answers.filter(|answers| !is_same(answers));
            different
                .map(|(scan, cable, relay)| format!("{scan:?}\n{:?}\n{:?}", table(&cable), table(&relay)))
                .collect()
        });
        assert!(different.is_empty(), "a cable first, then exec:\n{}\n{case}", different.join("\n"));
    }
}

/// True if there was no answer. The kernel reports a neighbour that it cannot find to a connect after three seconds
/// (three solicitations, a second each: RFC 4861, section 10), and nmap waits for the same time: either may come first.
fn is_unanswered(answers: &Answers) -> bool {
    answers
        .values()
        .all(|(state, reason, _)| state == "filtered" && ["no-response", "host-unreach"].contains(&&**reason))
}

fn through_exec(case: &Case, home: &Home, scan: &Scan) -> Answers {
    let name = |what: &str| home.path().join(format!("{:?}.{what}", thread::current().id())).display().to_string();
    let files = ["v4", "v6", "json"].map(name);
    for (file, ruleset) in files.iter().zip(&case.rulesets) {
        fs::write(file, ruleset.to_string()).expect("write the ruleset");
    }
    let listen = LISTEN.map(|port| port.to_string()).join(",");
    let tool = nmap_command(scan.nmap, scan.family, &ports());
    let mut words = vec!["exec", "--rules", &files[0], "--rules6", &files[1], "--listen", &listen];
    words.extend(["--iptables", case.options[1], "--format", "json", "--output", &files[2], "--"]);
    words.extend(tool.iter().map(String::as_str));
    let output = home.as_root(&words).output().expect("scanlab starts");
    assert!(output.status.success(), "{}\n{case}", String::from_utf8_lossy(&output.stderr));
    read_nmap(&String::from_utf8(output.stdout).expect("XML"))
}
