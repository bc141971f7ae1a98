//! A second user of the machine can neither make a run fail nor change what it leaves. Needs root, to become that user.

use crate::support::binary;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::binary::{HARDENED, NF_LOG_ALL_NETNS, command, ended, have_the_machine_alone, share_the_machine};

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

/// Found in an audit: every user may open the sysctl and, on many machines, the kernel's log, and so lock them.
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
fn the_sysctl_left_by_a_killed_run_is_restored_despite_another_users_lock() {
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

/// `scan -oN PATH`, which writes one file.
fn scan_to(path: &Path) -> binary::Ended {
    let mut scan = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    scan.args(["scan", "--rules", "scenarios/own-ruleset.v4", "-p", "1", "--capture", "nflog", "-oN"]).arg(path);
    ended(scan.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("scanlab starts"))
}

/// A folder like /tmp.
fn sticky_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).expect("a mode");
    folder
}

/// The kernel refuses the same if `fs.protected_symlinks` and `fs.protected_regular` are on.
#[test]
fn files_of_another_user_in_a_sticky_folder_are_not_written() {
    let _machine = share_the_machine();
    let folder = sticky_folder();
    let private = tempfile::tempdir().expect("a folder");
    let victim = private.path().join("victim");
    let planted = ["link", "linked/victim", "file", "new"].map(|name| folder.path().join(name));
    fs::write(&victim, "mine").expect("a file");
    symlink(&victim, &planted[0]).expect("a link");
    symlink(private.path(), folder.path().join("linked")).expect("a link");
    fs::write(&planted[2], "theirs").expect("a file");
    symlink(private.path().join("new"), &planted[3]).expect("a link");
    for name in ["link", "linked", "file", "new"] {
        lchown(folder.path().join(name), Some(SECOND_USER), Some(SECOND_USER)).expect("an owner");
    }
    for path in &planted {
        let ended = scan_to(path);
        assert_eq!(ended.status, Some(2), "{}: {}", path.display(), ended.stderr);
        assert!(ended.stderr.contains("of another user in a folder that others may write to"), "{}", ended.stderr);
    }
    assert_eq!(fs::read_to_string(&victim).expect("a file"), "mine");
    assert_eq!(fs::read_to_string(&planted[2]).expect("a file"), "theirs");
    assert!(!private.path().join("new").exists());
}

#[test]
fn a_link_of_ones_own_stays_and_what_it_leads_to_keeps_owner_and_mode() {
    let _machine = share_the_machine();
    let folder = sticky_folder();
    let private = tempfile::tempdir().expect("a folder");
    let (link, file) = (folder.path().join("link"), private.path().join("file"));
    fs::write(&file, "old").expect("a file");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("a mode");
    lchown(&file, Some(SECOND_USER), Some(SECOND_USER)).expect("an owner");
    symlink(&file, &link).expect("a link");
    let ended = scan_to(&link);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    let found = fs::metadata(&file).expect("a file");
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (SECOND_USER, SECOND_USER, 0o640));
    assert!(fs::read_to_string(&file).expect("a file").contains("1/tcp"));
}

/// Found in an audit: every file below /dev was treated as a device.
#[test]
fn a_file_in_dev_shm_is_a_file() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let file = folder.path().join("report");
    fs::write(&file, "old").expect("a file");
    assert_eq!(scan_to(&file).status, Some(0));
    let text = fs::read_to_string(&file).expect("a file");
    assert!(text.contains("1/tcp") && !text.contains("old"), "{text}");
}

/// A run that is killed while it replaces a file leaves the old one or the new one, and the next run removes all
/// temporary files.
#[test]
fn kills_at_any_moment_leave_no_draft_after_the_next_run() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let sensor = folder.path().join("sensor.toml");
    fs::write(&sensor, "[sensor]\nssh = 32232\n").expect("a file");
    let generate = || {
        let mut generate = Command::new(env!("CARGO_BIN_EXE_scanlab"));
        generate.args(["generate", "--force"]).arg(&sensor).arg("-o").arg(folder.path().join("out"));
        generate.spawn().expect("scanlab starts")
    };
    for moment in 0..60 {
        let mut killed = generate();
        thread::sleep(Duration::from_micros(moment * 400));
        killed.kill().expect("a child");
        killed.wait().expect("it ends");
    }
    assert!(generate().wait().expect("it ends").success());
    let drafts =
        Command::new("find").arg(folder.path()).args(["-mindepth", "1", "-name", ".*"]).output().expect("find");
    assert_eq!(String::from_utf8_lossy(&drafts.stdout), "");
}

/// As root, a scenario can name any file.
#[test]
fn a_file_that_is_no_ruleset_is_not_quoted() {
    let _machine = share_the_machine();
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = [
        ("shadow", "root:$6$salt$hunter2:19000:0:99999:7:::\n"),
        ("id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2hunter2hunter2\n-----END OPENSSH PRIVATE KEY-----\n"),
        ("env", "PASSWORD=\"hunter2\"\n"),
        ("ini", "[client]\npassword=hunter2\n"),
        ("rules", "*filter\nhunter2 hunter2\nCOMMIT\n"),
    ];
    let assert_silent = |what: &str, words: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_scanlab")).args(words).current_dir(&folder).output().expect("scanlab");
        let ended = ended(output);
        assert!(matches!(ended.status, Some(2 | 3)), "{what}: {words:?}: {}{}", ended.stdout, ended.stderr);
        let said = ended.stdout + &ended.stderr;
        assert!(!said.contains("hunter2"), "{what}: {words:?}: {said}");
    };
    for (name, text) in secrets {
        fs::write(folder.path().join(name), text).expect("a file");
        let scenario = format!(
            "title = \"t\"\n[ruleset]\nv4 = \"{name}\"\n[[expect]]\nscan = \"syn\"\nports = 1\nstate = \"open\"\n"
        );
        fs::write(folder.path().join("s.toml"), scenario).expect("a file");
        fs::write(
            folder.path().join("sensor.toml"),
            format!("[sensor]\nssh = \"auto\"\n[host]\nsshd_config = \"{name}\"\n"),
        )
        .expect("a file");
        for flavour in ["nft", "legacy"] {
            assert_silent(name, &["run", "s.toml", "--iptables", flavour]);
            assert_silent(name, &["run", "s.toml", "--iptables", flavour, "--format", "json"]);
        }
        let report = folder.path().join("report");
        for format in ["sarif", "junit", "html"] {
            assert_silent(name, &["run", "s.toml", "--report", &format!("{format}={}", report.display())]);
            let report = fs::read_to_string(&report).unwrap_or_default();
            assert!(!report.contains("hunter2"), "{name}: {format}: {report}");
        }
        assert_silent(name, &["run", name]);
        assert_silent(name, &["generate", name]);
        assert_silent(name, &["generate", "sensor.toml"]);
        assert_silent(name, &["vendor", "b8:27:eb:12:34:56", "--oui-file", name]);
    }
}

mod alone {
    use super::*;

    #[test]
    fn the_folder_of_locks_is_closed_to_others_and_gone_after_the_last_run() {
        // The runs of other tests would keep the folder.
        let _machine = have_the_machine_alone();
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
}
