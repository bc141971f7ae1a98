//! A user namespace, in which an ordinary user is root over network namespaces of their own (user_namespaces(7)).
//!
//! A lab needs `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`. A user without them who is not root enters a user namespace first,
//! with every thread that is started later: the capabilities held there do not apply to namespaces outside of it, so
//! the kernel itself keeps the lab from changing the machine. Only the kernel's log stays inaccessible, so lines are
//! captured with NFLOG.

use std::fs;
use std::io;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::error::{CannotMeasure, Result, UserNamespaceDenied};

/// The privilege of this program on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// It is root, or has the capabilities that a lab needs.
    Privileged,
    /// It belongs to an ordinary user, and is root in a user namespace of its own.
    Rootless,
}

/// Enters a user namespace, unless this is root or has the capabilities that a lab needs. The program must have one
/// thread only (unshare(2)); after the first call, another one has no effect.
pub fn enter_if_needed() -> Result<Privilege> {
    if is_rootless() {
        return Ok(Privilege::Rootless);
    }
    if geteuid().is_root() || has_what_a_lab_takes() {
        return Ok(Privilege::Privileged);
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| refused("make a user namespace", error.into()))?;
    // Without this, a user could leave a group that exists to exclude its members (user_namespaces(7), "setgroups").
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))?;
    Ok(Privilege::Rootless)
}

/// True if this user namespace maps its root to a user other than root.
pub fn is_rootless() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    geteuid().is_root() && maps_root_to_another(&map)
}

/// Parses the map. Each line has the first user in here, the first user in the parent's namespace, and the number of
/// users.
fn maps_root_to_another(map: &str) -> bool {
    let of_root = map.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    of_root.into_iter().any(|fields| fields.first() == Some(&"0") && fields.get(1).is_some_and(|outer| *outer != "0"))
}

fn has_what_a_lab_takes() -> bool {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    has(Capability::CAP_SYS_ADMIN) && has(Capability::CAP_NET_ADMIN)
}

fn write(path: &'static str, text: &str) -> Result<()> {
    match fs::write(path, text) {
        // The file is missing before Linux 3.19.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written.map_err(|error| refused("become root in a user namespace", error).into()),
    }
}

fn refused(operation: &'static str, source: io::Error) -> CannotMeasure {
    let obstacle = UserNsSysctls::of_this_machine().obstacle(source.raw_os_error().map(Errno::from_raw));
    CannotMeasure::NoUserNamespace { operation, source, obstacle }
}

/// The settings of this machine that can prevent user namespaces; `None` for those that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UserNsSysctls {
    built_in: bool,
    unprivileged_clone: Option<u64>,
    apparmor_restricts: Option<u64>,
    seccomp: Option<u64>,
}

impl UserNsSysctls {
    fn of_this_machine() -> UserNsSysctls {
        UserNsSysctls {
            built_in: Path::new("/proc/self/ns/user").exists(),
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            seccomp: seccomp(&fs::read_to_string("/proc/self/status").unwrap_or_default()),
        }
    }

    fn obstacle(self, errno: Option<Errno>) -> UserNamespaceDenied {
        const FILTER: u64 = 2;
        match errno {
            // The error is EUSERS before Linux 4.9.
            Some(Errno::ENOSPC | Errno::EUSERS) => UserNamespaceDenied::Limit,
            _ if !self.built_in => UserNamespaceDenied::NotBuiltIn,
            Some(Errno::EPERM | Errno::EACCES) if self.unprivileged_clone == Some(0) => {
                UserNamespaceDenied::SwitchedOff
            }
            Some(Errno::EPERM | Errno::EACCES) if self.apparmor_restricts == Some(1) => UserNamespaceDenied::AppArmor,
            Some(Errno::EPERM | Errno::ENOSYS) if self.seccomp == Some(FILTER) => UserNamespaceDenied::Seccomp,
            _ => UserNamespaceDenied::Other,
        }
    }
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Parses `Seccomp:` of proc_pid_status(5).
fn seccomp(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine without obstacles.
    const OPEN: UserNsSysctls =
        UserNsSysctls { built_in: true, unprivileged_clone: None, apparmor_restricts: None, seccomp: Some(0) };

    #[test]
    fn the_switch_that_is_in_the_way_is_named() {
        let off = UserNsSysctls { unprivileged_clone: Some(0), ..OPEN };
        let apparmor = UserNsSysctls { unprivileged_clone: Some(1), apparmor_restricts: Some(1), ..OPEN };
        let container = UserNsSysctls { seccomp: Some(2), ..OPEN };
        for (signs, errno, obstacle) in [
            (OPEN, Errno::ENOSPC, UserNamespaceDenied::Limit),
            (OPEN, Errno::EUSERS, UserNamespaceDenied::Limit),
            (off, Errno::EPERM, UserNamespaceDenied::SwitchedOff),
            // Ubuntu allows the namespace, and then refuses to write its map.
            (apparmor, Errno::EPERM, UserNamespaceDenied::AppArmor),
            (apparmor, Errno::EACCES, UserNamespaceDenied::AppArmor),
            (container, Errno::EPERM, UserNamespaceDenied::Seccomp),
            (UserNsSysctls { built_in: false, ..OPEN }, Errno::EINVAL, UserNamespaceDenied::NotBuiltIn),
            (OPEN, Errno::EPERM, UserNamespaceDenied::Other),
        ] {
            assert_eq!(signs.obstacle(Some(errno)), obstacle, "{signs:?} {errno}");
        }
    }

    #[test]
    fn root_of_a_user_namespace_is_told_from_root_of_the_machine() {
        assert!(maps_root_to_another("         0      65534          1\n"));
        assert!(!maps_root_to_another("         0          0 4294967295\n"));
        assert!(!maps_root_to_another(""));
    }

    #[test]
    fn a_seccomp_filter_is_seen() {
        assert_eq!(seccomp("Name:\tx\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"), Some(2));
        assert_eq!(seccomp("Name:\tx\n"), None);
    }
}
