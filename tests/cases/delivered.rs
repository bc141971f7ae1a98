//! Packets that the kernel delivers to no socket are no hole, even if the filter accepts them; and clients that nat
//! redirects to the SSH server are not kept out.

use std::fs;
use std::path::Path;

use super::{facts, scanlab};

/// Runs `check` on rules that accept SSH, with other tables before them and rules planted in INPUT. Returns the exit
/// status, and the facts that are unknown or bad.
fn check(sensor: &str, tables: &str, planted: [&[&str]; 2]) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["healthy.v4", "healthy.v6"].map(|name| folder.path().join(name));
    for ((file, rules), tables) in files.iter().zip(planted).zip([tables, ""]) {
        let name = file.file_name().expect("a name");
        let text = fs::read_to_string(Path::new("tests/cases/sessions").join(name)).expect("rules");
        let lo = "-A INPUT -i lo -j ACCEPT\n";
        assert!(text.contains(lo), "{text}");
        let text = text.replacen(lo, &format!("{lo}{}\n", rules.join("\n")), 1);
        fs::write(file, format!("{tables}{text}")).expect("write the rules");
    }
    let [v4, v6] = files.each_ref().map(|file| file.to_str().expect("a name"));
    let words = ["check", "--sensor", sensor, "--rules", v4, "--rules6", v6, "--format", "json"];
    let ended = scanlab("sessions", &words);
    let report = ended.report();
    let all = ["locked-out", "unasked"].into_iter().flat_map(|question| facts(&report, question));
    (ended.status, all.filter(|fact| fact.starts_with("bad: ") || fact.starts_with("unknown: ")).collect())
}

#[test]
fn packet_that_reaches_no_socket_is_no_hole() {
    let v4 = [
        "-A INPUT -s 127.0.0.1 -j ACCEPT",
        "-A INPUT -s 127.0.0.0/8 -j ACCEPT",
        "-A INPUT -d 127.0.0.1 -j ACCEPT",
        "-A INPUT -p tcp -d 224.0.0.0/4 -j ACCEPT",
        "-A INPUT -d 203.0.113.255 -j ACCEPT",
        "-A INPUT -m addrtype --dst-type BROADCAST -j ACCEPT",
        "-A INPUT -p tcp -m pkttype --pkt-type multicast -j ACCEPT",
    ];
    let v6 = ["-A INPUT -s ::1 -j ACCEPT", "-A INPUT -d ::1 -j ACCEPT", "-A INPUT -p tcp -d ff02::/16 -j ACCEPT"];
    assert_eq!(check("sensor.toml", "", [&v4, &v6]), (Some(0), Vec::new()));
}

#[test]
fn packet_that_another_table_drops_is_no_hole() {
    for (table, chain) in [("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "INPUT"), ("security", "INPUT")]
    {
        let accept = ["-A INPUT -p tcp --dport 8080 -j ACCEPT"];
        let drop = |match_| format!("*{table}\n-A {chain} -p tcp {match_} -j DROP\nCOMMIT\n");
        let all = check("sensor.toml", &drop("--dport 8080"), [&accept, &[]]);
        assert_eq!(all, (Some(0), Vec::new()), "{table} {chain}");
        let (status, found) = check("sensor.toml", &drop("-s 10.0.0.0/8 --dport 8080"), [&accept, &[]]);
        assert!(status == Some(1) && found.iter().any(|fact| fact.starts_with("bad: ")), "{table} {chain}: {found:?}");
    }
}

#[test]
fn packet_that_reaches_some_sockets_is_a_hole() {
    for (planted, planted6, status) in [
        ("-A INPUT -s 126.0.0.0/7 -j ACCEPT", "-A INPUT -s ::/127 -p tcp -j ACCEPT", 1),
        ("-A INPUT -d 203.0.113.254 -j ACCEPT", "-A INPUT -d fe80::/10 -p tcp -j ACCEPT", 3),
        ("-A INPUT -m addrtype --dst-type LOCAL,BROADCAST -j ACCEPT", "", 1),
    ] {
        let (found, facts) = check("sensor.toml", "", [&[planted], &[planted6]]);
        assert_eq!(found, Some(status), "{planted}: {facts:?}");
    }
}

#[test]
fn a_sysctl_that_lets_loopback_addresses_in_makes_them_a_hole() {
    let (status, facts) = check("localnet.toml", "", [&["-A INPUT -d 127.0.0.1 -j ACCEPT"], &[]]);
    assert_eq!(status, Some(3), "{facts:?}");
    assert!(facts[0].contains("-A INPUT -d 127.0.0.1 -j ACCEPT"), "{facts:?}");
}

#[test]
fn a_redirection_to_the_ssh_server_keeps_nobody_out() {
    let nat = |to: &str| format!("*nat\n-A PREROUTING -s 10.0.0.0/8 -p tcp --dport 22 -j {to}\nCOMMIT\n");
    for to in ["REDIRECT --to-ports 22", "REDIRECT", "DNAT --to-destination 203.0.113.10:22"] {
        assert_eq!(check("sensor.toml", &nat(to), [&[], &[]]), (Some(0), Vec::new()), "{to}");
    }
    for to in ["REDIRECT --to-ports 2222", "DNAT --to-destination 203.0.113.10:23", "DNAT --to-destination 192.0.2.1"] {
        let (status, facts) = check("sensor.toml", &nat(to), [&[], &[]]);
        assert!(matches!(status, Some(1 | 3)) && facts.iter().any(|fact| fact.contains(to)), "{to}: {facts:?}");
    }
}

#[test]
fn a_packet_that_no_probe_can_be_is_unknown_for_its_address() {
    let v4 = ["-A INPUT -d 224.0.0.251/32 -p udp --dport 5353 -j ACCEPT"];
    let v6 = [
        "-A INPUT -d ff02::fb/128 -p udp --dport 5353 -j ACCEPT",
        "-A INPUT -s fe80::/10 -d fe80::/10 -p udp --sport 547 --dport 546 -j ACCEPT",
    ];
    let (_, facts) = check("deny.toml", "", [&v4, &v6]);
    for rule in v4.iter().chain(&v6) {
        let of_rule = |fact: &&String| fact.contains(*rule);
        let fact = facts.iter().find(of_rule).unwrap_or_else(|| panic!("{rule}: {facts:?}"));
        let because = "which was not tried, since probes go to the address of [host] only";
        assert!(fact.starts_with("unknown: ") && fact.contains(because), "{fact}");
    }
}
