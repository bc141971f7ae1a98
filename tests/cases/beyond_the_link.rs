//! Rules that affect an SSH client only after the link: `check` never calls them safe, and calls nothing unknown that
//! cannot affect a client.

use std::fs;

use super::{facts, scanlab};

/// Runs `check` on rules that accept SSH, with `planted` before them in the table `table`. Returns the exit status, and
/// the tones of the facts that name the planted rule.
fn check(table: &str, planted: [&str; 2]) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["healthy.v4", "healthy.v6"].map(|name| folder.path().join(name));
    for (file, rule) in files.iter().zip(planted) {
        let name = file.file_name().expect("a name");
        let text = fs::read_to_string(std::path::Path::new("tests/cases/sessions").join(name)).expect("rules");
        fs::write(file, format!("*{table}\n{rule}\nCOMMIT\n{text}")).expect("write the rules");
    }
    let [v4, v6] = files.each_ref().map(|file| file.to_str().expect("a name"));
    let words = ["check", "--sensor", "sensor.toml", "--rules", v4, "--rules6", v6, "--format", "json"];
    let ended = scanlab("sessions", &words);
    let facts = facts(&ended.report(), "locked-out").into_iter();
    let named = facts.filter(|fact| planted.iter().any(|rule| !rule.is_empty() && fact.contains(rule)));
    (ended.status, named.map(|fact| fact.split(':').next().expect("a tone").to_owned()).collect())
}

#[test]
fn replies_that_a_router_or_tcp_may_treat_otherwise_are_unknown() {
    for (planted, planted6) in [
        ("-A OUTPUT -p tcp --sport 22 -j TTL --ttl-set 1", "-A OUTPUT -p tcp --sport 22 -j HL --hl-set 1"),
        ("-A POSTROUTING -p tcp --sport 22 -j TTL --ttl-dec 60", "-A POSTROUTING -j HL --hl-dec 60"),
        (
            "-A OUTPUT -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 40",
            "-A POSTROUTING -p tcp --sport 22 -j TCPOPTSTRIP --strip-options sack-permitted",
        ),
    ] {
        let (status, tones) = check("mangle", [planted, planted6]);
        assert_eq!((status, &tones[..]), (Some(3), &["unknown".to_owned(), "unknown".to_owned()][..]), "{planted}");
    }
}

#[test]
fn changes_that_no_client_notices_are_safe() {
    for planted in [
        ["-A OUTPUT -p tcp --dport 25 -j TTL --ttl-set 1", "-A OUTPUT -p udp -j HL --hl-set 1"],
        ["-A INPUT -p tcp --dport 22 -j TTL --ttl-set 1", "-A PREROUTING -p tcp -j HL --hl-set 1"],
        ["-A POSTROUTING -j TTL --ttl-set 128", "-A POSTROUTING -j HL --hl-inc 1"],
        ["-A OUTPUT -p tcp --sport 22 -j DSCP --set-dscp 4", "-A OUTPUT -p tcp -j TOS --set-tos 16"],
        [
            "-A OUTPUT -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
            "-A POSTROUTING -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400",
        ],
    ] {
        assert_eq!(check("mangle", planted), (Some(0), Vec::new()), "{planted:?}");
    }
}

#[test]
fn a_mark_for_routing_rules_is_a_note() {
    let (status, tones) = check("mangle", ["-A OUTPUT -p tcp --sport 22 -j MARK --set-mark 1", ""]);
    assert_eq!((status, &tones[..]), (Some(0), &["note".to_owned()][..]));
}
