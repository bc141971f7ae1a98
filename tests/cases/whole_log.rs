//! The whole log: every line of LOG rules in `--syslog`, and the lines of NFLOG rules, marked as such.

use std::fs;

use serde_json::Value;

use super::scanlab;

const LABS: [[&str; 4]; 4] = [
    ["--iptables", "nft", "--capture", "kmsg"],
    ["--iptables", "nft", "--capture", "nflog"],
    ["--iptables", "legacy", "--capture", "kmsg"],
    ["--iptables", "legacy", "--capture", "nflog"],
];

fn texts(value: &Value, key: &str) -> Vec<String> {
    let records = value.as_array().expect("records").iter();
    records.map(|record| record[key].as_str().expect("a text").to_owned()).collect()
}

fn outcomes(scenario: &str, options: &[&str]) -> (Option<i32>, Vec<(String, String, String)>) {
    let ended = scanlab("whole-log", &[&["run", "--format", "json", scenario], options].concat());
    let report: Value = serde_json::from_str(&ended.stdout).expect("the report is JSON");
    let checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
    let word = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let of = |check: &Value| (word(check, "scan"), word(check, "outcome"), word(check, "why"));
    (ended.status, checks.map(of).collect())
}

#[test]
fn lines_of_nflog_rules_have_their_group_and_prefix_and_keep_their_place() {
    for lab in LABS {
        for more in [&[][..], &["--trace"]] {
            let words = ["scan", "-4", "-6", "-sS", "-p", "22,80,81", "--listen", "22", "--format", "json"];
            let rules = ["--rules", "nflog.v4", "--rules6", "nflog.v6"];
            let report = scanlab("whole-log", &[&words[..], &rules, &lab, more].concat()).report();
            for probe in report["probes"].as_array().expect("probes") {
                let wanted: &[&str] = match probe["port"].as_u64() {
                    Some(22) => &["first: ", "nflog:2 web: ", "last: "],
                    Some(80) => &["nflog:0 "],
                    _ => &["nflog:3 a longer prefix than the thirty bytes that LOG has: "],
                };
                assert_eq!(texts(&probe["log"], "prefix"), wanted, "{lab:?} {more:?} {probe}");
                let lines = texts(&probe["log"], "line");
                assert!(
                    lines.iter().all(|line| line.contains(" OUT= MAC=") && line.contains("PROTO=TCP")),
                    "{lines:?}"
                );
            }
        }
    }
}

#[test]
fn a_scenario_expects_lines_of_nflog_rules() {
    for lab in LABS {
        let (status, checks) = outcomes("nflog.toml", &lab);
        assert_eq!(status, Some(0), "{lab:?} {checks:?}");
    }
    let (status, checks) = outcomes("others.toml", &[]);
    assert_eq!(status, Some(1));
    for (scan, outcome, why) in checks {
        let wanted = if ["syn", "xmas", "null"].contains(&scan.as_str()) { "mismatched" } else { "matched" };
        assert_eq!(outcome, wanted, "{scan}: {why}");
        assert_eq!(why.contains("nflog:2 web: "), scan == "fin", "what no row expects is reported: {why}");
    }
}

#[test]
fn an_nflog_rule_that_logs_too_little_of_a_packet_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.v4");
    let rule = "-A INPUT -p tcp --dport 22 -j NFLOG --nflog-prefix \"short: \"";
    for (option, is_enough) in [
        ("--nflog-group 2 --nflog-size 0", false),
        ("--nflog-group 65535 --nflog-size 20", false),
        ("--nflog-group 0 --nflog-size 28", false),
        ("--nflog-group 65535 --nflog-size 40", true),
        ("--nflog-group 0 --nflog-size 64 --nflog-threshold 10", true),
        ("--nflog-group 2 --nflog-range 20", true),
    ] {
        fs::write(&path, format!("*filter\n{rule} {option}\nCOMMIT\n")).expect("write the ruleset");
        for lab in LABS {
            let words = ["scan", "-p", "22,23", "--format", "json", "--rules", path.to_str().expect("UTF-8")];
            let ended = scanlab("whole-log", &[&words[..], &lab].concat());
            assert_eq!(ended.status, Some(if is_enough { 0 } else { 3 }), "{option} {lab:?}: {}", ended.stderr);
            match is_enough {
                true => assert!(ended.stdout.contains("short: IN=eth0"), "{option} {lab:?}: {}", ended.stdout),
                false => assert!(ended.stderr.contains("--nflog-size"), "{option} {lab:?}: {}", ended.stderr),
            }
        }
    }
}

#[test]
fn a_line_that_no_nflog_rule_can_leave_is_an_error_at_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    for (log, hint) in
        [("nflog: x", "nflog:GROUP PREFIX"), ("nflog:02 x", "decimal"), ("nflog:65101 x", "reserved for the lab")]
    {
        let text = format!(
            "title = \"x\"\n[ruleset]\nv4 = \"x.v4\"\n[[expect]]\nscan = \"syn\"\nports = 1\nlog = \"{log}\"\n"
        );
        fs::write(folder.path().join("x.v4"), "*filter\nCOMMIT\n").expect("write the ruleset");
        let path = folder.path().join("x.toml");
        fs::write(&path, text).expect("write the scenario");
        let ended = scanlab("whole-log", &["run", path.to_str().expect("UTF-8")]);
        assert_eq!(ended.status, Some(2), "{log}");
        assert!(ended.stderr.contains("x.toml:7:") && ended.stderr.contains(hint), "{}", ended.stderr);
    }
}

#[test]
fn syslog_holds_the_lines_of_every_packet_in_the_order_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kern.log");
    for lab in LABS {
        let words = ["scan", "-4", "-6", "-sS", "-p", "22,23", "--listen", "22", "--format", "json"];
        let rules = ["--rules", "all.v4", "--rules6", "all.v6", "--syslog", path.to_str().expect("UTF-8")];
        let report = scanlab("whole-log", &[&words[..], &rules, &lab].concat()).report();
        let log = fs::read_to_string(&path).expect("the log");
        let lines: Vec<&str> = log.lines().filter_map(|line| line.split_once("] ")).map(|(_, line)| line).collect();
        for probe in report["probes"].as_array().expect("probes") {
            let all = texts(&probe["log"], "line").into_iter().chain(texts(&probe["followup"], "line"));
            for line in all.filter(|line| !line.starts_with("nflog:")) {
                assert_eq!(lines.iter().filter(|other| **other == line).count(), 1, "{lab:?} {line}\n{log}");
            }
        }
        // For an open port the SYN, the SYN/ACK and the RST; for a closed one the SYN and the RST; and a solicitation.
        // Packets of the kernel's timers (MLD, RFC 3810) may come at any time.
        let probed = lines.iter().filter(|line| !line.contains("TYPE=143"));
        let told = |part: &str| probed.clone().filter(|line| line.contains(part)).count();
        assert_eq!((told("in: IN=eth0"), told("out: IN= OUT=eth0")), (7, 5), "{lab:?}\n{log}");
        assert_eq!((told("TYPE=135"), told("TYPE=136")), (1, 1), "{lab:?}\n{log}");
        let place = |part: &str| lines.iter().position(|line| line.contains(part)).expect("the line");
        assert!(place("DPT=22") < place("SPT=22") && place("TYPE=135") < place("TYPE=136"), "{log}");
        assert!(place("SPT=22") < lines.iter().rposition(|line| line.contains("DPT=22")).expect("the RST"), "{log}");
    }
}

#[test]
fn syslog_of_a_run_holds_the_lines_of_packet_rows_and_what_the_host_sends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kern.log");
    for lab in LABS {
        let words = ["run", "packets.toml", "--syslog", path.to_str().expect("UTF-8")];
        let ended = scanlab("whole-log", &[&words[..], &lab].concat());
        assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
        let log = fs::read_to_string(&path).expect("the log");
        for part in
            ["in: IN=eth0 OUT= MAC=", "DPT=53", "out: IN= OUT=eth0 SRC=203.0.113.10", "DPT=8053", "TYPE=3 CODE=3"]
        {
            assert!(log.contains(part), "{lab:?}: no {part} in\n{log}");
        }
        assert!(!log.contains("nflog:") && !log.contains("canary"), "{log}");
    }
}
