//! The obstacles to an ordinary user's user namespace, and their fixes: every distribution has a switch of its own.

use std::fmt;

/// The reason why the kernel permits no user namespace here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserNamespaceDenied {
    /// `user.max_user_namespaces` is 0, the default of RHEL and CentOS 7. See namespaces(7), `/proc/sys/user`.
    Limit,
    /// `kernel.unprivileged_userns_clone` is 0, the default of Debian up to version 10 and of hardened kernels.
    SwitchedOff,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1, the default of Ubuntu since 23.10. The namespace is
    /// created, but has no rights.
    AppArmor,
    /// A seccomp filter refuses it, as those of Docker and Podman do.
    Seccomp,
    /// The kernel was built without user namespaces (`CONFIG_USER_NS`).
    NotBuiltIn,
    /// Another reason: a chroot (unshare(2), EPERM), or a security module.
    Other,
}

impl UserNamespaceDenied {
    /// The fix for an ordinary user; running scanlab as root avoids all of them.
    const fn hint(self) -> &'static str {
        match self {
            UserNamespaceDenied::Limit => "`sudo sysctl -w user.max_user_namespaces=15000`, or run as root",
            UserNamespaceDenied::SwitchedOff => "`sudo sysctl -w kernel.unprivileged_userns_clone=1`, or run as root",
            UserNamespaceDenied::AppArmor => {
                "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or an AppArmor profile for scanlab \
                 that allows `userns`, or run as root"
            }
            UserNamespaceDenied::Seccomp => {
                "a container forbids it: run scanlab outside, or as root in one started with `--privileged`"
            }
            UserNamespaceDenied::NotBuiltIn => "this kernel has none (CONFIG_USER_NS): run as root",
            UserNamespaceDenied::Other => {
                "a chroot or a security module may forbid it: run as root, for example with sudo"
            }
        }
    }
}

impl fmt::Display for UserNamespaceDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hint())
    }
}
