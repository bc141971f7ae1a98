//! `scanlab init` and the questions of `scanlab check`: what is written loads, and a check of it is safe.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::binary::{self, Ended, ended};

const SCANLAB: &str = env!("CARGO_BIN_EXE_scanlab");

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).expect("write a file"));
    folder
}

fn scanlab(folder: &TempDir, arguments: &[&str]) -> Ended {
    let mut command = Command::new(SCANLAB);
    command.args(arguments).current_dir(folder.path()).env("COLUMNS", "80").stdin(Stdio::null());
    ended(command.output().expect("the program starts"))
}

/// Runs a command of a shell on a terminal, with these lines typed. The terminal repeats them.
fn on_a_terminal(folder: &TempDir, command: &str, typed: &str) -> Ended {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", command, "/dev/null"]).current_dir(folder.path());
    script
        .env("SCANLAB", SCANLAB)
        .env("COLUMNS", "80")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = script.spawn().expect("script(1) starts");
    child.stdin.take().expect("a pipe").write_all(typed.as_bytes()).expect("type");
    ended(child.wait_with_output().expect("script(1) ends"))
}

const SERVER_V4: &str = "*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -s 192.0.2.0/24 -p tcp --dport 22 -j ACCEPT
-A INPUT -p tcp --dport 80 -j ACCEPT
-A INPUT -p tcp --dport 6000:6002 -j ACCEPT
-A INPUT -p udp --dport 53 -j ACCEPT
-A INPUT -p tcp --dport 53 -j ACCEPT
-A INPUT -m limit --limit 5/min -j LOG --log-prefix \"dropped: \"
COMMIT
";

/// The same rules for IPv6, with one port more.
fn server_v6() -> String {
    let v6 = SERVER_V4.replace("-p icmp", "-p ipv6-icmp").replace("192.0.2.0/24", "2001:db8:aaaa::/48");
    v6.replace("-A INPUT -p udp", "-A INPUT -p tcp --dport 8080 -j ACCEPT\n-A INPUT -p udp")
}

#[test]
fn the_rules_of_a_server_become_a_sensor_whose_check_is_safe() {
    let _machine = binary::share_the_machine();
    let same = server_v6().replace("--dport 8080", "--dport 80");
    let folder = folder(&[("rules.v4", SERVER_V4), ("rules.v6", &same), ("more.v6", &server_v6())]);
    let both = ["--rules", "rules.v4", "--rules6", "rules.v6"];
    let written = scanlab(&folder, &[&["init"], &both[..]].concat());
    assert_eq!((written.status, written.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        written.stdout,
        "wrote sensor.toml; read it, then: scanlab check sensor.toml --rules rules.v4 --rules6 rules.v6\n"
    );
    insta::assert_snapshot!(fs::read_to_string(folder.path().join("sensor.toml")).expect("the file"));
    let checked = scanlab(&folder, &[&["check", "sensor.toml"], &both[..]].concat());
    assert!(checked.stdout.starts_with("SAFE TO DEPLOY\n"), "{}", checked.stdout);

    // Rules that do something else do not fit what was written.
    let checked = scanlab(&folder, &["check", "sensor.toml", "--rules", "rules.v4", "--rules6", "more.v6"]);
    assert!(checked.stdout.contains("TCP port 8080 over IPv6: accepted"), "{}", checked.stdout);
    let written = scanlab(&folder, &["init", "--rules", "rules.v4", "--rules6", "more.v6", "-o", "-"]);
    assert!(written.stdout.contains("\n# Accepted over IPv6 only: TCP 8080.\n"), "{}", written.stdout);
}

#[test]
fn the_generated_rules_of_a_sensor_become_that_sensor_again() {
    let _machine = binary::share_the_machine();
    let sensor = "ssh = 32232\nopen = { DNS = [53, \"udp/53\"], HTTP = 80 }\nhoneypot = { SSH = 22 }\n\
                  watched = { SMB = [139, 445] }\nscans = [\"xmas\", \"syn\"]\n\
                  limit = { rate = \"7/min\", burst = 9 }\nprefix = \"<INI> \"\ndeny = \"all\"\n";
    for order in ["hardened", "article"] {
        let folder = folder(&[("s.toml", &format!("[sensor]\n{sensor}order = {order:?}\n"))]);
        assert_eq!(scanlab(&folder, &["generate", "s.toml", "-o", "out"]).status, Some(0));
        let rules = ["--rules", "out/rules.v4", "--rules6", "out/rules.v6", "--ssh", "32232"];
        let written = scanlab(&folder, &[&["init", "-o", "-"], &rules[..]].concat());
        let keys: String = written
            .stdout
            .lines()
            .filter(|line| !line.starts_with(['#', '[']) && !line.is_empty())
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(keys, sensor, "{order}: {}{}", written.stdout, written.stderr);
    }
}

#[test]
fn what_init_cannot_know_is_an_error_that_names_a_flag() {
    let _machine = binary::share_the_machine();
    let web = SERVER_V4.replace("-s 192.0.2.0/24 -p tcp --dport 22", "-p tcp --dport 443");
    let open = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";
    let folder = folder(&[("web.v4", &web), ("open.v4", open), ("mine.toml", "mine")]);
    for (arguments, complaint) in [
        (&["init"][..], "help: add --rules FILE, --rules6 FILE or --live"),
        (&["init", "--rules", "web.v4"], "help: name it with --ssh PORT, or say --ssh none"),
        (&["init", "--rules", "open.v4"], "these rules accept every TCP port"),
        (&["init", "--rules", "web.v4", "--ssh", "none", "-o", "mine.toml"], "mine.toml is already there"),
        (&["init", "--rules", "web.v4", "--ssh", "U:22"], "SSH is TCP"),
        (&["check"], "`scanlab init` writes a sensor file, and on a terminal `scanlab check` asks"),
        (&["check", "--live"], "`scanlab init --live` writes one"),
    ] {
        let refused = scanlab(&folder, arguments);
        assert_eq!(refused.status, Some(2), "{arguments:?}: {}", refused.stdout);
        assert!(refused.stderr.contains(complaint), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(folder.path().join("mine.toml")).expect("the file"), "mine");
    assert!(!folder.path().join("sensor.toml").exists());
    let without = scanlab(&folder, &["init", "--rules", "web.v4", "--ssh", "none", "-o", "-"]);
    assert!(without.stdout.contains("\nssh = []\n") && without.stdout.contains("HTTPS = 443"), "{}", without.stdout);
}

#[test]
fn four_answers_on_a_terminal_become_a_sensor() {
    let _machine = binary::share_the_machine();
    let folder = folder(&[]);
    let typed = "70000\n2222\n80,U:53\n\nno\n";
    let asked = on_a_terminal(&folder, "\"$SCANLAB\" init", typed);
    assert_eq!(asked.status, Some(0), "{}", asked.stdout);
    assert!(
        asked.stdout.contains("port 70000 is out of range") && asked.stdout.contains("4. Are scans"),
        "{}",
        asked.stdout
    );
    insta::assert_snapshot!(fs::read_to_string(folder.path().join("sensor.toml")).expect("the file"));
    assert!(scanlab(&folder, &["check", "sensor.toml"]).stdout.starts_with("SAFE TO DEPLOY\n"));

    let again = on_a_terminal(&folder, "\"$SCANLAB\" init", typed);
    assert!(again.stdout.contains("sensor.toml is already there"), "{}", again.stdout);
    let ended_early = on_a_terminal(&folder, "\"$SCANLAB\" init -o other.toml", "22\n\u{4}");
    assert!(ended_early.stdout.contains("the input ended"), "{}", ended_early.stdout);
    assert!(!folder.path().join("other.toml").exists());
}

/// A machine of its own: a namespace with an interface, a default route and rules.
const MACHINE: &str = "ip link set lo up; ip link add eth0 type veth peer name cable; ip link set cable up; ip link set eth0 address 02:00:5e:00:53:07
ip link set eth0 up; ip address add 192.0.2.10/24 dev eth0
ip -6 address add 2001:db8:aaaa::10/64 dev eth0 nodad; ip route add default via 192.0.2.1
iptables-restore < rules.v4; ip6tables-restore < rules.v6
";

#[test]
fn check_without_arguments_asks_what_the_machine_does_not_show() {
    let _machine = binary::share_the_machine();
    let folder = folder(&[("rules.v4", SERVER_V4), ("rules.v6", &server_v6()), ("machine.sh", MACHINE)]);
    let check = "unshare --net sh -c '. ./machine.sh; \"$SCANLAB\" check'";
    let meant = on_a_terminal(&folder, check, "22\n\n");
    assert!(
        meant.stdout.contains("[80,53,6000-6002,8080,U:53]") || meant.stdout.contains("[53,80,6000-6002,8080,U:53]"),
        "{}",
        meant.stdout
    );
    assert!(meant.stdout.contains("syn, connect at 8080"), "open over IPv6 only: {}", meant.stdout);

    let unmeant = on_a_terminal(&folder, check, "22\n53,80,8080,U:53\n");
    assert!(unmeant.stdout.contains("DO NOT DEPLOY"), "{}", unmeant.stdout);
    assert!(unmeant.stdout.contains("TCP ports 6000, 6002 over IPv4 and IPv6: accepted"), "{}", unmeant.stdout);

    // The same from a file.
    let live = "unshare --net sh -c '. ./machine.sh; \"$SCANLAB\" init --live --ssh 22'";
    let written = on_a_terminal(&folder, live, "");
    assert_eq!(written.status, Some(0), "{}", written.stdout);
    let text = fs::read_to_string(folder.path().join("sensor.toml")).expect("the file");
    assert!(text.contains("mac = \"02:00:5e:00:53:07\"") && text.contains("ssh = 22\n"), "{text}");
}
