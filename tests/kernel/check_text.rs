//! The text of `check`: the verdict on the first line, and one paragraph for each of seven usual mistakes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::binary::{self, ended};

/// A prefix that no other test has, since the kernel's log is shared.
const SENSOR: &str = r#"[sensor]
ssh      = 32232
honeypot = { SSH = 22 }
scans    = ["xmas", "syn"]
prefix   = "<TXT> "
[host]
mac = "00:0c:29:4f:8e:35"
"#;

const V4: [&str; 10] = [
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -m limit --limit 5/min -j LOG --log-prefix \"<TXT> Xmas scan: \"",
    "-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j DROP",
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -p tcp --dport 32232 --syn -j ACCEPT",
    "-A INPUT -p tcp --dport 22 --syn -m limit --limit 5/min -j LOG --log-prefix \"<TXT> SSH port: \"",
    "-A INPUT -p tcp --dport 22 --syn -j ACCEPT",
    "-A INPUT -p tcp --tcp-flags ALL SYN -m limit --limit 5/min -j LOG --log-prefix \"<TXT> SYN scan: \"",
    "-A INPUT -p tcp -j DROP",
    "COMMIT",
];

const XMAS_LOG: usize = 1;
const XMAS_DROP: usize = 2;
const ESTABLISHED: usize = 3;
const SSH: usize = 4;
const HONEYPOT_LOG: usize = 5;
const HONEYPOT: usize = 6;
const DEFAULT: usize = 8;

fn text(rules: &[String]) -> String {
    format!("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}\n", rules.join("\n"))
}

/// The rules after `change`.
fn rules(change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut rules: Vec<String> = V4.map(str::to_owned).to_vec();
    change(&mut rules);
    text(&rules)
}

/// The exit status and the text of `check sensor.toml rules.v4 rules.v6`; without rules.v6 if `v6` is `None`.
fn check(sensor: &str, v4: &str, v6: Option<&str>, columns: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("write a file");
    write("sensor.toml", sensor);
    write("rules.v4", v4);
    v6.iter().for_each(|text| write("rules.v6", text));
    of_folder(folder.path(), columns)
}

fn of_folder(folder: &Path, columns: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["check", "sensor.toml", ".", "--iptables", "nft"]).current_dir(folder).env("COLUMNS", columns);
    let ended = ended(command.output().expect("the program starts"));
    assert_eq!(ended.stderr, "", "{}", ended.stdout);
    format!("exit status {:?}\n{}", ended.status, ended.stdout)
}

/// The text for a mistake in the IPv4 rules.
fn mistake(change: impl FnOnce(&mut Vec<String>)) -> String {
    check(SENSOR, &rules(change), Some(&rules(|_| ())), "80")
}

#[test]
fn a_safe_ruleset_is_ten_lines_at_most_in_any_width() {
    let _machine = binary::share_the_machine();
    let all = ["60", "80", "120"].map(|columns| check(SENSOR, &rules(|_| ()), Some(&rules(|_| ())), columns));
    for text in &all {
        assert!(text.starts_with("exit status Some(0)\nSAFE TO DEPLOY\n"), "{text}");
    }
    assert!(all[1].lines().count() <= 11, "{}", all[1]);
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn each_of_seven_mistakes_is_one_problem_with_its_rule_and_its_fix() {
    let _machine = binary::share_the_machine();
    let good = rules(|_| ());
    let limit = |rule: &String| rule.replace("-j DROP", "-m limit --limit 5/min -j DROP");
    let pi = SENSOR.replace("00:0c:29", "b8:27:eb");
    let all = [
        ("no ESTABLISHED", mistake(|rules| drop(rules.remove(ESTABLISHED)))),
        ("no IPv6 ruleset", check(SENSOR, &good, None, "80")),
        ("a typo in the SSH port", mistake(|rules| rules[SSH] = rules[SSH].replace("32232", "3223"))),
        ("the MAC address of a Raspberry Pi", check(&pi, &good, Some(&good), "80")),
        ("LOG after DROP", mistake(|rules| rules.swap(XMAS_LOG, XMAS_DROP))),
        ("a limit on DROP", mistake(|rules| rules[DEFAULT] = limit(&rules[DEFAULT]))),
        ("the honeypot accepts before it logs", mistake(|rules| rules.swap(HONEYPOT_LOG, HONEYPOT))),
    ];
    for (name, text) in &all {
        assert!(text.starts_with("exit status Some(1)\nDO NOT DEPLOY: 1 reason\n"), "{name}: {text}");
        assert!(text.contains("\n   fix      ") && !text.contains("\n2. "), "{name}: {text}");
    }
    insta::assert_snapshot!(all.map(|(name, text)| format!("## {name}\n{text}")).join("\n"));
}

/// An ordinary server: it logs nothing, and its rules accept what they name.
const SERVER: &str = "[sensor]\nssh = 22\nopen = { HTTP = 80, DNS = [53, \"udp/53\"] }\ndeny = \"all\"\n";

const SERVER_RULES: [&str; 10] = [
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -p tcp --dport 22 -j ACCEPT",
    "-A INPUT -p tcp --dport 80 -j ACCEPT",
    "-A INPUT -p tcp --dport 53 -j ACCEPT",
    "-A INPUT -p udp --dport 53 -j ACCEPT",
    "-A INPUT -p ipv6-icmp -j ACCEPT",
    "-A INPUT -m limit --limit 5/min -j LOG --log-prefix \"<TXT> dropped: \"",
    "-A INPUT -j DROP",
    "COMMIT",
];

/// The text of `check` for the server's rules after `change`.
fn server(change: impl Fn(&mut Vec<String>)) -> String {
    let rules = |icmp: &str| {
        let mut rules: Vec<String> = SERVER_RULES.map(|rule| rule.replace("-p ipv6-icmp", icmp)).to_vec();
        change(&mut rules);
        text(&rules)
    };
    let needed = "-p ipv6-icmp --icmpv6-type 135";
    let v6 = rules(needed).replacen(
        &format!("-A INPUT {needed} -j ACCEPT\n"),
        &[1, 2, 3, 4, 133, 134, 135, 136]
            .map(|kind| format!("-A INPUT -p ipv6-icmp --icmpv6-type {kind} -j ACCEPT\n"))
            .concat(),
        1,
    );
    check(SERVER, &rules("-p icmp --icmp-type 3"), Some(&v6), "80")
}

#[test]
fn an_ordinary_server_is_safe_without_log_lines_and_each_mistake_is_found() {
    let _machine = binary::share_the_machine();
    let safe = server(|_| ());
    assert!(safe.starts_with("exit status Some(0)\nSAFE TO DEPLOY\n"), "{safe}");
    assert!(!safe.to_lowercase().contains("honeypot"), "{safe}");
    let mistakes = [
        ("a typo in the port of HTTP", server(|rules| rules[3] = rules[3].replace("80", "8"))),
        ("the datagrams of DNS are dropped", server(|rules| drop(rules.remove(5)))),
        ("a port of UDP too many", server(|rules| rules.insert(5, rules[5].replace("53", "123")))),
        ("a port of TCP too many", server(|rules| rules.insert(5, rules[4].replace("53", "3306")))),
    ];
    for (name, text) in &mistakes {
        assert!(text.starts_with("exit status Some(1)\nDO NOT DEPLOY: "), "{name}: {text}");
        assert!(!text.to_lowercase().contains("honeypot"), "{name}: {text}");
    }
    insta::assert_snapshot!(mistakes.map(|(name, text)| format!("## {name}\n{text}")).join("\n"));
}

/// A policy that drops everything has effects of several kinds, which are due to different missing rules.
#[test]
fn missing_rules_for_ssh_and_for_logs_are_two_problems_each_with_its_fix() {
    let _machine = binary::share_the_machine();
    let bare = text(&["-A INPUT -p tcp --dport 22 --syn -j ACCEPT", "COMMIT"].map(str::to_owned));
    let bare = bare.replace("INPUT ACCEPT", "INPUT DROP");
    let bare_v6 = bare.replace("COMMIT", "-A INPUT -p ipv6-icmp -j ACCEPT\nCOMMIT");
    let text = check(SENSOR, &bare, Some(&bare_v6), "80");
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    let of = |question: &str| paragraphs.iter().filter(|one| one.contains(question)).collect::<Vec<_>>();
    let (locked_out, unlogged) = (of(". Will I be locked out?"), of(". Will scans be logged?"));
    assert_eq!((locked_out.len(), unlogged.len()), (1, 1), "{text}");
    assert!(locked_out[0].contains("fix ") && !locked_out[0].contains("Xmas"), "{text}");
    assert!(unlogged[0].contains("fix ") && !unlogged[0].contains("SSH connection"), "{text}");
    insta::assert_snapshot!(text);
}
