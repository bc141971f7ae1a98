//! What `scan` says of ports that are closed since nothing listens, `--listen auto`, and advice that a scan depends on.

use std::fs;
use std::process::Command;

use crate::support::binary::{self, Ended, ended};

fn scan(rules: &str, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), format!("*filter\n:INPUT DROP [0:0]\n{rules}COMMIT\n")).expect("write");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["scan", "--rules", "rules.v4", "--capture", "nflog"]).args(arguments);
    ended(command.current_dir(folder.path()).env("COLUMNS", "200").output().expect("the program starts"))
}

/// The words of the text: lines are wrapped.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const SERVED: &str = "-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -p udp --dport 53 -j ACCEPT\n";
const RESET: &str = "-A INPUT -p tcp --dport 23 -j REJECT --reject-with tcp-reset\n";

#[test]
fn closed_ports_that_the_rules_accept_have_a_note_unless_something_listens() {
    let _machine = binary::share_the_machine();
    let note = "tcp 22: closed since the rules accept them, and nothing listens in the lab";
    let of = |rules: &str, arguments: &[&str]| words(&scan(rules, arguments).stdout);
    assert!(of(SERVED, &["-p", "20-25"]).contains(note));
    for (rules, arguments) in
        [(SERVED, &["-p", "20-25", "--listen", "22"][..]), (SERVED, &["-p", "80"]), (SERVED, &["-sX", "-p", "22"])]
    {
        assert!(!of(rules, arguments).contains("nothing listens"), "{arguments:?}");
    }
    let both = format!("{SERVED}{RESET}");
    let unclear = of(&both, &["-p", "20-25"]);
    assert!(unclear.contains("tcp 22-23: closed since a rule refuses them, or"), "{unclear}");
    let unreachable = format!("{SERVED}-A INPUT -j REJECT\n");
    assert!(of(&unreachable, &["-sT", "-p", "23"]).contains("tcp 23: closed since a rule refuses them, or"));
    let traced = of(&both, &["-p", "20-25", "--trace"]);
    assert!(traced.contains(note) && !traced.contains("22-23: closed"), "{traced}");
    let nmap = scan(SERVED, &["-p", "20-25", "--format", "nmap"]);
    assert!(nmap.stderr.contains(&format!("note: {note}")), "{}", nmap.stderr);
    assert!(!nmap.stdout.contains("nothing listens"), "{}", nmap.stdout);
}

#[test]
fn listen_auto_opens_the_ports_that_the_rules_accept() {
    let _machine = binary::share_the_machine();
    let states = |rules: &str, arguments: &[&str]| {
        let found = scan(rules, &[&["--listen", "auto", "--format", "json"], arguments].concat());
        let report = found.report();
        let probes = report["probes"].as_array().expect("probes").clone();
        let of = |state: &str| {
            probes
                .iter()
                .filter(|probe| probe["state"] == state)
                .map(|probe| {
                    let ports = probe["ports"].as_str().map(str::to_owned);
                    format!(
                        "{} {}",
                        probe["protocol"].as_str().unwrap_or_default(),
                        ports.unwrap_or_else(|| probe["port"].to_string())
                    )
                })
                .collect::<Vec<_>>()
                .join(", ")
        };
        (of("open"), of("closed"), found.stderr)
    };
    let both = format!("{SERVED}{RESET}");
    let (open, closed, _) = states(&both, &["-sSU", "-p", "20-25,53"]);
    assert_eq!((open.as_str(), closed.as_str()), ("tcp 22, udp 53", "tcp 23"));
    let (open, closed, stderr) = states("-A INPUT -p tcp -j ACCEPT\n", &["-sS", "-p", "1-1500"]);
    assert_eq!((open.as_str(), closed.as_str()), ("tcp 1-1000", "tcp 1001-1500"));
    assert!(stderr.contains("note: the rules accept 1500 ports, and a lab listens on at most 1000"), "{stderr}");
    assert_eq!(states("", &["-p", "22"]).0, "");
}

#[test]
fn advice_on_a_limit_of_a_drop_is_shown_without_trace() {
    let _machine = binary::share_the_machine();
    let limited = "-A INPUT -p tcp --dport 22 -m limit --limit 5/min -j DROP\n-A INPUT -j ACCEPT\n";
    let table = scan(limited, &["-p", "22"]);
    assert!(words(&table.stdout).contains("limit-on-deny"), "{}", table.stdout);
    assert_eq!(table.stdout.matches("no-ipv6").count(), 0, "{}", table.stdout);
    let nmap = scan(limited, &["-p", "22", "--format", "nmap"]);
    assert!(nmap.stderr.contains("note: rules.v4:3: limit-on-deny: "), "{}", nmap.stderr);
    assert!(!scan(SERVED, &["-p", "22"]).stdout.contains("limit-on-deny"));
}
