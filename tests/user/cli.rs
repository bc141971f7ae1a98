//! Bad input that is refused before the kernel is used, and the help.

use std::fs;
use std::process::Command;

use crate::support::input::Input;

#[test]
fn a_sensor_that_is_wrong() {
    insta::assert_snapshot!(Input::generate_from_each(&[
        ("malformed.toml", "[sensor\nssh = 22\n"),
        ("unknown-key.toml", "[sensor]\nssh = 22\nhoneypott = { SSH = 23 }\n"),
        ("port-zero.toml", "[sensor]\nssh = 0\n"),
        ("port-65536.toml", "[sensor]\nssh = 22\nwatched = { HTTP = 65536 }\n"),
        ("mac.toml", "[sensor]\nssh = 22\n\n[host]\nmac = \"00:0c:29\"\n"),
    ]));
}

#[test]
fn a_prefix_or_a_name_that_a_log_line_cannot_hold() {
    insta::assert_snapshot!(Input::generate_from_each(&[
        ("long.toml", "[sensor]\nssh = 22\nscans = [\"xmas\"]\nprefix = \"<a very long prefix> \"\n"),
        ("quote.toml", "[sensor]\nssh = 22\nprefix = \"<a\\\"b> \"\n"),
        ("newline.toml", "[sensor]\nssh = 22\nprefix = \"<a\\nb> \"\n"),
        ("control.toml", "[sensor]\nssh = 22\nprefix = \"<a\\u001b[2J> \"\n"),
        ("no-space.toml", "[sensor]\nssh = 22\nprefix = \"<IPT>\"\n"),
        ("name-quote.toml", "[sensor]\nssh = 22\nwatched = { \"a\\\"b\" = 80 }\n"),
        ("name-newline.toml", "[sensor]\nssh = 22\nwatched = { \"a\\nb\" = 80 }\n"),
        ("name-control.toml", "[sensor]\nssh = 22\nwatched = { \"a\\u0007\" = 80 }\n"),
    ]));
}

#[test]
fn a_missing_file_or_folder_is_refused() {
    let mut input = Input::new(&[]);
    fs::create_dir(input.folder.path().join("empty")).expect("make a folder");
    input.run(&["run", "nowhere.toml"]).run(&["run", "empty"]).run(&["demo", "--filter", "no scenario has this"]);
    input.run(&["generate", "nowhere.toml"]).run(&["scan", "--rules", "nowhere.v4"]).run(&["scan", "--rules", "empty"]);
    insta::assert_snapshot!(input.said);
}

/// Without a path, the usual folders are read; where they are missing, or have no scenario, the hint names the demo.
#[test]
fn run_without_a_path_needs_a_usual_folder() {
    let mut input = Input::new(&[]);
    input.run(&["run"]);
    fs::create_dir(input.folder.path().join("firewall")).expect("make a folder");
    input.run(&["run"]);
    fs::create_dir(input.folder.path().join("scenarios")).expect("make a folder");
    fs::write(input.folder.path().join("scenarios/broken.toml"), "title = \"t\"\n").expect("write the file");
    input.run(&["run"]);
    insta::assert_snapshot!(input.said);
}

const TAGGED: &[(&str, &[u8])] = &[
    ("a.toml", b"title = \"SSH is open\"\ntags = [\"ssh\", \"fast\"]\n[sensor]\nssh = 22\n"),
    ("b.toml", b"title = \"SSH is open, slowly\"\ntags = [\"ssh\", \"nightly\"]\n[sensor]\nssh = 22\n"),
    ("c.toml", b"title = \"no tags\"\n[sensor]\nssh = 22\n"),
];

#[test]
fn tags_select_scenarios_and_list_runs_nothing() {
    let mut input = Input::new(TAGGED);
    let options: [&[&str]; 6] = [
        &[],
        &["--tag", "ssh"],
        &["--tag", "fast", "--tag", "nightly", "--exclude", "nightly"],
        &["--exclude", "ssh"],
        &["--tag", "web"],
        &["--tag", "a b"],
    ];
    for options in options {
        input.run(&[&["run", ".", "--list"], options].concat());
    }
    insta::assert_snapshot!(input.said);
}

#[test]
fn malformed_tags_are_refused() {
    let tags = ["\"ssh\"", "[1]", "[\"\"]", "[\"a b\"]", "[\"a\\u001b[2J\"]", "[\"a\", \"a\"]"];
    let long = format!("[\"{}\"]", "a".repeat(41));
    for tags in tags.into_iter().chain([long.as_str()]) {
        let text = format!("title = \"t\"\ntags = {tags}\n[sensor]\nssh = 22\n");
        let mut input = Input::new(&[("t.toml", text.as_bytes())]);
        input.run(&["run", "t.toml", "--list"]);
        assert!(input.said.contains("t.toml:2:") && input.said.contains("status: 2"), "{}", input.said);
    }
}

/// On the narrowest of usual terminals no line is broken twice.
#[test]
fn help_fits_eighty_columns() {
    for command in [
        "",
        "run",
        "demo",
        "generate",
        "check",
        "mutate",
        "scan",
        "exec",
        "doctor",
        "selftest",
        "vendor",
        "man",
        "completions",
    ] {
        for option in ["-h", "--help"] {
            let words: Vec<&str> = [command, option].into_iter().filter(|word| !word.is_empty()).collect();
            let mut scanlab = Command::new(env!("CARGO_BIN_EXE_scanlab"));
            let output = scanlab.args(&words).env_remove("COLUMNS").output().expect("run scanlab");
            let help = String::from_utf8(output.stdout).expect("UTF-8");
            let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(output.status.success() && wide.is_empty(), "{words:?}: {wide:#?}");
        }
    }
}
