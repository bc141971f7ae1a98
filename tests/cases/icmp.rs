//! Protocol 1 in IPv6 and protocol 58 in IPv4: valid in rules, but no real packet has them.

use super::scanlab;

#[test]
fn a_rule_for_icmp_of_the_other_family_is_tried_and_linted() {
    for (rules, file) in [(["--rules", "v4.v4"], "v4.v4"), (["--rules6", "r.v6"], "r.v6")] {
        let family = if file == "r.v6" { "-6" } else { "-4" };
        let arguments = [["scan", "--trace", family, "-p", "22", "--format", "json"].as_slice(), &rules].concat();
        let scan = scanlab("icmp", &arguments);
        assert_eq!(scan.status, Some(0), "{}", scan.stderr);
        let report = scan.report();
        let lint = report["lint"].as_array().expect("lint");
        let found = lint.iter().find(|finding| finding["rule"] == "other-familys-icmp").expect("a finding");
        assert_eq!((found["file"].as_str(), found["line"].as_u64()), (Some(file), Some(3)), "{found}");
    }
}

#[test]
fn errors_to_link_local_sources_are_sent() {
    let rules = ["--rules6", "link-local.v6"];
    for arguments in [
        [&["record", "--listen", "22"], &rules[..]].concat(),
        [&["scan", "--trace", "-6", "-p", "22"], &rules[..]].concat(),
        vec!["diff", "link-local.v6", "link-local.v6"],
    ] {
        let ended = scanlab("icmp", &arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn other_protocols_are_no_error_of_the_lab() {
    let scan = scanlab("icmp", &["scan", "--trace", "-6", "-p", "22", "--rules6", "protocols.v6"]);
    assert_eq!(scan.status, Some(0), "{}", scan.stderr);
    for arguments in [
        ["record", "--rules", "v4.v4", "--rules6", "r.v6"].as_slice(),
        &["diff", "v4.v4", "v4.v4", "--v6", "r.v6", "r.v6"],
        &["diff", "v4.v4", "v4.v4", "--v6", "protocols.v6", "protocols.v6"],
        &["mutate", "want.toml"],
        &["run", "want.toml"],
    ] {
        let ended = scanlab("icmp", arguments);
        assert!(matches!(ended.status, Some(0 | 1)), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        assert!(!ended.stderr.contains("Stimulus"), "{}", ended.stderr);
    }
}
