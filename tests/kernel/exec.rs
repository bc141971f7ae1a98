//! Real tools behind the relay: they see what they would see over a cable, and the report describes the fate of their
//! packets.
//!
//! Needs root and the tools, see `.ci/setup tests`.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use scanlab::intent::scenario::Scenario;
use scanlab::net::Family;
use scanlab::rules::generate;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::binary::{have_the_machine_alone, share_the_machine};
use crate::support::hosts::{nmap_command, nmap_scan, read_xml};

const PATIENCE: Duration = Duration::from_secs(30);

/// Rulesets in a folder, and `scanlab exec` with them.
struct Bench {
    folder: TempDir,
    listen: &'static str,
}

/// The output of a tool, and its report.
struct Observed {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    report: Value,
}

impl Bench {
    fn new(v4: &str, v6: &str, listen: &'static str) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, rules) in [("v4", v4), ("v6", v6)] {
            fs::write(folder.path().join(name), rules).expect("write the ruleset");
        }
        Bench { folder, listen }
    }

    /// The sensor of a built-in scenario.
    fn hardened() -> Bench {
        let (v4, v6) = hardened();
        Bench::new(&v4, &v6, "22,32232")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn command(&self, options: &[&str], tool: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.arg("exec").arg("--rules").arg(self.file("v4")).arg("--rules6").arg(self.file("v6"));
        command.args(["--listen", self.listen]).args(options).arg("--").args(tool);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The report goes to a file, so that the output of the tool stays separate.
    fn exec_with(&self, options: &[&str], tool: &[&str]) -> Observed {
        // Tools run in parallel.
        let name = format!("{:?}.json", thread::current().id());
        let file = self.file(&name);
        let options = [&["--format", "json", "--output", &file], options].concat();
        let Output { status, stdout, stderr } = self.command(&options, tool).output().expect("scanlab starts");
        let report = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or(Value::Null);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Observed { status: status.code(), stdout: text(&stdout), stderr: text(&stderr), report }
    }

    fn exec(&self, tool: &[&str]) -> Observed {
        let observed = self.exec_with(&[], tool);
        assert_eq!(observed.status, Some(0), "{tool:?}: {}", observed.stderr);
        observed
    }
}

impl Observed {
    fn groups(&self, what: &str) -> Vec<&Value> {
        let groups = self.report["groups"].as_array().unwrap_or_else(|| panic!("no groups: {}", self.stderr));
        groups.iter().filter(|group| group["what"] == what).collect()
    }

    fn count(&self, what: &str) -> u64 {
        self.groups(what).iter().map(|group| group["frames"].as_u64().expect("a number")).sum()
    }
}

fn hardened() -> (String, String) {
    let scenario = Scenario::load(Path::new("scenarios/sensor-hardened.toml")).expect("a scenario");
    let generated = generate::generate(&scenario.sensor.expect("a sensor"));
    (generated.v4, generated.v6)
}

fn filter(policy: &str, rules: &str) -> String {
    format!("*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
}

/// Drops all packets but NDP, without which an IPv6 host is not found.
fn drop_all() -> (String, String) {
    (filter("DROP", ""), filter("DROP", "-A INPUT -p ipv6-icmp -j ACCEPT\n"))
}

/// Every `--reject-with`, one port for each from 1001.
fn rejects() -> (String, String) {
    let rules = |kinds: &[&str]| {
        let rule = |(port, kind): (u16, &&str)| {
            ["tcp", "udp"].map(|protocol| match *kind {
                "tcp-reset" if protocol == "udp" => String::new(),
                kind => format!("-A INPUT -p {protocol} --dport {port} -j REJECT --reject-with {kind}\n"),
            })
        };
        filter("ACCEPT", &(1001..).zip(kinds).flat_map(rule).collect::<String>())
    };
    let v4 = ["net-unreachable", "host-unreachable", "proto-unreachable", "port-unreachable", "net-prohibited"];
    let v4: Vec<String> =
        v4.iter().chain(&["host-prohibited", "admin-prohibited"]).map(|kind| format!("icmp-{kind}")).collect();
    let v4: Vec<&str> = v4.iter().map(String::as_str).chain(["tcp-reset"]).collect();
    let v6 = ["no-route", "adm-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route"];
    let v6: Vec<String> = v6.iter().map(|kind| format!("icmp6-{kind}")).collect();
    let v6: Vec<&str> = v6.iter().map(String::as_str).chain(["tcp-reset"]).collect();
    (rules(&v4), rules(&v6))
}

/// nmap over a veth pair and through the relay: the same state and reason for every port.
fn assert_same_as_over_a_cable((v4, v6): (String, String), listen: (&'static str, &'static [u16]), ports: &str) {
    let _machine = share_the_machine();
    let bench = Bench::new(&v4, &v6, listen.0);
    for family in Family::BOTH {
        thread::scope(|scope| {
            for technique in ["-sS", "-sT", "-sX", "-sA", "-sU"] {
                let (bench, v4, v6) = (&bench, &v4, &v6);
                scope.spawn(move || {
                    let cable = nmap_scan(v4, v6, listen.1, technique, family, ports);
                    let words = nmap_command(technique, family, ports);
                    let observed = bench.exec(&words.iter().map(String::as_str).collect::<Vec<_>>());
                    let relay = read_xml(&observed.stdout);
                    assert_eq!(cable, relay, "a cable on the left: {technique} {family}");
                    assert!(!relay.is_empty(), "{technique} {family}: {}", observed.stdout);
                });
            }
        });
    }
}

#[test]
fn nmap_sees_a_sensor_as_over_a_cable() {
    assert_same_as_over_a_cable(hardened(), ("22,32232", &[22, 32232]), "21-23,80,443,32232,65535");
}

#[test]
fn nmap_sees_silence_as_over_a_cable() {
    assert_same_as_over_a_cable(drop_all(), ("22", &[22]), "22-24");
}

#[test]
fn nmap_sees_every_reject_as_over_a_cable() {
    assert_same_as_over_a_cable(rejects(), ("22", &[22]), "22,23,1001-1008");
}

#[test]
fn the_report_tells_what_became_of_a_scan() {
    let _machine = share_the_machine();
    let observed = Bench::hardened().exec(&once("-sX -p 1-50 203.0.113.10"));
    let report = &observed.report;
    assert_eq!((&report["schema"], &report["tool_status"]["exit"]), (&1.into(), &0.into()));
    assert_eq!(observed.count("tcp xmas"), 50);
    let logged: Vec<_> =
        observed.groups("tcp xmas").into_iter().filter(|group| group["log"][0] == "<IPT> Xmas scan: ").collect();
    // The burst of the limit.
    assert_eq!((logged.len(), &logged[0]["frames"], &logged[0]["verdict"]), (1, &5.into(), &"drop".into()));
    assert_eq!(logged[0]["decided_by"]["verdict"], "drop");
    assert_eq!(report["log"].as_array().map(Vec::len), Some(5));
    for line in report["log"].as_array().expect("lines") {
        let frame = line["frame"].as_u64().expect("a frame") as usize;
        let record = &report["frames"][frame];
        assert_eq!(record["what"], "tcp xmas");
        let port = record["destination"].as_str().and_then(|end| end.rsplit(':').next()).expect("a port");
        assert!(line["line"].as_str().expect("a line").contains(&format!("DPT={port} ")), "{line} {record}");
    }
    assert!(observed.count("arp request") >= 1, "the tool finds its host by ARP");
}

#[test]
fn every_tool_is_observed() {
    let _machine = share_the_machine();
    let bench = Bench::hardened();
    let hping = bench.exec(&["hping3", "-F", "-P", "-U", "-c", "3", "-i", "u1000", "-p", "80", "203.0.113.10"]);
    assert_eq!(hping.count("tcp xmas"), 3);
    let udp = bench.exec(&["hping3", "-2", "-c", "2", "-i", "u1000", "-p", "53", "203.0.113.10"]);
    assert_eq!(udp.groups("udp").iter().map(|group| group["answer"].as_str()).collect::<Vec<_>>(), [Some("icmp 3/3")]);
    let sensor = bench.file("sensor.toml");
    fs::write(&sensor, "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\n").expect("write the sensor");
    let keyscan = bench.exec_with(&["--sensor", &sensor], &["ssh-keyscan", "-T", "5", "203.0.113.10"]);
    assert!(keyscan.stderr.contains("SSH-2.0-OpenSSH_7.4p1") && keyscan.count("connection") > 0, "{}", keyscan.stderr);
    let nc = bench.exec(&["nc", "-z", "-w", "5", "203.0.113.10", "22"]);
    assert_eq!(
        (&nc.report["tool_status"]["exit"], nc.groups("tcp syn")[0]["answer"].as_str()),
        (&0.into(), Some("tcp SYN,ACK"))
    );
    assert_eq!(nc.groups("tcp syn")[0]["log"][0], "<IPT> SSH port: ");
    let curl = bench.exec(&["curl", "-sS", "-m", "10", "http://203.0.113.10:22/"]);
    // curl's status 52: "the server did not reply anything".
    assert_eq!(
        (&curl.report["tool_status"]["exit"], curl.count("connection") > 0),
        (&52.into(), true),
        "{}",
        curl.stderr
    );
    let v6 = bench.exec(&["curl", "-sS", "-m", "1", "http://[2001:db8:113::10]:80/"]);
    assert_eq!(
        (&v6.report["tool_status"]["exit"], v6.groups("tcp syn")[0]["verdict"].as_str()),
        (&28.into(), Some("drop"))
    );
}

/// `scan` has no decoys; its refusal of `-D` refers to this command.
#[test]
fn decoys_are_those_of_real_nmap() {
    let _machine = share_the_machine();
    let words = "nmap -n -Pn -sS --max-retries 0 --min-rtt-timeout 5s --max-rtt-timeout 9s --initial-rtt-timeout 5s -D 203.0.113.77,ME,203.0.113.78 -p 22 203.0.113.10";
    let observed = Bench::hardened().exec(&words.split(' ').collect::<Vec<_>>());
    assert!(observed.stdout.contains("22/tcp open"), "{}", observed.stdout);
    let frames = observed.report["frames"].as_array().expect("frames");
    let syns = frames.iter().filter(|frame| frame["what"] == "tcp syn");
    let sources = syns.filter_map(|frame| frame["source"].as_str()?.split(':').next());
    let expected = ["203.0.113.66", "203.0.113.77", "203.0.113.78"];
    assert_eq!(sources.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

/// masscan has its own TCP stack: it answers ARP itself, and does not use the namespace's routes.
#[test]
fn masscan_is_observed() {
    let _machine = share_the_machine();
    let words = "masscan 203.0.113.10 -p1-500 --rate 5000 --wait 1 --router-mac 02:00:5e:10:00:10 --adapter-ip 203.0.113.66 -e eth0";
    let observed = Bench::hardened().exec(&words.split(' ').collect::<Vec<_>>());
    assert_eq!(observed.count("tcp syn"), 500);
    assert!(observed.stdout.contains("22/tcp"), "{}", observed.stdout);
}

#[test]
fn a_scan_at_full_speed_loses_nothing() {
    let _machine = share_the_machine();
    let words = "nmap -n -Pn -sS --min-rate 100000 --max-retries 0 -p 1-20000 203.0.113.10";
    let observed = Bench::hardened().exec(&words.split(' ').collect::<Vec<_>>());
    assert_eq!(observed.count("tcp syn"), 20_000);
}

/// The tool plants the fault, since it is root in its own namespace if not confined.
#[test]
fn a_frame_that_does_not_fit_is_a_loss() {
    let _machine = share_the_machine();
    let script =
        "ip link set eth0 txqueuelen 2; exec nmap -n -Pn -sS --min-rate 100000 --max-retries 0 -p 1-20000 203.0.113.10";
    let observed = Bench::hardened().exec_with(&["--unconfined"], &["sh", "-c", script]);
    assert_eq!(observed.status, Some(3), "{}", observed.stderr);
    assert!(observed.stderr.contains("the relay lost records"), "{}", observed.stderr);
}

#[test]
fn wireshark_opens_the_capture() {
    let _machine = share_the_machine();
    let bench = Bench::hardened();
    let capture = bench.file("scan.pcapng");
    let observed = bench.exec_with(&["--pcap", &capture], &["nmap", "-n", "-Pn", "-sS", "-p", "22,80", "203.0.113.10"]);
    let fields = ["frame.packet_flags_direction", "tcp.flags", "frame.comment"].map(|field| ["-e", field]);
    let tshark = Command::new("tshark")
        .args(["-n", "-r", &capture, "-T", "fields", "-E", "separator=|"])
        .args(fields.as_flattened())
        .output()
        .expect("tshark (hint: .ci/setup tests installs it)");
    let text = String::from_utf8(tshark.stdout).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    let frames = observed.report["frames"].as_array().expect("frames");
    assert_eq!(lines.len(), frames.len(), "{text}\n{}", String::from_utf8_lossy(&tshark.stderr));
    for (line, frame) in lines.iter().zip(frames) {
        let (direction, rest) = line.split_once('|').expect("three columns");
        // 1 is inbound, 2 is outbound.
        let direction = if direction.ends_with('1') { "to-host" } else { "from-host" };
        assert_eq!(frame["direction"], direction, "{line}");
        assert!(rest.contains(frame["what"].as_str().expect("a word")), "{line}");
    }
    assert!(
        lines.iter().any(|line| line.contains("-j DROP") && line.contains("log: <IPT> HTTP port: IN=eth0")),
        "{text}"
    );
}

/// The words of an nmap that sends each probe once. It waits two seconds for an answer, also to an ARP request, for which
/// it waits 0.2 s otherwise.
fn once(words: &str) -> Vec<&str> {
    "nmap -n -Pn --max-retries 0 --min-rtt-timeout 2s".split(' ').chain(words.split(' ')).collect()
}

/// As over a cable: frames sent while the link is down are lost, and the others arrive.
#[test]
fn a_tool_may_take_its_link_down() {
    let _machine = share_the_machine();
    let scan = "nmap -n -Pn -sS --max-retries 0 --min-rtt-timeout 2s -p 22 203.0.113.10";
    let script = format!("ip link set eth0 down; sleep 0.3; ip link set eth0 up; {scan}");
    let observed = Bench::hardened().exec_with(&["--unconfined"], &["sh", "-c", &script]);
    assert!(observed.stdout.contains("22/tcp open"), "{}", observed.stdout);
    let deleted = Bench::hardened().exec_with(&["--unconfined"], &["ip", "link", "delete", "eth0"]);
    assert_eq!(deleted.status, Some(3), "{}", deleted.stderr);
    assert!(deleted.stderr.contains("it is gone: a program in its namespace has deleted it"), "{}", deleted.stderr);
}

#[test]
fn services_of_udp_answer_a_tool() {
    let _machine = share_the_machine();
    let bench = Bench::new(&filter("ACCEPT", ""), &filter("ACCEPT", ""), "22,U:53");
    for family in [&["203.0.113.10"][..], &["-6", "2001:db8:113::10"]] {
        let scan = once("-sU -p 53,54");
        let observed = bench.exec(&[&scan[..], family].concat());
        let state = |port: &str| observed.stdout.lines().find(|line| line.starts_with(port)).map(str::to_owned);
        let states = ["53/udp", "54/udp"].map(|port| state(port).unwrap_or_default());
        assert!(states[0].contains(" open ") && states[1].contains("closed"), "{}", observed.stdout);
    }
}

/// The old content of the file stays until there is something new to write.
#[test]
fn a_tool_that_never_ran_costs_no_capture() {
    let _machine = share_the_machine();
    let bench = Bench::hardened();
    let capture = bench.file("old.pcapng");
    fs::write(&capture, "an old capture, much longer than what comes").expect("write the file");
    let failed = bench.exec_with(&["--pcap", &capture], &["no-such-tool"]);
    assert_eq!(failed.status, Some(2), "{}", failed.stderr);
    assert_eq!(fs::read_to_string(&capture).expect("the file"), "an old capture, much longer than what comes");
    bench.exec_with(&["--pcap", &capture], &["true"]);
    assert!(fs::read(&capture).expect("the file").starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "no pcapng");
}

#[test]
fn a_tool_may_end_as_it_likes() {
    let _machine = share_the_machine();
    let bench = Bench::hardened();
    let status = |tool: &[&str]| bench.exec(tool).report["tool_status"].clone();
    assert_eq!(status(&["sh", "-c", "exit 7"])["exit"], 7);
    assert_eq!(status(&["sh", "-c", "kill -KILL $$"])["signal"], 9);
    let timed_out = bench.exec_with(&["--timeout", "1"], &["sleep", "1000"]);
    assert_eq!((timed_out.status, &timed_out.report["tool_status"]["timed_out"]), (Some(0), &true.into()));
    let much = bench.exec(&["sh", "-c", "yes | head -c 3000000; yes | head -c 300000 >&2"]);
    assert_eq!((much.stdout.len(), much.stderr.len()), (3_000_000, 300_000));
    let missing = bench.exec_with(&[], &["no-such-tool"]);
    assert_eq!((missing.status, missing.stdout.as_str()), (Some(2), ""));
    assert!(missing.stderr.contains("cannot run no-such-tool"), "{}", missing.stderr);
}

/// The report for people comes after the output of the tool.
#[test]
fn the_report_is_printed_behind_what_the_tool_prints() {
    let _machine = share_the_machine();
    let scan = once("-sX -p 21-23 203.0.113.10");
    let output = Bench::hardened().command(&[], &scan).output().expect("scanlab starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let (tool, report) = text.split_once("nmap -n -Pn --max-retries 0").expect("the report begins with the command");
    assert!(tool.contains("Nmap done") && !tool.contains("xmas"), "{tool}");
    let lines: Vec<&str> = report.lines().collect();
    assert!(lines[1].starts_with("exit status 0 after ") && lines[1].ends_with("; 3 log lines"), "{report}");
    assert_eq!(lines[3], "ipv4 tcp xmas: 3 frames");
    let became = lines[4];
    assert!(became.starts_with("       3  to ports 21-23: dropped by line "), "{report}");
    assert!(became.ends_with("FIN,PSH,URG -j DROP; no answer; logged \"<IPT> Xmas scan: \""), "{report}");
    assert_eq!(report.matches("\n  <IPT> Xmas scan: IN=eth0").count(), 3);
}

/// An answer has other ports on the link than in the rules, and another rule holds one back.
#[test]
fn rewritten_ports_are_followed() {
    let _machine = share_the_machine();
    let nat = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080\nCOMMIT\n";
    let log = |rule: &str, prefix: &str| format!("-A {rule} -j LOG --log-prefix \"{prefix}\"\n");
    let rules = [
        log("INPUT -p tcp --dport 8080", "in "),
        log("OUTPUT -p tcp --sport 8080", "out "),
        log("OUTPUT -p tcp --sport 99", "kept "),
        "-A OUTPUT -p tcp --sport 99 -j DROP\n".to_owned(),
    ];
    let bench = Bench::new(&format!("{nat}{}", filter("ACCEPT", &rules.concat())), &filter("ACCEPT", ""), "8080");
    let scan = once("-sS -p 80,99,8080 203.0.113.10");
    let observed = bench.exec(&scan);
    let prefixes = |wanted: &str| {
        let lines = observed.report["log"].as_array().expect("lines");
        lines.iter().filter(|line| line["prefix"] == wanted).count()
    };
    // A SYN and a RST of each connection, one SYN/ACK.
    assert_eq!((prefixes("in "), prefixes("out "), prefixes("kept ")), (4, 2, 1));
    let held_back: Vec<_> = observed.groups("tcp syn").into_iter().filter(|group| group["ports"] == "99").collect();
    assert_eq!((held_back.len(), held_back[0]["held_back"].is_u64(), &held_back[0]["answer"]), (1, true, &Value::Null));
}

#[test]
fn fragments_are_told_with_what_became_of_their_packet() {
    let _machine = share_the_machine();
    let scan = once("-sS -f -p 80 203.0.113.10");
    let observed = Bench::hardened().exec(&scan);
    let dropped: Vec<_> = observed.groups("fragment").into_iter().filter(|group| group["verdict"] == "drop").collect();
    assert_eq!((observed.count("fragment"), dropped.len(), &dropped[0]["frames"]), (3, 1, &1.into()));
    assert_eq!(dropped[0]["log"][0], "<IPT> HTTP port: ");
}

/// Standard output and error of hping3 with a TCP header of 12 bytes, and the exit status.
fn with_short_header(rules: &str, backend: &str) -> (String, Option<i32>) {
    let bench = Bench::new(rules, &filter("ACCEPT", ""), "22");
    let tool = ["hping3", "-S", "-c", "1", "203.0.113.10", "-p", "22", "-O", "3"];
    let output = bench.command(&["--iptables", backend], &tool).output().expect("scanlab starts");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

/// `-m tcp` drops what it cannot parse, and the target of its rule is not used. nf_tables traces that as the drop of the
/// rule, x_tables not at all.
#[test]
fn a_packet_that_a_match_drops_is_dropped_by_its_rule() {
    let _machine = share_the_machine();
    let option = "-p tcp -m tcp --tcp-option 8 -j";
    let cases = [
        (filter("ACCEPT", &format!("-A INPUT {option} ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j DROP\n")), 5),
        (filter("ACCEPT", &format!("-A INPUT {option} LOG --log-prefix \"opt \"\n")), 5),
        (filter("ACCEPT", &format!("-A INPUT -p tcp -j LOG --log-prefix \"all \"\n-A INPUT {option} ACCEPT\n")), 6),
        (
            filter(
                "ACCEPT",
                &format!(":C - [0:0]\n-A INPUT -p tcp -j C\n-A INPUT {option} LOG\n-A C {option} ACCEPT\n"),
            ),
            8,
        ),
        (
            filter(
                "ACCEPT",
                &format!(":C - [0:0]\n-A INPUT -j C\n-A C -j MARK --set-mark 1\n-A INPUT {option} ACCEPT\n"),
            ),
            8,
        ),
        (format!("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {option} ACCEPT\nCOMMIT\n{}", filter("DROP", "")), 3),
    ];
    let assert_blames = &|rules: &str, line: usize, backend: &str| {
        let (text, status) = with_short_header(rules, backend);
        let blamed = text.contains(&format!("dropped by a match that cannot read it, line {line}  -A "));
        assert!(blamed && status == Some(0), "{backend}: {rules}{text}");
        assert_eq!(text.contains("logged \"all \""), rules.contains("all "), "{backend}: {text}");
    };
    // hping3 waits a second for an answer.
    thread::scope(|scope| {
        for (rules, line) in &cases {
            for backend in ["nft", "legacy"] {
                scope.spawn(move || assert_blames(rules, *line, backend));
            }
        }
    });
}

#[test]
fn a_packet_that_one_of_two_matches_may_have_dropped_has_no_path_with_x_tables() {
    let _machine = share_the_machine();
    let option = |number: u8| format!("-A INPUT -p tcp -m tcp --tcp-option {number} -j ACCEPT\n");
    let log = "-A INPUT -p tcp -j LOG --log-prefix \"all \"\n";
    let rules = filter("ACCEPT", &format!("{log}{}{}", option(8), option(4)));
    let (text, status) = with_short_header(&rules, "legacy");
    assert!(
        text.contains("does not trace which of these it was: line 6  -A") && text.contains("; line 7  -A"),
        "{text}"
    );
    assert_eq!(status, Some(3), "{text}");
    let (text, status) = with_short_header(&rules, "nft");
    assert!(text.contains("dropped by a match that cannot read it, line 6 ") && status == Some(0), "{text}");
}

/// Standard output and error of a scan of three ports with listeners, whose answers meet `TCPMSS` in `chain`, and then a
/// match that drops all but the first; and the exit status.
fn with_full_table(chain: &str, backend: &str) -> (String, Option<i32>) {
    let table = "--hashlimit-htable-size 1 --hashlimit-htable-max 1 --hashlimit-mode srcport --hashlimit-name x";
    let rules = format!(
        "*mangle\n-A {chain} -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400\n\
         -A POSTROUTING -p tcp -m hashlimit --hashlimit-upto 1/min {table} -j ACCEPT\nCOMMIT\n"
    );
    let bench = Bench::new(&rules, &filter("ACCEPT", ""), "22,80,443");
    let tool = ["nmap", "-n", "-Pn", "-sS", "--max-retries", "0", "-p", "22,80,443", "203.0.113.10"];
    let output = bench.command(&["--iptables", backend], &tool).output().expect("scanlab starts");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

#[test]
fn a_packet_that_a_match_drops_after_tcpmss_is_not_said_to_be_dropped_by_tcpmss() {
    let _machine = share_the_machine();
    for (chain, backend) in [("OUTPUT", "nft"), ("OUTPUT", "legacy"), ("POSTROUTING", "nft")] {
        let (text, status) = with_full_table(chain, backend);
        let blamed = text.contains("its answer dropped by a match that cannot read it, line 3  -A POSTROUTING");
        assert!(blamed && status == Some(0), "{chain} {backend}: {text}");
    }
    let (text, status) = with_full_table("POSTROUTING", "legacy");
    let either = text.contains("which of these it was: line 2  -A POSTROUTING") && text.contains("; line 3  -A");
    assert!(either && status == Some(3), "{text}");
}

/// x_tables does not trace these paths; an accepted packet leaves the lab's own line.
#[test]
fn with_x_tables_verdicts_are_known() {
    let _machine = share_the_machine();
    let scan = once("-sS -p 22,80 203.0.113.10");
    let observed = Bench::hardened().exec_with(&["--iptables", "legacy"], &scan);
    assert_eq!(observed.status, Some(0), "{}", observed.stderr);
    let verdict = |group: &Value| (group["ports"].to_string(), group["verdict"].to_string());
    let verdicts: BTreeSet<_> = observed.groups("tcp syn").into_iter().map(verdict).collect();
    let expected = [("\"22\"", "\"accept\""), ("\"80\"", "\"drop\"")];
    assert_eq!(verdicts, expected.map(|(port, verdict)| (port.to_owned(), verdict.to_owned())).into());
}

#[test]
fn bad_input_is_told_before_the_tool_runs() {
    let _machine = share_the_machine();
    let bench = Bench::hardened();
    let wrong = [["--link", "tun"], ["--pcap", "/no/such/folder"], ["--mac", "01:00:00:00:00:00"], ["--timeout", "0"]];
    for options in wrong {
        let observed = bench.exec_with(&options, &["echo", "ran"]);
        assert_eq!((observed.status, observed.stdout.as_str()), (Some(2), ""), "{options:?}: {}", observed.stderr);
    }
    let mut without = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    let output = without.args(["exec", "--", "echo", "ran"]).output().expect("scanlab starts");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

#[test]
fn json_on_standard_output_is_not_mixed_with_what_the_tool_prints() {
    let _machine = share_the_machine();
    let output = Bench::hardened().command(&["--format", "json"], &["echo", "hello"]).output().expect("scanlab starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(report["command"], serde_json::json!(["echo", "hello"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "hello\n");
}

#[test]
fn the_tool_reaches_nothing_of_the_machine() {
    let _machine = share_the_machine();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener of the machine");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let port = listener.local_addr().expect("its address").port();
    let script =
        format!("nc -z -w 2 127.0.0.1 {port} && echo reached; nc -z -w 2 192.0.2.1 80 && echo reached; ip route");
    let observed = Bench::hardened().exec(&["sh", "-c", &script]);
    assert!(!observed.stdout.contains("reached") && !observed.stdout.contains("default"), "{}", observed.stdout);
    assert!(observed.stdout.contains("203.0.113.0/24 dev eth0"), "{}", observed.stdout);
    assert!(listener.accept().is_err(), "the machine was reached");
}

/// Each attempt prints `done NAME` if it succeeds. `FOLDER` and `PROCESS` belong to the machine, and are outside of
/// /tmp.
const HOSTILE: &str = r#"
import ctypes, os, signal, socket, subprocess, sys
folder, process = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try:
        if action() not in (False, -1):
            print("done", name)
    except (OSError, subprocess.SubprocessError):
        pass
def write(path):
    return lambda: open(path, "a").close()
def connect(kind, address):
    return lambda: socket.socket(socket.AF_UNIX, kind).connect(address)
def reconnect():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].connect(folder + "/datagrams")
attempt("write", write(folder + "/file"))
attempt("write /etc", write("/etc/scanlab-hostile"))
attempt("write /root", write(os.path.expanduser("~") + "/scanlab-hostile"))
attempt("write /usr", write("/usr/bin/scanlab-hostile"))
attempt("sysctl", write("/proc/sys/kernel/core_pattern"))
attempt("uevent", write("/sys/kernel/uevent_helper"))
attempt("connect", connect(socket.SOCK_STREAM, folder + "/stream"))
attempt("reconnect", reconnect)
attempt("docker", lambda: os.stat("/run/docker.sock"))
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("see process", lambda: os.stat(f"/proc/{process}/status"))
attempt("kill", lambda: os.kill(process, 0))
attempt("ptrace", lambda: libc.ptrace(16, 1, 0, 0))
attempt("memory of the first process", lambda: open("/proc/1/mem", "rb").close())
attempt("root of the first process", lambda: os.listdir("/proc/1/root"))
attempt("namespaces of the first process", lambda: os.readlink("/proc/1/ns/net"))
attempt("setns", lambda: libc.setns(os.open("/proc/self/ns/net", 0), 0))
attempt("unshare", lambda: libc.unshare(0x10000000))
attempt("clone", lambda: libc.syscall({"x86_64": 56}.get(os.uname().machine, 220), 0x10000000 | 17, 0, 0, 0, 0))
attempt("mount", lambda: libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None))
attempt("remount", lambda: libc.mount(None, b"/", None, 32 | 4096, None))
attempt("unmount", lambda: libc.umount2(b"/proc", 2))
attempt("module", lambda: libc.syscall({"x86_64": 175}.get(os.uname().machine, 105), 0, 0, b""))
attempt("device", lambda: os.mknod("/tmp/sda", 0o60600, os.makedev(8, 0)))
attempt("disk", lambda: open("/dev/sda", "rb").close())
attempt("kernel log", lambda: libc.klogctl(3, ctypes.create_string_buffer(64), 64))
attempt("inherited file", lambda: os.fstat(9))
attempt("host name", lambda: libc.sethostname(b"hostile", 7))
attempt("owner", lambda: (write("/tmp/own")(), os.chown("/tmp/own", 12345, 12345)))
attempt("link", lambda: subprocess.run(["ip", "link", "set", "eth0", "down"], check=True, stderr=subprocess.DEVNULL))
capabilities = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")]
print("capabilities", *capabilities)
subprocess.Popen(["setsid", "sleep", "4711"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("can write", os.access("/tmp", os.W_OK), os.listdir(".") != [])
"#;

/// The successful attempts of [`HOSTILE`]. A folder of the machine holds a file and two sockets, a descriptor of it is
/// inherited.
fn attempts(options: &[&str]) -> BTreeSet<String> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    fs::write(folder.path().join("file"), "").expect("a file");
    let _stream = std::os::unix::net::UnixListener::bind(folder.path().join("stream")).expect("a socket");
    let _datagrams = std::os::unix::net::UnixDatagram::bind(folder.path().join("datagrams")).expect("a socket");
    let mut sleep = Command::new("sleep").arg("1000").spawn().expect("a process of the machine");
    let bench = Bench::hardened();
    let hostile = ["/usr/bin/python3", "-c", HOSTILE, path, &sleep.id().to_string()].map(str::to_owned);
    let scanlab = bench.command(options, &hostile.each_ref().map(String::as_str));
    // An open file of the process that starts scanlab.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 9< /etc/passwd", "sh"]).arg(scanlab.get_program()).args(scanlab.get_args());
    let output = shell.output().expect("scanlab starts");
    sleep.kill().and_then(|()| sleep.wait()).expect("the process is still there");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().take_while(|line| !line.contains("python3 -c")).map(str::to_owned).collect()
}

#[test]
fn a_hostile_tool_achieves_nothing() {
    let _machine = share_the_machine();
    let raw = ["0000000000002000"; 5].join(" ");
    let expected = [format!("capabilities {raw}"), "can write True True".to_owned()];
    assert_eq!(attempts(&[]), BTreeSet::from(expected));
    let running = Command::new("pgrep").args(["-f", "^sleep 4711$"]).output().expect("pgrep");
    assert_eq!(String::from_utf8_lossy(&running.stdout), "", "a daemon is left");
}

/// An unconfined tool succeeds where it does no harm, which shows that the attempts above are real.
#[test]
fn an_unconfined_tool_has_the_rights_of_its_user() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let _stream = std::os::unix::net::UnixListener::bind(folder.path().join("stream")).expect("a socket");
    let script = r#"
import socket, sys
folder = sys.argv[1]
open(folder + "/file", "w").close()
socket.socket(socket.AF_UNIX).connect(folder + "/stream")
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")][0])
"#;
    let path = folder.path().to_str().expect("UTF-8");
    let observed = Bench::hardened().exec_with(&["--unconfined"], &["/usr/bin/python3", "-c", script, path]);
    assert_eq!(observed.report["tool_status"]["exit"], 0, "{}", observed.stderr);
    assert!(
        folder.path().join("file").exists() && !observed.stdout.contains("0000000000002000"),
        "{}",
        observed.stdout
    );
}

#[test]
fn a_confined_tool_writes_where_it_is_allowed_to() {
    let _machine = share_the_machine();
    let bench = Bench::hardened();
    for base in [std::env::temp_dir(), env!("CARGO_TARGET_TMPDIR").into()] {
        let folder = tempfile::tempdir_in(base).expect("a folder");
        let file = folder.path().join("scan.nmap");
        let (path, name) = (folder.path().to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
        let scan = ["nmap", "-n", "-Pn", "-p", "22", "-oN", name, "203.0.113.10"];
        let refused = bench.exec_with(&[], &scan);
        assert_ne!(refused.report["tool_status"]["exit"], 0, "{}", refused.stdout);
        assert!(refused.stderr.contains("--writable DIR"), "{}", refused.stderr);
        assert!(!file.exists());
        let allowed = bench.exec_with(&["--writable", path], &scan);
        assert_eq!(allowed.report["tool_status"]["exit"], 0, "{}", allowed.stderr);
        assert!(fs::read_to_string(&file).expect("nmap's report").contains("22/tcp open"));
    }
    for folder in ["/", "/proc", "/dev/shm", "/no/such/folder", "/etc/passwd"] {
        let refused = bench.exec_with(&["--writable", folder], &["true"]);
        assert_eq!(refused.status, Some(2), "{folder}: {}", refused.stderr);
    }
}

/// A connect makes the kernel bind its source port.
#[test]
fn a_confined_tool_may_bind_a_low_port() {
    let _machine = share_the_machine();
    let observed = Bench::hardened().exec(&["nc", "-z", "-w", "5", "-p", "53", "203.0.113.10", "22"]);
    assert_eq!(observed.report["tool_status"]["exit"], 0, "{}", observed.stderr);
}

/// The namespaces of the machine's processes.
fn namespaces() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").expect("procfs").flatten();
    let of = |entry: fs::DirEntry| ["net", "pid"].map(|kind| fs::read_link(entry.path().join("ns").join(kind)).ok());
    processes.flat_map(of).flatten().map(|link| link.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_signal_ends_the_tool_with_scanlab() {
    let _machine = share_the_machine();
    let bench = Bench::hardened();
    let told = bench.file("told");
    let script = "readlink /proc/self/ns/pid > $0; sleep 1000";
    let scanlab =
        bench.command(&["--writable", &bench.file("")], &["sh", "-c", script, &told]).spawn().expect("scanlab starts");
    let own = loop_until("the tool to run", || fs::read_to_string(&told).ok().filter(|text| text.ends_with('\n')));
    let id = nix::unistd::Pid::from_raw(scanlab.id().try_into().expect("a process id"));
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("SIGINT");
    let output = scanlab.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    // The kernel ends the processes of the tool's namespace after the last thread of scanlab (pid_namespaces(7)).
    loop_until("the tool to end", || (!namespaces().contains(own.trim())).then_some(()));
}

fn loop_until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

mod alone {
    use super::*;

    #[test]
    fn killing_scanlab_leaves_nothing() {
        let _machine = have_the_machine_alone();
        let bench = Bench::hardened();
        let told = bench.file("told");
        let script = "setsid sleep 1000 & readlink /proc/self/ns/net /proc/self/ns/pid > $0; sleep 1000";
        let mut scanlab = bench
            .command(&["--writable", &bench.file("")], &["sh", "-c", script, &told])
            .spawn()
            .expect("scanlab starts");
        let own = loop_until("the tool to run", || {
            let text = fs::read_to_string(&told).unwrap_or_default();
            (text.lines().count() == 2).then(|| text.lines().map(str::to_owned).collect::<BTreeSet<_>>())
        });
        assert!(namespaces().is_superset(&own), "{own:?}");
        scanlab.kill().expect("kill -9");
        scanlab.wait().expect("its end");
        loop_until("the tool's namespaces to go", || namespaces().is_disjoint(&own).then_some(()));
    }
}
