//! A machine without IPv6, such as a Pi with `ipv6.disable=1` on its kernel's command line: all of IPv4 is measured,
//! and the output says clearly that IPv6 was not. No ruleset is blamed for it, and none is called safe. Needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::binary::{Ended, ended, share_the_machine};

const SENSOR: &str = "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nscans = [\"xmas\"]\nprefix = \"<NO6> \"\n\
                      [host]\nmac = \"00:0c:29:4f:8e:35\"\nvendor = \"VMware\"\n";

/// Shortened from the generated rules of a sensor.
const RULES: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                     -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";

const OF_IPV4: &str = "title = \"port 22 is open\"\n[ruleset]\nv4 = \"rules\"\n[host]\nlisten = [22]\n\
                       [[expect]]\nscan = \"syn\"\nports = 22\nfamily = \"ipv4\"\nstate = \"open\"\n";

/// A folder with these files.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
        let desk = Desk(tempfile::tempdir().expect("a folder"));
        let of_both = OF_IPV4.replace("v4 = \"rules\"\n", "v4 = \"rules\"\nv6 = \"rules\"\n");
        let of_both = of_both.replace("family = \"ipv4\"\n", "");
        for (name, text) in
            [("sensor.toml", SENSOR), ("rules", RULES), ("ipv4.toml", OF_IPV4), ("both.toml", of_both.as_str())]
        {
            fs::write(desk.0.path().join(name), text).expect("write a file");
        }
        desk
    }

    /// Runs scanlab through the commands `before` on a machine without IPv6.
    fn by_way_of(&self, before: &[&str], arguments: &[&str]) -> Ended {
        let without = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/without_ipv6.py");
        let mut words: Vec<&str> = before.to_vec();
        words.extend(["/usr/bin/python3", without.to_str().expect("UTF-8"), env!("CARGO_BIN_EXE_scanlab")]);
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.0.path()).env("COLUMNS", "80").env_remove("SSH_CONNECTION");
        ended(command.output().expect("it starts"))
    }

    fn scanlab(&self, arguments: &[&str]) -> Ended {
        self.by_way_of(&[], arguments)
    }
}

/// The text without line ends, which depend on the width.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_ipv4_scenario_without_ipv6_runs_completely() {
    let _machine = share_the_machine();
    let desk = Desk::new();
    let run = desk.scanlab(&["run", "ipv4.toml"]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(!run.stdout.contains("ndp"), "nobody asked: {}", run.stdout);

    let recorded = desk.scanlab(&["record", "--rules", "rules", "--listen", "22"]);
    assert_eq!(recorded.status, Some(0), "{}", recorded.stderr);
    assert!(recorded.stdout.contains("[[expect]]"), "{}", recorded.stdout);

    let scanned = desk.scanlab(&["scan", "--rules", "rules", "--rules6", "rules", "-p", "22", "--trace"]);
    assert_eq!(scanned.status, Some(0), "{}", scanned.stderr);
    assert!(scanned.stderr.contains("this machine has no IPv6: rules is not tried"), "{}", scanned.stderr);
    assert!(scanned.stdout.contains("every rule that was tried is reached"), "{}", scanned.stdout);
    assert!(scanned.stdout.contains("not tried rules: this machine has no IPv6"), "{}", scanned.stdout);
    let words = ["scan", "--rules", "rules", "--rules6", "rules", "-p", "22", "--trace", "--format", "sarif"];
    let sarif = desk.scanlab(&words).stdout;
    assert!(sarif.contains("finding/not-provable") && sarif.contains("not tried: this machine has no IPv6"), "{sarif}");
}

/// Found on a kernel with `ipv6.disable=1`: `scan -6` failed to add a neighbour, and `mutate` blamed the scenario (2).
#[test]
fn checks_of_ipv6_without_ipv6_are_not_run() {
    let _machine = share_the_machine();
    let desk = Desk::new();
    let run = desk.scanlab(&["run", "both.toml", "--format", "json"]);
    assert_eq!(run.status, Some(3), "{}", run.stderr);
    assert_eq!(run.not_run().into_iter().collect::<Vec<_>>(), ["ipv6 ndp", "ipv6 syn 22"]);
    assert_eq!(run.not_matched(), run.not_run());
    assert_eq!(run.stdout.matches("\"this machine has no IPv6\"").count(), 2, "{}", run.stdout);

    let of_ipv6_only = [
        &["mutate", "both.toml"][..],
        &["scan", "--rules6", "rules", "-6"],
        &["exec", "--rules6", "rules", "--", "true"],
    ];
    for arguments in of_ipv6_only {
        let ended = desk.scanlab(arguments);
        assert_eq!(ended.status, Some(3), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("this machine has no IPv6 (hint: "), "{arguments:?}: {}", ended.stderr);
    }
}

/// A machine with an address and a route, and with `sshd_config` mounted over its SSH configuration.
const PI: &str = "set -e\nmkdir ssh; echo Port 32232 > ssh/sshd_config\nmount --bind ssh /etc/ssh\n\
                  ip link add eth0 type veth peer name cable\nip link set eth0 address 00:0c:29:4f:8e:35\n\
                  echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6\nip link set cable up; ip link set eth0 up\n\
                  ip address add 192.0.2.10/24 dev eth0; ip route add default via 192.0.2.1\n\
                  iptables-restore < rules.v4\nexec \"$@\"\n";

/// Found on a kernel with `ipv6.disable=1`: generated rules were blamed for dropping neighbour discovery, and for the
/// checks that did not run.
#[test]
fn before_a_deployment_no_rules_are_blamed_and_none_are_cleared() {
    let _machine = share_the_machine();
    let desk = Desk::new();
    let checked = desk.scanlab(&["check", "--sensor", "sensor.toml"]);
    assert_eq!(checked.status, Some(3), "{}{}", checked.stdout, checked.stderr);
    assert!(!checked.stdout.contains("\n1. "), "{}", checked.stdout);
    assert!(checked.stdout.starts_with("CANNOT TELL: "), "{}", checked.stdout);
    assert!(words(&checked.stdout).contains("checks did not run: this machine has no IPv6"), "{}", checked.stdout);

    // On the machine itself all is known: no client can come in over a missing family.
    assert_eq!(desk.scanlab(&["generate", "sensor.toml", "-o", "."]).status, Some(0));
    let pi = ["unshare", "--net", "--mount", "sh", "-c", PI, "sh"];
    let live = desk.by_way_of(&pi, &["check", "--sensor", "sensor.toml", "--live", "-v"]);
    assert_eq!(live.status, Some(0), "{}{}", live.stdout, live.stderr);
    assert!(live.stdout.starts_with("SAFE TO DEPLOY\n"), "{}", live.stdout);
    assert!(words(&live.stdout).contains("over IPv6: nothing, since this machine has no IPv6"), "{}", live.stdout);

    // A planted fault of IPv4 is found on such a machine, too.
    let rules = fs::read_to_string(desk.0.path().join("rules.v4")).expect("the rules");
    let closed = rules.replace("--dport 32232", "--dport 32233");
    assert_ne!(closed, rules);
    fs::write(desk.0.path().join("closed"), closed).expect("write the rules");
    let closed = desk.scanlab(&["check", "--sensor", "sensor.toml", "--rules", "closed"]);
    assert_eq!(closed.status, Some(1), "{}{}", closed.stdout, closed.stderr);
    assert!(words(&closed.stdout).contains("a new SSH connection to port 32232 gets no answer, over IPv4"));
}
