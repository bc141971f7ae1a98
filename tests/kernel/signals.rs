//! SIGINT, SIGTERM and SIGHUP end every command within a second, in every state, with status 3 and one line that names
//! the signal; a second one ends it immediately. Needs root.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{PipeReader, Read, pipe};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::support::binary::{have_the_machine_alone, share_the_machine};

/// The time limit after a signal.
const LIMIT: Duration = Duration::from_secs(4);

const RULES: &str = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";
const SENSOR: &str = "[sensor]\nssh = 22\n";
const SCENARIO: &str = "title = \"x\"\n[ruleset]\nv4 = \"rules.v4\"\n[[expect]]\nscan = \"syn\"\nports = 22\nstate = \"closed\"\nfamily = \"ipv4\"\n";

/// A folder with the files for the commands.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("rules.v4", RULES), ("sensor.toml", SENSOR), ("s.toml", SCENARIO)] {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        mkfifo(&folder.path().join("fifo"), Mode::S_IRWXU).expect("a FIFO");
        Home(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        command.args(words.split(' ')).current_dir(self.path());
        command
    }

    /// Programs with these names, first in the PATH, that ignore everything and never end.
    fn hanging(&self, names: &[&str]) -> PathBuf {
        let folder = self.path().join("bin");
        fs::create_dir_all(&folder).expect("a folder");
        for name in names {
            let path = folder.join(name);
            fs::write(&path, "#!/bin/sh\ntrap '' TERM INT HUP\nexec sleep 8\n").expect("a program");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        folder
    }
}

/// A command whose standard input stays open; its output is read only after it has ended.
struct Running {
    child: Child,
    words: String,
    said: PipeReader,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let words = format!("{command:?}");
        let (said, errors) = pipe().expect("a pipe");
        if command.get_envs().all(|(name, _)| name != "FULL") {
            command.stdout(Stdio::null());
        }
        let child = command.stdin(Stdio::piped()).stderr(errors).spawn().expect("it starts");
        command.stderr(Stdio::null());
        Running { child, words, said }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("it can be signalled");
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_none()
    }

    /// Its exit status, within the limit, and its output.
    fn end(mut self) -> (std::process::ExitStatus, String) {
        let start = Instant::now();
        while self.is_running() {
            if start.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("{} goes on", self.words);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it has ended"), said)
    }
}

/// Starts the command, waits, and sends the signal: it must still run then, unless it may have ended.
fn interrupted(command: &mut Command, wait: u64, signal: Signal) {
    let mut running = Running::start(command);
    thread::sleep(Duration::from_millis(wait));
    assert!(running.is_running(), "{} has ended before the signal", running.words);
    let words = running.words.clone();
    running.signal(signal);
    let (status, said) = running.end();
    let wanted = format!("error: could not measure: interrupted by {signal}: the run is not complete");
    assert_eq!((status.code(), said.trim_end().lines().last()), (Some(3), Some(&*wanted)), "{words}: {said}");
    assert!(!said.contains("panicked") && said.matches("interrupted").count() == 1, "{words}: {said}");
}

const EACH: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

#[test]
fn reading_standard_input_or_a_fifo_ends() {
    let _shared = share_the_machine();
    let home = Home::new();
    for (words, signal) in [
        "scan --rules -",
        "exec --rules - -- true",
        "record --rules fifo",
        "check --sensor sensor.toml --rules fifo",
        "scan --rules fifo",
        "check --sensor fifo",
        "run fifo",
        "generate fifo",
        "mutate fifo",
        "diff fifo rules.v4",
        "teach syn --rules fifo",
        "vendor b8:27:eb:12:34:56 --oui-file fifo",
        "run s.toml --report json=fifo",
        "run s.toml --pcap fifo",
    ]
    .into_iter()
    .zip(EACH.into_iter().cycle())
    {
        interrupted(&mut home.command(words), 400, signal);
    }
}

#[test]
fn a_long_write_ends() {
    let _shared = share_the_machine();
    let home = Home::new();
    for (words, wait) in [("man", 400), ("schema result", 400), ("scan --rules rules.v4 --format json", 3000)] {
        let (reader, writer) = pipe().expect("a pipe");
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).expect("a small pipe");
        fill(&writer);
        let mut command = home.command(words);
        command.env("FULL", "1").stdout(writer);
        interrupted(&mut command, wait, Signal::SIGTERM);
        drop(reader);
    }
}

/// Fills the pipe.
fn fill(mut writer: &std::io::PipeWriter) {
    use std::io::Write;
    writer.write_all(&[b' '; 4096]).expect("room for a page");
}

#[test]
fn programs_that_hang_do_not_keep_a_command() {
    let _shared = share_the_machine();
    let home = Home::new();
    let names = ["iptables-nft-restore", "ip6tables-nft-restore", "iptables-restore", "ip6tables-restore"];
    let path = format!("{}:{}", home.hanging(&names).display(), std::env::var("PATH").expect("a PATH"));
    for words in ["scan --rules rules.v4", "run s.toml", "doctor", "diff rules.v4 rules.v4", "record --rules rules.v4"]
    {
        let running = Running::start(home.command(words).env("PATH", &path));
        thread::sleep(Duration::from_millis(500));
        running.signal(Signal::SIGTERM);
        let (status, said) = running.end();
        assert_eq!(status.code(), Some(3), "{words}: {said}");
        assert!(!said.contains("panicked"), "{words}: {said}");
    }
}

#[test]
fn a_tool_that_ignores_signals_does_not_keep_exec() {
    let _shared = share_the_machine();
    let home = Home::new();
    for signal in EACH {
        let mut command = home.command("exec --rules rules.v4 -- sh -c");
        command.arg("trap '' TERM INT HUP; sleep 20 & sleep 20");
        interrupted(&mut command, 1500, signal);
    }
}

/// Holds the lock of the kernel log, and keeps another run from removing its folder.
fn hold_the_kernel_log() -> [Flock<File>; 2] {
    let folder = Path::new("/run/scanlab");
    let lock = |file: File, how| Flock::lock(file, how).map_err(|(_, error)| error).expect("a lock");
    loop {
        let _ = DirBuilder::new().mode(0o700).create(folder);
        let Ok(file) = File::open(folder) else { continue };
        let kept = lock(file, FlockArg::LockShared);
        let name = folder.join("kernel-log");
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&name);
        // The folder was removed before it was locked.
        let Ok(log) = opened else { continue };
        return [kept, lock(log, FlockArg::LockExclusive)];
    }
}

#[test]
fn the_turn_of_the_kernel_log_is_not_waited_for() {
    let _shared = share_the_machine();
    let home = Home::new();
    let turn = hold_the_kernel_log();
    interrupted(&mut home.command("scan --rules rules.v4 --capture kmsg"), 800, Signal::SIGTERM);
    drop(turn);
}

#[test]
fn every_command_ends_at_whatever_moment_and_without_a_panic() {
    let _shared = share_the_machine();
    let home = Home::new();
    for words in [
        "run s.toml",
        "demo",
        "check --sensor sensor.toml",
        "mutate s.toml",
        "record --rules rules.v4",
        "diff rules.v4 rules.v4",
        "scan --rules rules.v4 -p-",
        "selftest",
        "doctor",
        "teach all",
        "exec --rules rules.v4 -- sleep 5",
    ] {
        for (wait, signal) in [5, 60, 250, 700].into_iter().zip(EACH.into_iter().cycle()) {
            let mut running = Running::start(&mut home.command(words));
            thread::sleep(Duration::from_millis(wait));
            if running.is_running() {
                running.signal(signal);
            }
            let words = format!("{words} after {wait} ms");
            let (status, said) = running.end();
            assert!(!said.contains("panicked"), "{words}: {said}");
            let is_of_the_signal = said.contains(&format!("interrupted by {signal}"));
            // Before `main` the signal has its default effect.
            let is_early = wait == 5 && status.signal() == Some(signal as i32);
            assert!(!is_of_the_signal || status.code() == Some(3) || is_early, "{words}: {said}");
            assert!(is_early || status.code().is_some(), "{words}: {status}: {said}");
        }
    }
}

/// `net.netfilter.nf_log_all_netns`, once other runs on this machine have released it.
fn setting() -> i32 {
    let read = || fs::read_to_string("/proc/sys/net/netfilter/nf_log_all_netns").expect("it is there");
    let is_free = || {
        let file = File::open("/proc/sys/net/netfilter/nf_log_all_netns").expect("it is there");
        Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
    };
    let start = Instant::now();
    while read().trim() != "0" && !is_free() && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(20));
    }
    read().trim().parse().expect("a number")
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let _shared = share_the_machine();
    let home = Home::new();
    let running = Running::start(&mut home.command("scan --rules -"));
    thread::sleep(Duration::from_millis(400));
    running.signal(Signal::SIGTERM);
    thread::sleep(Duration::from_millis(300));
    running.signal(Signal::SIGINT);
    let (status, _) = running.end();
    assert_eq!(status.code(), Some(128 + Signal::SIGINT as i32));
}

/// timeout(1) signals the process, and its group immediately afterwards.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let _shared = share_the_machine();
    let home = Home::new();
    let running = Running::start(&mut home.command("scan --rules -"));
    thread::sleep(Duration::from_millis(400));
    running.signal(Signal::SIGTERM);
    thread::sleep(Duration::from_millis(5));
    running.signal(Signal::SIGTERM);
    let (status, said) = running.end();
    assert_eq!((status.code(), said.contains("interrupted by SIGTERM")), (Some(3), true), "{said}");
}

mod alone {
    use super::*;

    /// The tests of the other modules have ended then, and so have all interrupted runs.
    #[test]
    fn the_setting_of_the_machine_is_given_back_by_all_runs() {
        let _machine = have_the_machine_alone();
        assert_eq!(setting(), 0);
    }

    /// The deadline of the process restores what its labs could not.
    #[test]
    fn a_lab_that_does_not_end_gives_back_the_setting() {
        let _shared = have_the_machine_alone();
        let home = Home::new();
        let turn = hold_the_kernel_log();
        let running = Running::start(&mut home.command("scan --rules rules.v4 --capture kmsg"));
        thread::sleep(Duration::from_millis(800));
        assert_ne!(fs::read_to_string("/proc/sys/net/netfilter/nf_log_all_netns").expect("it is there").trim(), "0");
        running.signal(Signal::SIGTERM);
        assert_eq!(running.end().0.code(), Some(3));
        drop(turn);
        assert_eq!(setting(), 0);
    }
}
