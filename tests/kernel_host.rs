//! The machine is untouched, however a run ends. Needs root.

#[path = "support/binary.rs"]
mod binary;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use binary::{Ended, HARDENED, NF_LOG_ALL_NETNS, command, ended, have_the_machine_alone, run, run_files};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// What a run could leave on the machine, by kind.
type Machine = BTreeMap<&'static str, BTreeSet<String>>;

fn machine(private: &Path) -> Machine {
    let saved = |program| BTreeSet::from([saved(program)]);
    BTreeMap::from([
        ("links", links()),
        ("iptables, nft", saved("iptables-nft-save")),
        ("ip6tables, nft", saved("ip6tables-nft-save")),
        ("iptables, legacy", saved("iptables-legacy-save")),
        ("ip6tables, legacy", saved("ip6tables-legacy-save")),
        ("sysctls", sysctls()),
        ("/run", names(Path::new("/run"))),
        ("/var/run", names(Path::new("/var/run"))),
        ("/run/lock", names(Path::new("/run/lock"))),
        ("temporary files", names(private)),
        ("namespaces", of_processes(|process| Some(fs::read_link(process.join("ns/net")).ok()?.display().to_string()))),
        ("processes", of_processes(lab_process)),
    ])
}

fn links() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/net/dev").expect("procfs");
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// The rules, without their counters and the time of day.
fn saved(program: &str) -> String {
    let output = Command::new(program).env("XTABLES_LOCKFILE", "/dev/null").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error} (hint: see .ci/setup)"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rules = text.lines().filter(|line| !line.starts_with('#'));
    rules.map(|line| line.split(" [").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Values that change on a machine that nobody touches.
const VOLATILE: [&str; 2] = ["nf_conntrack_count", "netdev_rss_key"];

fn sysctls() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new("/proc/sys/net").to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !VOLATILE.iter().any(|name| path.ends_with(name)) {
                // Some can only be written.
                found.extend(fs::read_to_string(&path).map(|value| format!("{} = {}", path.display(), value.trim())));
            }
        }
    }
    found
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What `ask` says of every process of the machine, and of every thread of it.
fn of_processes(ask: impl Fn(&Path) -> Option<String>) -> BTreeSet<String> {
    let is_number = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok());
    let folder = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let processes = folder(Path::new("/proc")).filter(|path| is_number(path));
    processes.flat_map(|process| folder(&process.join("task"))).filter_map(|thread| ask(&thread)).collect()
}

fn lab_process(thread: &Path) -> Option<String> {
    let name = fs::read_to_string(thread.join("comm")).ok()?;
    let is_ours = ["scanlab", "iptables", "ip6tables", "xtables"].iter().any(|ours| name.starts_with(ours));
    is_ours.then(|| format!("{} {}", thread.display(), name.trim()))
}

/// Other programs of the machine come and go; what a run has left behind stays. And what it has taken stays away.
const PATIENCE: Duration = Duration::from_secs(20);

fn assert_untouched(before: &Machine, private: &Path) {
    let first = machine(private);
    let deadline = Instant::now() + PATIENCE;
    let mut left = difference(before, &first);
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "not as it was before: {left:#?}");
        thread::sleep(Duration::from_millis(50));
        let still = difference(before, &machine(private));
        left.retain(|one| still.contains(one));
    }
}

fn difference(before: &Machine, after: &Machine) -> BTreeSet<String> {
    let of_kind = |kind: &&'static str| {
        let (before, after, kind) = (&before[kind], &after[kind], *kind);
        let new = after.difference(before).map(move |one| format!("{kind}: new: {one}"));
        let comes_and_goes = ["namespaces", "processes"].contains(&kind);
        let gone = before.difference(after).filter(move |_| !comes_and_goes);
        new.chain(gone.map(move |one| format!("{kind}: gone: {one}"))).collect::<Vec<_>>()
    };
    before.keys().flat_map(of_kind).collect()
}

/// Takes the machine's picture, lets `work` happen, and compares. The first run may load kernel modules.
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

/// A run whose temporary files would go to `private`.
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
            // Before the program watches for signals, the kernel ends it; after its work it has its own status.
            let talk = String::from_utf8_lossy(&ended.stderr);
            assert!(of_signal || matches!(ended.status.code(), Some(0 | 3)), "{signal}: {} {talk}", ended.status);
        }
        let sysctl = fs::read_to_string(NF_LOG_ALL_NETNS).expect("a sysctl");
        if sysctl.trim() != "0" {
            // A signal in the first moments, before anybody watched for it, is like a `kill -9`.
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
        assert_eq!(fs::read_to_string(NF_LOG_ALL_NETNS).expect("a sysctl").trim(), "0");
    });
}

fn signalled(private: &TempDir, signal: Signal, after: Duration) -> std::process::Output {
    let child = command(&[HARDENED]).env("TMPDIR", private.path()).spawn().expect("the program starts");
    thread::sleep(after);
    // It may have ended; it is not waited for yet, so the number is still its own.
    kill(Pid::from_raw(child.id() as i32), signal).expect("send the signal");
    child.wait_with_output().expect("it ends")
}

/// Moments within the time that a run takes, the same ones every time: a linear congruential generator (Knuth, MMIX).
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % 250)
    }
}

/// The instrument of this file sees what it is there to see.
#[test]
fn what_is_left_behind_is_noticed() {
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

/// Found in review: only `run` gave the sysctl back when it was told to stop.
#[test]
fn by_a_scan_that_is_told_to_stop() {
    let _machine = have_the_machine_alone();
    let sysctl = || fs::read_to_string(NF_LOG_ALL_NETNS).expect("the sysctl is there");
    let before = sysctl();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"))
            .args(["scan", "--rules", "scenarios/own-ruleset.v4", "-sSNFXA", "-p-"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("scanlab starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while sysctl() == before && Instant::now() < deadline {
            thread::yield_now();
        }
        kill(Pid::from_raw(scan.id() as i32), signal).expect("the scan still runs");
        assert_eq!(scan.wait().expect("scanlab ends").code(), Some(3), "{signal}");
        assert_eq!(sysctl(), before, "{signal}");
    }
}
