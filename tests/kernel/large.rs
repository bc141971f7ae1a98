//! Large rulesets: hundreds of limits, rules that do not fit into a netlink message of usual size, many chains. Needs
//! root.

use crate::support::binary;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::support::binary::{Ended, ended, share_the_machine};

/// scanlab with these rules in `rules.v4`, and more arguments.
fn scanlab(rules: &str, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), format!("*filter\n:INPUT DROP [0:0]\n{rules}COMMIT\n")).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(arguments).current_dir(folder.path());
    ended(command.output().expect("it starts"))
}

fn limited(count: usize) -> String {
    (1..=count).fold(String::new(), |mut text, port| {
        let rule = format!("-A INPUT -p tcp -m tcp --dport {port} -m limit --limit 5/min --limit-burst 2");
        writeln!(text, "{rule} -j LOG --log-prefix \"p{port}: \"").expect("a string");
        text
    })
}

/// Found in review: from 125 limited ports on, the renewal failed with EMSGSIZE or ENOBUFS.
#[test]
fn a_thousand_limits_are_renewed() {
    let _shared = share_the_machine();
    for flavour in ["nft", "legacy"] {
        for count in [300, 1000] {
            let words = [
                "scan",
                "--rules",
                "rules.v4",
                "-sS",
                "-sX",
                "-p",
                "1-20",
                "--iptables",
                flavour,
                "--capture",
                "nflog",
            ];
            let ended = scanlab(&limited(count), &words);
            assert_eq!(ended.status, Some(0), "{flavour}, {count}: {}", ended.stderr);
            let all = (1..=20).all(|port| ended.stdout.matches(&format!("\"p{port}: \"")).count() == 2);
            assert!(all, "{flavour}, {count}: {}", ended.stdout);
        }
    }
}

/// Found in review: two `u32` matches make a rule of more than 3.8 kB, and every trace ended in status 3.
#[test]
fn a_rule_that_is_larger_than_a_page_is_traced() {
    let _shared = share_the_machine();
    for count in [1, 2, 8] {
        let asks = "-m u32 --u32 \"0x0>>0x16&0x3c@0x0>>0x10=0x0:0xffff\" ".repeat(count);
        let rules =
            format!("-A INPUT {asks}-j LOG --log-prefix \"u: \"\n-A INPUT -p tcp -m tcp --dport 22 -j REJECT\n");
        for flavour in ["nft", "legacy"] {
            let words =
                ["scan", "--rules", "rules.v4", "-p", "22", "--trace", "--iptables", flavour, "--capture", "nflog"];
            let ended = scanlab(&rules, &words);
            assert_eq!(ended.status, Some(0), "{flavour}, {count}: {}", ended.stderr);
            assert!(ended.stdout.contains("\"u: \"") && ended.stdout.contains("REJECT"), "{}", ended.stdout);
        }
    }
}

#[test]
fn record_knows_sctp_and_dccp() {
    let _shared = share_the_machine();
    let rules = "-A INPUT -p sctp -m sctp --dport 2905 -j LOG --log-prefix \"s: \"\n\
                 -A INPUT -p sctp -m sctp --dport 2905 -j ACCEPT\n\
                 -A INPUT -p dccp -m dccp --dport 5001 -j ACCEPT\n\
                 -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n";
    for flavour in ["nft", "legacy"] {
        let ended = scanlab(rules, &["record", "--rules", "rules.v4", "--iptables", flavour, "--capture", "nflog"]);
        assert_eq!(ended.status, Some(0), "{flavour}: {}", ended.stderr);
        assert!(ended.stdout.contains("protocol 33"), "{flavour}: {}", ended.stdout);
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("rules.v4"), format!("*filter\n:INPUT DROP [0:0]\n{rules}COMMIT\n"))
            .expect("a file");
        fs::write(folder.path().join("s.toml"), &ended.stdout).expect("a file");
        let mut run = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        let again = run.args(["run", "s.toml", "--iptables", flavour]).current_dir(folder.path()).output();
        let again = binary::ended(again.expect("it starts"));
        assert_eq!(again.status, Some(0), "{flavour}: {}{}\n{}", again.stdout, again.stderr, ended.stdout);
    }
}
