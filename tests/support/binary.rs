//! The built program, run as a user would: with arguments, returning exit status, report and messages.
//!
//! Every test here needs root and fails without it: a check that did not run is never green.

// `cases` uses only a part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

pub const HARDENED: &str = "scenarios/sensor-hardened.toml";

/// The sysctl that makes LOG rules of all namespaces print: the only setting of the machine that a run changes and
/// restores.
pub const NF_LOG_ALL_NETNS: &str = "/proc/sys/net/netfilter/nf_log_all_netns";

/// The result of a run.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    /// Standard error without the notices.
    pub stderr: String,
    /// The notices about waiting for the labs of other tests, which differ from run to run.
    pub notices: Vec<String>,
}

impl Ended {
    pub fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no report ({error}): {}", self.stderr))
    }

    /// The checks that are not as expected: `ipv4 xmas 80`, `ipv4 xmas 1 rate`, `ipv6 ndp`, `ipv4 tcp RST to 22`.
    pub fn not_matched(&self) -> BTreeSet<String> {
        self.names(|check| check["outcome"] != "matched")
    }

    /// The checks that did not run.
    pub fn not_run(&self) -> BTreeSet<String> {
        self.names(|check| check["outcome"] == "not-run")
    }

    /// The checks of packets that are no scan.
    pub fn packets(&self) -> BTreeSet<String> {
        self.names(|check| check["scan"] == "packet")
    }

    fn names(&self, is_meant: impl Fn(&Value) -> bool) -> BTreeSet<String> {
        let report = self.report();
        let scenarios = report["scenarios"].as_array().expect("scenarios");
        let checks = scenarios.iter().flat_map(|scenario| scenario["checks"].as_array().expect("checks"));
        checks.filter(|check| is_meant(check)).map(name).collect()
    }
}

fn name(check: &Value) -> String {
    let family = check["family"].as_str().map(str::to_owned);
    let subject = check["packet"].as_str().or(check["scan"].as_str()).map(str::to_owned);
    let port = check["port"].as_u64().map(|port| port.to_string());
    let rate = check.get("burst_of").map(|_| "rate".to_owned());
    let words: Vec<String> = [family, subject, port, rate].into_iter().flatten().collect();
    words.join(" ")
}

/// Builds `scanlab run --format json` with `arguments`, in the project's folder.
pub fn command<S: AsRef<str>>(arguments: &[S]) -> Command {
    let is_root = nix::unistd::geteuid().is_root();
    assert!(is_root, "this test asks the real kernel and needs root (hint: see .ci/setup tests)");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(["run", "--format", "json"]).args(arguments.iter().map(AsRef::as_ref));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run<S: AsRef<str>>(arguments: &[S]) -> Ended {
    ended(command(arguments).output().expect("the program starts"))
}

pub fn ended(output: std::process::Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let said = text(output.stderr);
    let (notices, lines): (Vec<&str>, Vec<&str>) = said.split_inclusive('\n').partition(|line| is_notice(line));
    let notices = notices.into_iter().map(str::to_owned).collect();
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: lines.concat(), notices }
}

/// Reports whether a line of stderr says that scanlab waits for the lab of another process, which depends on the moment.
pub fn is_notice(line: &str) -> bool {
    line.starts_with("waiting for the kernel log: ")
}

/// The text with `0.00 s` in place of every time, which differs from run to run, and no padding of a column of times; likewise
/// the attributes of JUnit.
pub fn without_times(text: &str) -> String {
    let time = regex::Regex::new(r"( {0,2}) *\b\d+\.\d\d s\b").expect("a pattern");
    let attribute = regex::Regex::new(r#" time="\d+\.\d{3}""#).expect("a pattern");
    attribute.replace_all(&time.replace_all(text, "${1}0.00 s"), r#" time="0.000""#).into_owned()
}

/// Runs a scenario with these files, the first of which is the scenario.
pub fn run_files(files: &[(&str, &str)], options: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("write the file");
    }
    let scenario = folder.path().join(files[0].0);
    run(&[&[scenario.to_str().expect("UTF-8")], options].concat())
}

/// Shares the machine with other tests until the result is dropped.
pub fn share_the_machine() -> Flock<File> {
    lock(FlockArg::LockShared)
}

/// Reserves the machine: for tests that disable its log, or that check all of its state. They are in a module `alone`,
/// which `.ci/tests` runs after all others.
pub fn have_the_machine_alone() -> Flock<File> {
    let thread = std::thread::current();
    // libtest names a test's thread after the test, but for the main thread, where a single test thread runs all.
    let is_alone = thread.name().is_none_or(|test| test == "main" || test.contains("alone::"));
    assert!(is_alone, "{thread:?} wants the machine alone outside of a module `alone`");
    lock(FlockArg::LockExclusive)
}

/// Locks the file that all test programs have in common.
fn lock(kind: FlockArg) -> Flock<File> {
    let program = File::open(Path::new(env!("CARGO_BIN_EXE_scanlab"))).expect("the program");
    Flock::lock(program, kind).map_err(|(_, error)| error).expect("a lock")
}
