//! Hostile input of every kind changes nothing on the machine, ends in time, and needs little memory. Needs root.
//!
//! Each [`Attack`] is a folder of files and a command line. It is run by root with both flavours of iptables, and by an
//! ordinary user: it ends within [`DEADLINE`], no process of it grows beyond [`MEMORY`], its exit status and its message
//! are the expected ones, and the machine is the same before and after.
//!
//! Attacks that need more than files and a command line are in other tests:
//!
//! | input | tests |
//! | --- | --- |
//! | words of rules that iptables reads in another way | `kernel::words` (random lines), `user::fuzz` |
//! | a program that iptables would run, if the option were allowed | of `lab::host::{iptables, confined}` |
//! | extensions with state of the whole machine | `kernel::admission` (each one that is admitted) |
//! | signals, streams without an end, programs that hang | `kernel::{signals, iptables_fails}` |
//! | iptables that fails, lies or loads nothing | `kernel::iptables_fails`, `kernel::alone::selftest` |
//! | more than 124 limits; SCTP and DCCP | `kernel::large` |
//! | Rust debug text | `user::debug_text` |
//! | a second user: locks, links in sticky folders, reports that are replaced | `kernel::second_user` |
//! | forty runs at once, kills at random moments | `kernel::alone::{many, host}` |
//! | tools of `exec` | `kernel::exec` |
//! | text that controls a terminal or a CI system | `kernel::hostile_text`, `documents::ci_formats`, and here |

use crate::attacks;
use crate::witness;
use std::io::Read;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::attacks::Attack;
use crate::support::binary::{HARDENED, have_the_machine_alone, run};
use crate::support::machine::{assert_untouched, machine};
use crate::support::ordinary::{Home, Tun, USER};
use crate::witness::{KernelLog, Planted, idle_timers};
use nix::sys::resource::{UsageWho, getrusage};

/// The time limit of an attack on two processors.
const DEADLINE: Duration = Duration::from_secs(10);

/// The most memory that a process of an attack may have in use at once (KiB).
const MEMORY: i64 = 300 << 10;

/// The users that run scanlab, and their iptables.
const RUNNERS: [(&str, &str); 3] = [("root", "nft"), ("root", "legacy"), ("user", "nft")];

#[test]
fn every_attack_as_root_and_as_a_user_changes_nothing() {
    let _machine = have_the_machine_alone();
    let private = tempfile::tempdir().expect("a folder");
    // The first run of each flavour loads kernel modules.
    for flavour in ["nft", "legacy"] {
        assert_eq!(run(&[HARDENED, "--iptables", flavour]).status, Some(0));
    }
    let (before, timers) = (machine(private.path()), idle_timers());
    let mut log = KernelLog::open();
    let failures: Vec<String> = attacks::all().iter().flat_map(failures).collect();
    assert!(failures.is_empty(), "{} attacks succeeded:\n{}", failures.len(), failures.join("\n"));
    assert_untouched(&before, private.path());
    assert_eq!(idle_timers(), timers, "the machine's idle timers");
    assert_eq!(log.lines_with(attacks::MARK), [""; 0], "lines in the machine's log");
}

#[test]
fn every_command_with_too_many_rules_refuses_them_before_it_reads_them() {
    let _machine = have_the_machine_alone();
    let failures: Vec<String> = attacks::too_many_rules()
        .iter()
        .filter_map(|attack| Some(format!("- {}: {}", attack.name, attempt(attack, "root", "nft").err()?)))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every way in which the attack succeeded, with every runner.
fn failures(attack: &Attack) -> Vec<String> {
    RUNNERS
        .iter()
        .filter_map(|(user, flavour)| {
            let problem = attempt(attack, user, flavour).err()?;
            Some(format!("- {} ({user}, {flavour}): {problem}", attack.name))
        })
        .collect()
}

fn attempt(attack: &Attack, user: &str, flavour: &str) -> Result<(), String> {
    let files: Vec<(&str, &str)> = attack.files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let home = Home::new(USER, &files);
    let planted = Planted::new(&home, user);
    let mut arguments = attack.arguments.clone();
    if attack.loads_rules {
        arguments.extend(["--iptables", flavour]);
    }
    let command = match user {
        "root" => home.as_root(&arguments),
        _ => home.as_user(Tun::ForEverybody, &arguments),
    };
    let Ended { status, text } = bounded(command)?;
    if planted.has_run() {
        return Err("a program of the ruleset has run".to_owned());
    }
    let shown = || text.chars().take(600).collect::<String>();
    if !attack.status.contains(&status) {
        return Err(format!("exit status {status}, not {:?}: {}", attack.status, shown()));
    }
    match attack.says.iter().find(|says| !text.contains(**says)) {
        Some(missing) => Err(format!("`{missing}` is not in: {}", shown())),
        None => match attack.never.iter().find(|never| text.contains(**never)) {
            Some(found) => Err(format!("`{found}` is in: {}", shown())),
            None => Ok(()),
        },
    }
}

struct Ended {
    status: i32,
    /// Standard output and standard error.
    text: String,
}

/// Runs the command to its end, or to the deadline.
fn bounded(mut command: Command) -> Result<Ended, String> {
    let start = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None if start.elapsed() > DEADLINE => return Err(overdue(child)),
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = [stdout, stderr].map(|one| one.join().expect("it reads")).concat();
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN).expect("own usage").max_rss();
    if memory > MEMORY {
        return Err(format!("a process had {} MB in use", memory >> 10));
    }
    status.code().map(|status| Ended { status, text }).ok_or_else(|| format!("ended by {status}"))
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.expect("a pipe").read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn overdue(mut child: Child) -> String {
    child.kill().expect("the child is there");
    child.wait().expect("the child is there");
    format!("still running after {} s", DEADLINE.as_secs())
}

/// The harness reports planted attacks: a program that runs, a line in the log, a process that does not end.
#[test]
fn the_harness_with_a_planted_attack_reports_it() {
    let _machine = have_the_machine_alone();
    let home = Home::new(USER, &[]);
    let planted = Planted::new(&home, "root");
    assert!(!planted.has_run());
    let ended = Command::new(home.path().join(witness::PROGRAM)).status().expect("the planted program starts");
    assert!(ended.success() && planted.has_run());

    let mut log = KernelLog::open();
    std::fs::write("/dev/kmsg", format!("<7>{}planted\n", attacks::MARK)).expect("the machine's log");
    assert_eq!(log.lines_with(attacks::MARK).len(), 1);

    let mut sleeper = Command::new("sleep");
    let sleeper = sleeper.arg("1000").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let sleeper = std::mem::replace(sleeper, Command::new("true"));
    assert!(bounded(sleeper).is_err_and(|problem| problem.starts_with("still running")));
}
