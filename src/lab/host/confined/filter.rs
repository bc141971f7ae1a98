//! The system calls of a confined program: those that are listed here, and no others.
//!
//! Execve(2) must be allowed exactly once. The filter is installed before that call and stays after it, and sees only
//! numbers, one of which is the address of the file name. The name is put at an address below all programs
//! ([`NAME_ADDRESS`]), and the filter allows execve(2) with that address alone. The new image has no memory there and
//! cannot map any: mmap(2) takes no address below [`LOWEST_MAPPING`], mremap(2) takes none at all, and the kernel
//! chooses none so low by itself, as long as the address space (RLIMIT_AS) is not used up. So each later execve(2) is
//! refused, by the filter (EPERM) or, with that very address, by the kernel (EFAULT).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use nix::libc::{self, c_long};
use seccompiler::SeccompCmpOp::{Eq, Ge, Lt, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::sys::confinement::{LOWEST_MAPPING, NAME_ADDRESS};

/// The filter for this processor; `None` if `seccompiler` does not support it.
pub fn compiled() -> Option<&'static BpfProgram> {
    static FILTER: LazyLock<Option<BpfProgram>> = LazyLock::new(compile);
    FILTER.as_ref()
}

fn compile() -> Option<BpfProgram> {
    let processor = std::env::consts::ARCH.try_into().ok()?;
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules(), refuse, SeccompAction::Allow, processor);
    Some(filter.and_then(BpfProgram::try_from).expect("the filter is well formed"))
}

/// Calls that are allowed with any arguments: those that a program needs to run, to read files and to use its sockets.
/// None of them creates a process or a file, or changes anything but the program's own memory and descriptors.
const ALLOWED: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpeername,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_pselect6,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setitimer,
    libc::SYS_setsockopt,
    libc::SYS_sigaltstack,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older names of some of these, which other processors do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Some processors pass over the highest byte of an address (Documentation/arch/arm64/tagged-address-abi.rst), the filter
/// does not.
const TAGS: u64 = 1 << 56;

/// From asm-generic/ioctls.h; `libc` gives it another type for each C library.
const TCGETS: u64 = 0x5401;

fn rules() -> BTreeMap<c_long, Vec<SeccompRule>> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALLOWED.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_execve, vec![all([is(0, Eq, NAME_ADDRESS as u64)])]);
    rules.insert(libc::SYS_openat, vec![all([for_reading(2)])]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![all([for_reading(1)])]);
    let no_address = all([is(0, Eq, 0), has_none_of(3, libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE)]);
    rules.insert(libc::SYS_mmap, vec![no_address, all([is(0, Ge, LOWEST_MAPPING as u64), is(0, Lt, TAGS)])]);
    rules.insert(libc::SYS_mremap, vec![all([has_none_of(3, libc::MREMAP_FIXED)])]);
    // TCGETS is how isatty(3) works; most other requests change something.
    rules.insert(libc::SYS_ioctl, vec![all([number(1, Eq, TCGETS)])]);
    rules.insert(libc::SYS_socket, sockets());
    rules
}

/// The sockets of the programs: nf_tables and ipset use netlink, x_tables uses options of raw sockets.
fn sockets() -> Vec<SeccompRule> {
    let domain = |family: i32| number(0, Eq, family as u64);
    let protocol = |protocol: i32| number(2, Eq, protocol as u64);
    let netlink = |spoken: i32| all([domain(libc::AF_NETLINK), protocol(spoken)]);
    // The flags of a socket are above the lowest four bits of its type.
    let is_raw = || number(1, MaskedEq(0xf), libc::SOCK_RAW as u64);
    let raw = |family: i32| all([domain(family), is_raw(), protocol(libc::IPPROTO_RAW)]);
    vec![netlink(libc::NETLINK_NETFILTER), netlink(libc::NETLINK_ROUTE), raw(libc::AF_INET), raw(libc::AF_INET6)]
}

/// A rule that requires all of the conditions.
fn all<const N: usize>(conditions: [SeccompCondition; N]) -> SeccompRule {
    SeccompRule::new(conditions.to_vec()).expect("there is a condition")
}

/// Allows open(2) without the flags that let a file be changed. O_CREAT is allowed: x_tables opens its lock file with
/// it, and Landlock permits no file to be created.
fn for_reading(argument: u8) -> SeccompCondition {
    const TEMPORARY: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;
    has_none_of(argument, libc::O_WRONLY | libc::O_RDWR | libc::O_TRUNC | TEMPORARY)
}

fn has_none_of(argument: u8, flags: i32) -> SeccompCondition {
    number(argument, MaskedEq(u64::from(flags.cast_unsigned())), 0)
}

/// A condition on an `int`: the kernel uses the lower half of the register only.
fn number(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).expect("a call has six arguments")
}

/// A condition on a pointer.
fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value).expect("a call has six arguments")
}
