//! Forty runs at once: each ends as it does alone. Needs root.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::support::binary::{Ended, HARDENED, ended, have_the_machine_alone};

const AT_ONCE: usize = 40;

/// Short commands, of every kind that takes its turn at the kernel log or has several labs.
const COMMANDS: [&[&str]; 4] = [
    &["run", "scenarios/own-ruleset.toml", "--format", "json", "--capture", "kmsg"],
    &["run", HARDENED, "--format", "json", "--capture", "nflog"],
    &["scan", "--rules", "scenarios/own-ruleset.v4", "-p", "1-100", "-sSX", "--format", "json", "--capture", "kmsg"],
    &["check", "--sensor", "SENSOR", "--format", "json"],
];

fn perform(words: &[&str], sensor: &Path) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    let sensor = sensor.to_str().expect("UTF-8");
    let words = words.iter().map(|word| if *word == "SENSOR" { sensor } else { word });
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).env("SOURCE_DATE_EPOCH", "1795449690");
    ended(command.stdin(Stdio::null()).output().expect("scanlab starts"))
}

#[test]
fn forty_runs_at_once_end_as_each_ends_alone() {
    let _machine = have_the_machine_alone();
    let folder = tempfile::tempdir().expect("a folder");
    let sensor = &*folder.path().join("sensor.toml");
    fs::write(sensor, "[sensor]\nssh = 32232\nhoneypot = { SSH = 22 }\nscans = [\"xmas\"]\n").expect("a file");
    let alone = COMMANDS.map(|words| perform(words, sensor));
    assert!(alone.iter().all(|ended| ended.status == Some(0)), "{alone:?}");
    let at_once: Vec<(usize, Ended)> = thread::scope(|scope| {
        let start =
            |number| scope.spawn(move || (number % COMMANDS.len(), perform(COMMANDS[number % COMMANDS.len()], sensor)));
        let started: Vec<_> = (0..AT_ONCE).map(start).collect();
        started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for (which, ended) in at_once {
        assert_eq!(ended.status, alone[which].status, "{:?}: {}", COMMANDS[which], ended.stderr);
        assert_eq!(ended.stderr, alone[which].stderr, "{:?}", COMMANDS[which]);
        assert!(ended.stdout == alone[which].stdout, "{:?}: the reports differ", COMMANDS[which]);
    }
}
