//! Claims that something never happens, each withdrawn if a packet shows that it does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::binary::{Ended, ended, share_the_machine};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/claims").join(name)
}

fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder(name)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|one| one == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has cases");
    files
}

fn scanlab(arguments: &[&str]) -> Ended {
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    ended(Command::new(env!("CARGO_BIN_EXE_scanlab")).args(arguments).output().expect("the program starts"))
}

fn findings(rules: &Path) -> Value {
    let rules = rules.to_str().expect("a name");
    scanlab(&["scan", "--rules", rules, "-sS", "-p", "22", "--trace", "--format", "json"]).report()["findings"].clone()
}

fn dead(findings: &Value) -> Vec<u64> {
    findings["unreachable"].as_array().expect("a list").iter().filter_map(|one| one["line"].as_u64()).collect()
}

#[test]
fn a_rule_that_a_packet_reaches_is_never_called_dead() {
    let _machine = share_the_machine();
    for rules in files("alive", "v4") {
        let findings = findings(&rules);
        assert_eq!(dead(&findings), [0; 0], "{}: {findings:#}", rules.display());
    }
}

/// A rule before a dead rule gets a match that no sweep varies, and the claim is withdrawn and names the match.
#[test]
fn dead_is_withdrawn_where_a_rule_before_asks_for_what_no_sweep_varies() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let told = |before: &str| {
        let rules = folder.path().join("rules.v4");
        let text =
            format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp {before}-j DROP\n-A INPUT -p tcp -j LOG\nCOMMIT\n");
        fs::write(&rules, text).expect("write the rules");
        findings(&rules)
    };
    assert_eq!(dead(&told("")), [4]);
    for asked in ["-m ttl --ttl-gt 10", "-m length --length 0:200", "-m u32 --u32 0>>28=4", "-m tos ! --tos 8"] {
        let findings = told(&format!("{asked} "));
        assert_eq!(dead(&findings), [0; 0], "{asked}");
        let reasons = findings["not_provable"].to_string();
        let module = asked.split(' ').nth(1).expect("a module");
        assert!(reasons.contains(&format!("-m {module}")) && reasons.contains("line 3"), "{asked}: {reasons}");
    }
}

const HEAD: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:LAN - [0:0]\n";

/// The exit status of `diff` of two rulesets with these rules.
fn diff(before: &str, after: &str) -> Option<i32> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, rules: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{HEAD}{rules}\nCOMMIT\n")).expect("write the rules");
        path.to_str().expect("a name").to_owned()
    };
    scanlab(&["diff", &file("a.v4", before), &file("b.v4", after)]).status
}

#[test]
fn rulesets_that_a_packet_tells_apart_are_never_called_the_same() {
    let _machine = share_the_machine();
    let (high, web) = ("-A INPUT -p tcp --sport 1024:65535 -j ACCEPT\n", "-A INPUT -p tcp --dport 80 -j ACCEPT");
    for (before, after, status) in [
        ("-A INPUT -p icmp --icmp-type 8 -j ACCEPT", "-A INPUT -p icmp -j ACCEPT", 1),
        (&*format!("{high}{web}"), high, 1),
        ("-A INPUT -i eth0 -p tcp -j ACCEPT", "-A INPUT ! -i lo -p tcp -j ACCEPT", 1),
        ("-A INPUT -i eth0 -p tcp -j ACCEPT", "-A INPUT -i eth+ -p tcp -j ACCEPT", 1),
        ("-A INPUT ! -i wlan0 -p tcp -j ACCEPT", "-A INPUT ! -i wlan+ -p tcp -j ACCEPT", 1),
        ("-A OUTPUT -o wlan0 -j DROP", "-A OUTPUT -o wlan+ -j DROP", 1),
        ("-A INPUT -j LOG", "-A INPUT -j LOG --log-level debug", 1),
        (
            "-A INPUT -m ttl --ttl-lt 10 -j DROP\n-A INPUT -j ACCEPT",
            "-A INPUT -m ttl --ttl-lt 30 -j DROP\n-A INPUT -j ACCEPT",
            3,
        ),
        ("-A INPUT -m length --length 100:200 -j LOG", "-A INPUT -m length --length 100:300 -j LOG", 3),
        ("-A INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 -j ACCEPT", "", 3),
        (
            "-A INPUT -m string --algo bm --string \"no such words\" -j ACCEPT",
            "-A INPUT -m string --algo bm --string \"other words\" -j ACCEPT",
            3,
        ),
        ("-A FORWARD -p tcp -j ACCEPT", "", 3),
    ] {
        assert_eq!(diff(before, after), Some(status), "{before} | {after}");
    }
}

#[test]
fn rulesets_that_do_the_same_are_the_same() {
    let _machine = share_the_machine();
    for (before, after) in [
        ("-A INPUT -j REJECT", "-A INPUT -j REJECT --reject-with port-unreach"),
        ("-A INPUT -p tcp -j REJECT --reject-with tcp-rst", "-A INPUT -p tcp -j REJECT --reject-with tcp-reset"),
        ("-A INPUT -p udp -j DROP", ""),
        ("-A INPUT -m ttl --ttl-lt 10 -j DROP", "-A INPUT -m ttl --ttl-lt 10 -j DROP"),
    ] {
        assert_eq!(diff(before, after), Some(0), "{before} | {after}");
    }
}

/// Rules are planted among those that a sensor generates, and a fact of this tone names each.
#[test]
fn a_planted_rule_is_never_called_safe() {
    let _machine = share_the_machine();
    let check = |ssh_from: &str, planted: [&[(&str, &str)]; 2]| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("a name").to_owned();
        let (sensor, rules, rules6) = (path("s.toml"), path("rules.v4"), path("rules.v6"));
        fs::write(&sensor, format!("[sensor]\nssh = 32232\n{ssh_from}")).expect("write the sensor");
        let generated = scanlab(&["generate", &sensor, "-o", &path("out"), "--force"]);
        assert_eq!(generated.status, Some(0), "{}", generated.stderr);
        for (file, planted) in [(&rules, planted[0]), (&rules6, planted[1])] {
            let name = Path::new(file).file_name().expect("a name");
            let text = fs::read_to_string(folder.path().join("out").join(name)).expect("rules");
            let lo = "-A INPUT -i lo -j ACCEPT\n";
            assert!(text.contains(lo), "{text}");
            let (before, filter): (Vec<_>, Vec<_>) = planted
                .iter()
                .partition(|(_, rule)| [" PREROUTING ", " LEAD "].iter().any(|chain| rule.contains(chain)));
            let lines =
                |rules: Vec<(&str, &str)>| rules.iter().map(|(_, rule)| format!("{rule}\n")).collect::<String>();
            let table = if before.iter().any(|(_, rule)| rule.contains("-j CT")) { "raw" } else { "nat" };
            let before = format!("*{table}\n:PREROUTING ACCEPT [0:0]\n:LEAD - [0:0]\n{}COMMIT\n", lines(before));
            let text = text.replacen(lo, &format!("{lo}{}", lines(filter)), 1);
            fs::write(file, format!("{before}{text}")).expect("write the rules");
        }
        let files = ["--sensor", &sensor, "--rules", &rules, "--rules6", &rules6];
        let ended = scanlab(&[&["check", "--format=json"], &files[..]].concat());
        for (tone, rule) in planted.concat() {
            let report = ended.report();
            let answers = report["answers"].as_array().expect("answers").iter();
            let facts = answers.flat_map(|answer| answer["facts"].as_array().expect("facts"));
            let named = facts.filter(|fact| fact["text"].as_str().is_some_and(|text| text.contains(rule)));
            let tones: Vec<&str> = named.map(|fact| fact["tone"].as_str().expect("a tone")).collect();
            let is_so = tones.contains(&tone) || tone == "good" && tones.is_empty();
            assert!(is_so, "{tone} {rule}: {tones:?} {}", ended.stdout);
        }
        ended.status
    };
    let (everybody, some) = ("", "ssh_from = [\"192.0.2.0/24\"]\n");
    // Rules that accept packets.
    let open = [
        ("bad", "-A INPUT -p tcp -m tcp --sport 20 -j ACCEPT"),
        ("bad", "-A INPUT -s 198.51.100.0/24 -j ACCEPT"),
        ("bad", "-A INPUT -i wlan0 -p tcp -j ACCEPT"),
        ("unknown", "-A INPUT -p tcp -m ttl --ttl-eq 77 -j ACCEPT"),
        ("unknown", "-A INPUT -p tcp --syn --dport 443 -m length --length 60 -j ACCEPT"),
        ("unknown", "-A INPUT -p tcp -m dscp --dscp 10 -j ACCEPT"),
        ("unknown", "-A INPUT -p tcp -m string --algo bm --string knock -j ACCEPT"),
        ("unknown", "-A PREROUTING -m ttl --ttl-eq 77 -p tcp --dport 8080 -j REDIRECT --to-ports 32232"),
    ];
    // Rules of nat that redirect to a served port or to another machine from some sources only; the filter sees the
    // packet after that.
    let led = [
        ("bad", "-A PREROUTING -p tcp -m tcp --sport 777 -j REDIRECT --to-ports 32232"),
        ("bad", "-A PREROUTING -s 198.51.100.9/32 -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 32232"),
        ("bad", "-A PREROUTING -s 198.51.100.9/32 -p tcp --dport 8081 -j DNAT --to-destination 203.0.113.10:32232"),
        ("bad", "-A PREROUTING -s 198.51.100.9/32 -p tcp --dport 8082 -j DNAT --to-destination 172.17.0.2:80"),
        ("good", "-A PREROUTING -i wlan0 -j LEAD"),
        ("bad", "-A PREROUTING -p tcp -m tcp --dport 8090 -j REDIRECT --to-ports 32231"),
        ("bad", "-A INPUT -s 198.51.100.9 -p tcp --dport 32231 -j ACCEPT"),
        ("bad", "-A LEAD -s 10.0.0.0/8 -m addrtype --dst-type LOCAL -j REDIRECT -p tcp --to-ports 32232"),
    ];
    let led6 = [
        ("bad", "-A PREROUTING -p tcp -m tcp --sport 777 -j REDIRECT --to-ports 32232"),
        (
            "bad",
            "-A PREROUTING -s 2001:db8:ff::/48 -p tcp --dport 81 -j DNAT --to-destination [2001:db8:113::10]:32232",
        ),
    ];
    // Rules that decide which packets are NEW for conntrack.
    let exempted = [("unknown", "-A PREROUTING -s 10.0.0.0/8 -p tcp -m tcp --dport 32232 -j CT --notrack")];
    let opening = [
        ("bad", "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN,PSH -j ACCEPT"),
        ("bad", "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN,URG -j ACCEPT"),
    ];
    let open6 = [
        ("bad", "-A INPUT -p tcp -m tcp --sport 20 -j ACCEPT"),
        ("bad", "-A INPUT -s 2001:db8:ff::/48 -p tcp -j ACCEPT"),
        ("unknown", "-A INPUT -p tcp -m hl --hl-eq 77 -j ACCEPT"),
    ];
    let strangers = [
        ("bad", "-A INPUT -s 198.51.100.7 -p tcp --dport 32232 -j ACCEPT"),
        ("bad", "-A INPUT -s 198.51.100.128/25 -p tcp --dport 32232 -j ACCEPT"),
        ("bad", "-A INPUT -p tcp --sport 1:1023 -j ACCEPT"),
        ("bad", "-A INPUT -s 192.0.2.0/24 -p tcp --sport 1024:39999 -j DROP"),
    ];
    // Rules that drop the SYN, the client's next segments, or those of the host.
    let real_clients = [
        ("bad", "-A INPUT -p tcp --syn --tcp-option 8 -j DROP"),
        ("bad", "-A INPUT -p tcp --syn --dport 32232 -m length --length 60 -j DROP"),
        ("bad", "-A INPUT -p tcp --dport 32232 -m tos ! --tos 0 -j DROP"),
        ("bad", "-A OUTPUT -m tos ! --tos 0 -j DROP"),
        ("bad", "-A OUTPUT -p tcp --tcp-flags SYN,ACK SYN,ACK --tcp-option 8 -j DROP"),
    ];
    // Rules that cut the sessions that are sent.
    let banner = [("bad", "-A INPUT -p tcp --dport 32232 -m string --algo bm --string \"SSH-2.0\" -j DROP")];
    let long = [("bad", "-A INPUT -p tcp --dport 32232 -m length --length 1000: -j DROP")];
    let long_answer = [("bad", "-A OUTPUT -m length --length 1000: -j DROP")];
    let kept_out = [
        ("bad", "-A INPUT -s 10.0.0.0/8 -j REJECT"),
        ("bad", "-A INPUT -s 0.0.0.0/1 -p tcp -m tcp --dport 32232 -j DROP"),
        ("bad", "-A INPUT -p tcp --syn --sport 1024:39999 --dport 32232 -j DROP"),
        ("bad", "-A INPUT -p tcp ! --syn --sport 50000:65535 --dport 32232 -j DROP"),
        ("bad", "-A OUTPUT -p tcp -m tcp --sport 32232 --dport 1024:39999 -j DROP"),
        ("bad", "-A OUTPUT -d 128.0.0.0/2 -j DROP"),
    ];
    let kept_out6 = [
        ("bad", "-A INPUT -p tcp --syn --sport 1024:39999 --dport 32232 -j DROP"),
        ("bad", "-A OUTPUT -p tcp -m tcp --sport 32232 --dport 40000:50000 -j DROP"),
        ("bad", "-A OUTPUT -d 2000::/4 -j DROP"),
    ];
    // One machine or a few ports deserve a note; packets to the host alone are no broadcasts.
    let fine = [
        ("note", "-A INPUT -s 10.1.2.3 -p tcp --dport 32232 -j DROP"),
        ("note", "-A OUTPUT -p tcp --dport 6000:6063 -j DROP"),
        ("good", "-A INPUT -m addrtype --dst-type BROADCAST -j DROP"),
        ("good", "-A INPUT -m pkttype --pkt-type multicast -j DROP"),
        ("good", "-A PREROUTING -s 198.51.100.9 -p tcp --dport 8080 -j REDIRECT --to-ports 23"),
    ];
    // Interfaces that a pattern means, and a rule before does not.
    let wildcard = [
        ("good", "-A INPUT -i eth0 -p tcp --dport 8080 -j DROP"),
        ("bad", "-A INPUT -i eth+ -p tcp --dport 8080 -j ACCEPT"),
    ];
    // Some packets for served ports go to another machine.
    let telnet = "honeypot = { Telnet = 23 }\n";
    let elsewhere = [
        (
            "unknown",
            "-A PREROUTING -p tcp -m tcp --sport 1024:40000 --dport 23 -j DNAT --to-destination 203.0.113.77:2323",
        ),
        ("unknown", "-A PREROUTING -i wlan0 -p tcp --dport 23 -j DNAT --to-destination 203.0.113.77"),
        ("unknown", "-A PREROUTING -s 198.51.100.9 -p tcp --dport 32232 -j DNAT --to-destination 203.0.113.77:22"),
    ];
    // A list of addresses that packets to another port write.
    let banned = [
        ("note", "-A INPUT -m recent --name portscan --rcheck --seconds 86400 -j DROP"),
        ("good", "-A INPUT -m recent --name portscan --remove"),
        ("note", "-A INPUT -p tcp --dport 139 -m recent --name portscan --set -j DROP"),
    ];
    type Edits<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, [Edits; 2], &[i32]); 20] = [
        (everybody, [&[], &[]], &[0]),
        (some, [&[], &[]], &[0]),
        (everybody, [&led, &led6], &[1]),
        (everybody, [&exempted, &[]], &[1, 3]),
        (everybody, [&opening, &opening], &[1]),
        (everybody, [&open, &open6], &[1]),
        (everybody, [&open[3..], &open6[2..]], &[3]),
        (some, [&strangers, &[]], &[1]),
        (everybody, [&real_clients[..1], &[]], &[1]),
        // Over IPv6 a SYN is longer.
        (everybody, [&real_clients[1..2], &real_clients[..1]], &[1]),
        (everybody, [&real_clients[2..3], &real_clients[2..3]], &[1]),
        (everybody, [&real_clients[3..4], &real_clients[3..4]], &[1]),
        (everybody, [&real_clients[4..], &real_clients[4..]], &[1]),
        (everybody, [&banner, &long], &[1]),
        (everybody, [&long_answer, &[]], &[1]),
        (everybody, [&kept_out, &kept_out6], &[1]),
        (everybody, [&fine, &fine[1..2]], &[0]),
        (everybody, [&wildcard, &wildcard], &[1]),
        (telnet, [&elsewhere, &[]], &[3]),
        (everybody, [&banned, &[]], &[0]),
    ];
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((ssh_from, planted, statuses)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let status = check(ssh_from, *planted);
            assert!(status.is_some_and(|status| statuses.contains(&status)), "{status:?} {statuses:?} {planted:?}");
        }
    };
    // A check uses one core for most of its time.
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
}

/// Mutants that no check notices and that are not proved to be equivalent are counted apart.
#[test]
fn mutants_that_no_packet_of_the_lab_can_tell_are_not_judged() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = format!("{HEAD}-A INPUT -m ttl --ttl-eq 77 -j ACCEPT\nCOMMIT\n");
    fs::write(folder.path().join("rules.v4"), rules).expect("write the rules");
    let scenario = "title = \"drops\"\n[ruleset]\nv4 = \"rules.v4\"\n[[expect]]\nscan = \"syn\"\nports = 22\n\
                    family = \"ipv4\"\nstate = \"filtered\"\nlog = \"\"\n";
    fs::write(folder.path().join("s.toml"), scenario).expect("write the scenario");
    let ended = scanlab(&["mutate", folder.path().join("s.toml").to_str().expect("a name"), "--format", "json"]);
    assert_eq!(ended.status, Some(3), "{}", ended.stderr);
    let report = ended.report();
    let fates = report["mutations"][0]["mutants"].as_array().expect("mutants").iter();
    let of = |place: &str| -> Vec<&str> {
        let here = fates.clone().filter(|one| one["description"].as_str().is_some_and(|text| text.contains(place)));
        here.filter_map(|one| one["fate"].as_str()).collect()
    };
    assert!(of("line 3").iter().all(|fate| *fate == "not-judged"), "{report:#}");
    assert!(of("line 6").contains(&"not-judged"), "{report:#}");
}

#[test]
fn an_exemption_alone_makes_packets_untracked_with_both_flavours() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    let raw = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 22 -j CT --notrack\nCOMMIT\n";
    fs::write(&rules, format!("{raw}{HEAD}-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n")).expect("write the rules");
    let rules = rules.to_str().expect("a name");
    for flavour in ["nft", "legacy"] {
        let words = ["scan", "--rules", rules, "-sS", "-p", "22,23", "--trace", "--format=json", "--iptables", flavour];
        let report = scanlab(&words).report();
        let states: Vec<&Value> =
            report["probes"].as_array().expect("probes").iter().map(|one| &one["conntrack"]).collect();
        assert_eq!(states, [&Value::from("UNTRACKED"), &Value::Null], "{flavour}: {report:#}");
    }
}

/// Random numbers of the host are not in a report that has to be the same each time.
#[test]
fn sequence_numbers_of_the_host_are_masked_in_json() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    let log = "-j LOG --log-tcp-sequence --log-prefix";
    let text =
        format!("{HEAD}-A INPUT -p tcp {log} \"in: \"\n-A INPUT -p tcp -j ACCEPT\n-A OUTPUT {log} \"out: \"\nCOMMIT\n");
    fs::write(&rules, text).expect("write the rules");
    let rules = rules.to_str().expect("a name");
    let scan =
        || scanlab(&["scan", "--rules", rules, "-sST", "-p", "22,23", "--listen", "22", "--format", "json"]).stdout;
    let once = scan();
    assert!(once.contains(" SEQ=* ") && once.contains(" ACK=* "), "{once}");
    (0..3).for_each(|_| assert_eq!(scan(), once));
}

/// More packets than a sweep has: 16 networks, 30 ports and a few octets of flags.
fn more_than_a_sweep_has() -> String {
    let ports = |first: u16| (0..15).map(|step| (first + 10 * step).to_string()).collect::<Vec<_>>().join(",");
    let networks =
        (1..=16).map(|net| format!("-A INPUT -s 10.{net}.0.0/16 -p tcp --syn -j ACCEPT\n")).collect::<String>();
    format!(
        "{HEAD}-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n{networks}\
         -A INPUT -p tcp -m multiport --dports {} -j ACCEPT\n-A INPUT -p tcp -m multiport --sports {} -j ACCEPT\n\
         -A INPUT -m ttl --ttl-lt 10 -j DROP\n-A INPUT -p 47 -j DROP\n-A INPUT -p 47 -j LOG\n\
         -A INPUT -p udp -j LOG\nCOMMIT\n",
        ports(1000),
        ports(3000),
    )
}

/// A packet that was not sent gives no result: the result is a proof by sets, a packet that the sets name, or "not
/// judged".
#[test]
fn an_incomplete_sweep_is_never_a_result() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = more_than_a_sweep_has();
    let line = |text: &str| rules.lines().position(|line| line.contains(text)).expect("a line") as u64 + 1;
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("write the file");
        path.to_str().expect("a name").to_owned()
    };
    let original = write("rules.v4", &rules);
    let without = |text: &str| {
        rules.lines().filter(|line| !line.contains(text)).map(|line| format!("{line}\n")).collect::<String>()
    };

    let findings = findings(Path::new(&original));
    assert_eq!(findings["sweeps"][0]["complete"], Value::Bool(false), "{:#}", findings["sweeps"]);
    assert_eq!(dead(&findings), [0; 0], "{findings:#}");
    let mut not_provable = findings["not_provable"].as_array().expect("a list").iter();
    assert!(not_provable.any(|one| one["line"] == line("-p 47 -j LOG")), "{findings:#}");

    let diff = |changed: &str| scanlab(&["diff", &original, &write("changed.v4", changed)]).status;
    assert_eq!(diff(&rules), Some(0), "proved by sets alone");
    assert_eq!(diff(&without("ESTABLISHED")), Some(1), "sets name a packet, and it is sent");
    assert_eq!(diff(&rules.replace("--ttl-lt 10", "--ttl-lt 30")), Some(3), "sets name a packet that cannot be sent");
}

fn head_and(rules: &str) -> String {
    format!("{HEAD}{rules}COMMIT\n")
}

/// 60 addresses with 3 ports each, and a rule for outgoing packets: twice as many packets as a sweep has.
#[test]
fn sixty_addresses_with_three_ports_are_judged_by_sets() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("write the file");
        path.to_str().expect("a name").to_owned()
    };
    let pairs = (0..60).flat_map(|net| [22, 80, 443].map(|port| (net, port)));
    let accept = |(net, port)| format!("-A INPUT -s 10.{net}.0.0/16 -p tcp -m tcp --dport {port} -j ACCEPT\n");
    let rules = format!(
        "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n{}-A INPUT -s 10.7.8.9 -p tcp -m tcp --dport 443 -j LOG\n\
         -A OUTPUT -p tcp -m tcp --dport 25 -j DROP\n",
        pairs.map(accept).collect::<String>()
    );
    let (rules, without) =
        (head_and(&rules), head_and(&rules.replace("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n", "")));
    let line = |text: &str| rules.lines().position(|line| line.contains(text)).expect("a line") as u64 + 1;
    let (original, changed) = (write("rules.v4", &rules), write("changed.v4", &without));

    let findings = findings(Path::new(&original));
    assert_eq!(findings["sweeps"][0]["complete"], Value::Bool(false), "{:#}", findings["sweeps"]);
    assert_eq!(dead(&findings), [0; 0], "the sweep is too short to say why it is dead: {findings:#}");
    assert_eq!(findings["not_provable"][0]["line"], line("-j LOG"), "{findings:#}");
    let diff = |one: &str, other: &str| scanlab(&["diff", one, other, "--format", "json"]);
    let same = diff(&original, &write("same.v4", &rules));
    assert_eq!((same.status, &same.report()["diff"]["complete"]), (Some(0), &Value::Bool(false)), "proved by sets");
    assert_eq!(diff(&original, &changed).status, Some(1), "a packet that sets name is sent");
    let told = scanlab(&["diff", &original, &original]).stdout;
    assert!(told.contains("sets of packets prove that the rest are treated the same"), "{told}");
}

/// A rule of more port pairs than a sweep has.
#[test]
fn mutants_above_a_sweep_are_never_equivalent_for_want_of_packets() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let ports = |first: u16| (0..10).map(|step| (first + 10 * step).to_string()).collect::<Vec<_>>().join(",");
    let rules = head_and(&format!(
        "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -s 10.1.0.0/16 -p tcp -m multiport --sports {} \
         -m multiport --dports {} -j ACCEPT\n-A INPUT -m ttl --ttl-lt 10 -j ACCEPT\n",
        ports(3000),
        ports(1000)
    ));
    fs::write(folder.path().join("rules.v4"), rules).expect("write the rules");
    let scenario = "title = \"drops\"\n[ruleset]\nv4 = \"rules.v4\"\n[[expect]]\nscan = \"syn\"\nports = 22\n\
                    family = \"ipv4\"\nstate = \"filtered\"\nlog = \"\"\n";
    let scenario = (folder.path().join("s.toml"), scenario);
    fs::write(&scenario.0, scenario.1).expect("write the scenario");
    let mutate = || scanlab(&["mutate", scenario.0.to_str().expect("a name"), "--format", "json"]);
    let ended = mutate();
    assert_eq!(ended.status, Some(3), "{}", ended.stderr);
    let report = ended.report();
    let mutants = report["mutations"][0]["mutants"].as_array().expect("mutants");
    let with = |fate: &str| mutants.iter().filter(|one| one["fate"] == fate).count() as f64;
    let of = |line: u64, what: &str| {
        let is_it = |one: &&Value| one["line"] == line && one["description"].as_str().expect("words").contains(what);
        mutants.iter().find(is_it).expect("the mutant")["fate"].as_str().expect("a word")
    };
    assert_eq!(of(6, "is deleted"), "survived", "ESTABLISHED");
    assert_eq!(of(7, "the rule is deleted"), "survived");
    assert_eq!([of(8, "the rule is deleted"), of(8, "becomes -j DROP")], ["not-judged"; 2]);
    let (killed, survived) = (with("killed"), with("survived"));
    let summary = &report["summary"];
    assert_eq!(summary["score"].as_f64(), Some(100.0 * killed / (killed + survived)), "{summary}");
    assert_eq!(summary["not_judged"].as_f64(), Some(with("not-judged")), "{summary}");
    for one in mutants.iter().filter(|one| one["fate"] == "equivalent") {
        assert!(!one["because"].as_str().expect("a reason").contains("packets"), "no count of packets: {one}");
    }
    assert_eq!(mutate().stdout, ended.stdout, "the same packets tell each time");
}

/// The same rules in a text, in JSON and in SARIF.
#[test]
fn rule_that_is_not_provable_is_in_every_format() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    let text = "-A INPUT -p tcp -m ttl --ttl-gt 10 -j DROP\n-A INPUT -p tcp -j LOG\n-A INPUT -p udp -j DROP\n\
                -A INPUT -p udp -j LOG\n-A FORWARD -j LOG\n";
    fs::write(&rules, head_and(text)).expect("write the rules");
    let rules = rules.to_str().expect("a name");
    let words = ["scan", "--rules", rules, "-sS", "-p", "22", "--trace", "--format"];
    let scan = |format: &'static str| scanlab(&[&words[..], &[format]].concat());
    let json = scan("json").report()["findings"].clone();
    let of_json = |kind: &str| -> Vec<u64> {
        json[kind].as_array().expect("a list").iter().filter_map(|one| one["line"].as_u64()).collect()
    };
    let mut expected = [of_json("not_provable"), of_json("unreachable")];
    expected.iter_mut().for_each(|lines| lines.sort_unstable());
    assert_eq!(expected, [vec![7, 10], vec![9]], "{json:#}");

    let table = scan("table").stdout;
    let of_table = |words: &str| {
        let start = format!(" {words} {rules}:");
        let lines = table.lines().filter_map(|line| line.strip_prefix(&start)?.split(' ').next()?.parse().ok());
        let mut lines: Vec<u64> = lines.collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!([of_table("not provable"), of_table("dead LOG")], expected, "{table}");

    let sarif: Value = serde_json::from_str(&scan("sarif").stdout).expect("JSON");
    let of_sarif = |rule: &str| {
        let results = sarif["runs"][0]["results"].as_array().expect("results").iter();
        let own = results.filter(|one| one["ruleId"].as_str().is_some_and(|id| id == rule));
        let line = |one: &Value| one["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64();
        let mut lines: Vec<u64> = own.filter_map(line).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!([of_sarif("finding/not-provable"), of_sarif("finding/dead-log")], expected, "{sarif:#}");
}

/// A rule before one without effect gets a match that no sweep varies, and only those mutants of the second are called
/// equivalent whose words are.
#[test]
fn equivalent_is_withdrawn_where_a_rule_before_asks_for_what_no_sweep_varies() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = "title = \"drops\"\n[ruleset]\nv4 = \"rules.v4\"\n[[expect]]\nscan = \"syn\"\nports = 22\n\
                    family = \"ipv4\"\nstate = \"filtered\"\nlog = \"\"\n";
    let path = folder.path().join("s.toml");
    fs::write(&path, scenario).expect("write the scenario");
    let deleted = |asked: &str| {
        let rules = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j DROP\n-A INPUT -p udp {asked}-j DROP\n\
             -A INPUT -p udp -m udp --dport 53 -j DROP\nCOMMIT\n"
        );
        fs::write(folder.path().join("rules.v4"), rules).expect("write the rules");
        let report = scanlab(&["mutate", path.to_str().expect("a name"), "--format", "json"]).report();
        let mutants = report["mutations"][0]["mutants"].as_array().expect("mutants").clone();
        let is_it = |one: &Value| one["line"] == 5 && one["description"] == "line 5: the rule is deleted";
        mutants.into_iter().find(is_it).expect("the mutant")["fate"].clone()
    };
    assert_eq!(deleted(""), "equivalent");
    for asked in ["-m ttl --ttl-gt 10 ", "-m length --length 0:200 ", "-m iprange --src-range 0.0.0.1-9.0.0.0 "] {
        assert_ne!(deleted(asked), "equivalent", "{asked}");
    }
}
