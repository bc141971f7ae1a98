//! What a machine may withhold from root: each ends in exit status 3 and in clear words. Needs root.

#[path = "support/binary.rs"]
mod binary;

use std::process::Command;

use binary::{Ended, HARDENED, ended, share_the_machine};

/// scanlab, by way of `before`, a command that runs what is behind it.
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
                // The scenario is the first file that it reads.
                Some(2) => assert!(ended.stderr.contains("Too many open files"), "{limit}: {}", ended.stderr),
                Some(3) => assert!(told, "{limit}: {}{}", ended.stderr, ended.stdout),
                status => panic!("{limit}: {arguments:?} ended with {status:?}: {}", ended.stderr),
            }
        }
    }
}

/// Another /dev/kmsg, of a mount namespace, so that no other lab waits for it; its lock is held by a process that is
/// stopped.
const STOPPED_HOLDER: &str = r#"
mount -t tmpfs none /mnt && mknod /mnt/kmsg c 1 11 && mount --bind /mnt/kmsg /dev/kmsg || exit 9
flock --no-fork /dev/kmsg sleep 600 &
until ! flock --nonblock /dev/kmsg true; do :; done
kill -STOP $!
echo "holder $!"
"$@"
status=$?
kill -KILL $!
exit $status
"#;

/// Found in review: the error said that somebody held the turn, and not who.
#[test]
fn a_stopped_process_that_holds_the_kernel_log_is_named() {
    let _machine = share_the_machine();
    let arguments = ["run", HARDENED, "--capture", "kmsg"];
    let ended = by_way_of(&["unshare", "--mount", "sh", "-c", STOPPED_HOLDER, "sh"], &arguments);
    assert_eq!(ended.status, Some(3), "{}", ended.stderr);
    let process = ended.stdout.trim().strip_prefix("holder ").expect("the holder");
    let named = format!("sleep with PID {process}, which is stopped, holds it");
    assert!(ended.stderr.contains(&named), "{}", ended.stderr);
}
