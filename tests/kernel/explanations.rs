//! Small rulesets, each with one classic mistake: their explanations, and that the proposed change repairs them.
//!
//! Every explanation is a snapshot, to be read as a user would. Every patch is applied by patch(1) to a copy of the
//! files, and the scenario is run again. Needs root and patch(1), see `.ci/setup tests`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::binary::{Ended, ended, share_the_machine};
use serde_json::Value;
use tempfile::TempDir;

const FOLDER: &str = "tests/explanations";

/// The mistakes, each with a scenario of its name, and a test.
macro_rules! mistakes {
    ($($name:ident)+) => {
        const MISTAKES: &[&str] = &[$(stringify!($name)),+];
        $(#[test] fn $name() { assert_explained_and_fixed(&stringify!($name).replace('_', "-")); })+
    };
}

mistakes! {
    all_scans_blind chain_never_entered drop_eats_answers drop_of_two_ports established_last established_missing invalid_drop_first
    jump_asks_for_a_port limit_before_port limit_on_drop log_after_drop log_in_nat logged_twice long_prefix no_cure
    no_default_deny no_ruleset_for_ipv6 no_scan_rules null_new other_burst other_rate output_silences packet_behind_invalid port_before_scan
    port_logs_scans prefix_without_blank reject_not_drop several_lines syn_scan_before_ssh v6_lacks_it wrong_interface wrong_port
    xmas_all_all another_interface answers_dropped denial_too_early destination_elsewhere interface_negated knock_not_done
    dnat_from_wrong_port policy_of_raw range_too_short redirect_from_wrong_port redirect_to_unserved_port redirect_to_wrong_port rule_in_forward source_elsewhere ssh_from_elsewhere ssh_from_too_wide
    udp_port_mistyped v6_twin_mistyped
}

/// Mistakes that no change of a single rule can fix without opening a port to more sources and addresses than the rules
/// do.
const INCURABLE: [&str; 6] =
    ["no-cure", "no-ruleset-for-ipv6", "no-scan-rules", "destination-elsewhere", "knock-not-done", "source-elsewhere"];

#[test]
fn every_scenario_of_the_folder_is_tested() {
    let files = fs::read_dir(FOLDER).expect("a folder").map(|entry| entry.expect("an entry").path());
    let scenarios = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().replace('-', "_");
    let found: BTreeSet<String> = scenarios.map(stem).collect();
    assert_eq!(found, MISTAKES.iter().map(|name| (*name).to_owned()).collect());
}

fn assert_explained_and_fixed(name: &str) {
    let _machine = share_the_machine();
    let case = Case::copied(name);
    let said = case.said();
    insta::with_settings!({ snapshot_path => "../explanations", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, said);
    });
    let before = Checks::of(&case.run(&["--format", "json"]));
    assert_eq!(before.patches.is_empty(), INCURABLE.contains(&name), "{said}");
    for (diff, fixed) in &before.patches {
        assert_fixes(name, diff, fixed, &before);
    }
    let unfixed = before.mismatched.iter().filter(|check| !before.patches.values().any(|of| of.contains(*check)));
    assert!(INCURABLE.contains(&name) || unfixed.count() == 0, "{said}");
}

/// The checks in `fixed` match after the patch, and every check that matched before still does.
fn assert_fixes(name: &str, diff: &str, fixed: &BTreeSet<String>, before: &Checks) {
    let case = Case::copied(name);
    case.patch(diff);
    let after = Checks::of(&case.run(&["--format", "json"]));
    assert!(fixed.is_subset(&after.matched), "{fixed:?} in {after:?} after\n{diff}");
    assert!(before.matched.is_subset(&after.matched), "{before:?} and {after:?} after\n{diff}");
}

/// The obvious fix is wrong: with the rules for the scan before those for the ports, port 80 is fixed and port 22 is
/// broken. So nothing is proposed. The test applies the obvious fix to show both.
#[test]
fn a_change_that_breaks_another_check_is_not_proposed() {
    let _machine = share_the_machine();
    let case = Case::copied("no-cure");
    let before = Checks::of(&case.run(&["--format", "json"]));
    assert_eq!(before.mismatched, BTreeSet::from(["ipv4 xmas 80".to_owned()]));
    assert!(before.patches.is_empty());
    case.move_up(8..=9, 6);
    let after = Checks::of(&case.run(&["--format", "json"]));
    assert_eq!(after.mismatched, BTreeSet::from(["ipv4 xmas 22".to_owned()]));
}

/// iptables-nft loads such a file; iptables-legacy does not.
#[test]
fn a_patch_of_the_second_file_applies_without_a_newline_at_its_end() {
    let _machine = share_the_machine();
    let case = Case::copied("v6-twin-mistyped");
    let rules = case.folder.path().join("v6-twin-mistyped.v6");
    let text = fs::read_to_string(&rules).expect("the rules");
    fs::write(&rules, text.trim_end()).expect("write the rules");
    let options = ["--iptables", "nft", "--format", "json"];
    let patches = Checks::of(&case.run(&options)).patches;
    assert_eq!(patches.len(), 1);
    patches.keys().for_each(|diff| case.patch(diff));
    assert!(Checks::of(&case.run(&options)).mismatched.is_empty());
    assert!(!fs::read_to_string(&rules).expect("the rules").ends_with('\n'));
}

/// A scenario's files, in a folder of their own.
struct Case {
    folder: TempDir,
    name: String,
}

impl Case {
    fn copied(name: &str) -> Case {
        let folder = tempfile::tempdir().expect("a folder");
        for extension in ["toml", "v4", "v6"] {
            let file = format!("{name}.{extension}");
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(&file);
            if extension == "toml" || from.exists() {
                fs::copy(&from, folder.path().join(&file)).unwrap_or_else(|error| panic!("{from:?}: {error}"));
            }
        }
        Case { folder, name: name.to_owned() }
    }

    /// Runs in the scenario's own folder, so that the output has no path of this machine. There is a mismatch, or it
    /// was fixed.
    fn run(&self, options: &[&str]) -> Ended {
        let mut scanlab = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        scanlab.arg("run").arg(format!("{}.toml", self.name)).args(options);
        scanlab.env("COLUMNS", "80").current_dir(self.folder.path());
        let ended = ended(scanlab.output().expect("the program starts"));
        assert!(matches!(ended.status, Some(0 | 1)), "(needs root) {}", ended.stderr);
        ended
    }

    /// The blocks of the table with explanations.
    fn said(&self) -> String {
        let table = self.run(&["--verbose"]).stdout;
        let blocks = table.lines().skip_while(|line| !line.starts_with("  why  "));
        let blocks: Vec<&str> = blocks.take_while(|line| !line.starts_with("  coverage")).collect();
        assert!(!blocks.is_empty(), "{table}");
        blocks.join("\n")
    }

    fn patch(&self, diff: &str) {
        let mut patch = Command::new("patch");
        patch.args(["-p0", "--fuzz=0"]).current_dir(self.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = patch.spawn().expect("patch(1) (hint: see .ci/setup tests)");
        child.stdin.take().expect("a pipe").write_all(diff.as_bytes()).expect("write the patch");
        let output = child.wait_with_output().expect("patch ends");
        assert!(output.status.success(), "{}\n{diff}", String::from_utf8_lossy(&output.stdout));
    }

    /// Moves lines of the IPv4 rules before another one.
    fn move_up(&self, which: std::ops::RangeInclusive<usize>, before: usize) {
        let path = self.folder.path().join(format!("{}.v4", self.name));
        let text = fs::read_to_string(&path).expect("the rules");
        let mut lines: Vec<&str> = text.lines().collect();
        let moved: Vec<&str> = lines.splice(which.start() - 1..*which.end(), []).collect();
        lines.splice(before - 1..before - 1, moved);
        fs::write(&path, lines.join("\n") + "\n").expect("write the rules");
    }
}

/// The checks of a run, by their names, and the checks that each patch is said to fix.
#[derive(Debug)]
struct Checks {
    matched: BTreeSet<String>,
    mismatched: BTreeSet<String>,
    patches: BTreeMap<String, BTreeSet<String>>,
}

impl Checks {
    fn of(ended: &Ended) -> Checks {
        let report = ended.report();
        let checks = report["scenarios"][0]["checks"].as_array().expect("checks");
        let with = |outcome: &str| checks.iter().filter(|check| check["outcome"] == outcome).map(name).collect();
        let mut patches: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for check in checks {
            if let Some(diff) = check["explanation"]["patch"]["diff"].as_str() {
                patches.entry(diff.to_owned()).or_default().insert(name(check));
            }
        }
        Checks { matched: with("matched"), mismatched: with("mismatched"), patches }
    }
}

/// Names such as `ipv4 xmas 80`, `ipv4 syn 80 rate`.
fn name(check: &Value) -> String {
    let rate = check.get("burst_of").map(|_| "rate".to_owned());
    let words = [check["family"].as_str().map(str::to_owned), check["scan"].as_str().map(str::to_owned)];
    let port = check["port"].as_u64().map(|port| port.to_string());
    words.into_iter().chain([port, rate]).flatten().collect::<Vec<_>>().join(" ")
}
