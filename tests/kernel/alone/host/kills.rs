//! Eight commands of every kind at once, killed at random times: nothing is left of them, and the output of those that
//! were not killed is the same as alone.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Moments, assert_given_back, run_in, untouched_by};
use crate::support::binary::{HARDENED, is_notice};
use crate::support::machine::names;
use crate::support::ordinary::{Home, KILLED, Tun};
use nix::sys::signal::Signal;

/// The number of commands at a time, and of kills in all.
const AT_ONCE: usize = 8;
const KILLS: usize = 200;

/// Every fifth command is not killed.
const SPARED: usize = 5;

/// The longest time in milliseconds that a command needs alone.
const MOMENTS: u64 = 500;

/// Far more than the kills need.
const PATIENCE: Duration = Duration::from_secs(600);

const RULES: &str = "\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j LOG --log-prefix \"web: \"
COMMIT
";

const RULES_V6: &str = "\
*filter
:INPUT DROP [0:0]
-A INPUT -p ipv6-icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
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
[[expect]]
scan = \"syn\"
ports = 80
family = \"ipv4\"
state = \"filtered\"
log = \"web: \"
";

const SENSOR: &str =
    "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nwatched = { HTTP = 80 }\nscans = [\"xmas\", \"syn\"]\n";

/// Files of the folder in which all commands run.
const FILES: [(&str, &str); 4] =
    [("s.toml", SCENARIO), ("sensor.toml", SENSOR), ("rules.v4", RULES), ("rules.v6", RULES_V6)];

/// Files that commands write there; they share the names, since a file gets its name when it is complete.
const WRITTEN: [&str; 3] = ["lines.log", "exec.txt", "exec.pcapng"];

/// A kind of command that builds a lab.
struct Kind {
    who: Who,
    words: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Root,
    AnOrdinaryUser,
}

const KINDS: [Kind; 13] = [
    root("run h.toml --format json --syslog lines.log"),
    root("run h.toml --format json --capture nflog"),
    root("run h.toml --format json --iptables legacy"),
    root("run h.toml --format json --link tun"),
    root("check --sensor sensor.toml --format json"),
    root("scan --rules rules.v4 --rules6 rules.v6 --listen 22 -p- -4 -6 --format json"),
    root(
        "exec --rules rules.v4 --listen 22 --output exec.txt --pcap exec.pcapng -- nmap -n -Pn -sS -p 22 -oG - 203.0.113.10",
    ),
    root("mutate s.toml --min-score 50 --format json"),
    root("diff rules.v4 rules.v4 --format json"),
    root("record --rules rules.v4 --listen 22"),
    root("teach xmas"),
    root("generate sensor.toml"),
    Kind { who: Who::AnOrdinaryUser, words: "run s.toml --format json" },
];

const fn root(words: &'static str) -> Kind {
    Kind { who: Who::Root, words }
}

/// The end of a command.
enum End {
    Killed,
    Ended { status: Option<i32>, said: String },
}

/// Starts the command, and kills it at that time unless it has ended; `None` lets it end.
fn run(home: &Home, private: &Path, kind: &Kind, moment: Option<Duration>) -> End {
    let words: Vec<&str> = kind.words.split(' ').collect();
    let mut command = match kind.who {
        Who::Root => home.as_root(&words),
        Who::AnOrdinaryUser => home.as_user(Tun::ForEverybody, &words),
    };
    // The output goes to a file without a name, so that it need not be read while the command runs.
    let mut said = tempfile::tempfile().expect("a file");
    command.env("TMPDIR", private).env("SOURCE_DATE_EPOCH", "1795449690");
    command.stdout(said.try_clone().expect("a copy")).stderr(said.try_clone().expect("a copy"));
    let mut child = command.spawn().expect("the program starts");
    if let Some(moment) = moment {
        thread::sleep(moment);
        child.kill().expect("it is not waited for yet");
    }
    let status = child.wait().expect("it ends");
    match status.signal() {
        Some(signal) if signal == Signal::SIGKILL as i32 => End::Killed,
        _ => End::Ended { status: status.code(), said: text(&mut said) },
    }
}

/// The text without nmap's comments, which hold the time of day, and without notices of a wait for one of the other seven.
fn text(said: &mut File) -> String {
    let mut text = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut text)).expect("what it said");
    text.lines().filter(|line| !line.starts_with('#') && !is_notice(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn by_two_hundred_that_are_killed_while_eight_run() {
    let hardened = fs::read_to_string(HARDENED).expect("a scenario");
    let home = Home::new(KILLED, &[&FILES[..], &[("h.toml", &hardened)]].concat());
    // The same times every time, and others in `.ci/soak`; a failing test prints the seed.
    let seed = env::var("SCANLAB_SEED").map_or(1, |text| text.parse().expect("SCANLAB_SEED is a number"));
    let kills = env::var("SCANLAB_KILLS").map_or(KILLS, |text| text.parse().expect("SCANLAB_KILLS is a number"));
    println!("seed {seed}");
    untouched_by(|private| {
        let alone: Vec<String> =
            KINDS.iter().map(|kind| spared(kind, run(&home, private.path(), kind, None))).collect();
        let (moments, started) = (Mutex::new(Moments(seed)), AtomicUsize::new(0));
        let (killed, survived) = (AtomicUsize::new(0), KINDS.each_ref().map(|_| AtomicUsize::new(0)));
        let start = Instant::now();
        let lane = || {
            while killed.load(Ordering::Relaxed) < kills {
                assert!(start.elapsed() < PATIENCE, "only {killed:?} were killed");
                let number = started.fetch_add(1, Ordering::Relaxed);
                let which = number % KINDS.len();
                let moment = (number % SPARED != 0).then(|| moments.lock().expect("no panic").within(MOMENTS));
                match run(&home, private.path(), &KINDS[which], moment) {
                    End::Killed => drop(killed.fetch_add(1, Ordering::Relaxed)),
                    ended => {
                        assert_eq!(spared(&KINDS[which], ended), alone[which], "{}", KINDS[which].words);
                        survived[which].fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        };
        thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(lane))));
        println!("{killed:?} killed, {survived:?} survived, {:?}", start.elapsed());
        assert!(survived.iter().all(|survivors| survivors.load(Ordering::Relaxed) > 0), "{survived:?}");
        // If the last one left the setting changed, the next run resets it.
        assert_eq!(run_in(private, &[HARDENED]).status, Some(0));
        assert_given_back();
        assert_eq!(names(home.path()), files_of_the_home());
    });
}

/// The output of a command that was not killed; all of them must succeed.
fn spared(kind: &Kind, end: End) -> String {
    match end {
        End::Ended { status: Some(0), said } => said,
        End::Ended { status, said } => panic!("{}: {status:?}: {said}", kind.words),
        End::Killed => panic!("{}: somebody else killed it", kind.words),
    }
}

fn files_of_the_home() -> BTreeSet<String> {
    let given = FILES.iter().map(|(name, _)| *name).chain(["h.toml", "scanlab"]);
    given.chain(WRITTEN).map(str::to_owned).collect()
}
