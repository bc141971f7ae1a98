//! Rules that drop neighbour discovery: over IPv6 real nmap finds no host, and no command claims results that a
//! neighbour could not see. The texts of nmap were measured with 7.93 over a veth pair.

use serde_json::Value;

use super::{facts, scanlab};

const HOST: &str = "2001:db8:113::10";

fn scan(rules: &str, options: &[&str]) -> super::Ended {
    let words = ["scan", "-6", "-p", "22,80", "--listen", "22", "--rules6", rules];
    scanlab("neighbours", &[&words, options].concat())
}

/// The message, and the table, chain and line of the rule that hides the host.
fn hidden(report: &Value) -> (&str, &str, &str, Option<u64>) {
    let hidden = &report["hidden"];
    let word = |value: &'static str| hidden["by"][value].as_str().expect("a word");
    (hidden["message"].as_str().expect("a message"), word("table"), word("chain"), hidden["by"]["line"].as_u64())
}

#[test]
fn a_host_that_answers_no_solicitation_is_down_and_the_rule_is_named() {
    let labs: [&[&str]; 2] = [&["--iptables", "legacy"], &["--iptables", "nft", "--capture", "nflog"]];
    for (rules, why) in [
        ("rules.v6", ("solicitation", "filter", "INPUT", Some(12))),
        ("policy.v6", ("solicitation", "filter", "INPUT", Some(2))),
        ("answer.v6", ("advertisement", "filter", "OUTPUT", Some(5))),
        ("output-policy.v6", ("advertisement", "filter", "OUTPUT", Some(4))),
        ("raw.v6", ("solicitation", "raw", "PREROUTING", Some(4))),
        ("chain.v6", ("solicitation", "filter", "icmp", Some(8))),
        ("source.v6", ("solicitation", "filter", "INPUT", Some(2))),
        ("unicast.v6", ("solicitation", "filter", "INPUT", Some(2))),
    ] {
        for lab in labs {
            let report = scan(rules, &[lab, &["--format", "json"]].concat()).report();
            assert_eq!(hidden(&report), why, "{rules} {lab:?}");
            assert_eq!((&report["hidden"]["status"], &report["probes"]), (&"down".into(), &Value::Array(vec![])));
        }
    }
    let text = scan("rules.v6", &["--trace"]).stdout;
    assert!(text.contains(&format!("{HOST} is down: rules.v6:12 ")) && !text.contains(" open"), "{text}");
}

#[test]
fn a_host_that_answers_is_scanned() {
    let scanned = |rules: &str, options: &[&str]| {
        let report = scan(rules, &[options, &["--format", "json"]].concat()).report();
        assert!(report["hidden"].is_null(), "{report}");
        report["probes"][0]["state"].clone()
    };
    assert_eq!(scanned("found.v6", &[]), "open");
    assert_eq!(scanned("from.v6", &["-S", "2001:db8:113::77"]), "open", "the source of the probes asks");
    // There is no discovery on a link without neighbours, or if the prober knows the address.
    assert_eq!(scanned("policy.v6", &["--link", "tun"]), "open");
    assert_eq!(scanned("policy.v6", &["--static-neighbour"]), "open");
    assert_eq!(scan("from.v6", &["--format", "json"]).report()["hidden"]["status"], "down");
}

/// `-Pn` alone changes nothing on a link; with `--disable-arp-ping` the kernel's discovery fails, and no probe is sent.
#[test]
fn pn_changes_what_nmap_reports_only_where_it_asks_no_neighbour() {
    let status = |options: &[&str]| {
        let report = scan("policy.v6", &[options, &["--format", "json"]].concat()).report();
        let states =
            report["probes"].as_array().unwrap().iter().map(|probe| probe["state"].as_str().unwrap().to_owned());
        (report["hidden"]["status"].as_str().unwrap().to_owned(), states.collect::<Vec<_>>())
    };
    let down = ("down".to_owned(), Vec::new());
    assert_eq!(status(&["-Pn"]), down);
    assert_eq!(status(&["--send-ip"]), down);
    assert_eq!(status(&["-Pn", "--send-ip"]), ("up".to_owned(), vec!["filtered".to_owned()]));
    assert_eq!(status(&["-Pn", "--disable-arp-ping", "-sX"]), ("up".to_owned(), vec!["open|filtered".to_owned()]));
}

#[test]
fn nmaps_formats_have_nmaps_words_for_a_host_that_is_down() {
    const NOTE: &str = "Note: Host seems down. If it is really up, but blocking our ping probes, try -Pn\n";
    let has = |options: &[&str], wanted: &[&str], unwanted: &[&str]| {
        let ended = scan("rules.v6", options);
        let missing = wanted.iter().find(|text| !ended.stdout.contains(**text));
        let stray = unwanted.iter().find(|text| ended.stdout.contains(**text));
        assert_eq!((ended.status, missing, stray), (Some(0), None, None), "{options:?}: {}", ended.stdout);
        assert!(ended.stderr.contains("rules.v6:12"), "{}", ended.stderr);
    };
    let down = "1 IP address (0 hosts up) scanned in";
    has(&["--format", "nmap"], &[NOTE, down], &["scan report"]);
    has(&["--format", "nmap", "-Pn"], &[down], &[NOTE]);
    has(&["--format", "nmap", "-v"], &[&format!("\nNmap scan report for {HOST} [host down]\n"), NOTE], &[]);
    has(&["--format", "nmap", "-v", "--reason"], &["[host down, received no-response]\n"], &[]);
    has(&["--format", "nmap", "-v", "--open"], &[NOTE], &["scan report"]);
    has(&["-oN", "-"], &[down], &[NOTE, "scan report"]);
    has(&["-oG", "-"], &[down], &["Host:"]);
    has(&["-oG", "-", "-v"], &[&format!("\nHost: {HOST} ()\tStatus: Down\n")], &["Ports: "]);
    let hosts = "<hosts up=\"0\" down=\"1\" total=\"1\"/>";
    has(&["-oX", "-"], &[hosts], &["<host>", "<hosthint>", "state=\"up\""]);
    let status = "<host><status state=\"down\" reason=\"no-response\" reason_ttl=\"0\"/>\n<address addr=";
    let task = "<taskend task=\"ND Ping Scan\"";
    has(&["-oX", "-", "-v"], &[hosts, status, task], &["<ports>", "<hostnames>", "SYN Stealth", "<hosthint>"]);
}

#[test]
fn arp_is_not_filtered_so_over_ipv4_the_host_is_up() {
    let words = ["scan", "-4", "-6", "--rules", "rules.v4", "--rules6", "rules.v6", "-p", "22", "--listen", "22"];
    let report = scanlab("neighbours", &[&words[..], &["--format", "json"]].concat()).report();
    assert_eq!((&report["probes"][0]["family"], &report["probes"][0]["state"]), (&"ipv4".into(), &"open".into()));
    assert_eq!((report["probes"].as_array().unwrap().len(), &report["hidden"]["status"]), (1, &"down".into()));
}

#[test]
fn a_scenario_claims_nothing_of_scans_over_ipv6() {
    for (scenario, status, line) in [("want.toml", 1, "rules.v6:12"), ("known.toml", 3, "policy.v6:2")] {
        let ended = scanlab("neighbours", &["run", "--format", "json", scenario]);
        let report: Value = serde_json::from_str(&ended.stdout).expect("the report is JSON");
        assert_eq!(ended.status, Some(status), "{}", ended.stderr);
        let checks = report["scenarios"][0]["checks"].as_array().expect("checks");
        let over_ipv6 = |check: &&Value| check["family"] == "ipv6" && check["port"].is_u64();
        let scans: Vec<&Value> = checks.iter().filter(over_ipv6).collect();
        assert!(!scans.is_empty());
        for scan in scans {
            assert_eq!(scan["outcome"], "not-run", "{scan}");
            assert!(scan["why"].as_str().unwrap().contains(line), "{scan}");
        }
        let others = checks.iter().filter(|check| check["family"] == "ipv4" && check["port"].is_u64());
        assert!(others.clone().all(|check| check["outcome"] == "matched"));
        let packet = checks.iter().find(|check| check["packet"] == "tcp SYN to 22");
        assert!(packet.is_none_or(|check| check["outcome"] == "matched"), "what rules do to a packet that comes");
    }
}

#[test]
fn check_and_record_claim_nothing_of_scans_over_ipv6() {
    let words = ["check", "--sensor", "sensor.toml", "--rules", "rules.v4", "--rules6", "rules.v6", "--format", "json"];
    let ended = scanlab("neighbours", &words);
    let report: Value = serde_json::from_str(&ended.stdout).expect("the report is JSON");
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let locked_out = facts(&report, "locked-out");
    assert!(locked_out.iter().any(|fact| fact.starts_with("bad: ") && fact.contains("rules.v6:12")), "{locked_out:?}");
    assert!(!locked_out.iter().any(|fact| fact.contains("opens, over IPv4 and IPv6")), "{locked_out:?}");
    let attacker = facts(&report, "attacker");
    assert!(attacker.iter().any(|fact| fact.contains("over IPv6: the host seems down")), "{attacker:?}");
    assert!(!attacker.iter().any(|fact| fact.contains("IPv4 and IPv6")), "{attacker:?}");

    let recorded = scanlab("neighbours", &["record", "--rules", "rules.v4", "--rules6", "rules.v6", "-o", "-"]).stdout;
    assert!(recorded.contains("# ipv6 scans: no neighbour finds the host: rules.v6:12 "), "{recorded}");
    let rows = recorded.split("[[expect]]").filter(|row| row.contains("scan    ="));
    assert!(rows.clone().count() > 0 && rows.clone().all(|row| row.contains("family  = \"ipv4\"")), "{recorded}");
}

#[test]
fn a_change_that_hides_the_host_is_a_difference() {
    let ended = scanlab("neighbours", &["diff", "rules.v4", "rules.v4", "--v6", "found.v6", "policy.v6"]);
    assert_eq!(ended.status, Some(1), "{}{}", ended.stdout, ended.stderr);
}
