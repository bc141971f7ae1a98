//! Bad input for which the kernel or iptables is needed, and the complete error.
//!
//! Needs root and both flavours of iptables, see `.ci/setup tests`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::input::Input;

const EMPTY_TABLE: &[u8] = b"*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";

#[test]
fn options_that_are_wrong() {
    let mut input = Input::new(&[("rules.v4", EMPTY_TABLE)]);
    for ports in ["0", "65536", "80-22", "", "a"] {
        input.run(&["scan", "--rules", "rules.v4", "-p", ports]);
    }
    for technique in [["--scan", "idle"], ["-s", "I"]] {
        input.run(&[&["scan", "--rules", "rules.v4"], &technique[..]].concat());
    }
    input.run(&["scan"]);
    input.run(&["scan", "--rules", "-", "--rules6", "-"]);
    input.run(&["scan", "--rules", "rules.v4", "--mac", "00:0c:29"]);
    input.run(&["scan", "--rules", "rules.v4", "--mac", "01:00:5e:00:00:fb"]);
    input.run(&["vendor", "00:0c:29:4f:8e:zz"]);
    insta::assert_snapshot!(input.said);
}

/// Every option and key with an interface; the hint says what is allowed.
#[test]
fn an_interface_that_a_shell_would_read_is_refused() {
    let sensor = "[sensor]\nssh = 22\n[host]\ninterface = \"eth0;id\"\n";
    let scenario = "title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n[host]\ninterface = \"$(id)\"\n\
                    [[expect]]\nscan = \"syn\"\nports = 22\nfamily = \"ipv4\"\nstate = \"open\"\nlog = \"\"\n";
    let mut input =
        Input::new(&[("rules.v4", EMPTY_TABLE), ("sensor.toml", sensor.as_bytes()), ("s.toml", scenario.as_bytes())]);
    let rules = ["--rules", "rules.v4"];
    for command in ["scan", "check", "record", "exec"] {
        let tool: &[&str] = if command == "exec" { &["--", "true"] } else { &[] };
        input.run(&[&[command, "--interface", "eth0 &"], &rules[..], tool].concat());
    }
    input.run(&["diff", "rules.v4", "rules.v4", "--interface=-A"]);
    input.run(&["check", "--live", "--interface", "eth+"]);
    input.run(&["generate", "sensor.toml"]).run(&["check", "--sensor", "sensor.toml"]).run(&["run", "s.toml"]);
    let refused = input.said.matches("cannot name an interface: use 1 to 15").count();
    assert_eq!((refused, input.said.matches("status: 2").count()), (9, 9), "{}", input.said);
}

/// nft notices an unknown target only at COMMIT: the error shows the line of the rule.
#[test]
fn an_unknown_target() {
    let rules =
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j NOSUCH\n-A INPUT -j DROP\nCOMMIT\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "NOSUCH"));
}

#[test]
fn an_unknown_option() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dprt 80 -j DROP\nCOMMIT\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "--dprt"));
}

#[test]
fn smart_quotes() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j LOG --log-prefix “Xmas scan”\nCOMMIT\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "scan"));
}

#[test]
fn line_ends_of_windows() {
    let rules = "*filter\r\n:INPUT ACCEPT [0:0]\r\n-A INPUT -p tcp --dport 22 -j DROP\r\nCOMMIT\r\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "\\r"));
}

/// The command in the hint, if there is one, makes a ruleset of the file.
#[test]
fn a_file_that_was_meant_for_another_program_is_known() {
    let rules = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    for (text, told, refused_for) in [
        (format!("\u{feff}{rules}"), "a byte order mark", "line 1"),
        ("#!/bin/sh\niptables -P INPUT DROP\n".to_owned(), "a shell script", "line 2"),
        ("flush ruleset\ntable ip filter {\n}\n".to_owned(), "an nft(8) ruleset", "line 1"),
        ("Chain INPUT (policy DROP)\ntarget prot opt source\n".to_owned(), "the output of `iptables -L`", "line 1"),
    ] {
        let said = Input::refused_by_each_flavour(&text, refused_for);
        assert!(said.matches(told).count() == 2 && !said.contains("nothing is filtered"), "{told}: {said}");
        let Some((_, command)) = said.split_once(": `") else { continue };
        let command = command.split_once('`').expect("a command").0.replace("FILE", "given");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("given"), &text).expect("write the file");
        let status = Command::new("sh").args(["-c", &command]).current_dir(folder.path()).status().expect("a shell");
        assert!(status.success(), "{command}");
        let made = ["rules.v4", "given"].map(|name| fs::read_to_string(folder.path().join(name)).ok());
        let made = made.into_iter().flatten().next().expect("a ruleset");
        assert!(made.contains("*filter\n:INPUT DROP [0:0]\n"), "{made}");
        assert!(!made.contains('\u{feff}'), "{made}");
    }
}

#[test]
fn a_commit_that_is_missing() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j DROP\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "COMMIT"));
}

#[test]
fn a_ruleset_that_is_no_text() {
    let nul = b"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\0\nCOMMIT\n";
    let latin1 = b"*filter\n# caf\xe9\nCOMMIT\n";
    let mut input = Input::new(&[("nul.v4", nul), ("binary.v4", b"\x7fELF\x02\x01\xff\xfe\0"), ("latin-1.v4", latin1)]);
    input.run(&["scan", "--rules", "nul.v4"]).run(&["scan", "--rules", "binary.v4"]);
    input.run(&["scan", "--rules", "latin-1.v4"]);
    input.run_with(&["scan", "--rules", "-"], nul).run_with(&["scan", "--rules", "-"], latin1);
    insta::assert_snapshot!(input.said);
}

#[test]
fn a_ruleset_without_rules_lets_everything_in() {
    let mut input = Input::new(&[("empty.v4", b"")]);
    input.run(&["scan", "--rules", "empty.v4", "-p", "22,80", "--listen", "22"]);
    insta::assert_snapshot!(input.said);
}

#[test]
fn a_ruleset_that_holds_nothing_back_is_told() {
    let nat = b"*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n";
    let mut input = Input::new(&[("comments.v4", b"# nothing\n"), ("nat.v6", nat), ("drop.v4", DROP.as_bytes())]);
    input.run(&["scan", "--rules", "comments.v4", "--rules6", "nat.v6", "-p", "22"]);
    input.run(&["exec", "--rules", "comments.v4", "--output", "report", "--", "true"]);
    for (file, family) in [("comments.v4", "ipv4"), ("nat.v6", "ipv6")] {
        let warning = format!("{file} has no rules, and only ACCEPT policies: nothing is filtered over {family}\n");
        assert!(input.said.contains(&warning), "{}", input.said);
    }
    assert_eq!(input.said.matches("warning: ").count(), 3, "{}", input.said);
    let mut filtered = Input::new(&[("drop.v4", DROP.as_bytes())]);
    filtered.run(&["scan", "--rules", "drop.v4", "-p", "22"]);
    assert!(!filtered.said.contains("warning"), "{}", filtered.said);
}

const DROP: &str = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";

/// A datagram to a port with `U:` is answered, on a TAP and on a TUN; the same number for TCP is another port.
#[test]
fn services_of_udp_are_seen() {
    let accept = b"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp --dport 55 -j DROP\nCOMMIT\n";
    for options in [&["-4", "-6"][..], &["-4", "-6", "--link", "tun"]] {
        let mut input = Input::new(&[("rules", accept)]);
        let scan = ["scan", "--rules", "rules", "--rules6", "rules", "-sSU", "-p", "53-55", "--listen", "54,U:53,55"];
        input.run(&[&scan[..], options].concat());
        for family in ["ipv4", "ipv6"] {
            for (technique, port, state) in [
                ("udp", "53", "open           udp-response"),
                ("udp", "54", "closed         port-unreach"),
                ("udp", "55", "open|filtered  no-response"),
                ("syn", "54", "open           syn-ack"),
            ] {
                let row = format!(" {technique}   {family}    {port}");
                let found = input.said.lines().any(|line| line.starts_with(&row) && line.contains(state));
                assert!(found, "{technique} {family} {port} is not {state}: {}", input.said);
            }
        }
    }
}

#[test]
fn a_ruleset_from_standard_input() {
    let mut input = Input::new(&[]);
    let rules = b"*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    input.run_with(&["scan", "--rules", "-", "-p", "22"], rules);
    insta::assert_snapshot!(input.said);
}

#[test]
fn a_program_that_the_ruleset_names_is_not_run() {
    let mut input = Input::new(&[("program", b"#!/bin/sh\ntouch \"${0%/*}/proof\"\n")]);
    let program = input.folder.path().join("program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set permissions");
    let program = program.display().to_string();
    for option in ["--modprobe=", "-M", "-i --comment --modprobe="] {
        let rules = format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {option}{program} -j NOSUCH\nCOMMIT\n");
        for flavour in ["nft", "legacy"] {
            input.run_with(&["scan", "--rules", "-", "--iptables", flavour], rules.as_bytes());
        }
    }
    assert!(!input.folder.path().join("proof").exists());
    let carets = "^".repeat(program.len());
    insta::assert_snapshot!(input.said.replace(&program, "PROGRAM").replace(&carets, "^^^^^^^"));
}
