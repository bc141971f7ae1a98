//! What keeps an ordinary user from a user namespace, and what mends it: every distribution has a switch of its own.

use std::fmt;

/// Why the kernel makes no user namespace here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserNamespaceDenied {
    /// `user.max_user_namespaces` allows none: so RHEL and CentOS 7 come. See namespaces(7), `/proc/sys/user`.
    Limit,
    /// `kernel.unprivileged_userns_clone` is 0: so Debian came until version 10, and hardened kernels do.
    SwitchedOff,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1: so Ubuntu comes since 23.10. The namespace is made, but
    /// nothing is allowed in it.
    AppArmor,
    /// A seccomp filter refuses it, as those of Docker and Podman do.
    Seccomp,
    /// The kernel was built without them (`CONFIG_USER_NS`).
    NotBuiltIn,
    /// Something else: a chroot (unshare(2), EPERM), or a security module.
    Other,
}

impl UserNamespaceDenied {
    /// What makes scanlab run as an ordinary user; running it as root mends all of them.
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
