//! A second user of the machine changes nothing: neither that a run ends well nor what is left of it. Needs root, to become
//! that user.

#[path = "support/binary.rs"]
mod binary;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use binary::{HARDENED, NF_LOG_ALL_NETNS, command, ended, share_the_machine};

const SECOND_USER: u32 = 64_741;

/// A process of the second user.
struct Second(Child);

impl Second {
    /// Holds a lock of this kind (`--shared`, `--exclusive`) on `file`, until it is dropped.
    fn holds(kind: &str, file: &str) -> Second {
        let mut flock = Command::new("flock");
        flock.args([kind, "--no-fork", file, "sleep", "600"]).uid(SECOND_USER).gid(SECOND_USER);
        let child = flock.stdin(Stdio::null()).spawn().expect("flock(1)");
        let second = Second(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        let holds = || fs::read_to_string("/proc/locks").expect("procfs").contains(&format!(" {} ", second.0.id()));
        while !holds() {
            assert!(Instant::now() < deadline, "the second user has no lock on {file}");
            thread::sleep(Duration::from_millis(5));
        }
        second
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn setting() -> String {
    fs::read_to_string(NF_LOG_ALL_NETNS).expect("a sysctl").trim().to_owned()
}

/// Labs of other tests may keep it on for a while.
fn assert_is_off() {
    let deadline = Instant::now() + Duration::from_secs(20);
    while setting() != "0" {
        assert!(Instant::now() < deadline, "{NF_LOG_ALL_NETNS} is {}", setting());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Found in an audit: everybody may read the sysctl and, on many machines, the kernel's log, and so lock them.
#[test]
fn a_lock_that_another_user_holds_neither_stops_a_run_nor_keeps_the_setting_on() {
    let _machine = share_the_machine();
    for kind in ["--shared", "--exclusive"] {
        let _second = Second::holds(kind, NF_LOG_ALL_NETNS);
        let start = Instant::now();
        let ended = ended(command(&[HARDENED, "--capture", "kmsg"]).output().expect("scanlab starts"));
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "{kind}");
        assert!(start.elapsed() < Duration::from_secs(30), "{kind}: it waited");
        assert_is_off();
    }
}

#[test]
fn what_a_killed_run_left_is_healed_although_another_user_holds_a_lock() {
    let _machine = share_the_machine();
    let _second = Second::holds("--exclusive", NF_LOG_ALL_NETNS);
    let mut killed = command(&[HARDENED, "--capture", "kmsg"]).spawn().expect("scanlab starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    while setting() == "0" && killed.try_wait().expect("a child").is_none() {
        assert!(Instant::now() < deadline, "the run never asked for the kernel's log");
    }
    killed.kill().expect("a child");
    killed.wait().expect("it ends");
    let healed = ended(command(&[HARDENED, "--capture", "kmsg"]).output().expect("scanlab starts"));
    assert_eq!(healed.status, Some(0), "{}", healed.stderr);
    assert_is_off();
}

#[test]
fn the_folder_of_locks_is_closed_to_others_and_gone_after_the_last_run() {
    let _machine = share_the_machine();
    let folder = Path::new("/run/scanlab");
    let mut run = command(&[HARDENED, "--capture", "kmsg"]).stdout(Stdio::null()).spawn().expect("scanlab starts");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !folder.exists() && run.try_wait().expect("a child").is_none() {
        assert!(Instant::now() < deadline, "there is no {}", folder.display());
    }
    let opened = Command::new("ls").arg(folder).uid(SECOND_USER).gid(SECOND_USER).output().expect("ls");
    assert!(!opened.status.success(), "another user sees {}", folder.display());
    run.wait().expect("it ends");
    let deadline = Instant::now() + Duration::from_secs(20);
    while folder.exists() {
        assert!(Instant::now() < deadline, "{} is still there", folder.display());
        thread::sleep(Duration::from_millis(5));
    }
}
