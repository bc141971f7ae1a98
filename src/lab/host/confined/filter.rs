//! The system calls of a confined program: those that are listed here, and no others.
//!
//! How can execve(2) be allowed once? The filter is there before it and after it, and sees numbers only, of which one is
//! the address of the program's name. The name is put at an address below all programs
//! ([`NAME_ADDRESS`]), and the filter allows execve(2) with that address alone. The
//! new image has nothing there, and cannot have: mmap(2) takes no address below [`LOWEST_MAPPING`], mremap(2) none at all,
//! and the kernel chooses none so low by itself, as long as the address space (RLIMIT_AS) is not used up. So each later
//! execve(2) is refused, by the filter (EPERM) or, with that very address, by the kernel (EFAULT).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use nix::libc::{self, c_long};
use seccompiler::SeccompCmpOp::{Eq, Ge, Lt, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::sys::confinement::{LOWEST_MAPPING, NAME_ADDRESS};

/// The filter for the processor of this program; `None` if `seccompiler` knows none.
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

/// Each of these, with any arguments: what a program needs to run at all, to read files and to speak over its sockets.
/// Nothing here makes a process or a file, or changes anything outside of the program's own memory and descriptors.
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

/// asm-generic/ioctls.h; of another type with each C library.
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
    // Asks whether a file is a terminal; most others change something.
    rules.insert(libc::SYS_ioctl, vec![all([number(1, Eq, TCGETS)])]);
    rules.insert(libc::SYS_socket, sockets());
    rules
}

/// nf_tables and ipset speak netlink, x_tables has options of raw sockets.
fn sockets() -> Vec<SeccompRule> {
    let domain = |family: i32| number(0, Eq, family as u64);
    let protocol = |protocol: i32| number(2, Eq, protocol as u64);
    let netlink = |spoken: i32| all([domain(libc::AF_NETLINK), protocol(spoken)]);
    // Its flags are above the lowest four bits.
    let is_raw = || number(1, MaskedEq(0xf), libc::SOCK_RAW as u64);
    let raw = |family: i32| all([domain(family), is_raw(), protocol(libc::IPPROTO_RAW)]);
    vec![netlink(libc::NETLINK_NETFILTER), netlink(libc::NETLINK_ROUTE), raw(libc::AF_INET), raw(libc::AF_INET6)]
}

/// A rule that asks for all of these.
fn all<const N: usize>(conditions: [SeccompCondition; N]) -> SeccompRule {
    SeccompRule::new(conditions.to_vec()).expect("there is a condition")
}

/// Flags of open(2) that let a file be changed are missing. O_CREAT is not among these: x_tables opens its lock file with
/// it, and Landlock knows no file that may be made.
fn for_reading(argument: u8) -> SeccompCondition {
    const TEMPORARY: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;
    has_none_of(argument, libc::O_WRONLY | libc::O_RDWR | libc::O_TRUNC | TEMPORARY)
}

fn has_none_of(argument: u8, flags: i32) -> SeccompCondition {
    number(argument, MaskedEq(u64::from(flags.cast_unsigned())), 0)
}

/// A condition on an `int`, of which the kernel looks at the lower half of the register.
fn number(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).expect("a call has six arguments")
}

/// A condition on a pointer.
fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value).expect("a call has six arguments")
}
