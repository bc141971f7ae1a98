//! A nat table rewrites ports, and conntrack rewrites them again if two flows would clash. Needs root.

use crate::support::binary;
use std::process::Command;

use serde_json::Value;

const RULES: &str = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    -A OUTPUT -p tcp -j LOG --log-prefix \"raw out: \"\nCOMMIT\n\
    *nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
    -A PREROUTING -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 22\nCOMMIT\n\
    *filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    -A INPUT -p tcp -j LOG --log-prefix \"in: \"\nCOMMIT\n";

/// Found in review: the line of the answer had a port that belonged to no probe, and was lost.
#[test]
fn the_answer_of_a_redirected_port_keeps_its_line() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.v4");
    std::fs::write(&rules, RULES).expect("the rules are written");
    let scan = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(["scan", "--scan", "syn,connect", "-p", "22,443", "--listen", "22", "--format", "json", "--rules"])
        .arg(&rules)
        .output()
        .expect("scanlab runs");
    assert!(scan.status.success(), "{}", String::from_utf8_lossy(&scan.stderr));
    let report: Value = serde_json::from_slice(&scan.stdout).expect("the report is JSON");
    let probes = report["probes"].as_array().expect("probes");
    assert_eq!(probes.len(), 4);
    for probe in probes {
        let prefixes: Vec<&str> =
            probe["log"].as_array().expect("a log").iter().filter_map(|line| line["prefix"].as_str()).collect();
        assert_eq!(probe["state"], "open", "{probe}");
        assert_eq!(prefixes, ["in: ", "raw out: "], "{probe}");
    }
}

/// Found by `just soak`: a packet without ports whose flow NAT made equal to another one (`REDIRECT` of GRE) was
/// reported as a full conntrack table, and one that NAT redirected to a destination that its source cannot reach as an
/// error of the lab.
#[test]
fn probes_that_nat_makes_impossible_are_blamed_on_the_ruleset() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    for (v4, v6) in [
        ("REDIRECT", "REDIRECT"),
        ("DNAT --to-destination 203.0.113.66", "DNAT --to-destination 2001:db8:113::66"),
        ("DNAT --to-destination 198.51.100.1", "DNAT --to-destination 2001:db8:9::1"),
    ] {
        for (name, target) in [("rules.v4", v4), ("rules.v6", v6)] {
            let rules = format!(
                "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
                 -A OUTPUT -j {target}\nCOMMIT\n"
            );
            std::fs::write(folder.path().join(name), rules).expect("the rules are written");
        }
        for flavour in ["nft", "legacy"] {
            let scan = Command::new(env!("CARGO_BIN_EXE_scanlab"))
                .args(["scan", "-4", "-6", "--trace", "-p", "22", "--listen", "22", "--rules", "rules.v4"])
                .args(["--rules6", "rules.v6", "--format", "json", "--iptables", flavour])
                .current_dir(&folder)
                .output()
                .expect("scanlab runs");
            assert!(scan.status.success(), "{v4} {flavour}: {}", String::from_utf8_lossy(&scan.stderr));
            let report: Value = serde_json::from_slice(&scan.stdout).expect("the report is JSON");
            let states: Vec<&Value> =
                report["probes"].as_array().expect("probes").iter().map(|probe| &probe["state"]).collect();
            assert_eq!(states, ["open", "open"], "{v4} {flavour}");
        }
    }
}

/// Found with random rules: the host's answer to a source that INPUT rewrote, and the path of a copy of the probe
/// (TEE).
#[test]
fn the_answer_to_a_rewritten_source_and_beside_a_copy_keeps_its_line_and_its_path() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let log = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -j LOG --log-prefix \"out: \"\nCOMMIT\n";
    for rules in [
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n-A INPUT -j SNAT --to-source 203.0.113.99\nCOMMIT\n",
        "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth0 -p tcp -m tcp --dport 22 -j TEE --gateway 203.0.113.66\nCOMMIT\n",
    ] {
        std::fs::write(folder.path().join("rules.v4"), format!("{log}{rules}")).expect("the rules are written");
        for flavour in ["nft", "legacy"] {
            let scan = Command::new(env!("CARGO_BIN_EXE_scanlab"))
                .args(["scan", "--trace", "--scan", "syn,connect", "-p", "22", "--listen", "22", "--rules", "rules.v4"])
                .args(["--format", "json", "--iptables", flavour])
                .current_dir(&folder)
                .output()
                .expect("scanlab runs");
            assert!(scan.status.success(), "{rules} {flavour}: {}", String::from_utf8_lossy(&scan.stderr));
            let report: Value = serde_json::from_slice(&scan.stdout).expect("the report is JSON");
            for probe in report["probes"].as_array().expect("probes") {
                let lines = probe["log"].as_array().expect("a log").len();
                assert!(probe["state"] == "open" && lines >= 1, "{rules} {flavour}: {probe}");
                assert!(probe["answer_path"].as_array().is_some_and(|path| !path.is_empty()), "{flavour}: {probe}");
            }
        }
    }
}

/// x_tables traces the copy of a packet of the host as the packet itself.
#[test]
fn a_copy_of_the_answer_is_the_reason_for_no_path_with_x_tables() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let tee = "-p tcp -m tcp --sport 22 -j TEE --gateway 203.0.113.66";
    for (rules, line) in [
        (format!("*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT {tee}\nCOMMIT\n"), 3),
        (format!("*mangle\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING {tee}\n-A POSTROUTING -j RETURN\nCOMMIT\n"), 3),
        (
            format!(
                "*filter\n:OUTPUT ACCEPT [0:0]\n:C - [0:0]\n-A OUTPUT -p tcp -j C\n-A C {tee}\n-A C -j RETURN\nCOMMIT\n"
            ),
            5,
        ),
    ] {
        std::fs::write(folder.path().join("rules.v4"), &rules).expect("the rules are written");
        for (flavour, status) in [("nft", 0), ("legacy", 3)] {
            let scan = Command::new(env!("CARGO_BIN_EXE_scanlab"))
                .args(["scan", "-sS", "-p", "22", "--listen", "22", "--rules", "rules.v4", "--iptables", flavour])
                .current_dir(&folder)
                .output()
                .expect("scanlab runs");
            let error = String::from_utf8_lossy(&scan.stderr);
            assert_eq!(scan.status.code(), Some(status), "{rules} {flavour}: {error}");
            let named = error.contains("TEE sends a copy") && error.contains(&format!("line {line}  -A "));
            assert_eq!(named, flavour == "legacy", "{rules}: {error}");
        }
    }
}
