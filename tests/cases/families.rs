//! Rules of both families that share something in the kernel: a table of xt_recent has the mask of the rule that made it.

use std::collections::BTreeSet;

use super::{facts, scanlab};

/// The facts of `check` about SSH, in one string.
fn about_ssh(arguments: &[&str]) -> String {
    let given = [&["check", "--sensor", "sensor.toml", "--format", "json"], arguments].concat();
    facts(&scanlab("families", &given).report(), "locked-out").join("\n")
}

#[test]
fn the_verdict_does_not_depend_on_the_order_of_arguments_or_on_chance() {
    for flavour in ["nft", "legacy"] {
        let (v4, v6) = (["--rules", "rules.v4"], ["--rules6", "rules.v6"]);
        let in_order = [&v4[..], &v6, &["--iptables", flavour]].concat();
        let reversed = [&v6[..], &v4, &["--iptables", flavour]].concat();
        let found: BTreeSet<String> =
            (0..4).map(|run| about_ssh(if run % 2 == 0 { &in_order } else { &reversed })).collect();
        assert_eq!(found.len(), 1, "{flavour}: {found:#?}");
        let found = found.first().expect("a verdict");
        // The mask of IPv4, which is loaded first, has 32 bits: another address of the same network counts as the
        // client.
        assert!(found.contains("bad: new connections to port 22 are limited over IPv6"), "{flavour}: {found}");
        assert!(found.contains("note: new connections to port 22 are limited over IPv4"), "{flavour}: {found}");
    }
}

#[test]
fn a_shared_table_is_reported_at_the_first_rule_of_ipv6() {
    let lint = |v6: &str| {
        let words = ["scan", "--trace", "-p", "22", "--format", "json", "--rules", "rules.v4", "--rules6", v6];
        let report = scanlab("families", &words).report();
        let found = report["lint"].as_array().expect("lint").clone();
        found.into_iter().filter(|finding| finding["rule"] == "recent-shared").collect::<Vec<_>>()
    };
    let found = lint("rules.v6");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["file"], &found[0]["line"]), (&"rules.v6".into(), &6.into()));
    let message = found[0]["message"].as_str().expect("a message");
    assert!(message.contains("rules.v4:6") && message.contains("mask 255.255.255.255"), "{message}");
    assert!(lint("own.v6").is_empty());
}
