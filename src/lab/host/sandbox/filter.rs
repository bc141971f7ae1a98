//! The system calls that a tool may not make: what changes namespaces and mounts, looks into other processes, or reaches a
//! part of the kernel that no scan needs. All others are allowed, since nobody knows what a tool is.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// The filters for the processor of this program; none if `seccompiler` knows none.
pub fn compiled() -> Vec<BpfProgram> {
    let Ok(processor) = std::env::consts::ARCH.try_into() else { return Vec::new() };
    let compile = |rules, errno: i32| {
        let refuse = SeccompAction::Errno(errno.cast_unsigned());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, processor);
        filter.and_then(BpfProgram::try_from).expect("the filter is well formed")
    };
    // A C library takes clone(2) where there is no clone3(2), whose flags a filter cannot see.
    let missing = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    vec![compile(rules(), libc::EPERM), compile(missing, libc::ENOSYS)]
}

/// Each of these, with any arguments.
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
    // Both put words into the input of the terminal from which scanlab was started.
    let to_terminal = [TIOCSTI, TIOCLINUX].map(|request| all(vec![number(1, Eq, request)]));
    rules.insert(libc::SYS_ioctl, to_terminal.into());
    rules.insert(libc::SYS_socket, vec![all(SOCKETS.iter().map(|domain| number(0, Ne, *domain as u64)).collect())]);
    // A pair of stream sockets is connected for good, one of datagrams can be connected again.
    let is_datagram = number(1, MaskedEq(0xf), libc::SOCK_DGRAM as u64);
    rules.insert(libc::SYS_socketpair, vec![all(vec![is_datagram])]);
    rules
}

/// See TIOCSTI(2const); its type in libc differs between C libraries.
const TIOCSTI: u64 = 0x5412;
/// Of ioctl_console(2).
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

/// What belongs to the tool's own network namespace. A Unix socket can be connected by the name of a file, even on a
/// read-only mount: to a daemon of the machine.
const SOCKETS: [i32; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// A rule that asks for all of these.
fn all(conditions: Vec<SeccompCondition>) -> SeccompRule {
    SeccompRule::new(conditions).expect("there is a condition")
}

fn has(argument: u8, flag: i32) -> SeccompCondition {
    let flag = u64::from(flag.cast_unsigned());
    number(argument, MaskedEq(flag), flag)
}

/// A condition on an `int`, of which the kernel looks at the lower half of the register.
fn number(argument: u8, operator: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).expect("a call has six arguments")
}
