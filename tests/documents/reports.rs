//! `reports/` holds a sample of each format, and every sample equals the current output of the program. Needs root.
//!
//! To renew them: `SCANLAB_BLESS=1 cargo test --test documents reports`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::binary::{share_the_machine, without_times};

#[test]
fn the_samples_for_people_are_true() {
    let run = ["run", "scenarios/article-order.toml", "scenarios/own-ruleset.toml"];
    assert_sample("run.txt", &without_times(&scanlab(&run)));
    assert_sample("run-verbose.txt", &scanlab(&[&run[..], &["--verbose"]].concat()));
}

#[test]
fn the_sample_of_json_is_true() {
    let printed = scanlab(&["run", "scenarios/own-ruleset.toml", "--format", "json"]);
    assert_sample("run.json", &without_machine(&printed));
}

#[test]
fn the_samples_for_ci_are_true() {
    for (name, format) in [("run.junit.xml", "junit"), ("run.tap", "tap"), ("run.md", "markdown")] {
        assert_sample(name, &without_times(&scanlab(&["run", "scenarios/own-ruleset.toml", "--format", format])));
    }
}

/// The scenarios of the folder are those of `scanlab demo`, and all their checks match or are known.
#[test]
fn the_demo_fits_a_terminal_of_fifteen_lines() {
    let printed = scanlab(&["demo"]);
    assert!(printed.lines().count() <= 15 && printed.contains("5 scenarios passed; "), "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
    let files = |text: &str| text.lines().filter(|line| line.starts_with("PASS")).count();
    assert_eq!(files(&scanlab(&["run"])), files(&printed), "run without a path runs ./scenarios");
}

/// SARIF of a successful run contains known mismatches only.
#[test]
fn the_sample_of_sarif_is_true() {
    assert_sample("run.sarif", &scanlab(&["run", "scenarios/article-order.toml", "--format", "sarif"]));
}

#[test]
fn the_samples_of_a_scan_are_true() {
    let scan = ["scan", "--rules", "scenarios/own-ruleset.v4", "-sSX", "-p", "20-25,80,113", "--listen", "22,80"];
    assert_sample("scan.txt", &scanlab(&scan));
    let json = scanlab(&[&scan[..], &["--format", "json"]].concat());
    assert_sample("scan.json", &without_machine(&json));
}

#[test]
fn the_samples_in_nmaps_formats_are_true() {
    for (name, format) in [("scan.nmap", "-oN"), ("scan.xml", "-oX"), ("scan.gnmap", "-oG")] {
        let scan = ["scan", "--rules", "scenarios/own-ruleset.v4", "-sX", "-p", "20-25,80,113", "--listen", "22,80"];
        assert_sample(name, &scanlab(&[&scan[..], &["--reason", format, "-"]].concat()));
    }
}

#[test]
fn the_sample_of_a_log_file_is_true() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kern.log");
    let path = file.to_str().expect("a path in UTF-8");
    scanlab(&["scan", "--rules", "scenarios/own-ruleset.v4", "-sX", "-p", "22,80", "--syslog", path]);
    let text = std::fs::read_to_string(&file).expect("the log file");
    // The fourth word is the name of this machine.
    let named = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        words[3] = "sensor";
        words.join(" ") + "\n"
    };
    assert_sample("scan.syslog", &text.lines().map(named).collect::<String>());
}

/// The sample can be opened as a page; bytes that the host chooses for every run (its sequence numbers) differ from run
/// to run.
#[test]
fn the_sample_of_a_page_is_true() {
    let page = without_machine_in_page(&scanlab(&["run", "scenarios/own-ruleset.toml", "--format", "html"]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/run.html");
    if std::env::var_os("SCANLAB_BLESS").is_some() {
        std::fs::write(&path, &page).expect("reports/ can be written");
    }
    let sample = std::fs::read_to_string(&path).unwrap_or_default();
    let (sample_page, sample_data) = parts_of_page(&sample);
    let (printed_page, printed_data) = parts_of_page(&page);
    assert!(sample_page == printed_page, "{} is not what scanlab prints: renew it", path.display());
    let stories = |data: &Value| data["stories"].as_array().map(Vec::len);
    assert!(stories(&sample_data).is_some_and(|stories| stories > 60), "the page tells of every cell");
    assert_eq!(sample_data, printed_data, "{} is not what scanlab prints (expected, observed)", path.display());
}

/// Masks kernel, iptables and sysctls, which belong to the machine.
fn without_machine_in_page(page: &str) -> String {
    let from = page.find("<dl class=\"facts\">").expect("where it was measured");
    let to = from + page[from..].find("</section>").expect("the end of it");
    format!("{}<p class=\"note\">(of this machine)</p>\n{}", &page[..from], &page[to..])
}

/// The page without its data; and the data, without the frames, whose bytes differ from run to run.
fn parts_of_page(page: &str) -> (String, Value) {
    const BEGIN: &str = "<script type=\"application/json\" id=\"data\">";
    let Some((before, rest)) = page.split_once(BEGIN) else { return (page.to_owned(), Value::Null) };
    let (data, after) = rest.split_once("</script>").expect("the end of the data");
    let mut data: Value = serde_json::from_str(data).expect("the data is JSON");
    let words = data["words"].take();
    for story in data["stories"].as_array_mut().expect("stories") {
        for frame in story["frames"].as_array_mut().expect("frames") {
            frame["layers"] = if frame["part"] == "probe" { spelled(&frame["layers"], &words) } else { Value::Null };
            if frame["part"] != "probe" {
                frame["hex"] = Value::Null;
            }
        }
    }
    (format!("{before}{after}"), data)
}

/// Replaces the numbers of fields by their words.
fn spelled(layers: &Value, words: &Value) -> Value {
    let word = |number: &Value| number.as_u64().map_or(Value::Null, |number| words[number as usize].clone());
    let field = |field: &Value| Value::from(vec![word(&field[0]), field[1].clone(), field[2].clone(), word(&field[3])]);
    let fields = |layer: &Value| layer["fields"].as_array().expect("fields").iter().map(field).collect::<Vec<_>>();
    layers.as_array().expect("layers").iter().map(|layer| Value::from(fields(layer))).collect()
}

fn scanlab(arguments: &[&str]) -> String {
    let _machine = share_the_machine();
    let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(arguments)
        .env("COLUMNS", "80")
        .env("SOURCE_DATE_EPOCH", "1763942400")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("scanlab runs");
    assert!(output.status.success(), "{arguments:?} (needs root): {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("reports are UTF-8")
}

/// Masks kernel, iptables and sysctls, which differ between machines.
fn without_machine(json: &str) -> String {
    let mut report: Value = serde_json::from_str(json).expect("the report is JSON");
    for (name, value) in report["environment"].as_object_mut().expect("an environment") {
        if ["kernel", "iptables", "sysctls", "backend"].contains(&name.as_str()) {
            assert!(!value.is_null() && *value != "", "{name} is said");
            *value = Value::from("(of this machine)");
        }
    }
    serde_json::to_string_pretty(&report).expect("a value prints") + "\n"
}

fn assert_sample(name: &str, printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports").join(name);
    if std::env::var_os("SCANLAB_BLESS").is_some() {
        std::fs::write(&path, printed).expect("reports/ can be written");
    }
    let sample = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(sample, printed, "{} is not what scanlab prints (expected, observed)", path.display());
}

/// A ruleset that does not log the scan that it is intended to log, a later one that does, and a sensor.
const FILES: [(&str, &str); 4] = [
    (
        "blind.v4",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -m state --state INVALID -j DROP\n\
         -A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j LOG --log-prefix \"Xmas scan: \"\n\
         -A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n",
    ),
    (
        "seeing.v4",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --tcp-flags ALL FIN,PSH,URG -j LOG --log-prefix \"Xmas scan: \"\n\
         -A INPUT -m state --state INVALID -j DROP\n\
         -A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n",
    ),
    (
        "blind.toml",
        "title = \"an Xmas scan leaves a line\"\n[ruleset]\nv4 = \"blind.v4\"\n[host]\nlisten = [22]\n\
         [[expect]]\nscan = \"xmas\"\nports = [22, 80]\nfamily = \"ipv4\"\nlog = \"Xmas scan: \"\n",
    ),
    (
        "sensor.toml",
        "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nwatched = { HTTP = 80 }\nscans = [\"xmas\"]\n\
         [host]\nmac = \"00:0c:29:4f:8e:35\"\nlisten = [22, 32232]\n",
    ),
];

/// The output of scanlab in a folder with these files; it must end with `status`.
fn scanlab_with_files(arguments: &[&str], status: i32) -> String {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    FILES.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).expect("write a file"));
    let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(arguments)
        .env("COLUMNS", "80")
        .current_dir(folder.path())
        .output()
        .expect("scanlab runs");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("reports are UTF-8")
}

#[test]
fn the_samples_of_a_mismatch_are_true() {
    for (name, format) in [
        ("mismatch.txt", "table"),
        ("mismatch.github", "github"),
        ("mismatch.md", "markdown"),
        ("mismatch.junit.xml", "junit"),
        ("mismatch.tap", "tap"),
        ("mismatch.sarif", "sarif"),
    ] {
        let printed = scanlab_with_files(&["run", "blind.toml", "--format", format], 1);
        assert_sample(name, &without_times(&printed));
    }
}

#[test]
fn the_samples_of_the_other_commands_are_true() {
    assert_sample("check.txt", &scanlab_with_files(&["check", "--sensor", "sensor.toml"], 0));
    assert_sample("diff.txt", &scanlab_with_files(&["diff", "blind.v4", "seeing.v4"], 1));
    assert_sample("record.toml", &scanlab_with_files(&["record", "--rules", "seeing.v4", "--listen", "22"], 0));
    assert_sample("teach.txt", &scanlab_with_files(&["teach", "xmas", "--sensor", "sensor.toml"], 0));
}

/// Time and the host's own numbers differ in every run; directions and comments are the same.
#[test]
fn the_sample_of_a_capture_is_true() {
    let folder = tempfile::tempdir().expect("a folder");
    let fresh = folder.path().join("scan.pcapng");
    let path = fresh.to_str().expect("a path in UTF-8");
    scanlab(&["scan", "--rules", "scenarios/own-ruleset.v4", "-sSX", "-p", "22,80", "--listen", "22", "--pcap", path]);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/scan.pcapng");
    if std::env::var_os("SCANLAB_BLESS").is_some() {
        std::fs::copy(&fresh, &sample).expect("reports/ can be written");
    }
    let told = comments(&sample);
    assert!(told.contains("the answer to syn of port 22 (ipv4)"), "{told}");
    assert_eq!(told, comments(&fresh), "{} is not what scanlab writes (expected, observed)", sample.display());
}

/// Direction and comment of every frame, without fences, which may be answered before or after another frame, and
/// without the frames that the host sends by itself.
fn comments(capture: &Path) -> String {
    let fields = ["-T", "fields", "-e", "frame.packet_flags_direction", "-e", "frame.comment"];
    let shown = Command::new("tshark").args(["-n", "-r"]).arg(capture).args(fields).output();
    let shown = shown.expect("tshark (hint: .ci/setup tests installs it)");
    let text = String::from_utf8(shown.stdout).expect("UTF-8");
    let of_probes = text.lines().filter(|line| line.contains(" of port "));
    of_probes.map(|line| line.to_owned() + "\n").collect()
}
