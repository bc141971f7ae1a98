//! No text of a ruleset, a scenario, a sensor or a file name acts as a command in the CI system that reads scanlab's
//! output, in any command, format and width. Needs root.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::binary::{Ended, ended, share_the_machine};
use serde_json::Value;

/// Names of files that are hostile with every path before them.
const RULES: &str = "::error::f##[e].v4";
const SCENARIO: &str = "::error::s##[e].toml";
const BROKEN: &str = "::error::b##[e].v4";
const SENSOR: &str = "##[e]::sensor.toml";

/// Commands of all systems, at distances that let a line begin at each of them at some width.
fn hostile(length: usize) -> String {
    let commands = ["::error::e ", "##[error]e ", "##vso[task.e]e ", "section_start:1:e ", "##teamcity[e] "];
    let pieces =
        commands.iter().cycle().zip(1_usize..).map(|(command, number)| format!("{}{command}", "x ".repeat(number % 3)));
    let mut text = String::new();
    for piece in pieces {
        if text.len() + piece.len() > length {
            break;
        }
        text += &piece;
    }
    text.trim_end().to_owned()
}

/// Port 22 is logged without an expectation, 23 is dropped before its LOG, and 24 passes a chain with a hostile name.
fn rules() -> String {
    let comment = hostile(240);
    format!(
        "*filter\n:INPUT DROP [0:0]\n:::error::c##[x] - [0:0]\n# {comment}\n\
         -A INPUT -p tcp -m tcp --dport 22 -m comment --comment \"{comment}\" -j ACCEPT\n\
         -A INPUT -p tcp -m tcp --dport 24 -j \"::error::c##[x]\"\n\
         -A \"::error::c##[x]\" -p tcp -m tcp --dport 24 -j LOG --log-prefix \"##[error]::error:: \"\n\
         -A INPUT -p tcp -m tcp --dport 24 -m comment --comment \"::error::a ##vso[a]\" -j ACCEPT\n\
         -A INPUT -p tcp -m tcp --dport 23 -m comment --comment \"::error::d ##vso[d]\" -j DROP\n\
         -A INPUT -p tcp -m tcp --dport 23 -j LOG --log-prefix \"::error::p ##vso[a] \"\nCOMMIT\n"
    )
}

fn scenario() -> String {
    let row = "[[expect]]\nscan = \"syn\"\nfamily = \"ipv4\"\n";
    format!(
        "title = \"{0}\"\n[ruleset]\nv4 = \"{RULES}\"\n[host]\nlisten = [22, 24]\n\
         {row}ports = 22\nstate = \"open\"\nlog = \"##[x]::error::e \"\n\
         {row}ports = 23\nstate = \"filtered\"\nlog = \"::error::p ##vso[a] \"\n\
         {row}ports = 24\nstate = \"closed\"\n\
         [[known]]\nscan = \"syn\"\nports = 24\nfamily = \"ipv4\"\nbecause = \"{0}\"\n",
        hostile(200)
    )
}

const SENSOR_TEXT: &str =
    "[sensor]\nssh = 22\nwatched = { HTTP = 80 }\nscans = [\"syn\", \"xmas\"]\nprefix = \"##[x] \"\n";

/// A folder with all of the files, in which scanlab runs.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = rules().replace("-j DROP", "-j \"::error::t##[x]\" --no ::error::");
    let files = [(RULES, rules()), (SCENARIO, scenario()), (BROKEN, broken), (SENSOR, SENSOR_TEXT.to_owned())];
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).expect("write"));
    folder
}

fn scanlab(folder: &Path, width: usize, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(arguments).current_dir(folder).env("COLUMNS", width.to_string()).stdin(Stdio::null());
    ended(command.output().expect("the program starts"))
}

/// The commands in a log, as their systems find them.
fn commands(log: &str) -> Vec<&str> {
    let follows = |line: &str| {
        let named = |part: &str| part.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).starts_with('[');
        line.split("##").skip(1).any(named)
    };
    let obeyed = |line: &&str| {
        line.trim_start().starts_with("::")
            || follows(line)
            || line.contains("section_start:")
            || line.contains("section_end:")
    };
    log.split(['\n', '\r']).filter(obeyed).collect()
}

/// The content of annotations without their own command.
fn annotated(report: &str) -> String {
    report.lines().map(|line| format!("{}\n", line.strip_prefix("::").expect("an annotation"))).collect()
}

fn assert_inert(what: &str, log: &str) {
    let found = commands(log);
    assert!(found.is_empty(), "{what}: {found:#?}");
}

fn assert_ended_inert(what: &str, ended: &Ended) {
    assert_inert(what, &ended.stdout);
    assert_inert(what, &ended.stderr);
}

#[test]
fn commands_of_each_system_are_found() {
    for bad in
        ["::error::", " \t::x", "a\r::x", "a ##[b]", "##vso[b", "a##teamcity[b", "section_start:1:b", "section_end:1"]
    {
        assert_eq!(commands(bad).len(), 1, "{bad}");
    }
    for good in ["a::b", r"\::error::", r"#\#[b]", r"#\#vso[b]", "## b [c]", r"section_start\:1:b", "-s ::1"] {
        assert!(commands(good).is_empty(), "{good}");
    }
}

/// Every text whose layout depends on the width, with its exit status.
const WIDE: [(&[&str], i32); 6] = [
    (&["run", SCENARIO], 1),
    (&["scan", "--rules", RULES, "--trace", "-p22-25"], 0),
    (&["check", "--sensor", SENSOR, "--rules", RULES], 1),
    (&["teach", "syn", "--rules", RULES], 0),
    (&["scan", "--rules", BROKEN, "-p22"], 2),
    (&["scan", "--rules", SENSOR, "-p22"], 2),
];

#[test]
fn no_width_makes_a_command() {
    let _machine = share_the_machine();
    let folder = folder();
    let mut all = String::new();
    for width in (40..=200).step_by(20) {
        for (arguments, status) in WIDE {
            let ended = scanlab(folder.path(), width, arguments);
            assert_eq!(ended.status, Some(status), "{arguments:?}: {}", ended.stderr);
            assert_ended_inert(&format!("{arguments:?} at {width}"), &ended);
            all += &ended.stdout;
            all += &ended.stderr;
        }
    }
    // A planted fault: without their backslashes they would be commands, also at the beginning of a line.
    let fault = all.replace("\\:", ":").replace("#\\#", "##");
    let at_a_start = |line: &&&str| line.trim_start().starts_with("::");
    assert!(commands(&fault).len() > 100, "{}", commands(&fault).len());
    assert!(commands(&fault).iter().filter(at_a_start).count() > 10, "{fault}");
}

const FORMATS: [&str; 8] = ["table", "json", "junit", "tap", "github", "markdown", "sarif", "html"];

#[test]
fn no_format_makes_a_command() {
    let _machine = share_the_machine();
    let folder = folder();
    let reports: Vec<String> = FORMATS.map(|format| format!("--report={format}={format}.out")).to_vec();
    let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
    let of_run: &[&str] = &["run", SCENARIO];
    let of_check: &[&str] = &["check", "--sensor", SENSOR, "--rules", RULES];
    for command in [of_run, of_check] {
        let ended = scanlab(folder.path(), 80, &[command, &reports].concat());
        assert_eq!(ended.status, Some(1), "{}", ended.stderr);
        for format in FORMATS {
            let printed = scanlab(folder.path(), 80, &[command, &["--format", format]].concat()).stdout;
            let kept = fs::read_to_string(folder.path().join(format!("{format}.out"))).expect("a report");
            for text in [printed, kept] {
                assert!(text.contains("error"), "{command:?} {format}: nothing hostile in it");
                assert_inert(
                    &format!("{command:?} {format}"),
                    &if format == "github" { annotated(&text) } else { text },
                );
            }
        }
    }
}

#[test]
fn no_format_of_a_scan_makes_a_command() {
    let _machine = share_the_machine();
    let folder = folder();
    let scan = ["scan", "--rules", RULES, "--trace", "-p22-25"];
    let files = ["--report=table=t", "--report=json=j", "--report=html=h", "--report=sarif=s", "-oA", "##[a]"];
    let ended = scanlab(folder.path(), 60, &[&scan[..], &files].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    for name in ["t", "j", "h", "s", "##[a].nmap", "##[a].xml", "##[a].gnmap"] {
        assert_inert(name, &fs::read_to_string(folder.path().join(name)).expect(name));
    }
    for format in ["nmap", "xml", "grepable", "json", "html", "sarif"] {
        assert_ended_inert(format, &scanlab(folder.path(), 60, &[&scan[..], &["--format", format]].concat()));
    }
}

#[test]
fn no_other_command_line_makes_a_command() {
    let _machine = share_the_machine();
    let folder = folder();
    let sensor = "./##[e]::sensor.toml";
    let lines: [(&[&str], i32); 15] = [
        (&["diff", RULES, BROKEN], 2),
        (&["diff", RULES, SENSOR], 1),
        (&["diff", RULES, "plain.v4"], 1),
        (&["diff", RULES, "plain.v4", "--format", "json"], 1),
        (&["diff", RULES, "plain.v4", "--format", "markdown"], 1),
        (&["exec", "--rules", RULES, "-o", "exec.out", "--", "true", "::error::\n::error::", "##[x]"], 0),
        (&["exec", "--rules", RULES, "--", "true", "x\n::error::", "##[x]"], 0),
        (&["exec", "--rules", RULES, "--", "::error::\n::error::##[x]"], 2),
        (&["mutate", SCENARIO], 2),
        (&["run", BROKEN], 2),
        (&["run", "::error::\n::error::##[x]"], 2),
        (&["vendor", "::error::##[x]\n::error::"], 2),
        (&["--x\n::error::##[x]"], 2),
        (&["scan", "--rules", "a", "x\n::error::##[x]", "--y\n::error::"], 2),
        (&["generate", sensor, "--output", SENSOR], 2),
    ];
    fs::write(
        folder.path().join("plain.v4"),
        rules().replace("-j DROP", "-j REJECT").replace("LOG", "NFLOG").replace("--log-prefix", "--nflog-prefix"),
    )
    .expect("write");
    for (arguments, status) in lines {
        let ended = scanlab(folder.path(), 80, arguments);
        assert_eq!(ended.status, Some(status), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        assert_ended_inert(&format!("{arguments:?}"), &ended);
    }
    let annotations = scanlab(folder.path(), 80, &["diff", "plain.v4", RULES, "--format", "github"]).stdout;
    assert!(annotations.contains("error"), "{annotations}");
    assert_inert("diff as annotations", &annotated(&annotations));
    assert_inert("exec -o", &fs::read_to_string(folder.path().join("exec.out")).expect("a report"));
}

/// Rules that are loaded in a namespace of their own, as iptables lists them.
fn loaded(rules: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules");
    fs::write(&file, rules).expect("write");
    let script = "iptables-restore < \"$0\" && iptables -S";
    let output = Command::new("unshare").args(["-n", "sh", "-c", script]).arg(&file).output().expect("unshare");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn a_ruleset_that_is_printed_loads_as_the_one_that_is_written() {
    let folder = folder();
    let printed = scanlab(folder.path(), 80, &["generate", SENSOR]);
    assert_eq!(printed.status, Some(0), "{}", printed.stderr);
    assert_inert("generate", &printed.stdout);
    let written = scanlab(folder.path(), 80, &["generate", SENSOR, "-o", "out"]);
    assert_eq!(written.status, Some(0), "{}", written.stderr);
    let v4 = printed.stdout.split("# ==> rules.v6").next().expect("a part");
    let file = fs::read_to_string(folder.path().join("out/rules.v4")).expect("a file");
    assert!(v4.contains(r"#\#[x]") && file.contains("##[x]"), "{v4}");
    assert_eq!(loaded(v4), loaded(&file));
}

#[test]
fn a_recorded_scenario_is_inert_and_still_true() {
    let _machine = share_the_machine();
    let folder = folder();
    let printed = scanlab(folder.path(), 80, &["record", "--rules", RULES]);
    let written = scanlab(folder.path(), 80, &["record", "--rules", RULES, "-o", "recorded.toml"]);
    assert_eq!((printed.status, written.status), (Some(0), Some(0)), "{}{}", printed.stderr, written.stderr);
    let recorded = fs::read_to_string(folder.path().join("recorded.toml")).expect("a scenario");
    assert_inert("record", &printed.stdout);
    assert_inert("record -o", &recorded);
    assert!(recorded.contains(r"#\u0023[error]::error:: "), "{recorded}");
    let run = scanlab(folder.path(), 80, &["run", "recorded.toml"]);
    assert_eq!(run.status, Some(0), "{}", run.stdout);
}

/// A patch for programs is exact to the byte; for people, its escapes are visible.
#[test]
fn a_patch_is_exact_where_a_program_reads_it() {
    let _machine = share_the_machine();
    let folder = folder();
    let ended = scanlab(folder.path(), 80, &["run", SCENARIO, "--report=json=j", "--report=tap=t"]);
    let json: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("j")).expect("a report")).expect("JSON");
    let checks = json["scenarios"][0]["checks"].as_array().expect("checks");
    let patch = checks.iter().find_map(|check| check["explanation"]["patch"]["diff"].as_str()).expect("a patch");
    assert!(patch.contains("::error::p ##vso[a] "), "{patch}");
    assert!(ended.stdout.contains(r"::error::p #\#vso[a] "), "{}", ended.stdout);
    let tap = fs::read_to_string(folder.path().join("t")).expect("a report");
    let line = tap.lines().find_map(|line| line.strip_prefix("  patch: ")).expect("a patch");
    assert_eq!(serde_json::from_str::<String>(line).expect("a string"), patch);
}
