//! The lab's weather: sysctls that would otherwise let the machine, and not the ruleset, decide what a probe sees. They
//! are written in the lab's namespace only, and printed in the report.

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

/// What is pinned before the interface comes up. `addr_gen_mode` is missing on purpose: even to read it, the kernel starts
/// the call over and over until a lock is free that all namespaces share (`rtnl_trylock` in addrconf_sysctl_addr_gen_mode,
/// net/ipv6/addrconf.c), and a hundred labs that do leave no time to anybody; `netcfg` sets it over netlink. See ip-sysctl.rst and nf_conntrack-sysctl.rst in the kernel's
/// documentation.
const PINNED: [(&str, &str); 16] = [
    // A spoofed or unroutable source is the ruleset's business here.
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    // Else the kernel's ICMP limiter decides what a REJECT looks like.
    ("net.ipv4.icmp_ratemask", "0"),
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv4.icmp_msgs_per_sec", "1000000000"),
    ("net.ipv4.icmp_msgs_burst", "1000000000"),
    ("net.ipv6.icmp.ratelimit", "0"),
    // Which types are limited: one that never is (`icmpv6_mask_allow`), so none. Older kernels have the limit of all messages
    // for the whole machine, and errors of IPv6 would count for it.
    ("net.ipv6.icmp.ratemask", "128"),
    // `ipv6.disable_ipv6=1` on the kernel's command line keeps addresses of IPv6 from every interface of every namespace
    // (`addrconf_init_net` in net/ipv6/addrconf.c).
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    // An address that is still being checked for duplicates answers nobody.
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    // Nobody is there to answer.
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    // A SYN/ACK sent again a second later would be a stray in some other batch.
    ("net.ipv4.tcp_synack_retries", "0"),
    // Receive packet steering would take the answer out of the writer's context.
    ("net.core.rps_default_mask", "0"),
];

/// Exists once conntrack watches the namespace. 1 is the kernel's default: an ACK out of the blue starts a connection.
const TCP_LOOSE: (&str, &str) = ("net.netfilter.nf_conntrack_tcp_loose", "1");

/// Has conntrack count packets. The first rule with `-m connbytes` would switch this on, with a line in the machine's log.
pub fn count_packets(isolated: &Isolated) -> Result<()> {
    isolated.assert("setting nf_conntrack_acct")?;
    write("net.netfilter.nf_conntrack_acct", "1").map(drop)
}

/// Pins the weather, and says what it is now. What this kernel does not have is left out.
pub fn pin(isolated: &Isolated, sysctls: &Sysctls) -> Result<PinnedSysctls> {
    isolated.assert("pinning sysctls")?;
    let mut weather = PinnedSysctls::new();
    let pinned = PINNED.into_iter().filter(|(name, _)| sysctls.get(name).is_none());
    pinned.chain(sysctls.iter()).try_for_each(|(name, value)| pin_one(&mut weather, name, value))?;
    Ok(weather)
}

/// Pins the sysctls that exist only once there is the interface, or a rule that uses conntrack. Fails if one that the user
/// set is still not there; without conntrack, its sysctls decide nothing.
pub fn pin_late(isolated: &Isolated, sysctls: &Sysctls, weather: &mut PinnedSysctls) -> Result<()> {
    isolated.assert("pinning sysctls")?;
    let usual = [TCP_LOOSE].into_iter().filter(|(name, _)| sysctls.get(name).is_none());
    for (name, value) in usual.chain(sysctls.iter()) {
        pin_one(weather, name, value)?;
    }
    let is_missing = |name: &str| !weather.contains_key(name) && !name.starts_with("net.netfilter.nf_conntrack_");
    let missing = sysctls.iter().find(|(name, _)| is_missing(name));
    missing.map_or(Ok(()), |(name, _)| Err(CannotMeasure::NoSysctl { name: name.to_owned() }.into()))
}

fn pin_one(weather: &mut PinnedSysctls, name: &str, value: &str) -> Result<()> {
    if let Some(pinned) = write(name, value)? {
        weather.insert(name.to_owned(), pinned);
    }
    Ok(())
}

/// Whether this machine speaks IPv6 at all. `ipv6.disable=1` on the kernel's command line takes it away, with all its
/// sockets (`inet6_init` in net/ipv6/af_inet6.c); a sandbox may keep the sockets from this process alone. Where it is a
/// module that nobody has loaded, asking for a socket would load it: hence the sysctls are looked for first.
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

/// Writes, and reads back what the kernel made of it. None when there is no such sysctl here: then it has, in a fresh
/// namespace, the kernel's own default. One that says what is wanted is left alone. One that may not be written must say
/// what is wanted already, or nothing can be measured.
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

/// A mask of processors that are none is written as `00000000,00000000` where there are many.
fn is_the_same(value: &str, wanted: &str) -> bool {
    value == wanted || wanted == "0" && !value.is_empty() && value.chars().all(|c| matches!(c, '0' | ','))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysctl that nobody may write, not even root; it says `Linux`.
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
