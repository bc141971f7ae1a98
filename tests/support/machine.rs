//! The state of the machine, as far as a lab could change it, before and after a run, and the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The state that a run could change, by kind.
pub type Machine = BTreeMap<&'static str, BTreeSet<String>>;

/// Namespaces of these kinds are created for a lab, see namespaces(7).
const NAMESPACES: [&str; 4] = ["net", "pid", "user", "mnt"];

/// Programs that run in or for a lab; there are several of iptables.
const PROGRAMS: [&str; 5] = ["scanlab", "iptables", "ip6tables", "xtables", "nmap"];

/// The state of the machine. `private` is the folder for temporary files of the runs.
pub fn machine(private: &Path) -> Machine {
    BTreeMap::from([
        ("links", links()),
        ("addresses", printed(&["ip", "-o", "address"])),
        ("routes", printed(&["ip", "-4", "route", "show", "table", "all"])),
        ("routes, IPv6", printed(&["ip", "-6", "route", "show", "table", "all"])),
        ("policy routing", printed(&["ip", "rule"])),
        ("neighbours", neighbours()),
        ("iptables, nft", printed(&["iptables-nft-save"])),
        ("ip6tables, nft", printed(&["ip6tables-nft-save"])),
        ("iptables, legacy", printed(&["iptables-legacy-save"])),
        ("ip6tables, legacy", printed(&["ip6tables-legacy-save"])),
        ("nf_tables", printed(&["nft", "list", "ruleset"])),
        ("flows", flows()),
        ("sysctls", sysctls()),
        ("/run", names(Path::new("/run"))),
        ("/var/run", names(Path::new("/var/run"))),
        ("/run/lock", names(Path::new("/run/lock"))),
        ("/run/netns", names(Path::new("/run/netns"))),
        ("/dev/shm", names(Path::new("/dev/shm"))),
        ("/tmp", names_of_programs(Path::new("/tmp"))),
        ("/var/tmp", names_of_programs(Path::new("/var/tmp"))),
        ("temporary files", names(private)),
        ("mounts of namespaces", mounts_of_namespaces()),
        ("namespaces", of_processes(namespaces)),
        ("processes", of_processes(|thread| Vec::from_iter(lab_process(thread)))),
    ])
}

fn links() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").expect("procfs");
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// The output of a program about the machine, without the time of day, counters, and remaining lifetimes.
fn printed(command: &[&str]) -> BTreeSet<String> {
    let output = Command::new(command[0]).args(&command[1..]).env("XTABLES_LOCKFILE", "/dev/null").output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error} (hint: see .ci/setup tests)"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lasting = text.lines().filter(|line| !line.starts_with('#')).map(without_what_runs);
    // The same rule may occur twice: each line has its number.
    lasting.enumerate().map(|(number, line)| format!("{number}: {line}")).collect()
}

fn without_what_runs(line: &str) -> String {
    let words: Vec<&str> = line.split(" [").next().unwrap_or(line).split_whitespace().collect();
    let is_left_out = |at: usize| {
        let runs = ["expires", "valid_lft", "preferred_lft", "packets", "bytes"];
        runs.contains(&words[at]) || (at > 0 && runs.contains(&words[at - 1]))
    };
    (0..words.len()).filter(|at| !is_left_out(*at)).map(|at| words[at]).collect::<Vec<_>>().join(" ")
}

/// True for the addresses of a lab, which no other network has (RFC 5737, RFC 3849).
fn is_of_a_lab(line: &str) -> bool {
    // In full, as in /proc/net/nf_conntrack, and short.
    ["203.0.113.", "2001:db8:113:", "2001:0db8:0113:"].iter().any(|address| line.contains(address))
}

/// Neighbours of the machine come and go; only those with addresses of a lab are listed.
fn neighbours() -> BTreeSet<String> {
    printed(&["ip", "neighbour"]).into_iter().filter(|line| is_of_a_lab(line)).collect()
}

/// Flows of conntrack with addresses of a lab; the file exists unless the kernel was built without it.
fn flows() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap_or_default();
    table.lines().filter(|line| is_of_a_lab(line)).map(str::to_owned).collect()
}

/// Values that change on an idle machine.
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
                // Some sysctls can only be written.
                found.extend(fs::read_to_string(&path).map(|value| format!("{} = {}", path.display(), value.trim())));
            }
        }
    }
    found
}

/// The names in a folder.
pub fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The names of files of these programs in a folder that all users share.
fn names_of_programs(folder: &Path) -> BTreeSet<String> {
    let is_of_a_program = |name: &String| PROGRAMS.iter().any(|program| name.contains(program));
    names(folder).into_iter().filter(is_of_a_program).collect()
}

/// The mounts of namespaces: such a namespace outlives its processes (ip-netns(8)).
fn mounts_of_namespaces() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    mounts.lines().filter(|line| line.contains(" nsfs ")).map(str::to_owned).collect()
}

/// The results of `ask` for every process of the machine, and for each of its threads.
fn of_processes(ask: impl Fn(&Path) -> Vec<String>) -> BTreeSet<String> {
    let is_number = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok());
    let folder = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let processes = folder(Path::new("/proc")).filter(|path| is_number(path));
    let threads: Vec<PathBuf> = processes.flat_map(|process| folder(&process.join("task"))).collect();
    threads.iter().flat_map(|thread| ask(thread)).collect()
}

fn namespaces(thread: &Path) -> Vec<String> {
    let link = |kind: &&str| Some(fs::read_link(thread.join("ns").join(kind)).ok()?.display().to_string());
    NAMESPACES.iter().filter_map(link).collect()
}

fn lab_process(thread: &Path) -> Option<String> {
    let name = fs::read_to_string(thread.join("comm")).ok()?;
    // A test's thread may have a name that begins like a program's.
    let is_ours = |ours: &&str| name.trim() == *ours || (ours.contains("tables") && name.starts_with(*ours));
    PROGRAMS.iter().any(is_ours).then(|| format!("{} {}", thread.display(), name.trim()))
}

/// The time after which a difference counts. Other programs come and go; what a run has left or removed does not change
/// back.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn assert_untouched(before: &Machine, private: &Path) {
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

pub fn difference(before: &Machine, after: &Machine) -> BTreeSet<String> {
    let of_kind = |kind: &&'static str| {
        let (before, after, kind) = (&before[kind], &after[kind], *kind);
        let new = after.difference(before).map(move |one| format!("{kind}: new: {one}"));
        let comes_and_goes = ["namespaces", "processes"].contains(&kind);
        let gone = before.difference(after).filter(move |_| !comes_and_goes);
        new.chain(gone.map(move |one| format!("{kind}: gone: {one}"))).collect::<Vec<_>>()
    };
    before.keys().flat_map(of_kind).collect()
}
