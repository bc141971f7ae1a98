//! The formats for CI, from the built binary: a failed run fails in each of them, with the same counts.

use crate::support::binary;
use crate::support::schemas;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::schemas::change;

const RULES: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

/// Port 22 is as expected, port 23 is not, and port 24 is known not to be.
const SCENARIO: &str = r#"title = "SSH and telnet are open"
[ruleset]
v4 = "rules.v4"
[host]
listen = [22]
[[expect]]
scan = "syn"
ports = [22, 23, 24]
family = "ipv4"
state = "open"
[[known]]
scan = "syn"
ports = 24
family = "ipv4"
state = "filtered"
because = "nobody minds"
"#;

fn scanlab(folder: &Path, arguments: &[&str]) -> Output {
    fs::write(folder.join("rules.v4"), RULES).expect("write");
    fs::write(folder.join("ssh.toml"), SCENARIO).expect("write");
    scanlab_with(folder, &[&["run", "ssh.toml"], arguments].concat())
}

fn scanlab_with(folder: &Path, arguments: &[&str]) -> Output {
    fs::write(folder.join("rules.v4"), RULES).expect("write");
    Command::new(env!("CARGO_BIN_EXE_scanlab")).args(arguments).current_dir(folder).output().expect("run scanlab")
}

const FORMATS: [&str; 7] = ["json", "junit", "tap", "github", "markdown", "table", "sarif"];

/// All formats of one run.
fn reports(folder: &Path, arguments: &[&str]) -> (Output, [String; 7]) {
    let options = FORMATS.map(|format| format!("--report={format}={format}.out"));
    let output = scanlab(folder, &[&options.each_ref().map(String::as_str), arguments].concat());
    (output, FORMATS.map(|format| fs::read_to_string(folder.join(format!("{format}.out"))).expect("a report")))
}

#[test]
fn every_format_says_what_the_json_says() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let (output, all) = reports(folder.path(), &["--jobs", "8"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let (_, again) = reports(folder.path(), &["--jobs", "1"]);
    let timeless = |reports: &[String; 7]| reports.each_ref().map(|text| binary::without_times(text));
    assert_eq!(timeless(&all), timeless(&again), "equal runs give equal files, however many labs there are at a time");
    let [json, junit, tap, github, markdown, table, sarif] = all;
    assert_eq!(table.as_bytes(), output.stdout, "what is on the terminal");

    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let count = |what: &str| report["summary"][what].as_u64().expect("a number");
    let (checks, mismatched, known) = (count("checks"), count("mismatched"), count("known"));
    assert_eq!((mismatched, known, count("not_run")), (1, 1, 0), "{json}");
    assert!(junit.contains("tests=\"4\" skipped=\"1\" errors=\"0\" failures=\"1\""), "rows: {junit}");
    let case = "name=\"ipv4 syn at 22-23: open\"";
    let message = "message=\"1 of 2 cells: syn at 23: expected open, observed filtered\"";
    assert!(junit.contains(case) && junit.contains(message), "{junit}");
    assert!(tap.contains(&format!("1..{checks}\n")), "{tap}");
    let points = |start: &str| tap.lines().filter(|line| line.starts_with(start)).count() as u64;
    assert_eq!((points("ok "), points("not ok ")), (checks - mismatched - known, mismatched + known), "{tap}");
    assert_eq!(tap.matches("# TODO known: nobody minds").count() as u64, known, "{tap}");
    assert!(github.starts_with("::error file=rules.v4,line=3,") && github.lines().count() == 1, "{github}");
    assert!(markdown.contains("| mismatched | ipv4 syn 23 |"), "{markdown}");
    assert_junit(&folder.path().join("junit.out"), &junit);
    assert_sarif(&sarif);
}

/// Checks the report with Jenkins's schema for JUnit XML, and that the schema detects an error.
fn assert_junit(path: &Path, junit: &str) {
    let schema = schemas::fetched("junit-10.xsd");
    let linted = schemas::xmllint(&schema, path);
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stderr));
    for (from, to) in [("<failure ", "<mishap "), ("tests=\"", "test=\""), (" classname=", " class=")] {
        let bad =
            junit.replace(from, to).replace("</failure>", if from == "<failure " { "</mishap>" } else { "</failure>" });
        fs::write(path, bad).expect("write");
        assert!(!schemas::xmllint(&schema, path).status.success(), "{to}");
    }
}

/// Checks the report with OASIS's own schema, and that the schema detects an error.
fn assert_sarif(sarif: &str) {
    let schema = schemas::fetched("sarif-2.1.0.json");
    let sarif: Value = serde_json::from_str(sarif).expect("JSON");
    assert_eq!(schemas::complaints(&schema, &[("sarif", &sarif)]), "");
    let results = sarif["runs"][0]["results"].as_array().expect("results");
    let told = |result: &Value| (result["level"].clone(), result["locations"][0]["physicalLocation"].clone());
    let place = |uri: &str, line: u64| json!({ "artifactLocation": { "uri": uri }, "region": { "startLine": line } });
    // The rule to fix and the row of what is known, not the policy that decided.
    let places = [(json!("error"), place("rules.v4", 3)), (json!("note"), place("ssh.toml", 11))];
    assert_eq!(results.iter().map(told).collect::<Vec<_>>(), places);
    assert_eq!(results[1]["suppressions"][0]["justification"], "nobody minds");
    for (number, result) in results.iter().enumerate() {
        let rule =
            &sarif["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().expect("a number") as usize];
        assert_eq!(rule["id"], result["ruleId"], "result {number}");
    }
    let faults = [
        ("level", change(&sarif, "/runs/0/results/0/level", Some("fatal".into()))),
        ("line", change(&sarif, "/runs/0/results/0/locations/0/physicalLocation/region/startLine", Some(0.into()))),
        ("message", change(&sarif, "/runs/0/results/0/message", None)),
        ("unknown", change(&sarif, "/runs/0/results/0/colour", Some("red".into()))),
        ("version", change(&sarif, "/version", Some("2.2.0".into()))),
    ];
    let faults = faults.each_ref().map(|(name, fault)| (*name, fault));
    assert_eq!(schemas::complaints(&schema, &faults).lines().count(), faults.len(), "each of them is refused");
}

/// The order of rules in the article does not log scans of named ports; no rule accepts packets over IPv6.
const SENSORS: [(&str, &str); 2] = [
    (
        "generated.toml",
        "title = \"generated\"\n[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nscans = [\n  \"xmas\",\n  \"syn\",\n]\n\
         order = \"article\"\n",
    ),
    (
        "own.toml",
        "title = \"own\"\n[ruleset]\nv4 = \"drop.v4\"\n[sensor]\nssh = 22\nwatched = { HTTP = 80 }\n\
         scans = [\"syn\"]\nlimit = \"5/min\"\n",
    ),
];

/// A mismatch with the sensor is shown at the sensor's entry: as the first location if no rule is to blame, otherwise
/// beside the rule.
#[test]
fn a_mismatch_points_to_what_the_sensor_asks_for() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    SENSORS.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).expect("write"));
    let drop = RULES.replace("COMMIT", "-A INPUT -p tcp -m tcp --dport 80 -j DROP\nCOMMIT");
    fs::write(folder.path().join("drop.v4"), drop).expect("write");
    let formats = ["--report=github=g", "--report=tap=t", "--report=json=j", "--format=sarif"];
    let output = scanlab_with(folder.path(), &[&["run", "generated.toml", "own.toml"][..], &formats].concat());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a report");
    let (github, tap, sarif) = (read("g"), read("t"), String::from_utf8(output.stdout).expect("UTF-8"));
    for words in [
        "file=generated.toml,line=5,title=mismatch%3A generated::null",
        "file=generated.toml,line=6,title=mismatch%3A generated::xmas at 22",
        "file=drop.v4,line=4,title=mismatch%3A own::syn, connect at 80",
    ] {
        assert!(github.contains(words), "{words}: {github}");
    }
    assert!(!github.contains("line=1,"), "{github}");
    assert!(tap.contains("  at: \"<generated>/rules.v4:") && tap.contains("  at: \"own.toml:6\""), "{tap}");
    let json: Value = serde_json::from_str(&read("j")).expect("JSON");
    let checks = json["scenarios"][0]["checks"].as_array().expect("checks").iter();
    let lines: BTreeSet<_> = checks.filter_map(|check| check["line"].as_u64()).collect();
    assert_eq!(lines, BTreeSet::from([2, 3, 4, 5, 6, 7]), "every entry asks for something");
    assert_related(&serde_json::from_str(&sarif).expect("JSON"));
}

/// A reason not to deploy is located at the sensor's entry.
#[test]
fn a_reason_not_to_deploy_points_to_the_sensor() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let sensor = "[sensor]\nwatched = { HTTP = 80 }\nssh = 2222\nscans = [\"xmas\"]\n";
    fs::write(folder.path().join("sensor.toml"), sensor).expect("write");
    let check = ["check", "--sensor", "sensor.toml", "--rules", "rules.v4", "--format", "github"];
    let output = scanlab_with(folder.path(), &check);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    for words in ["file=sensor.toml,line=3,", "file=sensor.toml,line=4,"] {
        let at = format!("{words}title=mismatch%3A before deployment::Will ");
        assert!(said.contains(&at), "{at}: {said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Microsoft's validator of SARIF, with its rules for GitHub, has no complaint about a run, a scan, or bad input.
#[test]
fn sarif_passes_the_validator_of_microsoft() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("ssh.toml"), SCENARIO).expect("write");
    fs::write(folder.path().join("bad.toml"), "titel = 1\n").expect("write");
    let of = |arguments: &[&str]| -> Value {
        let output = scanlab_with(folder.path(), arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let run = of(&["run", "ssh.toml", "bad.toml", "--format", "sarif"]);
    let scan = of(&["scan", "--rules=rules.v4", "-p22", "--trace", "--format", "sarif"]);
    for document in [&run, &scan] {
        assert_eq!(schemas::sarif_violations(document), [""; 0], "{document:#}");
    }
    for (pointer, rule) in [
        ("/runs/0/tool/driver/informationUri", "SARIF2005"),
        ("/runs/0/tool/driver/rules/0/fullDescription", "GH2012"),
        ("/runs/0/results/0/locations", "GH1015"),
    ] {
        let found = schemas::sarif_violations(&change(&run, pointer, None));
        assert!(found.iter().any(|one| one == rule), "{pointer}: {found:?}");
    }
}

fn assert_related(sarif: &Value) {
    let schema = schemas::fetched("sarif-2.1.0.json");
    assert_eq!(schemas::complaints(&schema, &[("sarif", sarif)]), "");
    let place = |location: &Value| {
        let place = &location["physicalLocation"];
        (place["artifactLocation"]["uri"].clone(), place["region"]["startLine"].clone())
    };
    let results = sarif["runs"][0]["results"].as_array().expect("results");
    let of_rule = results.iter().filter(|result| place(&result["locations"][0]) == (json!("drop.v4"), json!(4)));
    let related = of_rule.flat_map(|result| result["relatedLocations"].as_array().expect("it is asked for"));
    let related: Vec<_> = related.map(place).collect();
    assert!(related.contains(&(json!("own.toml"), json!(6))), "{related:?}");
    let fault = change(sarif, "/runs/0/results/0/relatedLocations", Some("own.toml".into()));
    assert_ne!(schemas::complaints(&schema, &[("related", &fault)]), "", "a fault is noticed");
}

/// Three scenarios: the first and the third match, the second is the one above.
fn three(folder: &Path) {
    let well = |title: &str| {
        let row = "[[expect]]\nscan = \"syn\"\nports = 22\nfamily = \"ipv4\"\nstate = \"open\"\n";
        format!("title = \"{title}\"\n[ruleset]\nv4 = \"rules.v4\"\n[host]\nlisten = 22\n{row}")
    };
    fs::write(folder.join("a.toml"), well("first")).expect("write");
    fs::write(folder.join("z.toml"), well("third")).expect("write");
}

#[test]
fn a_run_that_fails_fast_tells_what_it_did_not_start() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    three(folder.path());
    let run = |jobs: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.args(["run", "a.toml", "ssh.toml", "z.toml", "--fail-fast", "--quiet", "--jobs", jobs]);
        command.args(["--report=json=r.json", "--report=sarif=r.sarif"]).current_dir(folder.path());
        command.output().expect("run scanlab")
    };
    fs::write(folder.path().join("rules.v4"), RULES).expect("write");
    fs::write(folder.path().join("ssh.toml"), SCENARIO).expect("write");
    let (one, eight) = (run("1"), run("8"));
    assert_eq!((one.status.code(), &one.stdout), (Some(1), &eight.stdout), "the first cause is a mismatch");
    let report: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("r.json")).unwrap()).expect("JSON");
    let outcomes = |of: &Value| of.as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect::<Vec<_>>();
    assert_eq!(outcomes(&report["scenarios"]), ["matched", "mismatched", "not-run"]);
    let last = &report["scenarios"][2]["checks"];
    assert!(last.as_array().unwrap().iter().all(|check| check["why"] == "not started: --fail-fast"), "{last}");
    let quiet = String::from_utf8(one.stdout).expect("UTF-8");
    assert!(quiet.contains("syn at 23") || quiet.contains("23"), "{quiet}");
    assert!(!quiet.contains("first") && quiet.contains("third") && !quiet.contains("known"), "{quiet}");
    let sarif = fs::read_to_string(folder.path().join("r.sarif")).unwrap();
    assert!(sarif.contains("\"not-run\"") && sarif.contains("\"uri\": \"z.toml\""), "{sarif}");
}

#[test]
fn shards_are_all_scenarios_and_quiet_runs_say_nothing_when_all_is_well() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    three(folder.path());
    let run = |shard: &str| {
        let output = scanlab_with(
            folder.path(),
            &["run", "a.toml", "z.toml", "--quiet", "--report=json=r.json", "--shard", shard],
        );
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), output.stdout.len(), said)
    };
    let mut titles = Vec::new();
    for (shard, words) in [("1/3", ""), ("2/3", ""), ("3/3", "shard 3/3 is empty: there are 2 scenarios")] {
        let (status, printed, said) = run(shard);
        assert_eq!((status, printed, said.is_empty()), (Some(0), 0, words.is_empty()), "{shard}: {said}");
        assert!(said.starts_with(words), "{said}");
        let report: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("r.json")).unwrap()).unwrap();
        titles.extend(report["scenarios"].as_array().unwrap().iter().map(|one| one["name"].clone()));
    }
    assert_eq!(titles, ["first", "third"]);
    for wrong in ["0/3", "4/3", "3", "a/b"] {
        assert_eq!(run(wrong).0, Some(2), "{wrong}");
    }
}

/// One scan in all formats that it supports: its results, and with --trace the unreachable rules.
#[test]
fn a_scan_reports_to_files() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let dead = RULES.replace("COMMIT", "-A INPUT -p tcp -m tcp --dport 22 -j DROP\nCOMMIT");
    fs::write(folder.path().join("dead.v4"), dead).expect("write");
    let scan = ["scan", "--rules=dead.v4", "--listen=22", "-p22,80", "--trace", "-oX", "x.xml"];
    let formats = ["table", "json", "html", "sarif"].map(|format| format!("--report={format}={format}.out"));
    let output = scanlab_with(folder.path(), &[&scan[..], &formats.each_ref().map(String::as_str)].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a report");
    assert_eq!(read("table.out").as_bytes(), output.stdout, "what is on the terminal");
    let json: Value = serde_json::from_str(&read("json.out")).expect("JSON");
    assert_eq!(json["findings"]["unreachable"][0]["line"], 4, "{json}");
    assert!(read("x.xml").contains("<nmaprun"), "nmap's own as ever");
    let page = read("html.out");
    assert!(page.contains("dead.v4:4") && page.contains("\"hex\":\""), "findings and frames");
    let sarif: Value = serde_json::from_str(&read("sarif.out")).expect("JSON");
    assert_eq!(schemas::complaints(&schemas::fetched("sarif-2.1.0.json"), &[("scan", &sarif)]), "");
    let results = sarif["runs"][0]["results"].as_array().expect("results");
    let dead = results.iter().find(|result| result["ruleId"] == "finding/dead-drop").expect("the dead rule");
    assert_eq!(dead["locations"][0]["physicalLocation"]["region"]["startLine"], 4);
}

/// Formats that a scan cannot produce are refused with a hint, before anything is measured or written.
#[test]
fn a_scan_refuses_what_needs_expectations() {
    let folder = tempfile::tempdir().expect("a folder");
    for (wrong, words) in [
        ("--report=junit=x", "a scan has none (hint: use `scanlab run` or `scanlab check`"),
        ("--report=tap=x", "the formats of a scan are table, json, html, sarif)"),
        ("--report=github=x", "expectations"),
        ("--report=markdown=x", "expectations"),
        ("--report=xml=x", "(hint: write -oX FILE)"),
        ("--report=pdf=x", "FORMAT is one of table, json, html, sarif"),
        ("--report=json=-", "for standard output write --format json"),
        ("--report=sarif=x", "help: add --trace"),
        ("--format=sarif", "help: add --trace"),
        ("--report=json=./x.xml", "two reports go to ./x.xml"),
    ] {
        let output = scanlab_with(folder.path(), &["scan", "--rules=rules.v4", "-oX", "x.xml", wrong]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong}: {said}");
        assert!(said.contains(words), "{wrong}: {said}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing but the ruleset");
}

/// Found in review: a report with the name of a scenario replaced it.
#[test]
fn a_report_never_overwrites_an_input_file() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    fs::write(file("ssh.toml"), SCENARIO).expect("write");
    fs::write(file("sensor.toml"), "[sensor]\nssh = 22\n").expect("write");
    std::os::unix::fs::symlink("rules.v4", file("link")).expect("a link");
    for arguments in [
        &["run", "ssh.toml", "--report=json=ssh.toml"][..],
        &["run", "ssh.toml", "--report=json=./link"],
        &["run", "ssh.toml", "--pcap", "rules.v4"],
        &["run", "ssh.toml", "--syslog", "rules.v4"],
        &["check", "--sensor", "sensor.toml", "--report=html=sensor.toml"],
        &["check", "--sensor", "sensor.toml", "--rules", "rules.v4", "--report=html=rules.v4"],
        &["scan", "--rules", "rules.v4", "-oX", "rules.v4"],
        &["scan", "--rules", "rules.v4", "--report=json=rules.v4"],
        &["scan", "--rules", "rules.v4", "--pcap", "./rules.v4"],
        &["exec", "--rules", "rules.v4", "--output", "rules.v4", "--", "true"],
        &["record", "--rules", "rules.v4", "-o", "rules.v4", "--force"],
    ] {
        let before = ["ssh.toml", "sensor.toml"].map(|name| fs::read(file(name)).expect("there"));
        let output = scanlab_with(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("is an input, and would be overwritten"), "{arguments:?}: {said}");
        assert_eq!(
            ["ssh.toml", "sensor.toml"].map(|name| fs::read(file(name)).expect("there")),
            before,
            "{arguments:?}"
        );
        assert_eq!(fs::read_to_string(file("rules.v4")).expect("there"), RULES, "{arguments:?}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_is_measured() {
    let _machine = binary::share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    for wrong in
        ["--report=junit=no/such/folder", "--report=junit", "--report=pdf=x", "--report=tap=.", "--report=json=-"]
    {
        let output = scanlab(folder.path(), &["--report=markdown=x", wrong]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong}");
    }
    let twice = scanlab(folder.path(), &["--report=junit=x", "--report=tap=./x"]);
    let said = String::from_utf8_lossy(&twice.stderr).into_owned();
    assert_eq!((twice.status.code(), said.contains("two reports go to ./x")), (Some(2), true), "{said}");
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 2, "nothing but the ruleset and the scenario");
}
