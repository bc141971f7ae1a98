//! The machine is unchanged, however a run ends. Needs root.

mod kills;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::binary::{
    Ended, HARDENED, NF_LOG_ALL_NETNS, command, ended, have_the_machine_alone, run, run_files,
};
use crate::support::machine::{PATIENCE, assert_untouched, difference, machine};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Compares the state of the machine before and after `work`. The first run may load kernel modules.
fn untouched_by(work: impl FnOnce(&TempDir)) {
    let _machine = have_the_machine_alone();
    let private = tempfile::tempdir().expect("a folder");
    for flavour in ["nft", "legacy"] {
        let ended = run(&[HARDENED, "--iptables", flavour]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    }
    let before = machine(private.path());
    work(&private);
    assert_untouched(&before, private.path());
}

/// A run whose temporary files would be in `private`.
fn run_in(private: &TempDir, arguments: &[&str]) -> Ended {
    ended(command(arguments).env("TMPDIR", private.path()).output().expect("the program starts"))
}

#[test]
fn by_runs_that_end_well() {
    untouched_by(|private| {
        for flavour in ["nft", "legacy"] {
            assert_eq!(run_in(private, &[HARDENED, "--iptables", flavour]).status, Some(0));
        }
    });
}

#[test]
fn by_runs_that_end_in_an_error() {
    untouched_by(|private| {
        assert_eq!(run_in(private, &["scenarios/there-is-no-such.toml"]).status, Some(2));
        let scenario =
            "title = \"t\"\n[ruleset]\nv4 = \"r\"\n[[expect]]\nscan = \"syn\"\nports = 1\nstate = \"open\"\n";
        let refused = "*filter\n-A INPUT -p tcp -j NOWHERE\nCOMMIT\n";
        for flavour in ["nft", "legacy"] {
            let ended = run_files(&[("s.toml", scenario), ("r", refused)], &["--iptables", flavour]);
            assert_eq!(ended.status, Some(2), "{}", ended.stderr);
        }
    });
}

#[test]
fn by_runs_that_are_interrupted() {
    untouched_by(|private| {
        let mut moments = Moments(1);
        for signal in [Signal::SIGINT, Signal::SIGTERM].repeat(8) {
            let ended = signalled(private, signal, moments.next());
            let of_signal = ended.status.signal() == Some(signal as i32);
            // Before the program has its signal handlers, the kernel ends it; after its work it has its own status.
            let talk = String::from_utf8_lossy(&ended.stderr);
            assert!(of_signal || matches!(ended.status.code(), Some(0 | 3)), "{signal}: {} {talk}", ended.status);
        }
        if !is_given_back() {
            // A signal before the handlers are installed has the effect of `kill -9`.
            assert_eq!(run_in(private, &[HARDENED]).status, Some(0));
        }
    });
}

#[test]
fn by_runs_that_are_killed_once_another_has_run() {
    untouched_by(|private| {
        let mut moments = Moments(9);
        for _ in 0..40 {
            signalled(private, Signal::SIGKILL, moments.next());
        }
        assert_eq!(run_in(private, &[HARDENED]).status, Some(0));
        assert_given_back();
    });
}

/// The last lab resets the setting; it may belong to another test.
fn assert_given_back() {
    let deadline = Instant::now() + PATIENCE;
    while !is_given_back() {
        assert!(Instant::now() < deadline, "nobody gave {NF_LOG_ALL_NETNS} back");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_given_back() -> bool {
    fs::read_to_string(NF_LOG_ALL_NETNS).expect("a sysctl").trim() == "0"
}

fn signalled(private: &TempDir, signal: Signal, after: Duration) -> std::process::Output {
    let child = command(&[HARDENED]).env("TMPDIR", private.path()).spawn().expect("the program starts");
    thread::sleep(after);
    // If it has ended, it has not been waited for yet, so its PID is not reused.
    kill(Pid::from_raw(child.id() as i32), signal).expect("send the signal");
    child.wait_with_output().expect("it ends")
}

/// Times within the duration of a run, the same ones every time: a linear congruential generator (Knuth, MMIX).
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.within(250)
    }

    fn within(&mut self, milliseconds: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % milliseconds)
    }
}

/// The comparison of this file detects changes.
#[test]
fn leftovers_of_a_run_are_noticed() {
    let _machine = have_the_machine_alone();
    let private = tempfile::tempdir().expect("a folder");
    let before = machine(private.path());
    fs::write(private.path().join("left"), "").expect("write a file");
    let mut lab =
        Command::new("unshare").args(["--net", "cat"]).stdin(std::process::Stdio::piped()).spawn().expect("unshare");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = difference(&before, &machine(private.path()));
        let kinds: BTreeSet<&str> = found.iter().filter_map(|one| one.split(':').next()).collect();
        if kinds.is_superset(&BTreeSet::from(["namespaces", "temporary files"])) {
            break;
        }
        assert!(Instant::now() < deadline, "only {found:?} was noticed");
    }
    drop(lab.stdin.take());
    lab.wait().expect("it ends");
}

#[test]
fn every_kind_of_change_is_noticed() {
    thread::spawn(plant_each_kind_of_change).join().expect("each is noticed");
}

/// Plants changes of the machine in a network namespace, which this thread does not leave again.
fn plant_each_kind_of_change() {
    const PLANTED: [(&str, &str); 10] = [
        ("links", "ip link add left type veth peer name right"),
        ("addresses", "ip address add 192.0.2.1/24 dev lo"),
        ("routes", "ip route add 198.51.100.0/24 dev lo"),
        ("routes, IPv6", "ip -6 route add 2001:db8::/64 dev lo"),
        ("policy routing", "ip rule add from 192.0.2.1 lookup 100"),
        ("neighbours", "ip neighbour add 203.0.113.66 lladdr 02:00:5e:10:00:66 dev left"),
        ("iptables, nft", "iptables-nft -A INPUT -j ACCEPT"),
        ("ip6tables, legacy", "ip6tables-legacy -A INPUT -j ACCEPT"),
        ("nf_tables", "nft add table netdev left"),
        ("sysctls", "sh -c \"echo 1 > /proc/sys/net/ipv4/ip_forward\""),
    ];
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (hint: this test needs root)");
    let private = tempfile::tempdir().expect("a folder");
    let shell = |command: &str| {
        let ended = Command::new("sh").args(["-c", command]).env("XTABLES_LOCKFILE", "/dev/null").status();
        assert!(ended.expect("sh").success(), "{command}");
    };
    shell("ip link set lo up");
    for (kind, command) in PLANTED {
        let before = machine(private.path());
        shell(command);
        let found = difference(&before, &machine(private.path()));
        assert!(found.iter().any(|one| one.starts_with(&format!("{kind}: new: "))), "{command}: {found:?}");
    }
}

/// Found in review: only `run` reset the sysctl when it was interrupted.
#[test]
fn by_a_scan_that_is_told_to_stop() {
    untouched_by(|private| {
        let rules = ["--rules", "scenarios/own-ruleset.v4", "-sSNFXA", "-p-"];
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
            // A test that killed its run may have left the setting: earlier runs have reset it.
            assert_given_back();
            let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"))
                .arg("scan")
                .args(rules)
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .env("TMPDIR", private.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("scanlab starts");
            let deadline = Instant::now() + PATIENCE;
            while is_given_back() {
                assert!(Instant::now() < deadline, "the scan never asked for the kernel's log");
                thread::yield_now();
            }
            kill(Pid::from_raw(scan.id() as i32), signal).expect("the scan still runs");
            assert_eq!(scan.wait().expect("scanlab ends").code(), Some(3), "{signal}");
            assert!(is_given_back(), "{signal}");
        }
    });
}
