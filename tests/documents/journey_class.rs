//! The work of a teacher, with the built program: lessons whose facts are those of the scanner, exercises with right,
//! wrong and missing answers, and the Enter key on a real terminal.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::binary::{Ended, HARDENED, ended, share_the_machine};
use serde_json::Value;

/// Runs `scanlab` with these arguments, and with `input` on its standard input.
fn scanlab(arguments: &[&str], input: &str) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(arguments)
        .env("COLUMNS", "80")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that has ended does not read its input.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    ended(child.wait_with_output().expect("it ends"))
}

fn lesson(arguments: &[&str]) -> String {
    let ended = scanlab(&[&["teach"], arguments].concat(), "");
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    ended.stdout
}

/// Replaces each sequence of blanks and line ends by one blank.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The hardened sensor's rulesets in a folder, made by the program itself.
fn generated() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = fs::read_to_string(HARDENED).expect("the scenario");
    let sensor = scenario.split_once("[sensor]").map(|(_, rest)| format!("[sensor]{rest}")).expect("its sensor");
    fs::write(folder.path().join("sensor.toml"), sensor).expect("write the sensor");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = scanlab(&["generate", &path("sensor.toml"), "-o", &path("out")], "");
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    folder
}

/// The part of `teach all` about this technique.
fn part<'a>(lessons: &'a str, nmap: &str) -> &'a str {
    let start = lessons.find(&format!(" scan ({nmap}), ")).unwrap_or_else(|| panic!("no lesson on {nmap}"));
    let rest = &lessons[start..];
    let end = rest.find("Side by side").expect("every lesson ends so");
    &rest[..end]
}

#[test]
fn every_fact_of_the_lessons_is_what_a_scan_finds() {
    let _machine = share_the_machine();
    let lessons = lesson(&["all"]);
    assert_eq!(lessons.matches("Side by side\n").count(), 10);
    let wide: Vec<&str> = lessons.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");

    let folder = generated();
    let rules = folder.path().join("out/rules.v4").display().to_string();
    let techniques = [
        ("syn", "-sS"),
        ("connect", "-sT"),
        ("null", "-sN"),
        ("fin", "-sF"),
        ("xmas", "-sX"),
        ("ack", "-sA"),
        ("maimon", "-sM"),
    ];
    let names = techniques.map(|(name, _)| name).join(",");
    let scan = ["scan", "--rules", &rules, "--scan", &names, "-p", "22,80,8080", "--listen", "22,32232"];
    let how = ["--mac", "00:0c:29:4f:8e:35", "--capture", "nflog", "--format", "json"];
    let report = scanlab(&[&scan[..], &how].concat(), "").report();
    let probes = report["probes"].as_array().expect("probes");
    assert_eq!(probes.len(), 21);
    for probe in probes {
        let nmap = techniques.iter().find(|(name, _)| probe["scan"] == *name).expect("a technique").1;
        assert_told(&in_one_line(part(&lessons, nmap)), probe);
    }
    let false_fact = |key: &str, value: Value| {
        let mut probe = probes.iter().find(|probe| probe["scan"] == "xmas").expect("an Xmas probe").clone();
        probe[key] = value;
        let told = in_one_line(part(&lessons, "-sX"));
        assert!(std::panic::catch_unwind(|| assert_told(&told, &probe)).is_err(), "{key} is not looked at");
    };
    false_fact("state", "closed".into());
    false_fact("reason", "reset".into());
    false_fact("log", serde_json::json!([{ "line": "<IPT> Xmas scan: IN=eth1" }]));
}

/// Checks that the lesson has state and reason as nmap prints them, and each log line exactly.
fn assert_told(told: &str, probe: &Value) {
    let text = |key: &str| probe[key].as_str().unwrap_or_default().to_owned();
    let verdict = format!("{}/tcp {} {}", probe["port"], text("state"), text("reason"));
    let with_firewall = told.split("With the firewall off").next().unwrap_or_default();
    assert!(with_firewall.contains(&verdict), "{verdict} is not in {with_firewall}");
    for logged in probe["log"].as_array().expect("a log") {
        let line = in_one_line(logged["line"].as_str().expect("a line"));
        assert!(with_firewall.contains(&line), "{line} is not in {with_firewall}");
    }
    let heading = format!("{}/tcp: the answer", probe["port"]);
    let answer = with_firewall.split_once(&heading).map(|(_, rest)| rest.trim_start_matches([' ', '-']));
    assert_eq!(answer.is_some_and(|answer| answer.starts_with("None.")), text("reason") == "no-response", "{verdict}");
}

#[test]
fn the_xmas_lesson_is_the_same_twice() {
    let _machine = share_the_machine();
    let (first, second) = (lesson(&["xmas"]), lesson(&["XMAS"]));
    assert_eq!(first, second);
    assert!(!first.contains('\u{1b}'), "no colour without a terminal");
    insta::assert_snapshot!("xmas_lesson", first);
}

#[test]
fn a_ruleset_of_ones_own_is_taught_as_it_is() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("own.v6");
    let text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j LOG --log-prefix \"\u{202e}<b>: \"\n\
                -A INPUT -p tcp --dport 80 -j REJECT --reject-with tcp-reset\n\
                -A OUTPUT -p tcp --sport 8080 -j DROP\nCOMMIT\n";
    fs::write(&rules, text).expect("write the rules");
    let path = rules.display().to_string();
    let told = in_one_line(&lesson(&["syn", "-6", "--rules6", &path]));
    assert!(told.contains("own.v6"), "{told}");
    assert!(told.contains("22/tcp open syn-ack ttl 64"), "{told}");
    assert!(told.contains("80/tcp closed reset ttl 64"), "{told}");
    assert!(told.contains("It is rejected"), "{told}");
    assert!(told.contains("The firewall rejected the probe, and sent an error."), "{told}");
    assert!(told.contains("The host answered, but the firewall dropped its answer."), "{told}");
    assert!(told.contains("\\u{202e}<b>: IN=eth0") && !told.contains('\u{202e}'), "{told}");
    let missing = scanlab(&["teach", "syn", "--rules6", &path], "");
    assert_eq!(missing.status, Some(2), "{}", missing.stderr);
}

#[test]
fn an_exercise_is_guessed_wrong_right_and_not_at_all() {
    let _machine = share_the_machine();
    let play = |input: &str| {
        let ended = scanlab(&["teach", "--exercise", "invalid-first"], input);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
        ended.stdout
    };
    let guessed = play("a\nz\nb\n");
    assert!(guessed.contains("No, not a) The LOG rule is missing\n"), "{guessed}");
    assert!(guessed.contains("Type one of the letters."), "{guessed}");
    assert!(guessed.contains("Right.\n"), "{guessed}");
    let revealed = play("");
    assert!(!revealed.contains("Right.") && !revealed.contains("No, "), "{revealed}");
    for shown in [&guessed, &revealed] {
        let shown = in_one_line(shown);
        for fact in [
            "expected open|filtered, \"<IPT> Xmas scan: \"",
            "observed open|filtered, no line",
            "rules.v4:8 drops the Xmas probe before rules.v4:13 can see it",
            "resolves 1 mismatch)",
        ] {
            assert!(shown.contains(fact), "{fact} is not in {shown}");
        }
    }
    let left = play("q\n");
    assert!(!left.contains("It is b)"), "{left}");
}

/// The other exercises: each shows a symptom, and a patch that was tested.
#[test]
fn every_exercise_has_a_symptom_and_a_cure() {
    let _machine = share_the_machine();
    for number in 2..=9 {
        let ended = scanlab(&["teach", "--exercise", &number.to_string()], "");
        assert_eq!(ended.status, Some(0), "{number}: {}", ended.stderr);
        let shown = in_one_line(&ended.stdout);
        assert!(shown.contains(" expected ") && shown.contains(" observed "), "{number}: {shown}");
        assert!(shown.contains("of this scenario; resolves "), "{number}: {shown}");
    }
    let listed = scanlab(&["teach", "--exercise"], "").stdout;
    assert_eq!(listed.lines().filter(|line| line.starts_with("  ") && line.as_bytes()[2].is_ascii_digit()).count(), 9);
}

#[test]
fn teach_without_a_lesson_for_the_arguments_is_refused() {
    let menu = scanlab(&["teach"], "");
    assert_eq!(menu.status, Some(0));
    assert!(menu.stdout.contains("-sX"), "{}", menu.stdout);
    for (arguments, hint) in [
        (&["teach", "xmass"][..], "did you mean `xmas`?"),
        (&["teach", "--exercise", "10"], "use one of invalid-first"),
    ] {
        let refused = scanlab(arguments, "");
        assert_eq!((refused.status, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(refused.stderr.contains(hint), "{}", refused.stderr);
    }
}

/// Presses Enter twice and then q, on a terminal of 80 columns.
const TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execv(sys.argv[1], [sys.argv[1], "teach", "null"])
seen, keys = b"", [b"\n", b"\n", b"q\n"]
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
    if keys and seen.endswith(b"q: quit "):
        os.write(terminal, keys.pop(0))
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[test]
fn a_terminal_waits_for_enter_and_q_leaves() {
    let _machine = share_the_machine();
    let output = Command::new("/usr/bin/python3")
        .args(["-c", TERMINAL, env!("CARGO_BIN_EXE_scanlab")])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .output()
        .expect("python3 starts");
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{seen}");
    assert_eq!(seen.matches("q: quit ").count(), 3, "{seen}");
    let mut screens = seen.split("q: quit ").map(str::trim_start);
    assert!(screens.all(|screen| screen.lines().count() <= 24), "{seen}");
    assert!(seen.contains("(3 of ") && !seen.contains("Side by side"), "{seen}");
    assert!(seen.contains("\u{1b}[1m"), "a terminal shows styles: {seen}");
}
