//! The system calls that a tool may not make: those that change namespaces and mounts, inspect other processes, or use
//! a part of the kernel that no scan needs. All others are allowed, since a tool may be any program.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// The filters for this processor; empty if `seccompiler` does not support it.
pub fn compiled() -> Vec<BpfProgram> {
    let Ok(processor) = std::env::consts::ARCH.try_into() else { return Vec::new() };
    let compile = |rules, errno: i32| {
        let refuse = SeccompAction::Errno(errno.cast_unsigned());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, processor);
        filter.and_then(BpfProgram::try_from).expect("the filter is well formed")
    };
    // A filter cannot see the flags of clone3(2); a C library uses clone(2) if clone3(2) does not exist.
    let missing = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    vec![compile(rules(), libc::EPERM), compile(missing, libc::ENOSYS)]
}

/// Calls that are refused with any arguments.
const REFUSED: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    // Its rings make system calls that no filter sees.
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

fn rules() -> BTreeMap<c_long, Vec<SeccompRule>> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, NAMESPACES.iter().map(|flag| all(vec![has(0, *flag)])).collect());
    // Both insert input into the terminal from which scanlab was started.
    let to_terminal = [TIOCSTI, TIOCLINUX].map(|request| all(vec![number(1, Eq, request)]));
    rules.insert(libc::SYS_ioctl, to_terminal.into());
    rules.insert(libc::SYS_socket, vec![all(SOCKETS.iter().map(|domain| number(0, Ne, *domain as u64)).collect())]);
    // A pair of stream sockets stays connected, one of datagrams can be connected to another address.
    let is_datagram = number(1, MaskedEq(0xf), libc::SOCK_DGRAM as u64);
    rules.insert(libc::SYS_socketpair, vec![all(vec![is_datagram])]);
    rules
}

/// From TIOCSTI(2const); its type in libc differs between C libraries.
const TIOCSTI: u64 = 0x5412;
/// From ioctl_console(2).
const TIOCLINUX: u64 = 0x541c;

const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// The socket families that are limited to the tool's own network namespace. A Unix socket can be connected by the path
/// of a file, even on a read-only mount, and so to a daemon of the machine.
const SOCKETS: [i32; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// A rule that requires all of the conditions.
fn all(conditions: Vec<SeccompCondition>) -> SeccompRule {
    SeccompRule::new(conditions).expect("there is a condition")
}

fn has(argument: u8, flag: i32) -> SeccompCondition {
    let flag = u64::from(flag.cast_unsigned());
    number(argument, MaskedEq(flag), flag)
}

/// A condition on an `int`: the kernel uses the lower half of the register only.
fn number(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).expect("a call has six arguments")
}
