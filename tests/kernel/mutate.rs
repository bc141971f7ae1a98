//! `scanlab mutate`, run as a user would: the checks that notice a mutant, the mutants that survive, and the same
//! outcome for every number of jobs. Needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::binary::{Ended, HARDENED, ended, share_the_machine};
use serde_json::Value;

const RULES: &str = "\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m limit --limit 5/min -j LOG --log-prefix \"web: \"
COMMIT
";

/// Expectations for a SYN to 22 and 80, and for no other packet.
const GAPPED: &str = "\
title = \"a scenario with gaps\"
[ruleset]
v4 = \"rules.v4\"
[host]
listen = [22]
[[expect]]
scan = \"syn\"
ports = 22
family = \"ipv4\"
state = \"open\"
log = \"\"
[[expect]]
scan = \"syn\"
ports = 80
family = \"ipv4\"
state = \"filtered\"
log = \"web: \"
";

fn mutate(folder: &Path, arguments: &[&str]) -> Ended {
    let is_root = nix::unistd::geteuid().is_root();
    assert!(is_root, "this test asks the real kernel and needs root (hint: see .ci/setup tests)");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.current_dir(folder).env("COLUMNS", "80").arg("mutate").args(arguments);
    ended(command.output().expect("the program starts"))
}

fn gapped() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.v4"), RULES).expect("write the rules");
    fs::write(folder.path().join("s.toml"), GAPPED).expect("write the scenario");
    folder
}

fn mutants(report: &Value) -> Vec<Value> {
    report["mutations"][0]["mutants"].as_array().expect("mutants").clone()
}

#[test]
fn gaps_are_told_with_the_row_that_closes_them() {
    let _machine = share_the_machine();
    let folder = gapped();
    let ended = mutate(folder.path(), &["s.toml"]);
    assert_eq!((ended.status, &*ended.stderr), (Some(3), ""), "the policy of FORWARD is not judged");
    insta::assert_snapshot!(ended.stdout);
}

/// Added to the scenario, the proposed rows notice the mutants for which they were proposed, and pass with the
/// unchanged ruleset; with any prefix, and if two rules log the same packets.
#[test]
fn the_rows_that_are_proposed_kill_the_survivors() {
    let _machine = share_the_machine();
    let folder = gapped();
    let other = "-A INPUT -p tcp -m tcp --dport 80 -m limit --limit 2/min -j LOG --log-prefix \"all: \"\nCOMMIT";
    let rules = RULES.replace("\"web: \"", "\"\u{1b}[1m\\\"w\u{fc}b\\\" \"").replace("COMMIT", other);
    fs::write(folder.path().join("rules.v4"), rules).expect("write the rules");
    let scenario = GAPPED.replace("\"web: \"", r#"["\u001B[1m\"wüb\" ", "all: "]"#);
    fs::write(folder.path().join("s.toml"), scenario).expect("write the scenario");
    for round in 0..4 {
        let ended = mutate(folder.path(), &["s.toml", "--format", "json"]);
        let survivors: Vec<Value> =
            mutants(&ended.report()).into_iter().filter(|mutant| mutant["fate"] == "survived").collect();
        let rows: std::collections::BTreeSet<&str> = survivors.iter().filter_map(|one| one["row"].as_str()).collect();
        if rows.is_empty() {
            assert!(round > 0 && survivors.is_empty(), "{survivors:#?}");
            return;
        }
        let scenario = fs::read_to_string(folder.path().join("s.toml")).expect("the scenario");
        let rows: Vec<&str> = rows.into_iter().collect();
        fs::write(folder.path().join("s.toml"), format!("{scenario}\n{}", rows.join("\n"))).expect("paste the rows");
    }
    panic!("after four rounds rows are still proposed");
}

#[test]
fn one_job_two_jobs_and_another_time_say_the_same() {
    let _machine = share_the_machine();
    let folder = gapped();
    let once = mutate(folder.path(), &["s.toml", "--format", "json"]);
    assert_eq!(once.status, Some(3), "{}", once.stderr);
    for jobs in ["1", "2", "16"] {
        let again = mutate(folder.path(), &["s.toml", "--format", "json", "--jobs", jobs]);
        assert_eq!(again.stdout, once.stdout, "--jobs {jobs}");
    }
}

/// Only packets that may reach the mistake are sent to a mutant: here all packets are sent, with the same result.
#[test]
fn whole_sweeps_say_what_the_telling_packets_say() {
    let _machine = share_the_machine();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let fates = |arguments: &[&str]| -> Vec<Value> {
        let ended = mutate(&folder, &[&["own-ruleset.toml", "--format", "json"], arguments].concat());
        mutants(&ended.report()).iter().map(|one| one["fate"].clone()).collect()
    };
    assert_eq!(fates(&["--whole-sweeps"]), fates(&[]));
}

#[test]
fn the_hardened_sensor_notices_every_mutant_that_a_packet_can_tell() {
    let _machine = share_the_machine();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ended = mutate(folder, &[HARDENED, "--min-score", "96", "--format", "json"]);
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
    let report = ended.report();
    let summary = &report["summary"];
    assert_eq!((&summary["survived"], &summary["refused"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["killed"].as_u64().expect("a number") > 600, "{summary}");
}

#[test]
fn a_score_that_is_too_low_is_status_1() {
    let _machine = share_the_machine();
    let folder = gapped();
    let ended = mutate(folder.path(), &["s.toml", "--min-score", "100"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("the score is "), "{}", ended.stderr);
}

#[test]
fn a_scenario_that_fails_anyway_says_nothing_about_mutants() {
    let _machine = share_the_machine();
    let folder = gapped();
    fs::write(folder.path().join("s.toml"), GAPPED.replace("\"open\"", "\"closed\"")).expect("write the scenario");
    let ended = mutate(folder.path(), &["s.toml"]);
    assert_eq!((ended.status, &*ended.stdout), (Some(2), ""));
    assert!(ended.stderr.contains("does not pass with its ruleset as it is: ipv4 syn 22"), "{}", ended.stderr);
}
