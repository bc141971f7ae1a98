use std::fs;
use std::os::fd::AsRawFd;

use nix::libc;

use super::*;
use crate::sys::confinement::NAME_ADDRESS;

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn confined(program: &str, script: &str) -> (Output, String, String) {
    let output = Confined::new(Path::new(program)).arg("-c").arg(script).output_blocking().expect("it runs");
    let (stdout, stderr) = text(&output);
    (output, stdout, stderr)
}

fn sh(script: &str) -> (Output, String, String) {
    confined("/bin/sh", script)
}

fn python(script: &str) -> String {
    let (output, stdout, stderr) = confined("/usr/bin/python3", script);
    assert!(output.status.success(), "{stderr}");
    stdout
}

/// Runs the script without confinement: one that fails in any case proves nothing.
fn does_it_unconfined(script: &str) -> bool {
    Command::new("/bin/sh").args(["-c", script]).output().expect("sh starts").status.success()
}

#[test]
fn a_confined_program_starts_no_other_one() {
    for script in ["exec /bin/true", "/bin/true", "(:)", "exec /bin/sh -c :", "/bin/true & wait"] {
        assert!(does_it_unconfined(script), "{script}");
        let (output, _, stderr) = sh(&format!("{script}; exit 0"));
        let is_refused =
            stderr.contains("not permitted") || stderr.contains("Permission denied") || stderr.contains("Cannot fork");
        assert!(is_refused, "{script}: {output:?}");
    }
}

#[test]
fn a_confined_program_writes_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "kept").expect("write the file");
    let (old, new) = (file.display(), folder.path().join("new"));
    for script in
        [format!(": > {old}"), format!("echo >> {old}"), format!(": > {}", new.display()), ": > /dev/null".into()]
    {
        assert!(does_it_unconfined(&script), "{script}");
        fs::write(&file, "kept").expect("write the file");
        let _ = fs::remove_file(&new);
        let (output, ..) = sh(&script);
        assert!(!output.status.success(), "{script}");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "kept", "{script}");
        assert!(!new.exists(), "{script}");
    }
}

#[test]
fn a_confined_program_reads_the_files_of_the_system_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "secret\n").expect("write the file");
    let (.., stderr) = sh("read line < /etc/protocols && echo read");
    assert_eq!(stderr, "");
    if Walls::here().landlock {
        let (_, stdout, stderr) = sh(&format!("read line < {} && echo $line", file.display()));
        assert_eq!(stdout, "", "{stderr}");
        let other = format!("read line < /proc/{}/environ && echo read", std::process::id());
        assert_eq!(sh(&other).1, "", "another process");
    }
}

#[test]
#[ignore = "needs python3: cargo test -- --ignored"]
fn a_confined_program_has_two_capabilities_at_most_and_no_environment() {
    let (_, status, _) = sh("while read name value; do echo $name $value; done < /proc/self/status");
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel writes it");
        u64::from_str_radix(line.trim(), 16).expect("a hexadecimal number")
    };
    let own = caps::read(None, caps::CapSet::Permitted).expect("the own capabilities");
    let kept: u64 = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW]
        .iter()
        .filter(|capability| own.contains(capability))
        .map(|capability| 1 << capability.index())
        .sum();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(value(set), kept, "{set}");
    }
    assert_eq!(value("NoNewPrivs:"), 1);
    assert_eq!(python("import os; print({name for name in os.environ if name != 'LC_CTYPE'})"), "set()");
}

#[test]
#[ignore = "needs python3: cargo test -- --ignored"]
fn a_confined_program_inherits_no_file_but_its_lock() {
    let leaked = fs::File::open("/etc/protocols").expect("a file");
    // This descriptor has no close-on-exec flag, so that a new program would keep it.
    let kept = nix::fcntl::fcntl(&leaked, nix::fcntl::FcntlArg::F_DUPFD(100)).expect("a copy");
    let open = "import os; print(sorted(int(name) for name in os.listdir('/proc/self/fd')))";
    // The last one is that of the folder.
    assert_eq!(python(open), "[0, 1, 2, 3]", "{kept} or {} is there", leaked.as_raw_fd());
    let lock = PrivateLock::new().expect("a lock");
    let script = "exec 9< $XTABLES_LOCKFILE && echo open";
    let output =
        Confined::new(Path::new("/bin/sh")).arg("-c").arg(script).lock(lock).output_blocking().expect("it runs");
    assert_eq!(text(&output), ("open".to_owned(), String::new()));
}

#[test]
#[ignore = "needs python3: cargo test -- --ignored"]
fn a_confined_program_has_no_socket_but_those_for_rules() {
    let script = "\
import socket as s
for family, kind, protocol in [
    (s.AF_INET, s.SOCK_STREAM, 0), (s.AF_INET, s.SOCK_DGRAM, 0), (s.AF_INET6, s.SOCK_STREAM, 0),
    (s.AF_UNIX, s.SOCK_STREAM, 0), (s.AF_PACKET, s.SOCK_RAW, 0), (s.AF_INET, s.SOCK_RAW, 1),
    (s.AF_NETLINK, s.SOCK_RAW, 9), (s.AF_NETLINK, s.SOCK_RAW, 15), (40, s.SOCK_STREAM, 0),
    (s.AF_NETLINK, s.SOCK_RAW, 12), (s.AF_NETLINK, s.SOCK_RAW, 0)]:
    try:
        s.socket(family, kind, protocol)
        print('+', end='')
    except PermissionError:
        print('-', end='')
";
    assert_eq!(python(script), "---------++");
}

#[test]
#[ignore = "needs python3: cargo test -- --ignored"]
fn a_confined_program_cannot_use_the_one_name_that_execve_takes() {
    if !Walls::here().seccomp {
        return;
    }
    // Results: EFAULT (14) for the name that is not there, EPERM (1) for the rest.
    let script = format!(
        "\
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
c.mmap.restype = ctypes.c_void_p
c.mremap.restype = ctypes.c_void_p
def tried(result):
    return 'done' if result not in (-1, 2**64 - 1) else ctypes.get_errno()
at = ctypes.c_void_p({NAME_ADDRESS})
true = ctypes.create_string_buffer(b'/bin/true')
page = ctypes.c_void_p(c.mmap(None, 65536, 3, 0x22, -1, 0))
print(tried(c.execve(at, None, None)),
      tried(c.execve(true, None, None)),
      tried(c.execveat(-100, true, None, None, 0)),
      tried(c.mmap(at, 65536, 3, 0x32, -1, 0)),
      tried(c.mmap(at, 65536, 3, 0x22, -1, 0)),
      tried(c.mmap(None, ctypes.c_size_t(1 << 21), 3, 0x32, -1, 0)),
      tried(c.mremap(page, 65536, 65536, 3, at)))
"
    );
    assert_eq!(python(&script), "14 1 1 1 1 1 1");
}

#[test]
#[ignore = "needs python3: cargo test -- --ignored"]
fn a_confined_program_is_refused_what_an_attacker_would_try() {
    if !Walls::here().seccomp {
        return;
    }
    let calls = [
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_ptrace,
        libc::SYS_bpf,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_io_uring_setup,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_memfd_create,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_kill,
        libc::SYS_tgkill,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_open_by_handle_at,
        libc::SYS_openat2,
        libc::SYS_fchmodat,
        libc::SYS_unlinkat,
        libc::SYS_mkdirat,
        libc::SYS_symlinkat,
        libc::SYS_renameat2,
        libc::SYS_setuid,
        libc::SYS_capset,
        libc::SYS_prctl,
        libc::SYS_seccomp,
        libc::SYS_personality,
        libc::SYS_keyctl,
        libc::SYS_swapon,
        libc::SYS_reboot,
        libc::SYS_sethostname,
        libc::SYS_shmget,
        libc::SYS_socketpair,
    ];
    let script = format!(
        "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n\
         print([ctypes.get_errno() if c.syscall(n, 0, 0, 0, 0, 0, 0) == -1 else 'done' for n in {calls:?}])"
    );
    assert_eq!(python(&script), format!("{:?}", vec![1; calls.len()]));
}

#[test]
#[ignore = "needs python3: cargo test -- --ignored"]
fn a_program_without_an_end_is_killed() {
    let started = std::time::Instant::now();
    let run = Confined::new(Path::new("/usr/bin/python3")).arg("-c").arg("import time; time.sleep(60)");
    let error = run.output_blocking().expect_err("it has no end");
    assert_eq!(error.exit_status(), 3);
    assert!(error.to_string().contains("within 10 s"), "{error}");
    assert!(started.elapsed() < PATIENCE * 2);
}

#[test]
#[ignore = "needs python3: cargo test -- --ignored"]
fn output_without_an_end_is_an_error() {
    let error = confined_error("import os\nwhile True: os.write(1, b'x' * (1 << 20))");
    assert!(error.to_string().contains("it prints more than"), "{error}");
}

fn confined_error(script: &str) -> Error {
    let run = Confined::new(Path::new("/usr/bin/python3")).arg("-c").arg(script);
    run.output_blocking().expect_err("it fails")
}
