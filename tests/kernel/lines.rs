//! A probe often leaves more than one line in the log: rows that name all of them, in order. Needs root.

use std::fs;

use crate::support::binary::{Ended, HARDENED, run_files, share_the_machine};
use scanlab::intent::scenario::Scenario;
use scanlab::rules::generate;
use serde_json::{Value, json};

const RULES: &str = "\
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 8080 -j LOG --log-prefix \"raw: \" --log-level 7
COMMIT
*filter
:INPUT DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --syn -m limit --limit 5/min -j LOG --log-prefix \"new: \"
-A INPUT -p tcp -m multiport --dports 80,8080 -m limit --limit 2/min --limit-burst 3 -j LOG --log-prefix \"web: \" --log-tcp-options
-A INPUT -p tcp -m tcp --dport 8080 -j LOG --log-level 1
-A INPUT -p tcp -m tcp --dport 8080 -j LOG --log-prefix \"web: \"
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A OUTPUT -p tcp -m tcp --sport 22 -j LOG --log-prefix \"answer: \"
COMMIT
";

const HEAD: &str = "title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n[host]\nlisten = [22]\n";

fn row(table: &str, about: &str, rest: &str) -> String {
    format!("[[{table}]]\n{about}\nfamily = \"ipv4\"\n{rest}\n")
}

fn syn(port: u16) -> String {
    format!("scan = \"syn\"\nports = {port}")
}

fn run_rows(rows: &str, options: &[&str]) -> Ended {
    run_files(&[("s.toml", &format!("{HEAD}{rows}")), ("rules.v4", RULES)], options)
}

fn checks(report: &Value) -> &Vec<Value> {
    report["scenarios"][0]["checks"].as_array().expect("checks")
}

/// Lines of two tables, of the host's answer, without a prefix, twice with the same prefix; one of them has a limit.
#[test]
fn every_line_is_named_and_the_rate_of_each_is_asked() {
    let _machine = share_the_machine();
    let rows = [
        row("expect", &syn(80), "log = [\"new: \", \"web: \"]"),
        row("expect", "scan = \"xmas\"\nports = 80", "log = [\"web: \"]"),
        row("expect", &syn(22), "log = [\"new: \", \"answer: \"]"),
        row("expect", &syn(8080), "log = [\"raw: \", \"new: \", \"web: \", \"\", \"web: \"]"),
        row("expect", &syn(79), "log = \"new: \""),
        row("expect", "scan = \"fin\"\nports = 79", "log = []"),
        row("expect", "packet = [\"tcp SYN to 80\", \"tcp SYN,PSH to 80\"]", "log = [\"new: \", \"web: \"]"),
        row("expect", &syn(80), "log = \"new: \"\nrate = \"5/min\""),
        row("expect", &syn(80), "log = \"web: \"\nrate = { rate = \"2/min\", burst = 3 }"),
        row("expect", &syn(22), "log = \"new: \"\nrate = \"5/min\""),
    ];
    for options in [&["--capture", "kmsg"][..], &["--capture", "nflog"], &["--iptables", "legacy"]] {
        let ended = run_rows(&rows.concat(), options);
        assert_eq!(ended.status, Some(0), "{options:?} {}{}", ended.stdout, ended.stderr);
    }
}

/// Missing and extra lines, another order, another prefix: each is known by exactly what it is.
#[test]
fn differing_log_lines_are_reported_and_known_as_a_whole() {
    let _machine = share_the_machine();
    let wrong = [
        (80, json!(["new: ", "web: ", "web: "]), json!(["new: ", "web: "])),
        (79, json!([]), json!(["new: "])),
        (22, json!(["answer: ", "new: "]), json!(["new: ", "answer: "])),
        (8080, json!(["raw: ", "new: ", "wbe: ", "", "web: "]), json!(["raw: ", "new: ", "web: ", "", "web: "])),
    ];
    let expect = |(port, expected, _): &(u16, Value, Value)| row("expect", &syn(*port), &format!("log = {expected}"));
    let known = |(port, _, observed): &(u16, Value, Value)| {
        row("known", &syn(*port), &format!("log = {observed}\nbecause = \"b\""))
    };
    let rates = [
        row("expect", &syn(80), "log = \"new: \"\nrate = \"5/min\""),
        row("expect", &syn(80), "log = \"web: \"\nrate = { rate = \"2/min\", burst = 4 }"),
    ];
    let expects = wrong.iter().map(expect).chain(rates).collect::<String>();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let formats = ["table", "markdown", "junit", "tap", "github", "sarif", "html"];
    let reports: Vec<String> = formats.iter().map(|name| format!("{name}={}", file(name))).collect();
    let options: Vec<&str> = reports.iter().flat_map(|report| ["--report", report]).collect();
    let ended = run_rows(&expects, &options);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let report = ended.report();
    for (port, expected, observed) in &wrong {
        let check = checks(&report).iter().find(|check| check["port"] == *port).expect("a check");
        assert_eq!((&check["expected"]["log"], &check["observed"]["log"]), (expected, observed));
    }
    let [order, fewer] = [22, 80].map(|port| checks(&report).iter().find(|check| check["port"] == port).expect("one"));
    assert_eq!(
        (&order["why"], &fewer["why"]),
        (&json!("the order of the log lines differs"), &json!("the log lines differ"))
    );
    assert_eq!(order["explanation"]["cause"], "other-order");
    for name in formats {
        let text = fs::read_to_string(file(name)).expect("a report");
        let plain = text.replace("&quot;", "\"").replace("&#34;", "\"").replace("\\\"", "\"");
        for lines in ["\"answer: \" + \"new: \"", "\"new: \" + \"answer: \""] {
            assert!(plain.contains(lines), "{name}: {text}");
        }
    }

    // The rate of `web` is the one that differs.
    let rate_is_known = row("known", &syn(80), "rate = true\nlog = [\"web: \"]\nbecause = \"b\"");
    let knowns = wrong.iter().map(known).chain([rate_is_known]).collect::<String>();
    let ended = run_rows(&format!("{expects}{knowns}"), &[]);
    assert_eq!(ended.status, Some(0), "{}{}", ended.stdout, ended.stderr);
    let other_order = knowns.replace("[\"new: \",\"answer: \"]", "[\"answer: \",\"new: \"]");
    assert_ne!(knowns, other_order);
    let ended = run_rows(&format!("{expects}{other_order}"), &[]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let report = ended.report();
    let red: Vec<&Value> = checks(&report).iter().filter(|check| check["outcome"] == "mismatched").collect();
    assert_eq!(red.len(), 1, "{red:?}");
    assert_eq!(red[0]["port"], 22);
}

/// The intent of a sensor has one line for each probe; a row adds another, and the rate of the first is still checked.
#[test]
fn a_row_adds_a_line_to_those_of_a_sensor() {
    let _machine = share_the_machine();
    let sensor = Scenario::load(HARDENED.as_ref()).expect("a scenario").sensor.expect("a sensor");
    let rules = generate::generate(&sensor);
    let mine = "-A INPUT -p tcp -m tcp --dport 80 --syn -j LOG --log-prefix \"mine: \"\n-A INPUT";
    let v4 = rules.v4.replacen("-A INPUT", mine, 1);
    let hardened = fs::read_to_string(HARDENED).expect("a scenario");
    let head = format!("{hardened}\n[ruleset]\nv4 = \"rules.v4\"\nv6 = \"rules.v6\"\n");
    let both = "log = [\"mine: \", \"<IPT> HTTP port: \"]";
    let rows = row("expect", "scan = [\"syn\", \"connect\"]\nports = 80", both);
    let run = |rows: &str| {
        run_files(&[("s.toml", &format!("{head}{rows}")), ("rules.v4", &v4), ("rules.v6", &rules.v6)], &[])
    };
    let not_matched = |rows: &str| run(rows).not_matched().into_iter().collect::<Vec<_>>();
    assert_eq!(not_matched(""), ["ipv4 connect 80", "ipv4 syn 80", "ipv4 syn 80 rate"]);
    assert_eq!(not_matched(&rows), [""; 0]);
}

#[test]
fn a_rate_of_one_of_several_lines_names_it() {
    let rate = row("expect", &syn(80), "rate = \"5/min\"");
    let told = |log: &str| {
        let ended = run_rows(&format!("{}{rate}", row("expect", &syn(80), log)), &[]);
        assert_eq!(ended.status, Some(2));
        let message = ended.report()["errors"][0]["message"].as_str().expect("a message").to_owned();
        assert!(ended.stderr.contains(&message), "{message}: {}", ended.stderr);
        ended.stderr.lines().filter(|line| !line.contains("-->")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(format!("{}\n{}", told("log = [\"new: \", \"web: \"]"), told("log = \"\"")), @r#"
    error: a rate is for one line, but another row expects that syn at 80 is logged with several lines
       |
    11 | [[expect]]
       | ^^^^^^^^^^
       |
       = help: name the prefix of that line in this row: log = "new: "
    error: a rate is for one line, but another row expects that syn at 80 is logged with no line
       |
    11 | [[expect]]
       | ^^^^^^^^^^
       |
       = help: name the prefix of that line in this row: log = "..."
    "#);
}
