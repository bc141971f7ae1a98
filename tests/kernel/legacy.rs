//! The results with x_tables are exactly those with nf_tables: paths, log lines, explanations, patches, coverage,
//! findings and mutants. Two witnesses of the kernel that share no code (nft's rule trace, and TRACE over NFLOG) have
//! the same results for the same text; differences are reported by `--iptables both`. Needs root, see `.ci/setup
//! tests`.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::binary::{Ended, HARDENED, ended, run, share_the_machine};
use serde_json::Value;

/// The report without its environment.
fn report(ended: &Ended) -> Value {
    let mut report = ended.report();
    report.as_object_mut().expect("a report").remove("environment");
    without_flow_labels(&mut report);
    report
}

/// Masks the random flow labels of the host's answers.
fn without_flow_labels(value: &mut Value) {
    match value {
        Value::String(text) => {
            let words = text.split(' ').map(|word| if word.starts_with("FLOWLBL=") { "FLOWLBL=" } else { word });
            *text = words.collect::<Vec<_>>().join(" ");
        }
        Value::Array(values) => values.iter_mut().for_each(without_flow_labels),
        Value::Object(values) => values.values_mut().for_each(without_flow_labels),
        _ => {}
    }
}

/// Runs the program with each flavour; output and exit status must be the same. Returns them.
fn assert_same(with: impl Fn(&[&str]) -> Ended) -> (Value, Option<i32>) {
    let [nft, legacy] = ["nft", "legacy"].map(|flavour| with(&["--iptables", flavour]));
    assert_eq!((nft.status, &nft.stderr), (legacy.status, &legacy.stderr), "nft on the left");
    let (of_nft, of_legacy) = (report(&nft), report(&legacy));
    if of_nft != of_legacy {
        let text = |report| serde_json::to_string_pretty(report).expect("JSON");
        let (one, other) = (text(&of_nft), text(&of_legacy));
        let differ = one.lines().zip(other.lines()).filter(|(one, other)| one != other).take(20);
        panic!("nft on the left: {:#?}", differ.collect::<Vec<_>>());
    }
    (of_legacy, legacy.status)
}

#[test]
fn of_the_built_in_scenarios() {
    let _machine = share_the_machine();
    let (said, status) = assert_same(|flavour| run(flavour));
    assert_eq!(status, Some(0));
    let said = said.to_string();
    for word in ["\"coverage\"", "\"packet\":\"", "\"path\":[{", "\"answer_path\":[{", "\"rate\":"] {
        assert!(said.contains(word), "nothing is told of {word}");
    }
}

/// Each of these scenarios has a ruleset with a classic mistake.
#[test]
fn of_mistakes_why_they_are_and_what_mends_them() {
    let _machine = share_the_machine();
    let (said, status) = assert_same(|flavour| run(&[&["tests/explanations"], flavour].concat()));
    assert_eq!(status, Some(1));
    let said = said.to_string();
    for word in ["\"explanation\":{", "\"patch\":{", "\"outcome\":\"mismatched\""] {
        assert!(said.contains(word), "nothing is told of {word}");
    }
}

/// A `scan` of these rulesets, with the paths of all probes, and the unreachable rules.
fn scan(v4: &str, v6: &str, options: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), v4).expect("write the ruleset");
    fs::write(folder.path().join("rules.v6"), v6).expect("write the ruleset");
    let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    scan.args(["scan", "--rules", "rules.v4", "--rules6", "rules.v6", "--scan", "syn,connect,null,fin,xmas,ack"]);
    scan.args(["-p", "22,23,80-83,443,5555,8080", "--listen", "22,8080", "--format", "json"]).args(options);
    let output = scan.current_dir(folder.path()).output().expect("run scanlab");
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    ended(output)
}

/// The scans of the rulesets, in both families, which must be the same with both flavours.
fn assert_same_scans(v4: &str, v6: &str) -> Vec<Value> {
    let scans = [&["--trace"][..], &["--trace", "-6"]].map(|options| {
        let (said, status) = assert_same(|flavour| scan(v4, v6, &[options, flavour].concat()));
        assert_eq!(status, Some(0));
        said
    });
    scans.to_vec()
}

/// The verdicts of the steps of all paths.
fn verdicts(scans: &[Value]) -> BTreeSet<String> {
    let probes = scans.iter().flat_map(|scan| scan["probes"].as_array().expect("probes"));
    let paths = probes.flat_map(|probe| [&probe["path"], &probe["answer_path"]]).filter_map(Value::as_array);
    paths.flatten().map(|step| step["verdict"].as_str().expect("a verdict").to_owned()).collect()
}

/// The conntrack states of the probes.
fn states(scans: &[Value]) -> BTreeSet<String> {
    let probes = scans.iter().flat_map(|scan| scan["probes"].as_array().expect("probes"));
    probes.filter_map(|probe| probe["conntrack"].as_str()).map(str::to_owned).collect()
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Jumps, gotos that end in a policy, RETURN in a chain and in a built-in one, rules without target, empty chains, a
/// verdict without a match that is no policy, lines in another order, and lists of addresses.
fn chains(addresses: &str) -> String {
    format!(
        "*security\n-A INPUT -p tcp --dport 22 --syn -j LOG --log-prefix \"let in: \"\nCOMMIT\n\
         *filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:empty - [0:0]\n:ports - [0:0]\n\
         :deep - [0:0]\n:last - [0:0]\n-A INPUT -j empty\n-A INPUT -p tcp -m tcp --dport 80\n\
         -A INPUT -p tcp -m tcp --dport 443 -g last\n-A INPUT -p tcp -m tcp --dport 5555 -j RETURN\n\
         -A INPUT -s {addresses} -p tcp -m tcp --dport 83 -j LOG --log-prefix \"listed: \"\n-A INPUT -p tcp -j ports\n\
         -I INPUT 2 ! -p udp -j LOG --log-prefix \"second: \"\n-A ports -p tcp -m multiport --dports 22,23 -j deep\n\
         -A ports -p tcp ! --dport 80:83 -j RETURN\n-A ports -j REJECT\n-A deep -p tcp -m tcp --dport 22 -j ACCEPT\n\
         -A deep -j DROP\n-A last -p tcp --tcp-flags ALL NONE -j LOG --log-prefix \"null: \"\n-D INPUT -j empty\n\
         -A OUTPUT -p tcp --sport 8080 -j REJECT --reject-with tcp-reset\n-A OUTPUT -j ACCEPT\nCOMMIT\n"
    )
}

#[test]
fn of_ways_from_chain_to_chain() {
    let _machine = share_the_machine();
    let scans = assert_same_scans(
        &chains("203.0.113.66,198.51.100.7,203.0.113.64/28"),
        &chains("2001:db8:113::66,2001:db8:9::/64,2001:db8:113::/64"),
    );
    let expected = words(&["accept", "continue", "drop", "goto", "jump", "reject", "return"]);
    assert_eq!(verdicts(&scans), expected);
}

/// Every table but security, which iptables-nft puts after nat's INPUT (priorities 150 and 100), and x_tables before it
/// (50): packets that are not tracked, marked, redirected, sent to a program, and limited before a verdict.
const TABLES: &str = "\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 23 -j CT --notrack
-A PREROUTING -p tcp -m tcp --dport 83 -j DROP
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 443 -j MARK --set-mark 7
-A POSTROUTING -p tcp --sport 22 -j LOG --log-prefix \"leaves: \"
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 81 -m limit --limit 1/hour --limit-burst 2 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 81 -j DROP
-A INPUT -p tcp -m tcp --dport 82 -j NFLOG --nflog-prefix \"TRACE: odd \"
-A INPUT -p tcp -m tcp --dport 5555 -j NFQUEUE --queue-num 3
-A INPUT -m conntrack --ctstate UNTRACKED -j LOG --log-prefix \"untracked: \"
-A INPUT -p tcp -m mark --mark 7 -j REJECT --reject-with tcp-reset
-A INPUT -p tcp -m conntrack --ctstate INVALID -m limit --limit 5/min -j LOG --log-prefix \"invalid: \"
COMMIT
";

#[test]
fn of_every_table() {
    let _machine = share_the_machine();
    let scans = assert_same_scans(TABLES, TABLES);
    assert_eq!(verdicts(&scans), words(&["accept", "continue", "drop", "reject", "stolen"]));
    assert_eq!(states(&scans), words(&["INVALID", "NEW", "UNTRACKED"]));
}

const QUEUES: &str = "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    -A INPUT -p tcp -m tcp --dport 22 -j NFQUEUE --queue-num 0 --queue-bypass\n\
    -A INPUT -p tcp -m tcp --dport 23 -j NFQUEUE --queue-num 0\n\
    -A OUTPUT -p tcp -m tcp --sport 8080 -j NFQUEUE --queue-num 0 --queue-bypass\nCOMMIT\n";

/// Found with random rules: a packet that bypassed a queue was reported as held, and its answer as one that was never
/// sent.
#[test]
fn queues_without_a_reader_are_the_same_with_both_flavours() {
    let _machine = share_the_machine();
    let scans = assert_same_scans(QUEUES, QUEUES);
    let syn = |probe: &&Value| probe["scan"] == "syn";
    for scan in &scans {
        let states = scan["probes"].as_array().expect("probes").iter().filter(syn);
        let states = states.map(|probe| (probe["port"].clone(), probe["state"].clone()));
        let state = |port: u16| states.clone().find(|(of, _)| *of == port).map(|(_, state)| state);
        let [bypassed, kept, answered] = [22, 23, 8080].map(state);
        assert_eq!([bypassed, kept, answered], [Some("open".into()), Some("unknown".into()), Some("open".into())]);
    }
}

const SCENARIO: &str = "title = \"t\"\n[host]\nlisten = [22]\n[ruleset]\nv4 = \"rules.v4\"\nv6 = \"rules.v6\"\n\
    [[expect]]\nscan = \"syn\"\nports = [22, 80]\nlog = \"\"\n\
    [[expect]]\nscan = \"xmas\"\nports = 80\nlog = \"xmas: \"\n";

const SMALL_V6: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p icmpv6 -j ACCEPT\n\
    -A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -m limit --limit 5/min -j LOG --log-prefix \"xmas: \"\nCOMMIT\n";

const SMALL: &str = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j ACCEPT\n\
    -A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -m limit --limit 5/min -j LOG --log-prefix \"xmas: \"\nCOMMIT\n";

#[test]
fn of_mutants() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("s.toml", SCENARIO), ("rules.v4", SMALL), ("rules.v6", SMALL_V6)] {
        fs::write(folder.path().join(name), text).expect("write the file");
    }
    let (said, status) = assert_same(|flavour| {
        let mut mutate = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        mutate.args(["mutate", "s.toml", "--format", "json"]).args(flavour).current_dir(folder.path());
        ended(mutate.output().expect("run scanlab"))
    });
    assert_eq!(status, Some(0));
    for word in ["killed", "survived"] {
        assert_ne!(said["summary"][word], 0, "{}", said["summary"]);
    }
}

/// The differences between the two flavours in the report: the subject and the fact.
fn differences(ended: &Ended) -> Vec<(String, String)> {
    let report = ended.report();
    let word = |one: &Value, key: &str| one[key].as_str().expect("a word").to_owned();
    let differences = report["flavours"]["differences"].as_array().expect("differences").clone();
    differences.iter().map(|one| (word(one, "subject"), word(one, "fact"))).collect()
}

#[test]
fn both_do_the_same() {
    let _machine = share_the_machine();
    let ended = run(&[HARDENED, "--iptables", "both"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    let compared = &ended.report()["flavours"]["compared"];
    assert_eq!((&compared[0]["backend"], &compared[1]["backend"]), (&"nft".into(), &"legacy".into()));
    assert!(differences(&ended).is_empty());
}

/// With nft a table that is declared twice has no policy of the first declaration, with legacy it has (iptables 1.8.9).
#[test]
fn both_differ_where_a_table_comes_twice() {
    let _machine = share_the_machine();
    let twice = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n:OUTPUT ACCEPT [0:0]\n\
                 -A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
    let ended = scan(twice, SMALL, &["--iptables", "both"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let found = differences(&ended);
    for fact in ["reason", "state"] {
        assert!(found.contains(&("ipv4 syn 23".to_owned(), fact.to_owned())), "{found:?}");
    }
    assert!(!found.iter().any(|(subject, _)| subject.ends_with(" 22")), "{found:?}");
}

/// With the policy of the first block, legacy drops the probe; with nft the host answers, and the answer is logged.
#[test]
fn both_differ_where_only_one_logs_the_answer() {
    let _machine = share_the_machine();
    let twice = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n:OUTPUT ACCEPT [0:0]\n\
                 -A INPUT -p tcp --dport 22 -j ACCEPT\n\
                 -A OUTPUT -p tcp --tcp-flags RST RST -j LOG --log-prefix \"reset: \"\nCOMMIT\n";
    let ended = scan(twice, SMALL, &["--iptables", "both"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let found = differences(&ended);
    assert!(found.contains(&("ipv4 syn 23".to_owned(), "log".to_owned())), "{found:?}");
    assert!(!found.iter().any(|(subject, _)| subject.starts_with("ipv6")), "{found:?}");
}

/// A rule may log to the group in which the lab's own table marks packets: its messages there are no marks.
#[test]
fn a_rule_that_logs_to_the_labs_group_disturbs_nothing() {
    let _machine = share_the_machine();
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n\
        -A INPUT -p tcp --dport 22 -j NFLOG --nflog-group 65101 --nflog-prefix \"TRACE: filter:INPUT:rule:1 \"\nCOMMIT\n";
    let scanned = scan(rules, rules, &["--trace", "--iptables", "legacy"]);
    assert_eq!(scanned.status, Some(0), "{}", scanned.stderr);
}

/// A line in the group of the kernel's own trace that looks like a line of the trace could not be distinguished. With
/// x_tables that group is read if an NFLOG rule writes to it.
#[test]
fn a_forged_trace_is_refused() {
    let _machine = share_the_machine();
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n\
        -A INPUT -p tcp --dport 22 -j NFLOG --nflog-prefix \"TRACE: filter:INPUT:rule:1 \"\nCOMMIT\n";
    for options in [&["--iptables", "legacy"][..], &["--trace", "--iptables", "legacy"]] {
        let refused = scan(rules, rules, options);
        assert_eq!(refused.status, Some(2), "{}", refused.stdout);
        let words = ["rules.v4:3", "--nflog-prefix"];
        assert!(words.iter().all(|word| refused.stderr.contains(word)), "{}", refused.stderr);
    }
    assert_eq!(scan(rules, rules, &["--trace", "--iptables", "nft"]).status, Some(0));
}
