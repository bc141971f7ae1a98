//! Rules that depend on the time: a finding for another time is reported once, and the time is given as its cause.

use std::fs;
use std::path::Path;

use super::binary::Ended;
use super::{facts, scanlab};

/// `check` of the rules of a healthy machine with one rule more, in front of all that let in.
fn check_with(rule: &str, flavour: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.v4");
    let text = fs::read_to_string(Path::new("tests/cases/sessions/healthy.v4")).expect("rules");
    let lo = "-A INPUT -i lo -j ACCEPT\n";
    fs::write(&file, text.replacen(lo, &format!("{lo}{rule}\n"), 1)).expect("write the rules");
    let rules = file.to_str().expect("a name");
    let input = ["check", "--sensor", "sensor.toml", "--rules", rules, "--rules6", "healthy.v6"];
    scanlab("sessions", &[&input[..], &["--iptables", flavour, "--format", "json"]].concat())
}

/// The facts about a session that is worked over `rule`, without those of IPv6 alone.
pub fn locked_out(rule: &str, flavour: &str) -> Vec<String> {
    let facts = facts(&check_with(rule, flavour).report(), "locked-out");
    facts.into_iter().filter(|fact| !fact.contains("over IPv6") && !fact.contains("(IPv6")).collect()
}

/// The facts that a rule by chance decides.
fn of_chance(facts: &[String]) -> Vec<&String> {
    facts.iter().filter(|fact| fact.contains("SSH over IPv4 depends on chance: ")).collect()
}

#[test]
fn loss_by_chance_is_the_same_note_every_time_with_the_share_of_the_rule() {
    for (rule, flavour, share) in [
        ("-A INPUT -p tcp --dport 22 -m statistic --mode nth --every 2 --packet 0 -j DROP", "nft", "50 %"),
        ("-A INPUT -p tcp --dport 22 -m statistic --mode random --probability 0.5 -j DROP", "legacy", "50 %"),
        ("-A INPUT -p tcp --dport 22 -m statistic --mode random --probability 0.001 -j DROP", "nft", "0.1 %"),
        ("-A OUTPUT -p tcp --sport 22 -m statistic --mode nth --every 4 --packet 0 -j DROP", "legacy", "25 %"),
    ] {
        let ended = check_with(rule, flavour);
        let facts = facts(&ended.report(), "locked-out");
        assert_eq!(ended.status, Some(0), "{facts:#?}");
        let [fact] = of_chance(&facts)[..] else { panic!("{facts:#?}") };
        assert!(fact.starts_with("note: ") && fact.contains("rules.v4:6: "), "{fact}");
        assert!(fact.contains(&format!("rules.v4:6 matches {share} of the packets")), "{fact}");
        assert!(!facts.iter().any(|fact| fact.contains("you have to wait")), "{facts:#?}");
    }
}

#[test]
fn a_connection_that_chance_decides_is_not_known_whatever_the_luck() {
    for rule in [
        "-A INPUT -p tcp --dport 22 -m statistic --mode random --probability 0.6 -j DROP",
        "-A INPUT -p tcp --dport 22 -m statistic --mode random --probability 0.01 -m recent --name r --set\n\
         -A INPUT -p tcp --dport 22 -m recent --name r --rcheck -j DROP",
        // Neither rule alone is a reason, nor are both.
        "-A INPUT -p tcp --dport 22 -m statistic --mode random --probability 0.01 -j ACCEPT\n\
         -A INPUT -p tcp --dport 22 -m statistic --mode nth --every 2 --packet 0 -j MARK --set-mark 1\n\
         -A INPUT -p tcp --dport 22 -m mark --mark 1 -j DROP",
    ] {
        let ended = check_with(rule, "nft");
        let facts = facts(&ended.report(), "locked-out");
        assert_eq!(ended.status, Some(3), "{facts:#?}");
        let [fact] = of_chance(&facts)[..] else { panic!("{facts:#?}") };
        assert!(fact.starts_with("unknown: ") && fact.contains("rules.v4:6: "), "{fact}");
    }
}

#[test]
fn a_rule_of_chance_that_always_drops_or_resets_sessions_is_a_reason_not_to_deploy() {
    for (rule, flavour, effect) in [
        ("random --probability 1 -j DROP", "nft", "a new SSH connection to port 22 gets no answer, over IPv4"),
        ("nth --every 1 --packet 0 -j DROP", "legacy", "a new SSH connection to port 22 gets no answer, over IPv4"),
        ("random --probability 0.001 -j REJECT --reject-with tcp-reset", "nft", "SSH over IPv4 depends on chance: "),
    ] {
        let facts = locked_out(&format!("-A INPUT -p tcp --dport 22 -m statistic --mode {rule}"), flavour);
        let start = format!("bad: {effect}");
        assert!(facts.iter().any(|fact| fact.starts_with(&start) && fact.contains("rules.v4:6: ")), "{facts:#?}");
    }
}

#[test]
fn new_connections_that_a_rule_of_chance_rejects_are_a_note() {
    let rule = "-A INPUT -p tcp --dport 22 --syn -m statistic --mode nth --every 4 --packet 3";
    let facts = locked_out(&format!("{rule} -j REJECT --reject-with tcp-reset"), "nft");
    let [fact] = of_chance(&facts)[..] else { panic!("{facts:#?}") };
    assert!(fact.starts_with("note: ") && fact.contains("25 % of the packets"), "{fact}");
    assert!(fact.contains("is refused"), "{fact}");
}

#[test]
fn a_limit_beside_a_rule_of_chance_still_shuts_the_port() {
    let chance = "-A INPUT -p tcp --dport 22 -m statistic --mode nth --every 3 --packet 2 -j DROP";
    let limit = "-A INPUT -p tcp --dport 22 -m conntrack --ctstate ESTABLISHED -m hashlimit --hashlimit-above 1/hour \
                 --hashlimit-burst 50 --hashlimit-mode srcip --hashlimit-name s -j DROP";
    let facts = locked_out(&format!("{chance}\n{limit}"), "nft");
    let freezes = facts.iter().find(|fact| fact.starts_with("bad: an SSH session to port 22 freezes after "));
    assert!(freezes.is_some_and(|fact| fact.contains("rules.v4:7: ")), "{facts:#?}");
}

#[test]
fn a_port_that_a_rule_opens_by_chance_is_open() {
    let rule = "-A INPUT -p tcp --dport 8080 -m statistic --mode random --probability 0.01 -j ACCEPT";
    let facts = facts(&check_with(rule, "nft").report(), "unasked");
    assert!(facts.iter().any(|fact| fact.starts_with("bad: ") && fact.contains("8080")), "{facts:#?}");
}

#[test]
fn a_rule_of_the_moment_that_cuts_sessions_is_reported_once_and_with_its_cause() {
    let rule = "-A INPUT -p tcp --dport 22 -m time --timestart 03:00 --timestop 03:05 -j DROP";
    let ended = check_with(rule, "nft");
    let facts = facts(&ended.report(), "locked-out");
    assert_eq!(ended.status, Some(1), "{facts:#?}");
    assert!(!facts.iter().any(|fact| fact.starts_with("unknown: ")), "{facts:#?}");
    let dies = facts.iter().find(|fact| fact.contains("that is open while the rules are loaded is cut"));
    let dies = dies.unwrap_or_else(|| panic!("{facts:#?}"));
    assert!(
        dies.contains("rules.v4:6 applies: -m time)") && !dies.contains("accepts established connections"),
        "{dies}"
    );
}

#[test]
fn two_rules_of_the_moment_are_unknown_only_in_what_was_not_tried() {
    let rule = |start: &str, stop: &str| {
        format!("-A INPUT -p tcp --dport 22 -m time --timestart {start} --timestop {stop} -j DROP")
    };
    let facts = locked_out(&format!("{}\n{}", rule("03:00", "03:05"), rule("04:00", "04:05")), "nft");
    let with =
        |tone: &str, place: &str| facts.iter().filter(|fact| fact.starts_with(tone) && fact.contains(place)).count();
    // All apply, or none; that the second one applies alone was not tried.
    assert!(with("bad: ", "rules.v4:6: ") > 0, "{facts:#?}");
    assert_eq!((with("unknown: ", "rules.v4:6: "), with("unknown: ", "rules.v4:7: ")), (0, 1), "{facts:#?}");
}

#[test]
fn a_check_of_run_that_chance_decides_is_not_run() {
    for (policy, rule, status, outcome) in [
        ("DROP", "--dport 80 -m statistic --mode random --probability 0.5 -j ACCEPT", 3, "not-run"),
        ("ACCEPT", "--dport 80 -m statistic --mode random --probability 0.9 -j DROP", 3, "not-run"),
        ("ACCEPT", "--dport 80 -m statistic --mode random --probability 0.5 -j DROP", 0, "matched"),
        ("ACCEPT", "--dport 81 -m statistic --mode random --probability 0.9 -j DROP", 0, "matched"),
        ("DROP", "--dport 80 -m statistic --mode random --probability 0.9 -j DROP", 1, "mismatched"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("write a file");
        write("rules.v4", format!("*filter\n:INPUT {policy} [0:0]\n-A INPUT -p tcp {rule}\nCOMMIT\n"));
        let row = "scan = \"syn\"\nports = 80\nfamily = \"ipv4\"\nstate = \"closed\"";
        write("want.toml", format!("title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n[[expect]]\n{row}\n"));
        let scenario = folder.path().join("want.toml");
        let ended = scanlab("rates", &["run", scenario.to_str().expect("a name"), "--format", "json"]);
        let check = &ended.report()["scenarios"][0]["checks"][0];
        assert_eq!((ended.status, check["outcome"].as_str()), (Some(status), Some(outcome)), "{rule}: {check:#}");
    }
}
