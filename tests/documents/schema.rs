//! `scanlab schema`: the published schemas are those that the program prints, real results and files fit, and faulty
//! ones do not.

use crate::support::binary;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::schemas::{change, complaints};

fn published(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{of}.json"))
}

/// To renew them: `SCANLAB_BLESS=1 cargo test --test documents schema`.
#[test]
fn the_published_schemas_are_what_the_program_prints() {
    for of in ["result", "scenario", "sensor"] {
        let printed = scanlab(&["schema", of]);
        if std::env::var_os("SCANLAB_BLESS").is_some() {
            fs::write(published(of), &printed).expect("docs/schema/ can be written");
        }
        assert_eq!(fs::read_to_string(published(of)).unwrap_or_default(), printed, "docs/schema/{of}.json");
    }
}

#[test]
fn every_schema_has_an_identifier_with_its_version() {
    for of in ["result", "scenario", "sensor"] {
        let schema: Value = serde_json::from_str(&scanlab(&["schema", of])).expect("JSON");
        assert_eq!(schema["$id"], format!("urn:scanlab:schema:{of}:1"));
        assert_eq!(schema["title"], format!("scanlab {of}, schema 1"));
    }
}

#[test]
fn every_result_fits_and_no_fault_does() {
    let _machine = binary::share_the_machine();
    let mismatched = ["run", "tests/explanations/port-before-scan.toml", "--format", "json", "--iptables", "both"];
    let scan = ["scan", "--rules", "scenarios/own-ruleset.v4", "-p", "20-25", "--listen", "22", "--format", "json"];
    let commands: [(&str, &[&str]); 8] = [
        ("run", &mismatched),
        ("run-tun", &["run", "scenarios/mac", "--format", "json", "--link", "tun", "--filter", "before"]),
        ("check", &["check", "--sensor", SENSOR, "--rules", RULES, "--format", "json"]),
        ("scan", &scan),
        ("scan-trace", &[&scan[..], &["--trace", "--capture", "nflog"]].concat()),
        ("mutate", &["mutate", SCENARIO, "--format", "json"]),
        (
            "exec",
            &[
                "exec",
                "--rules",
                "scenarios/own-ruleset.v4",
                "--format",
                "json",
                "--",
                "nc",
                "-zw1",
                "203.0.113.10",
                "22",
            ],
        ),
        ("diff", &["diff", RULES, "scenarios/own-ruleset.v4", "--format", "json"]),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("write");
        path.display().to_string()
    };
    let sensor = put("sensor.toml", "[sensor]\nssh = 22\nwatched = { HTTP = 80 }\nscans = [\"xmas\"]\n");
    let rules = put("rules.v4", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n");
    let row = "[[expect]]\nscan = \"syn\"\nports = 22\nfamily = \"ipv4\"\nstate = \"closed\"\n";
    let scenario = put("small.toml", &format!("title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n{row}"));
    let results = commands.map(|(name, words)| {
        let known = |word: &&str| match *word {
            SENSOR => sensor.clone(),
            SCENARIO => scenario.clone(),
            RULES => rules.clone(),
            word => word.to_owned(),
        };
        let words: Vec<String> = words.iter().map(known).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        (name, serde_json::from_str::<Value>(&scanlab(&words)).unwrap_or_else(|error| panic!("{name}: {error}")))
    });
    let results = results.each_ref().map(|(name, result)| (*name, result));
    assert_eq!(complaints(&published("result"), &results), "");

    let run = results[0].1;
    let check = "/scenarios/0/checks/0";
    let faults = [
        ("outcome-word", change(run, &format!("{check}/outcome"), Some("green".into()))),
        ("no-outcome", change(run, &format!("{check}/outcome"), None)),
        ("no-checks", change(run, "/scenarios/0/checks", None)),
        ("environment-as-text", change(run, "/environment", Some("here".into()))),
        ("error-without-status", change(run, "/errors", Some(json!([{"message": "bad"}])))),
        ("port-as-text", change(run, "/probes/0/port", Some("80".into()))),
        ("family-word", change(run, "/probes/0/family", Some("ipv5".into()))),
        ("state-word", change(run, "/probes/0/state", Some("ajar".into()))),
        ("count-as-text", change(run, "/summary/checks", Some("6".into()))),
        ("mac", change(run, "/host/mac", Some("nobody".into()))),
        ("fate-word", change(results[5].1, "/mutations/0/mutants/0/fate", Some("asleep".into()))),
        ("behaviour-fate", change(results[7].1, "/diff/differences/0/before/fate", Some("asleep".into()))),
        ("scans-as-text", change(results[7].1, "/diff/scans", Some("none".into()))),
        ("no-sides", change(results[7].1, "/diff/sides", None)),
        ("exec-frames", change(results[6].1, "/frames", Some(json!({})))),
    ];
    let faults = faults.each_ref().map(|(name, fault)| (*name, fault));
    assert_eq!(complaints(&published("result"), &faults).lines().count(), faults.len(), "each of them is refused");
}

/// Placeholders for files of the test.
const SENSOR: &str = "SENSOR";
const SCENARIO: &str = "SCENARIO";
const RULES: &str = "RULES";

#[test]
fn every_scenario_and_sensor_fits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    toml_files(&root.join("scenarios"), &mut files);
    toml_files(&root.join("tests/explanations"), &mut files);
    assert!(files.len() > 30, "{files:?}");
    let texts = files.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).expect("read")));
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md");
    let examples = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let examples = examples.enumerate().map(|(number, text)| (format!("README {number}"), text.to_owned()));
    let values: Vec<(String, Value)> = texts.chain(examples).map(|(name, text)| (name, toml(&text))).collect();
    let (scenarios, sensors): (Vec<_>, Vec<_>) = values.iter().partition(|(_, value)| value.get("title").is_some());
    for (of, values) in [("scenario", scenarios), ("sensor", sensors)] {
        let values: Vec<(&str, &Value)> = values.iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(complaints(&published(of), &values), "", "{of}");
    }
}

#[test]
fn the_schema_refuses_each_file_that_the_reader_refuses() {
    let sensor = |rest: &str| toml(&format!("[sensor]\nssh = 22\n{rest}"));
    let scenario = |rest: &str| toml(&format!("title = \"t\"\n[sensor]\nssh = 22\n{rest}"));
    let row = |rest: &str| scenario(&format!("[[expect]]\nscan = \"fin\"\nports = 80\n{rest}"));
    let sensors = [
        toml("[host]\nlisten = 22"),
        toml("[sensor]\nscans = []"),
        sensor("hony = { SSH = 22 }"),
        sensor("watched = { HTTP = 0 }"),
        sensor("watched = { HTTP = \"80\" }"),
        sensor("open = { HTTP = 0 }"),
        sensor("open = { DNS = \"53/udp\" }"),
        sensor("open = { DNS = [\"udp/53\", \"udp/53\"] }"),
        sensor("scans = [\"connect\"]"),
        sensor("scans = [\"fin\", \"fin\"]"),
        sensor("prefix = \"<IPT>\""),
        sensor("deny = \"some\""),
        sensor("limit = { rat = \"5/min\" }"),
        sensor("limit = { burst = 0 }"),
        sensor("[host]\nmac = \"00:0c:29:4f:8e:35\"\nlink = \"f.link\""),
        sensor("[host]\nadresses = { v4 = \"203.0.113.10/24\" }"),
        toml("title = \"t\"\n[sensor]\nssh = 22"),
        toml("[sensor]\nssh = \"automatic\""),
        sensor("ssh_from = 22"),
        sensor("ssh_from = \"the office\""),
        sensor("ssh_from = []"),
    ];
    let scenarios = [
        toml("[sensor]\nssh = 22"),
        toml("title = \"t\""),
        toml("title = \"t\"\n[ruleset]"),
        toml("title = \"t\"\n[ruleset]\nv5 = \"x\""),
        scenario("[[expect]]\nports = 80\nstate = \"open\""),
        scenario("[[expect]]\nscan = \"smoke\"\nports = 80\nstate = \"open\""),
        scenario("[[expect]]\nscan = []\nports = 80\nstate = \"open\""),
        scenario("[[expect]]\nscan = \"fin\"\npacket = \"udp to 53\"\nverdict = \"drop\""),
        scenario("[[known]]\nscan = \"fin\"\nports = 80"),
        scenario("[[known]]\nscan = \"fin\"\nports = 80\nrate = \"5/min\"\nbecause = \"b\""),
        scenario("[expect]\nscan = \"fin\""),
        row("state = \"shut\""),
        row("verdict = \"deny\""),
        row("family = \"ipv5\"\nstate = \"open\""),
        row("log = \"a prefix of more than 29 bytes\""),
        row("log = [\"new: \", \"a prefix of more than 29 bytes\"]"),
        row("log = [\"new: \", 5]"),
        row("stat = \"open\""),
    ];
    refuses("sensor", &sensors);
    refuses("scenario", &scenarios);
}

/// The reader parses files by hand: its error for an unknown key shows that it accepts exactly the keys of the schema.
#[test]
fn the_reader_knows_the_keys_of_the_schema() {
    let schema: Value = serde_json::from_str(&scanlab(&["schema", "scenario"])).expect("JSON");
    let keys = |pointer: &str| -> BTreeSet<String> {
        let properties = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is there"));
        properties.as_object().expect("properties").keys().cloned().collect()
    };
    let begin = "title = \"t\"\n[sensor]\nssh = 22\n";
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/own-ruleset.v4");
    for (pointer, text) in [
        ("/properties", "titel = \"t\"\ntitle = \"t\"\n[sensor]\nssh = 22\n".to_owned()),
        ("/$defs/Sensor/properties", format!("{begin}nokey = 1\n")),
        ("/$defs/LimitAndBurst/properties", format!("{begin}limit = {{ nokey = 1 }}\n")),
        ("/$defs/Host/properties", format!("{begin}[host]\nnokey = 1\n")),
        ("/$defs/Addresses/properties", format!("{begin}[host]\naddresses = {{ nokey = 1 }}\n")),
        ("/$defs/Ruleset/properties", format!("title = \"t\"\n[ruleset]\nv4 = {rules:?}\nnokey = 1\n")),
        ("/$defs/Expect/properties", format!("{begin}[[expect]]\nscan = \"fin\"\nports = 80\nnokey = 1\n")),
        (
            "/$defs/Known/properties",
            format!("{begin}[[known]]\nscan = \"fin\"\nports = 80\nbecause = \"b\"\nnokey = 1\n"),
        ),
    ] {
        let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
        fs::write(file.path(), text).expect("write");
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        let output = command.arg("run").arg(file.path()).output().expect("scanlab runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let known = said.split("known here: ").nth(1).unwrap_or_else(|| panic!("{pointer}: {said}"));
        let known: BTreeSet<String> = known.trim().split(", ").map(str::to_owned).collect();
        assert_eq!(known, keys(pointer), "{pointer}");
    }
}

fn refuses(of: &str, values: &[Value]) {
    let names: Vec<String> = (0..values.len()).map(|number| format!("number {number}")).collect();
    let named: Vec<(&str, &Value)> = names.iter().map(String::as_str).zip(values).collect();
    let said = complaints(&published(of), &named);
    assert_eq!(said.lines().count(), values.len(), "each of them is refused: {said}");
}

fn toml(text: &str) -> Value {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn toml_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            toml_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
}

fn scanlab(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().expect("scanlab runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?} (needs root): {said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
