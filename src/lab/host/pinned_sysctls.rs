//! The pinned sysctls of the lab: those that would otherwise let the machine, and not the ruleset, decide the result of
//! a probe. They are written in the lab's namespace only, and printed in the report.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::namespace::Isolated;
use crate::error::{CannotMeasure, Context, Result};
use crate::net::sysctl::Sysctls;

/// The sysctls as they were read back.
pub type PinnedSysctls = BTreeMap<String, String>;

/// The sysctls that are pinned before the interface comes up. `addr_gen_mode` is missing on purpose: even to read it,
/// the kernel restarts the call until a lock that all namespaces share is free (`rtnl_trylock` in
/// addrconf_sysctl_addr_gen_mode, net/ipv6/addrconf.c), and a hundred labs that do so use up all processor time;
/// `netcfg` sets it over netlink. See ip-sysctl.rst and nf_conntrack-sysctl.rst in the kernel's documentation.
const PINNED: [(&str, &str); 16] = [
    // The ruleset alone shall decide on spoofed and unroutable sources.
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    // Without these, the kernel's ICMP limiter decides how a REJECT looks.
    ("net.ipv4.icmp_ratemask", "0"),
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv4.icmp_msgs_per_sec", "1000000000"),
    ("net.ipv4.icmp_msgs_burst", "1000000000"),
    ("net.ipv6.icmp.ratelimit", "0"),
    // The types that are limited: only one that never is (`icmpv6_mask_allow`), so none. On older kernels the limit of
    // all messages is for the whole machine, and ICMPv6 errors would count for it.
    ("net.ipv6.icmp.ratemask", "128"),
    // `ipv6.disable_ipv6=1` on the kernel's command line prevents IPv6 addresses on every interface of every namespace
    // (`addrconf_init_net` in net/ipv6/addrconf.c).
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    // An address does not answer during duplicate address detection.
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    // The link has no router that could answer.
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    // A SYN/ACK that is retransmitted a second later would arrive in another batch.
    ("net.ipv4.tcp_synack_retries", "0"),
    // Receive packet steering would send the answer from another context than the writer's, perhaps later.
    ("net.core.rps_default_mask", "0"),
];

/// Exists once conntrack is active in the namespace. 1 is the kernel's default: an ACK without a connection starts one.
const TCP_LOOSE: (&str, &str) = ("net.netfilter.nf_conntrack_tcp_loose", "1");

/// Makes conntrack count packets. The first rule with `-m connbytes` would enable this, with a line in the machine's
/// log.
pub fn count_packets(isolated: &Isolated) -> Result<()> {
    isolated.assert("setting nf_conntrack_acct")?;
    write("net.netfilter.nf_conntrack_acct", "1").map(drop)
}

/// Pins the sysctls, and returns their values. Those that this kernel does not have are left out.
pub fn pin(isolated: &Isolated, sysctls: &Sysctls) -> Result<PinnedSysctls> {
    isolated.assert("pinning sysctls")?;
    let mut pinned_sysctls = PinnedSysctls::new();
    let pinned = PINNED.into_iter().filter(|(name, _)| sysctls.get(name).is_none());
    pinned.chain(sysctls.iter()).try_for_each(|(name, value)| pin_one(&mut pinned_sysctls, name, value))?;
    Ok(pinned_sysctls)
}

/// Pins the sysctls that do not exist before the interface, or before a rule that uses conntrack.
///
/// # Errors
///
/// If one that the user set still does not exist; those of conntrack may be missing, because they have no effect
/// without it.
pub fn pin_late(isolated: &Isolated, sysctls: &Sysctls, pinned_sysctls: &mut PinnedSysctls) -> Result<()> {
    isolated.assert("pinning sysctls")?;
    let usual = [TCP_LOOSE].into_iter().filter(|(name, _)| sysctls.get(name).is_none());
    for (name, value) in usual.chain(sysctls.iter()) {
        pin_one(pinned_sysctls, name, value)?;
    }
    let is_missing =
        |name: &str| !pinned_sysctls.contains_key(name) && !name.starts_with("net.netfilter.nf_conntrack_");
    let missing = sysctls.iter().find(|(name, _)| is_missing(name));
    missing.map_or(Ok(()), |(name, _)| Err(CannotMeasure::NoSysctl { name: name.to_owned() }.into()))
}

fn pin_one(pinned_sysctls: &mut PinnedSysctls, name: &str, value: &str) -> Result<()> {
    if let Some(pinned) = write(name, value)? {
        pinned_sysctls.insert(name.to_owned(), pinned);
    }
    Ok(())
}

/// True if this machine supports IPv6. `ipv6.disable=1` on the kernel's command line disables it, with all its sockets
/// (`inet6_init` in net/ipv6/af_inet6.c); a sandbox may prevent the sockets for this process alone. If IPv6 is a module
/// that is not loaded, opening a socket would load it; hence the check for its sysctls comes first.
pub fn has_ipv6() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| Path::new("/proc/sys/net/ipv6").exists() && has_sockets())
}

fn has_sockets() -> bool {
    let opened = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    !matches!(opened, Err(Errno::EAFNOSUPPORT))
}

fn write(name: &str, value: &str) -> Result<Option<String>> {
    write_path(&Path::new("/proc/sys").join(name.replace('.', "/")), name, value)
}

/// Writes a sysctl, and returns the value that is read back. `None` if it does not exist: in a fresh namespace the
/// kernel's own default is then in effect. It is not written if it has the wanted value already.
///
/// # Errors
///
/// If it has another value and may not be written: nothing can be measured then.
fn write_path(path: &Path, name: &str, wanted: &str) -> Result<Option<String>> {
    match read(path)? {
        Some(value) if !is_the_same(&value, wanted) => {}
        found => return Ok(found),
    }
    let refused = match fs::write(path, wanted) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Some(error)
        }
        written => written.context(format!("write {wanted} to {}", path.display())).map(|()| None)?,
    };
    let value = read(path)?;
    match (refused, value) {
        (Some(source), Some(value)) => {
            let wanted = wanted.to_owned();
            Err(CannotMeasure::NotPinned { name: name.to_owned(), value, wanted, source }.into())
        }
        (_, value) => Ok(value),
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        value => value.context(format!("read {}", path.display())).map(|value| Some(value.trim().to_owned())),
    }
}

/// True for equal values, and for two empty processor masks: with many processors the kernel writes
/// `00000000,00000000`.
fn is_the_same(value: &str, wanted: &str) -> bool {
    value == wanted || wanted == "0" && !value.is_empty() && value.chars().all(|c| matches!(c, '0' | ','))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysctl that even root cannot write; its value is `Linux`.
    const READ_ONLY: &str = "/proc/sys/kernel/ostype";

    #[test]
    fn a_read_only_sysctl_must_have_the_wanted_value() {
        let pin = |wanted| write_path(Path::new(READ_ONLY), "kernel.ostype", wanted);
        assert_eq!(pin("Linux").unwrap(), Some("Linux".to_owned()));
        let error = pin("Hurd").unwrap_err();
        assert_eq!(error.exit_status(), 3);
        assert!(error.to_string().starts_with("kernel.ostype is Linux, must be Hurd"), "{error}");
    }

    #[test]
    fn a_missing_sysctl_is_skipped() {
        let path = Path::new("/proc/sys/net/ipv4/there_is_no_such_sysctl");
        assert_eq!(write_path(path, "net.ipv4.there_is_no_such_sysctl", "0").unwrap(), None);
    }

    #[test]
    fn a_mask_of_no_processors_is_zero() {
        assert!(is_the_same("00000000,00000000", "0") && is_the_same("0", "0"));
        assert!(!is_the_same("00000000,00000001", "0") && !is_the_same("", "0") && !is_the_same("0", "1"));
    }
}
