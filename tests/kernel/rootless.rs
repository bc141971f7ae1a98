//! An ordinary user has the same results as root, except for the kernel's own log: the same report, the same statuses,
//! and clear errors for obstacles. Needs root, to become that user.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::binary::{Ended, ended, have_the_machine_alone, share_the_machine};
use crate::support::ordinary::{Home, KILLED, STARVED, Tun, USER};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const RULES: &str = "\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -m limit --limit 5/min -j LOG --log-prefix \"web: \"
COMMIT
";

const SCENARIO: &str = "\
title = \"port 22 is served, port 80 is logged\"
[ruleset]
v4 = \"rules.v4\"
[host]
listen = [22]
[[expect]]
scan = \"syn\"
ports = 22
family = \"ipv4\"
state = \"open\"
log = \"\"
[[expect]]
scan = \"syn\"
ports = 80
family = \"ipv4\"
state = \"filtered\"
log = \"web: \"
";

const SENSOR: &str =
    "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nwatched = { HTTP = 80 }\nscans = [\"xmas\", \"syn\"]\n";

fn home() -> Home {
    Home::new(USER, &[("rules.v4", RULES), ("s.toml", SCENARIO), ("sensor.toml", SENSOR)])
}

fn run(mut command: Command) -> Ended {
    ended(command.output().expect("the program starts"))
}

/// The report without its environment, which must contain the capture.
fn measured(ended: &Ended) -> Value {
    let mut report = ended.report();
    let environment = report["environment"].take();
    assert_eq!(environment["capture"], "nflog", "{environment}");
    report
}

/// The user gives no option, root selects the same capture; both get the same.
fn same_as_root(home: &Home, arguments: &[&str], status: i32) {
    let user = run(home.as_user(Tun::ForEverybody, arguments));
    assert_eq!((user.status, &*user.stderr), (Some(status), ""), "{arguments:?}");
    let root = run(home.as_root(&[arguments, &["--capture", "nflog"]].concat()));
    assert_eq!(root.status, Some(status), "{arguments:?}: {}", root.stderr);
    assert!(measured(&user) == measured(&root), "{arguments:?}: the reports differ");
}

#[test]
fn the_built_in_scenarios_find_what_root_finds() {
    let _machine = share_the_machine();
    for flavour in ["nft", "legacy"] {
        same_as_root(&home(), &["demo", "--format", "json", "--iptables", flavour], 0);
    }
}

#[test]
fn a_scan_sees_what_root_sees() {
    let _machine = share_the_machine();
    let scan = ["scan", "--rules", "rules.v4", "--listen", "22", "-sSNFXAT", "--format", "json", "--iptables"];
    for flavour in ["nft", "legacy"] {
        same_as_root(&home(), &[&scan[..], &[flavour]].concat(), 0);
    }
    same_as_root(&home(), &[&scan[..], &["nft", "--trace"]].concat(), 0);
}

/// A confined tool of an ordinary user scans as one of root does, and cannot change the user's files.
#[test]
fn a_tool_is_confined_for_an_ordinary_user() {
    let home = home();
    let script = "nmap -n -Pn -sS -p 22 203.0.113.10; echo > s.toml; cat s.toml; grep ^CapEff /proc/self/status";
    let words = ["exec", "--rules", "rules.v4", "--listen", "22", "--", "sh", "-c", script];
    let ended = run(home.as_user(Tun::ForEverybody, &words));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("22/tcp open"), "{}", ended.stdout);
    assert!(ended.stdout.contains("[[expect]]") && ended.stdout.contains("0000000000002000"), "{}", ended.stdout);
    assert_eq!(ended.stderr.matches("Read-only file system").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_check_finds_what_root_finds() {
    let _machine = share_the_machine();
    same_as_root(&home(), &["check", "--sensor", "sensor.toml", "--format", "json"], 0);
    // The rules are not those that this sensor intends.
    same_as_root(&home(), &["check", "--sensor", "sensor.toml", "--rules", "rules.v4", "--format", "json"], 1);
}

#[test]
fn mutants_end_as_they_do_for_root() {
    let _machine = share_the_machine();
    same_as_root(&home(), &["mutate", "s.toml", "--min-score", "50", "--format", "json"], 0);
}

#[test]
fn a_ruleset_that_is_refused_is_an_input_error() {
    let _machine = share_the_machine();
    let home = Home::new(USER, &[("rules.v4", "*filter\n-A INPUT -p tcp -j NOWHERE\nCOMMIT\n")]);
    for flavour in ["nft", "legacy"] {
        let ended = run(home.as_user(Tun::ForEverybody, &["scan", "--rules", "rules.v4", "--iptables", flavour]));
        assert_eq!(ended.status, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("rules.v4:2"), "{}", ended.stderr);
    }
}

/// The errors for a user if the TUN device, user namespaces or the kernel's own log are not available.
#[test]
fn obstacles_of_an_ordinary_user_are_named() {
    let _machine = share_the_machine();
    let home = home();
    let commands = [&["demo"][..], &["scan", "--rules", "rules.v4"], &["selftest"]];
    let mut said = String::new();
    let mut hear = |where_: &str, arguments: &[&str], ended: Ended| {
        assert_eq!((ended.status, &*ended.stdout), (Some(3), ""), "{where_}: {arguments:?}: {}", ended.stderr);
        said.push_str(&format!("{where_}: scanlab {}\n{}\n", arguments.join(" "), ended.stderr));
    };
    for arguments in commands {
        hear("TUN device for root", arguments, run(home.as_user(Tun::ForRoot, arguments)));
        hear("no TUN device", arguments, run(home.as_user(Tun::Missing, arguments)));
        hear("no user namespaces", arguments, ended(home.as_user_without_user_namespaces(arguments)));
    }
    let kmsg = ["demo", "--capture", "kmsg"];
    hear("kmsg is asked for", &kmsg, run(home.as_user(Tun::ForEverybody, &kmsg)));
    insta::assert_snapshot!(said);
}

/// Found with a limit: without a thread tokio panicked (exit status 101), or waited for ever.
#[test]
fn too_few_processes_are_an_error() {
    let _machine = share_the_machine();
    for limit in [1, 2, 3, 5] {
        // The limit counts all processes of the user, also those of a scanlab before that the kernel has not ended yet.
        let home = Home::new(STARVED + limit, &[("rules.v4", RULES)]);
        let command = home.as_user(Tun::ForEverybody, &["scan", "--rules", "rules.v4", "-p", "22"]);
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--nproc={limit}")).arg(command.get_program()).args(command.get_args());
        let ended = run(home.at_home(limited));
        assert!(matches!(ended.status, Some(0 | 3)), "{limit}: {:?}: {}", ended.status, ended.stderr);
        assert!(ended.status == Some(0) || ended.stderr.contains("Resource temporarily"), "{limit}: {}", ended.stderr);
    }
}

#[test]
fn doctor_tells_an_ordinary_user_what_is_missing() {
    let _machine = share_the_machine();
    let home = home();
    let mut said = String::new();
    let mut hear = |what: &str, ended: Ended, status: i32| {
        assert_eq!((ended.status, &*ended.stderr), (Some(status), ""), "{what}: {}", ended.stdout);
        said.push_str(&format!("{what}:\n{}\n", ended.stdout));
    };
    hear("able", run(home.as_user(Tun::ForEverybody, &["doctor"])), 0);
    hear("TUN device for root", run(home.as_user(Tun::ForRoot, &["doctor"])), 3);
    hear("no TUN device", run(home.as_user(Tun::Missing, &["doctor"])), 3);
    hear("no user namespaces", ended(home.as_user_without_user_namespaces(&["doctor"])), 3);
    insta::with_settings!({filters => vec![
        (r"on Linux \S+", "on Linux RELEASE"),
        (r"ok       \d+\.\d+\.\d+ \((\w+)\)", "ok       VERSION ($1)"),
        // The machine's own device may be open to all users or not.
        (r"(?s)(no user namespaces:.*?TUN device\s+)[^\n]*", "${1}AS IT IS"),
    ]}, { insta::assert_snapshot!(said) });
}

/// `doctor` fails if something is missing that the default needs. The machine's /usr/sbin is not changed: root has
/// copies of the programs in a mount namespace.
#[test]
fn doctor_ends_with_3_where_it_names_something_missing_that_the_default_needs() {
    let _machine = share_the_machine();
    let home = home();
    let hide = |program: &str| {
        format!("cp -a /usr/sbin/*tables* sbin && rm sbin/{program} && mount --bind sbin /usr/sbin && exec \"$@\"")
    };
    let drop = |capability: &str| format!("exec setpriv --bounding-set=-{capability} --inh-caps=-{capability} \"$@\"");
    for (what, set_up, status) in [
        ("iptables (default)", hide("iptables-restore"), 3),
        ("iptables (default)", hide("ip6tables-restore"), 3),
        ("iptables-legacy", hide("iptables-legacy-restore"), 0),
        ("TUN device", "mount -t tmpfs none /dev/net && exec \"$@\"".to_owned(), 3),
        ("privilege", drop("net_admin"), 3),
        ("privilege", drop("net_raw"), 3),
    ] {
        let mut command = Command::new("unshare");
        let script = format!("rm -rf sbin && mkdir sbin && {set_up}");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(home.program()).arg("doctor");
        let ended = run(home.at_home(command));
        assert_eq!((ended.status, &*ended.stderr), (Some(status), ""), "{what}: {}", ended.stdout);
        let is_missing =
            |line: &str| line.strip_prefix(what).is_some_and(|rest| rest.trim_start().starts_with("missing"));
        assert!(ended.stdout.lines().any(is_missing), "{what}: {}", ended.stdout);
    }
}

/// A lock of another user on a file that every user may open would stop the lab.
#[test]
fn a_lock_of_another_user_does_not_block_a_legacy_lab() {
    let _machine = share_the_machine();
    let home = home();
    let lock =
        |path| Flock::lock(File::open(path).expect("a file"), FlockArg::LockExclusive).map_err(|(_, error)| error);
    let _locks = ["/dev/null", "/dev/net/tun"].map(|path| lock(path).expect("a lock"));
    let scan = ["scan", "--rules", "rules.v4", "--iptables", "legacy"];
    for command in [home.as_user(Tun::ForEverybody, &scan), home.as_root(&scan)] {
        let start = Instant::now();
        let ended = run(command);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(start.elapsed() < Duration::from_secs(30), "it waited");
    }
}

#[test]
fn a_kill_leaves_nothing() {
    let _machine = share_the_machine();
    let home = Home::new(KILLED, &[]);
    fs::create_dir(home.path().join("tmp")).expect("a folder");
    let hardened = ["demo", "--format", "json"];
    for moment in (0..16).map(|step| Duration::from_millis(step * 40)) {
        let mut child = home.as_user(Tun::ForEverybody, &hardened).spawn().expect("the program starts");
        wait_for("the user's process", || !processes_of_the_user().is_empty());
        thread::sleep(moment);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).expect("it is not waited for yet");
        child.wait().expect("it ends");
        // Namespaces last as long as processes and their files; iptables-restore ends by itself.
        wait_for("the user's processes to be gone", || processes_of_the_user().is_empty());
    }
    let left: Vec<_> = fs::read_dir(home.path().join("tmp")).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The real user of each process, as this namespace numbers them.
fn processes_of_the_user() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").expect("procfs").flatten().map(|entry| entry.path());
    let is_the_users = |status: &str| {
        let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
        let is_alive = !status.contains("State:\tZ");
        is_alive && user.split_ascii_whitespace().next() == Some(&KILLED.to_string())
    };
    let of_user =
        processes.filter(|path| fs::read_to_string(path.join("status")).is_ok_and(|status| is_the_users(&status)));
    of_user.map(|path| path.display().to_string()).collect()
}

mod alone {
    use super::*;

    #[test]
    fn the_instrument_notices_its_faults() {
        let _machine = have_the_machine_alone();
        let arguments = ["selftest", "--format", "json"];
        let user = run(home().as_user(Tun::ForEverybody, &arguments));
        let root = run(home().as_root(&[&arguments[..], &["--capture", "nflog"]].concat()));
        let outcomes = |ended: &Ended| {
            let faults = measured(ended)["faults"].as_array().expect("faults").clone();
            faults.iter().map(|row| (row["fault"].clone(), row["outcome"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(outcomes(&user), outcomes(&root), "{} {}", user.stdout, user.stderr);
        assert_eq!(user.status, root.status);
    }
}
