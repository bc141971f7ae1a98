//! Files that iptables-restore reads in another way than people do, and listings that it cannot read.

use super::scanlab;

fn scan(file: &str) -> super::Ended {
    scanlab("text", &["scan", "-p", "22,80", "--format", "json", "--rules", file])
}

fn states(file: &str) -> Vec<String> {
    states_with(file, "nft")
}

fn states_with(file: &str, flavour: &str) -> Vec<String> {
    let words = ["scan", "-p", "22,80", "--format", "json", "--iptables", flavour, "--rules", file];
    let report = scanlab("text", &words).report();
    let probes = report["probes"].as_array().expect("probes").iter();
    probes.map(|probe| probe["state"].as_str().expect("a state").to_owned()).collect()
}

/// Measured with iptables-nft-restore 1.8.9: of two `*filter` tables the second one remains, with its own policies.
#[test]
fn a_second_declaration_is_reported_with_its_line_and_judged_as_it_is_loaded() {
    for (file, line, expected) in [("two.v4", 5, ["closed", "closed"]), ("chain.v4", 5, ["filtered", "filtered"])] {
        let said = scan(file).stderr;
        assert!(said.contains(&format!("warning: {file}:{line}: ")), "{said}");
        assert_eq!(states(file), expected, "{file}");
    }
    // iptables-legacy-restore keeps the policy of the first block.
    assert_eq!(states_with("two.v4", "legacy"), ["filtered", "closed"]);
    let said = scanlab("text", &["diff", "two.v4", "chain.v4"]).stderr;
    assert!(said.contains("warning: two.v4:5: ") && said.contains("warning: chain.v4:5: "), "{said}");
}

/// Without sets of packets, only what the sweep sends would be compared.
#[test]
fn a_proof_about_a_table_declared_twice_starts_from_the_policies_of_the_flavour() {
    for (flavour, same, other) in [("legacy", "kept.v4", "anew.v4"), ("nft", "anew.v4", "kept.v4")] {
        let diff = |file| scanlab("text", &["diff", "--iptables", flavour, "again.v4", file]);
        let ended = diff(same);
        assert_eq!(ended.status, Some(0), "{flavour}: {}{}", ended.stdout, ended.stderr);
        let ended = diff(other);
        assert_eq!(ended.status, Some(1), "{flavour}: {}{}", ended.stdout, ended.stderr);
    }
}

#[test]
fn a_file_without_commit_and_a_rule_behind_it_are_refused_at_their_line() {
    for (file, line, hint) in [
        ("nocommit.v4", 3, "COMMIT, before"),
        ("nocommit2.v4", 4, "COMMIT, before"),
        ("after.v4", 4, "between the `*filter`"),
    ] {
        let ended = scan(file);
        assert_eq!(ended.status, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("{file}:{line}:")) && ended.stderr.contains(hint), "{}", ended.stderr);
    }
}

#[test]
fn a_listing_is_refused_with_the_command_that_helps() {
    let listings = ["iptables-L.txt", "iptables-S.txt", "iptables-S-nat.txt", "ufw-status.txt", "ufw-inactive.txt"];
    for file in listings {
        for arguments in [
            ["scan", "-p", "22", "--rules", file].as_slice(),
            &["record", "--rules", file],
            &["diff", file, "two.v4"],
            &["exec", "--rules", file, "--", "true"],
            &["check", "--sensor", "sensor.toml", "--rules", file],
        ] {
            let ended = scanlab("text", arguments);
            assert_eq!(ended.status, Some(2), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
            assert!(ended.stderr.contains("iptables-save`"), "{arguments:?}: {}", ended.stderr);
            assert!(!ended.stderr.contains("nothing is filtered"), "{arguments:?}: {}", ended.stderr);
        }
    }
}
