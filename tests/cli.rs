//! What bad input gets: the whole answer, exit status, stdout and stderr, and a machine without a trace of it.
//!
//! Needs root and both flavours of iptables, see `.ci/setup`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A folder of input, in which scanlab is run, and what it said so far. Each run checks that nothing is left behind.
struct Input {
    folder: TempDir,
    said: String,
}

impl Input {
    fn new(files: &[(&str, &[u8])]) -> Input {
        let folder = tempfile::tempdir().expect("a folder");
        // Another user has to get in, too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set permissions");
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("write the input");
        }
        Input { folder, said: String::new() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.args(arguments).current_dir(self.folder.path()).env("COLUMNS", "100");
        command
    }

    /// Runs it, and adds what it said to the transcript.
    fn run(&mut self, arguments: &[&str]) -> &mut Input {
        self.run_with(arguments, b"")
    }

    fn run_with(&mut self, arguments: &[&str], stdin: &[u8]) -> &mut Input {
        let output = untouched(|| finish(&mut self.command(arguments), stdin));
        self.said.push_str(&format!("$ scanlab {}\n{}\n", arguments.join(" "), transcript(&output)));
        self
    }

    /// Every file is a sensor that is refused.
    fn generate_from_each(files: &[(&str, &str)]) -> String {
        let bytes: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        let mut input = Input::new(&bytes);
        for (name, _) in files {
            input.run(&["generate", name]);
        }
        input.said
    }

    /// Every flavour of iptables refuses this ruleset.
    fn refused_by_each_flavour(ruleset: &str, culprit: &str) -> String {
        let mut input = Input::new(&[("rules.v4", ruleset.as_bytes())]);
        for flavour in ["nft", "legacy"] {
            input.run(&["scan", "--rules", "rules.v4", "-p", "1", "--iptables", flavour]);
        }
        without_the_words_of_iptables(&input.said, culprit)
    }
}

fn finish(command: &mut Command, stdin: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("run scanlab");
    // It may have ended without reading it all.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin);
    child.wait_with_output().expect("wait for scanlab")
}

fn transcript(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let status = output.status.code().expect("an exit status");
    format!("stdout:\n{}stderr:\n{}status: {status}\n", text(&output.stdout), text(&output.stderr))
}

/// They differ between its versions; that they are shown, and name what is wrong, does not.
fn without_the_words_of_iptables(said: &str, culprit: &str) -> String {
    const BEFORE: &str = " refuses this ruleset: ";
    let shorten = |line: &str| match line.split_once(BEFORE) {
        Some((program, message)) => {
            assert!(message.contains(culprit), "{culprit} in: {message}");
            let program = program.rsplit_once(' ').expect("a version").0;
            format!("{program} VERSION{BEFORE}MESSAGE\n")
        }
        None => format!("{line}\n"),
    };
    said.lines().map(shorten).collect()
}

/// What a lab could leave behind on the machine.
fn traces() -> (String, Vec<String>) {
    let setting = fs::read_to_string("/proc/sys/net/netfilter/nf_log_all_netns").unwrap_or_default();
    let devices = fs::read_to_string("/proc/net/dev").expect("procfs");
    let names = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    (setting.trim().to_owned(), names)
}

/// One at a time, and with a deadline: labs of somebody else may come and go meanwhile.
fn untouched<T>(work: impl FnOnce() -> T) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    const OURS: &str = "7226";
    let turn = TURN.lock();
    let before = traces();
    let done = work();
    let deadline = Instant::now() + Duration::from_secs(30);
    let restored = |(setting, names): (String, Vec<String>)| {
        names == before.1 && (setting == before.0 || (before.0 == OURS && setting == "0"))
    };
    while !restored(traces()) {
        assert!(Instant::now() < deadline, "before: {before:?}, after: {:?}", traces());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(turn);
    done
}

const EMPTY_TABLE: &[u8] = b"*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";

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
fn options_that_are_wrong() {
    let mut input = Input::new(&[("rules.v4", EMPTY_TABLE)]);
    for ports in ["0", "65536", "80-22", "", "a"] {
        input.run(&["scan", "--rules", "rules.v4", "-p", ports]);
    }
    for technique in [["--scan", "idle"], ["-s", "I"]] {
        input.run(&[&["scan", "--rules", "rules.v4"], &technique[..]].concat());
    }
    input.run(&["scan"]);
    input.run(&["scan", "--rules", "-", "--rules6", "-"]);
    input.run(&["scan", "--rules", "rules.v4", "--mac", "00:0c:29"]);
    input.run(&["scan", "--rules", "rules.v4", "--mac", "01:00:5e:00:00:fb"]);
    input.run(&["vendor", "00:0c:29:4f:8e:zz"]);
    insta::assert_snapshot!(input.said);
}

/// Everywhere that an interface is named; the hint says what is allowed.
#[test]
fn an_interface_that_a_shell_would_read_is_refused() {
    let sensor = "[sensor]\nssh = 22\n[host]\ninterface = \"eth0;id\"\n";
    let scenario = "title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n[host]\ninterface = \"$(id)\"\n\
                    [[expect]]\nscan = \"syn\"\nports = 22\nfamily = \"ipv4\"\nstate = \"open\"\nlog = \"\"\n";
    let mut input =
        Input::new(&[("rules.v4", EMPTY_TABLE), ("sensor.toml", sensor.as_bytes()), ("s.toml", scenario.as_bytes())]);
    let rules = ["--rules", "rules.v4"];
    for command in ["scan", "check", "record", "exec"] {
        let tool: &[&str] = if command == "exec" { &["--", "true"] } else { &[] };
        input.run(&[&[command, "--interface", "eth0 &"], &rules[..], tool].concat());
    }
    input.run(&["diff", "rules.v4", "rules.v4", "--interface=-A"]);
    input.run(&["check", "--live", "--interface", "eth+"]);
    input.run(&["generate", "sensor.toml"]).run(&["check", "--sensor", "sensor.toml"]).run(&["run", "s.toml"]);
    let refused = input.said.matches("cannot name an interface: use 1 to 15").count();
    assert_eq!((refused, input.said.matches("status: 2").count()), (9, 9), "{}", input.said);
}

#[test]
fn what_is_not_there() {
    let mut input = Input::new(&[]);
    fs::create_dir(input.folder.path().join("empty")).expect("make a folder");
    input.run(&["run", "nowhere.toml"]).run(&["run", "empty"]).run(&["run", "--filter", "no scenario has this"]);
    input.run(&["generate", "nowhere.toml"]).run(&["scan", "--rules", "nowhere.v4"]).run(&["scan", "--rules", "empty"]);
    insta::assert_snapshot!(input.said);
}

/// nft notices an unknown target at COMMIT only: it is shown where it stands.
#[test]
fn an_unknown_target() {
    let rules =
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j NOSUCH\n-A INPUT -j DROP\nCOMMIT\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "NOSUCH"));
}

#[test]
fn an_unknown_option() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dprt 80 -j DROP\nCOMMIT\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "--dprt"));
}

#[test]
fn smart_quotes() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j LOG --log-prefix “Xmas scan”\nCOMMIT\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "scan"));
}

#[test]
fn line_ends_of_windows() {
    let rules = "*filter\r\n:INPUT ACCEPT [0:0]\r\n-A INPUT -p tcp --dport 22 -j DROP\r\nCOMMIT\r\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "\\r"));
}

/// The hint's own command, if there is one, makes a ruleset of it.
#[test]
fn a_file_that_was_meant_for_another_program_is_known() {
    let rules = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    for (text, told, refused_for) in [
        (format!("\u{feff}{rules}"), "a byte order mark", "line 1"),
        ("#!/bin/sh\niptables -P INPUT DROP\n".to_owned(), "a shell script", "line 2"),
        ("flush ruleset\ntable ip filter {\n}\n".to_owned(), "a ruleset of nft(8)", "line 1"),
        ("Chain INPUT (policy DROP)\ntarget prot opt source\n".to_owned(), "what `iptables -L` prints", "line 1"),
    ] {
        let said = Input::refused_by_each_flavour(&text, refused_for);
        assert!(said.matches(told).count() == 2 && !said.contains("nothing is filtered"), "{told}: {said}");
        let Some((_, command)) = said.split_once(": `") else { continue };
        let command = command.split_once('`').expect("a command").0.replace("FILE", "given");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("given"), &text).expect("write the file");
        let status = Command::new("sh").args(["-c", &command]).current_dir(folder.path()).status().expect("a shell");
        assert!(status.success(), "{command}");
        let made = ["rules.v4", "given"].map(|name| fs::read_to_string(folder.path().join(name)).ok());
        let made = made.into_iter().flatten().next().expect("a ruleset");
        assert!(made.contains("*filter\n:INPUT DROP [0:0]\n"), "{made}");
        assert!(!made.contains('\u{feff}'), "{made}");
    }
}

#[test]
fn a_commit_that_is_missing() {
    let rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 22 -j DROP\n";
    insta::assert_snapshot!(Input::refused_by_each_flavour(rules, "COMMIT"));
}

#[test]
fn a_ruleset_that_is_no_text() {
    let nul = b"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\0\nCOMMIT\n";
    let latin1 = b"*filter\n# caf\xe9\nCOMMIT\n";
    let mut input = Input::new(&[("nul.v4", nul), ("binary.v4", b"\x7fELF\x02\x01\xff\xfe\0"), ("latin-1.v4", latin1)]);
    input.run(&["scan", "--rules", "nul.v4"]).run(&["scan", "--rules", "binary.v4"]);
    input.run(&["scan", "--rules", "latin-1.v4"]);
    input.run_with(&["scan", "--rules", "-"], nul).run_with(&["scan", "--rules", "-"], latin1);
    insta::assert_snapshot!(input.said);
}

#[test]
fn a_ruleset_without_rules_lets_everything_in() {
    let mut input = Input::new(&[("empty.v4", b"")]);
    input.run(&["scan", "--rules", "empty.v4", "-p", "22,80", "--listen", "22"]);
    insta::assert_snapshot!(input.said);
}

#[test]
fn a_ruleset_that_holds_nothing_back_is_told() {
    let nat = b"*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n";
    let mut input = Input::new(&[("comments.v4", b"# nothing\n"), ("nat.v6", nat), ("drop.v4", DROP.as_bytes())]);
    input.run(&["scan", "--rules", "comments.v4", "--rules6", "nat.v6", "-p", "22"]);
    input.run(&["exec", "--rules", "comments.v4", "--output", "report", "--", "true"]);
    for (file, family) in [("comments.v4", "ipv4"), ("nat.v6", "ipv6")] {
        let warning = format!("{file} has no rule, and no policy but ACCEPT: over {family} nothing is filtered\n");
        assert!(input.said.contains(&warning), "{}", input.said);
    }
    assert_eq!(input.said.matches("warning: ").count(), 3, "{}", input.said);
    let mut filtered = Input::new(&[("drop.v4", DROP.as_bytes())]);
    filtered.run(&["scan", "--rules", "drop.v4", "-p", "22"]);
    assert!(!filtered.said.contains("warning"), "{}", filtered.said);
}

const DROP: &str = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";

/// A datagram is answered where `U:` says so, on a TAP and on a TUN; the same number of TCP is another port.
#[test]
fn services_of_udp_are_seen() {
    let accept = b"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp --dport 55 -j DROP\nCOMMIT\n";
    for options in [&["-4", "-6"][..], &["-4", "-6", "--link", "tun"]] {
        let mut input = Input::new(&[("rules", accept)]);
        let scan = ["scan", "--rules", "rules", "--rules6", "rules", "-sSU", "-p", "53-55", "--listen", "54,U:53,55"];
        input.run(&[&scan[..], options].concat());
        for family in ["ipv4", "ipv6"] {
            for (technique, port, state) in [
                ("udp", "53", "open           udp-response"),
                ("udp", "54", "closed         port-unreach"),
                ("udp", "55", "open|filtered  no-response"),
                ("syn", "54", "open           syn-ack"),
            ] {
                let row = format!(" {technique}   {family}    {port}");
                let found = input.said.lines().any(|line| line.starts_with(&row) && line.contains(state));
                assert!(found, "{technique} {family} {port} is not {state}: {}", input.said);
            }
        }
    }
}

/// On the narrowest of usual terminals nothing is broken twice.
#[test]
fn help_fits_eighty_columns() {
    for command in
        ["", "run", "generate", "check", "mutate", "scan", "exec", "doctor", "selftest", "vendor", "man", "completions"]
    {
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

#[test]
fn a_ruleset_from_standard_input() {
    let mut input = Input::new(&[]);
    let rules = b"*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
    input.run_with(&["scan", "--rules", "-", "-p", "22"], rules);
    insta::assert_snapshot!(input.said);
}

#[test]
fn a_program_that_the_ruleset_names_is_not_run() {
    let mut input = Input::new(&[("program", b"#!/bin/sh\ntouch \"${0%/*}/proof\"\n")]);
    let program = input.folder.path().join("program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set permissions");
    let program = program.display().to_string();
    for option in ["--modprobe=", "-M", "-i --comment --modprobe="] {
        let rules = format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {option}{program} -j NOSUCH\nCOMMIT\n");
        for flavour in ["nft", "legacy"] {
            input.run_with(&["scan", "--rules", "-", "--iptables", flavour], rules.as_bytes());
        }
    }
    assert!(!input.folder.path().join("proof").exists());
    let carets = "^".repeat(program.len());
    insta::assert_snapshot!(input.said.replace(&program, "PROGRAM").replace(&carets, "^^^^^^^"));
}
