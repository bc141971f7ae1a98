//! `deny = "all"` covers every protocol and every sender.

use std::fs;

use super::{facts, scanlab};

/// Runs `check` on the generated rules with those of `planted` before them. Returns the exit status, and the tone of
/// the fact that names each of them.
fn check(planted: [&[&str]; 2]) -> (Option<i32>, Vec<Option<String>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("a name");
    let generated = scanlab("all-denied", &["generate", "sensor.toml", "-o", out, "--force"]);
    assert_eq!(generated.status, Some(0), "{}", generated.stderr);
    let files = ["rules.v4", "rules.v6"].map(|name| folder.path().join(name));
    for (file, rules) in files.iter().zip(planted) {
        let text = fs::read_to_string(file).expect("rules");
        let lo = "-A INPUT -i lo -j ACCEPT\n";
        assert!(text.contains(lo), "{text}");
        fs::write(file, text.replacen(lo, &format!("{lo}{}\n", rules.join("\n")), 1)).expect("write the rules");
    }
    let [v4, v6] = files.each_ref().map(|file| file.to_str().expect("a name"));
    let words = ["check", "--sensor", "sensor.toml", "--rules", v4, "--rules6", v6, "--format", "json"];
    let ended = scanlab("all-denied", &words);
    let facts = facts(&ended.report(), "unasked");
    let tone = |rule: &&str| facts.iter().find(|fact| fact.contains(*rule)).map(|fact| fact[..4].trim().to_owned());
    (ended.status, planted.concat().iter().map(tone).collect())
}

fn assert_each_is(tone: &str, status: i32, planted: [&[&str]; 2]) {
    let (found, tones) = check(planted);
    assert_eq!(found, Some(status), "{planted:?}: {tones:?}");
    assert!(tones.iter().all(|found| found.as_ref().is_some_and(|found| tone.starts_with(&**found))), "{tones:?}");
}

#[test]
fn a_protocol_that_is_let_in_is_never_safe() {
    let v4 = [
        "-A INPUT -p 99 -j ACCEPT",
        "-A INPUT -p ospf -j ACCEPT",
        "-A INPUT -p ipv6 -s 198.51.100.7 -j ACCEPT",
        "-A INPUT -p gre -s 198.51.100.7 -j ACCEPT",
        "-A INPUT -p icmp --icmp-type 13 -j ACCEPT",
        "-A INPUT -p icmp --icmp-type 8 -s 198.51.100.0/24 -j ACCEPT",
        "-A INPUT -i wg0 -p esp -j ACCEPT",
    ];
    let v6 = [
        "-A INPUT -p 89 -j ACCEPT",
        "-A INPUT -p gre -s 2001:db8:ff::7 -j ACCEPT",
        "-A INPUT -p icmpv6 --icmpv6-type 137 -j ACCEPT",
        "-A INPUT -p icmpv6 --icmpv6-type 139 -j ACCEPT",
    ];
    assert_each_is("bad:", 1, [&v4, &v6]);
}

/// The lab sends no chunk of SCTP, and only one TTL.
#[test]
fn a_protocol_that_may_be_let_in_is_unknown() {
    let v4 = ["-A INPUT -p sctp --dport 80 -j ACCEPT", "-A INPUT -p 99 -m ttl --ttl-eq 77 -j ACCEPT"];
    assert_each_is("unknown:", 3, [&v4, &[]]);
}

#[test]
fn messages_that_a_host_needs_are_no_hole() {
    let v4 = [
        "-A INPUT -p icmp --icmp-type 3/4 -j ACCEPT",
        "-A INPUT -p icmp --icmp-type 4 -j ACCEPT",
        "-A INPUT -p 99 -j DROP",
    ];
    let v6 = [
        "-A INPUT -p icmpv6 --icmpv6-type 2 -j ACCEPT",
        "-A INPUT -p icmpv6 --icmpv6-type 134 -j ACCEPT",
        "-A INPUT -p icmpv6 --icmpv6-type 139 -j DROP",
    ];
    assert_eq!(check([&v4, &v6]), (Some(0), vec![None; 6]));
}
