//! Packets that leave the modelled world: their fate was not measured, so no command concludes anything from it.

use serde_json::Value;

use super::{facts, scanlab};

const LABS: [&[&str]; 3] = [&[], &["--iptables", "legacy"], &["--trace"]];

/// `PORT STATE REASON` of each probe.
fn scanned(arguments: &[&str]) -> Vec<String> {
    let report = scanlab("world", &[&["scan", "--format", "json", "--listen", "22"], arguments].concat()).report();
    let probes = report["probes"].as_array().expect("probes").iter();
    probes.map(|probe| format!("{} {} {}", probe["port"], word(&probe["state"]), word(&probe["reason"]))).collect()
}

fn word(value: &Value) -> &str {
    value.as_str().expect("a word")
}

fn outcomes(scenario: &str) -> (Option<i32>, Vec<(String, String)>) {
    let ended = scanlab("world", &["run", "--format", "json", scenario]);
    let report: Value = serde_json::from_str(&ended.stdout).expect("the report is JSON");
    let checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
    let of_port = checks.filter(|check| check["port"].is_u64() || check["packet"].is_string());
    let outcome = |check: &Value| (word(&check["outcome"]).to_owned(), word(&check["why"]).to_owned());
    (ended.status, of_port.map(outcome).collect())
}

#[test]
fn a_scan_names_where_each_packet_went() {
    let wanted = [
        "22 open syn-ack",
        "81 unknown tproxy to port 3129",
        "82 unknown queued to NFQUEUE 5",
        "83 closed reset",
        "84 open syn-ack",
        "85 filtered no-response",
        "86 unknown forwarded to 203.0.113.77:86",
        "88 open syn-ack",
    ];
    for lab in LABS {
        let ports = &["--rules", "targets.v4", "-p", "22,81-86,88", "-sS"];
        assert_eq!(scanned(&[lab, ports].concat()), wanted, "{lab:?}");
    }
}

#[test]
fn udp_and_ipv6_leave_as_well() {
    for lab in LABS {
        let udp = scanned(&[lab, &["--rules", "targets.v4", "-p", "87", "-sU"]].concat());
        assert_eq!(udp, ["87 unknown forwarded to 198.51.100.3:53"], "{lab:?}");
        let ipv6 = scanned(&[lab, &["-6", "--rules6", "targets.v6", "-p", "82,86", "-sS"]].concat());
        let wanted = ["82 unknown queued to NFQUEUE 2:5", "86 unknown forwarded to [2001:db8:9::1]:80"];
        assert_eq!(ipv6, wanted, "{lab:?}");
    }
}

#[test]
fn nmap_formats_have_nmaps_word_for_it() {
    let of = |format: &str| scanlab("world", &["scan", "--rules", "rules.v4", "-p", "8080", "-sS", format, "-"]).stdout;
    assert!(of("-oG").contains("8080/unknown/tcp//"), "{}", of("-oG"));
    assert!(of("-oX").contains("state=\"unknown\" reason=\"forwarded to 172.17.0.2:80\""), "{}", of("-oX"));
    assert!(of("-oN").contains("8080/tcp unknown"), "{}", of("-oN"));
}

#[test]
fn packet_that_the_host_sends_to_itself_and_nat_leads_away_is_not_run() {
    for flavour in ["nft", "legacy"] {
        let ended = scanlab("world", &["run", "--format", "json", "--iptables", flavour, "own.toml"]);
        let report = ended.report();
        let checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
        let of_packets = checks.filter(|check| check["packet"].is_string());
        let found: Vec<String> =
            of_packets.map(|check| format!("{} {}", word(&check["outcome"]), word(&check["why"]))).collect();
        let wanted = [
            "not-run forwarded to 172.18.0.2:22",
            "matched ",
            "not-run forwarded to 172.18.0.2:22",
            "matched ",
            "matched ",
            "not-run forwarded to [2001:db8:9::1]:22",
        ];
        assert_eq!((ended.status, found), (Some(3), wanted.map(str::to_owned).to_vec()), "{flavour}");
    }
}

#[test]
fn packet_of_the_host_that_nat_cannot_route_is_not_accepted() {
    for flavour in ["nft", "legacy"] {
        let ended = scanlab("world", &["run", "--format", "json", "--iptables", flavour, "refused.toml"]);
        let report = ended.report();
        let mut checks = report["scenarios"][0]["checks"].as_array().expect("checks").iter();
        let packet = checks.find(|check| check["packet"].is_string()).expect("a packet");
        assert_ne!(word(&packet["outcome"]), "matched", "{flavour}: {packet}");
    }
}

#[test]
fn packet_of_a_connection_that_dnat_leads_away_is_forwarded_and_not_dropped() {
    let (code, checks) = outcomes("established.toml");
    let forwarded = ("not-run".to_owned(), "forwarded to 10.0.0.5:22".to_owned());
    assert_eq!((code, checks), (Some(3), vec![forwarded]));
}

#[test]
fn check_of_a_packet_that_leaves_the_lab_is_not_run() {
    let (code, checks) = outcomes("want.toml");
    let forwarded = ("not-run".to_owned(), "forwarded to 172.17.0.2:80".to_owned());
    assert_eq!((code, checks), (Some(3), vec![forwarded.clone(), forwarded]));
    for scenario in ["router.toml", "foreign.toml"] {
        let (code, checks) = outcomes(scenario);
        let forwarded = ("not-run".to_owned(), "forwarded to 192.168.2.3:80".to_owned());
        assert_eq!((code, checks), (Some(3), vec![forwarded]), "{scenario}");
    }
}

#[test]
fn a_published_port_is_a_reason_against_unless_the_sensor_serves_it() {
    let about_8080 = |sensor: &str| {
        let arguments =
            ["check", "--sensor", sensor, "--rules", "rules.v4", "--rules6", "rules.v6", "--format", "json"];
        let report: Value = serde_json::from_str(&scanlab("world", &arguments).stdout).expect("the report is JSON");
        facts(&report, "unasked").into_iter().filter(|fact| fact.contains("172.17.0.2:80")).collect::<Vec<_>>()
    };
    assert!(matches!(about_8080("sensor.toml").as_slice(), [fact] if fact.starts_with("bad: TCP port 8080")));
    assert!(matches!(about_8080("served.toml").as_slice(), [fact] if fact.starts_with("unknown: TCP port 8080")));
}

#[test]
fn a_recording_names_what_it_leaves_out() {
    let text = scanlab("world", &["record", "--rules", "router.v4", "-o", "-"]).stdout;
    assert!(text.contains("# ipv4 syn 80: forwarded to 192.168.2.3:80"), "{text}");
}

/// The notes of the probes of `scan` at `port`.
fn notes(report: &Value, scan: &str, port: u64) -> Vec<String> {
    let probes = report["probes"].as_array().expect("probes").iter();
    let of_port = probes.filter(|probe| probe["scan"] == scan && probe["port"] == port);
    let notes = of_port.flat_map(|probe| probe["notes"].as_array().cloned().unwrap_or_default());
    notes.map(|note| word(&note).to_owned()).collect()
}

#[test]
fn a_scan_names_where_copies_go() {
    for lab in LABS {
        let words =
            ["scan", "-4", "-6", "--rules", "tee.v4", "--rules6", "tee.v6", "-p", "22,23", "-sS", "--format", "json"];
        let report = scanlab("world", &[&words[..], lab].concat()).report();
        let of = |to: &str| format!("a copy of the probe leaves to {to} (line 3)");
        assert_eq!(notes(&report, "syn", 22), [of("203.0.113.66"), of("fd00::9")], "{lab:?}");
        assert_eq!(notes(&report, "syn", 23), [""; 0], "{lab:?}");
    }
    let text = scanlab("world", &["scan", "--rules", "tee.v4", "-p", "22"]).stdout;
    assert!(text.contains("note  syn at 22 (ipv4): a copy of the probe leaves to 203.0.113.66"), "{text}");
    let nmap = scanlab("world", &["scan", "--rules", "tee.v4", "-p", "22", "-oG", "-"]);
    assert!(nmap.stderr.contains("203.0.113.66"), "{}", nmap.stderr);
}

#[test]
fn a_sender_that_nat_input_made_up_is_answered() {
    let rules: &[&str] = &["-4", "-6", "--rules", "renamed.v4", "--rules6", "renamed.v6", "-p", "22,23"];
    for lab in LABS {
        for technique in ["-sS", "-sT"] {
            let mut found = scanned(&[rules, &[technique], lab].concat());
            found.sort();
            let open = "22 open syn-ack";
            assert_eq!(found, [open, open, "23 filtered no-response", "23 filtered no-response"], "{lab:?}");
        }
    }
}

#[test]
fn a_copy_is_named_before_a_deployment_and_in_a_recording_and_is_a_difference() {
    let arguments = ["check", "--sensor", "sensor.toml", "--rules", "copied.v4", "--format", "json"];
    let report: Value = serde_json::from_str(&scanlab("world", &arguments).stdout).expect("the report is JSON");
    let is_said =
        |fact: &String| fact.starts_with("note: ") && fact.contains("TCP port 22: a copy of the probe leaves to");
    assert_eq!(facts(&report, "unasked").iter().filter(|fact| is_said(fact)).count(), 1, "{report:#}");
    let text = scanlab("world", &["record", "--rules", "tee.v4", "-o", "-"]).stdout;
    assert!(text.contains("# ipv4 syn 22: a copy of the probe leaves to 203.0.113.66 (line 3)"), "{text}");
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other.v4");
    let rules = include_str!("world/tee.v4");
    for (rules, status) in [
        (rules.to_owned(), 0),
        (rules.replace("113.66", "113.67"), 1),
        (rules.replace("TEE --gateway 203.0.113.66", "MARK --set-mark 1"), 1),
    ] {
        std::fs::write(&other, rules).expect("write the ruleset");
        let ended = scanlab("world", &["diff", "tee.v4", other.to_str().expect("UTF-8")]);
        assert_eq!(ended.status, Some(status), "{}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn an_open_port_behind_synproxy_says_who_answers_and_which_sysctl_decides() {
    for flavour in ["nft", "legacy"] {
        for (loose, gets_it) in [("1", false), ("0", true)] {
            let sysctl = format!("net.netfilter.nf_conntrack_tcp_loose={loose}");
            let words = [
                "scan",
                "--rules",
                "rules.v4",
                "-sS",
                "-sT",
                "-p",
                "22,80,81",
                "--listen",
                "22",
                "--iptables",
                flavour,
            ];
            let ended = scanlab("synproxy", &[&words[..], &["--sysctl", &sysctl]].concat());
            let words: Vec<&str> = ended.stdout.split_whitespace().collect();
            let text = words.join(" ");
            assert!(
                text.contains("note syn, connect at 22, 80 (ipv4): SYNPROXY (line 11) answers, not a service;"),
                "{text}"
            );
            assert!(
                text.contains(&format!("nf_conntrack_tcp_loose=0 (iptables-extensions(8)), here it is {loose}")),
                "{text}"
            );
            let half_open = if gets_it { "80" } else { "22, 80" };
            assert!(text.contains(&format!("connect at {half_open} (ipv4): no service gets the connection")), "{text}");
        }
    }
}

/// The rules match some of the senders only, so that the scans of one prober never reach them.
#[test]
fn packet_for_a_program_is_a_hole_and_one_that_passes_by_is_none() {
    let check = |rules: &str| {
        let words = ["check", "--sensor", "sensor.toml", "--rules", rules, "--rules6", "plain.v6", "--format", "json"];
        let ended = scanlab("world", &words);
        (ended.status, facts(&ended.report(), "unasked"))
    };
    let (status, found) = check("handed.v4");
    assert_eq!(status, Some(1), "{found:#?}");
    for (tone, port) in [("bad", 8083), ("bad", 8084), ("unknown", 8085), ("bad", 8086)] {
        let is_it = |fact: &String| fact.starts_with(tone) && fact.contains(&format!("to port {port} "));
        assert!(found.iter().any(is_it), "{tone} {port}: {found:#?}");
    }
    let (status, found) = check("passed-by.v4");
    assert_eq!(status, Some(0), "{found:#?}");
}
