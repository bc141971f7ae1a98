//! Resources that a machine may withhold from root: each causes exit status 3 and a clear error, and never an
//! incomplete file. Needs root.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::binary::{Ended, HARDENED, ended, have_the_machine_alone, share_the_machine};

/// Runs scanlab through `before`, a command that runs its arguments.
fn by_way_of(before: &[&str], arguments: &[&str]) -> Ended {
    assert!(nix::unistd::geteuid().is_root(), "this test asks the real kernel and needs root");
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(env!("CARGO_BIN_EXE_scanlab")).args(arguments);
    ended(command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("the program starts"))
}

/// Found in review: with eight open files at most, tokio panicked (exit status 101).
#[test]
fn too_few_files_are_an_error_that_tells_what_to_do() {
    let _machine = share_the_machine();
    for limit in (6..40).step_by(2) {
        for arguments in [&["run", HARDENED][..], &["scan", "--rules", "scenarios/own-ruleset.v4"], &["doctor"]] {
            let ended = by_way_of(&["prlimit", &format!("--nofile={limit}")], arguments);
            let told = ended.stderr.contains("ulimit -n") || ended.stdout.contains("ulimit -n");
            match ended.status {
                Some(0) => {}
                // The scenario is the first file that it opens.
                Some(2) => assert!(ended.stderr.contains("Too many open files"), "{limit}: {}", ended.stderr),
                Some(3) => assert!(told, "{limit}: {}{}", ended.stderr, ended.stdout),
                status => panic!("{limit}: {arguments:?} ended with {status:?}: {}", ended.stderr),
            }
        }
    }
}

/// A private /run in a mount namespace, so that no other lab waits for its lock, which a stopped process holds.
const STOPPED_HOLDER: &str = r#"
mount -t tmpfs -o mode=755 none /run && mkdir -m 700 /run/scanlab || exit 9
flock --shared --no-fork /run/scanlab flock --no-fork /run/scanlab/kernel-log sleep 600 &
until [ -e /run/scanlab/kernel-log ] && ! flock --nonblock /run/scanlab/kernel-log true; do :; done
kill -STOP $!
echo "holder $!"
"$@"
status=$?
kill -KILL $!
exit $status
"#;

/// A private /run as above; the lock is held for longer than the lab's limit, by a process that writes to the log.
const SPEAKING_HOLDER: &str = r#"
mount -t tmpfs -o mode=755 none /run && mkdir -m 700 /run/scanlab || exit 9
flock --shared --no-fork /run/scanlab flock --no-fork /run/scanlab/kernel-log sh -c 'for second in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "<7>turn" >/dev/kmsg; sleep 1; done' &
until [ -e /run/scanlab/kernel-log ] && ! flock --nonblock /run/scanlab/kernel-log true; do :; done
exec "$@"
"#;

/// A disk in a mount namespace that is filled by an existing file. Then the names of its files.
const SMALL_DISK: &str = r#"
mount -t tmpfs -o size=4k none /mnt && echo old > /mnt/old || exit 9
"$@"
status=$?
grep . /mnt/old && find /mnt -mindepth 1
exit $status
"#;

/// Found here: a capture that did not fit on the disk was truncated, and the exit status was 0.
#[test]
fn a_full_disk_is_an_error_and_the_existing_file_stays() {
    let _machine = share_the_machine();
    let scan = ["scan", "--rules", "scenarios/own-ruleset.v4", "-p", "1-4000"];
    let exec = ["exec", "--rules", "scenarios/own-ruleset.v4"];
    let tool = ["--", "true"];
    let commands: [(&[&str], &str, &[&str]); 7] = [
        (&["run", HARDENED], "--syslog", &[]),
        (&["run", HARDENED, "--capture", "nflog"], "--syslog", &[]),
        (&[&scan[..], &["-sX"]].concat(), "--syslog", &[]),
        (&scan, "-oX", &[]),
        (&scan, "-oN", &[]),
        (&exec, "--pcap", &tool),
        (&[&exec[..], &["--format", "json"]].concat(), "--output", &tool),
    ];
    for (before, option, after) in commands {
        for file in ["/mnt/new", "/mnt/old"] {
            let arguments = [before, &[option, file], after].concat();
            let ended = by_way_of(&["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh"], &arguments);
            let told = format!("failed to write {file}: No space left on device");
            assert!(ended.status == Some(3) && ended.stderr.contains(&told), "{arguments:?}: {ended:?}");
            assert!(ended.stdout.ends_with("old\n/mnt/old\n"), "{arguments:?}: {}", ended.stdout);
        }
    }
}

/// Every command with output.
const COMMANDS: [&[&str]; 6] = [
    &["run", HARDENED],
    &["vendor", "00:0c:29:4f:8e:35"],
    &["scan", "--rules", "scenarios/own-ruleset.v4", "-p", "1-100", "-oX", "-"],
    &["exec", "--rules", "scenarios/own-ruleset.v4", "--", "true"],
    &["doctor"],
    &["--help"],
];

fn scanlab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// `scanlab ... | head -1`.
#[test]
fn a_reader_that_has_seen_enough_changes_nothing() {
    let _machine = share_the_machine();
    for arguments in COMMANDS {
        let mut command = scanlab(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        drop(child.stdout.take());
        let ended = ended(child.wait_with_output().expect("it ends"));
        // Notes on a result in another tool's format are on standard error.
        let errors: Vec<&str> = ended.stderr.lines().filter(|line| !line.starts_with("note: ")).collect();
        assert_eq!((ended.status, errors), (Some(0), vec![]), "{arguments:?}");
    }
}

/// `scanlab ... >&- 2>&-`: the exit status is the summary, even if the output cannot be written.
#[test]
fn closed_output_streams_do_not_change_the_exit_status() {
    let _machine = share_the_machine();
    let refused = ["scan", "--rules", "scenarios/there-is-no-such.v4"];
    for (arguments, status) in COMMANDS.into_iter().map(|arguments| (arguments, 0)).chain([(&refused[..], 2)]) {
        let ended = by_way_of(&["sh", "-c", "exec \"$@\" >&- 2>&- <&-", "sh"], arguments);
        assert_eq!(ended.status, Some(status), "{arguments:?}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let _machine = share_the_machine();
    for arguments in COMMANDS.into_iter().filter(|arguments| *arguments != ["--help"]) {
        let full = File::options().write(true).open("/dev/full").expect("a device");
        let ended = ended(scanlab(arguments).stdout(full).output().expect("the program starts"));
        let is_told = ended.stderr.contains("No space left on device");
        assert!(ended.status == Some(3) && is_told, "{arguments:?}: {ended:?}");
    }
}

mod alone {
    use super::*;

    /// Found in review: the error said that another program held the turn, but not which one.
    #[test]
    fn a_stopped_process_that_holds_the_kernel_log_is_named() {
        let _machine = have_the_machine_alone();
        let arguments = ["run", HARDENED, "--capture", "kmsg"];
        let ended = by_way_of(&["unshare", "--mount", "sh", "-c", STOPPED_HOLDER, "sh"], &arguments);
        assert_eq!(ended.status, Some(3), "{}", ended.stderr);
        let process = ended.stdout.trim().strip_prefix("holder ").expect("the holder");
        let named = format!("sleep with PID {process}, which is stopped, holds it");
        assert!(ended.stderr.contains(&named), "{}", ended.stderr);
    }

    /// Found here: of forty runs at once the last ones gave up, although each only had to wait for its turn.
    #[test]
    fn a_lab_that_gets_on_is_waited_for() {
        let _machine = have_the_machine_alone();
        // It does not wait for the other labs of the machine, so it needs other addresses.
        let addresses = ["--host-addr", "198.51.100.10/24", "--prober-addr", "198.51.100.66"];
        let scan = ["scan", "-4", "--rules", "scenarios/own-ruleset.v4", "-p", "1-100", "-sX", "--capture", "kmsg"];
        let arguments = [&scan[..], &addresses].concat();
        let start = Instant::now();
        let ended = by_way_of(&["unshare", "--mount", "sh", "-c", SPEAKING_HOLDER, "sh"], &arguments);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(start.elapsed() > Duration::from_secs(10), "nobody was waited for");
        assert!(
            matches!(&ended.notices[..], [notice] if notice.contains("held by sh with PID ")),
            "{:?}",
            ended.notices
        );
    }
}
