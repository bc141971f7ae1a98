//! Sysctls that a user may set in a lab, with their usual values.
//!
//! A lab pins the sysctls with which the machine, and not the ruleset, would decide on a probe. A real machine may have
//! other values, and decide differently. The list has only sysctls of a network namespace that affect packets: a sysctl
//! of the whole machine, one that writes to its log (`log_martians`, `nf_conntrack_log_invalid`) and one that the lab
//! itself depends on (`accept_dad`, `tcp_synack_retries`) are refused.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// Sysctls by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sysctls(BTreeMap<String, Set>);

/// A value and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    value: String,
    source: String,
}

/// A sysctl with a value that was set, as reports show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SetSysctl {
    /// Its name: `net.ipv4.conf.all.rp_filter`.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The usual value in a lab.
    pub usual: &'static str,
    /// The source of the value: `--sysctl`, a place in a file, or `this machine`.
    pub source: String,
    /// The checks that have other results with the usual value; `None` if that was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decides: Option<Vec<String>>,
}

/// A sysctl that may be set. In its name, `*` is `all`, `default`, or an interface.
struct KnownSysctl {
    name: &'static str,
    /// Its value in a lab: pinned, or the kernel's own default in a new namespace.
    usual: &'static str,
    /// True if `check --live` uses the machine's value. A limit on packets per second is not copied, since a lab sends
    /// faster than any scanner.
    from_machine: bool,
}

const fn known(name: &'static str, usual: &'static str) -> KnownSysctl {
    KnownSysctl { name, usual, from_machine: true }
}

const fn rate(name: &'static str, usual: &'static str) -> KnownSysctl {
    KnownSysctl { name, usual, from_machine: false }
}

/// From ip-sysctl.rst and nf_conntrack-sysctl.rst of the kernel's documentation.
const KNOWN: &[KnownSysctl] = &[
    known("net.ipv4.conf.*.rp_filter", "0"),
    known("net.ipv4.conf.*.accept_local", "0"),
    known("net.ipv4.conf.*.route_localnet", "0"),
    known("net.ipv4.conf.*.src_valid_mark", "0"),
    known("net.ipv4.conf.*.arp_ignore", "0"),
    known("net.ipv4.conf.*.arp_filter", "0"),
    known("net.ipv4.icmp_echo_ignore_all", "0"),
    known("net.ipv4.icmp_echo_ignore_broadcasts", "1"),
    known("net.ipv4.ip_default_ttl", "64"),
    known("net.ipv4.tcp_syncookies", "1"),
    known("net.ipv4.tcp_timestamps", "1"),
    known("net.ipv4.tcp_window_scaling", "1"),
    known("net.ipv4.tcp_sack", "1"),
    known("net.ipv4.tcp_ecn", "2"),
    known("net.ipv4.tcp_rfc1337", "0"),
    known("net.ipv6.conf.*.hop_limit", "64"),
    known("net.ipv6.icmp.echo_ignore_all", "0"),
    known("net.ipv6.icmp.echo_ignore_multicast", "0"),
    known("net.ipv6.icmp.echo_ignore_anycast", "0"),
    known("net.netfilter.nf_conntrack_tcp_loose", "1"),
    known("net.netfilter.nf_conntrack_tcp_be_liberal", "0"),
    known("net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", "0"),
    known("net.netfilter.nf_conntrack_checksum", "1"),
    rate("net.ipv4.icmp_ratelimit", "0"),
    rate("net.ipv4.icmp_ratemask", "0"),
    rate("net.ipv4.icmp_msgs_per_sec", "1000000000"),
    rate("net.ipv4.icmp_msgs_burst", "1000000000"),
    rate("net.ipv6.icmp.ratelimit", "0"),
    rate("net.ipv6.icmp.ratemask", "128"),
];

/// The maximum number of digits of a value, more than any of these sysctls accepts.
const LONGEST: usize = 20;

impl Sysctls {
    /// True if no sysctl is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets `name`, on a host whose interface is `interface`.
    ///
    /// # Errors
    ///
    /// If the sysctl is not on the list or the value is no number: the problem, and a hint.
    pub fn set(&mut self, name: &str, value: &str, source: &str) -> Result<(), (String, String)> {
        let name = name.replace('/', ".");
        if find(&name).is_none() {
            let shown = name.escape_debug();
            let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
            let hint = format!("these can be set: {}", names.join(", "));
            return Err((format!("the sysctl `{shown}` cannot be set in a lab"), hint));
        }
        let digits = value.strip_prefix('-').unwrap_or(value);
        if digits.is_empty() || digits.len() > LONGEST || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err((format!("`{}` is not a value of {name}", value.escape_debug()), "write a number".to_owned()));
        }
        if name.ends_with(".arp_ignore") && !matches!(value, "0" | "1" | "2" | "3") {
            let problem =
                format!("with {name} = {value} a host may answer no ARP request, and no machine on its link finds it");
            return Err((problem, "write 0 to 3: a lab waits for the answer to an ARP probe".to_owned()));
        }
        self.0.insert(name, Set { value: value.to_owned(), source: source.to_owned() });
        Ok(())
    }

    /// These with `others` on top.
    pub fn with(mut self, others: &Sysctls) -> Sysctls {
        self.0.extend(others.0.iter().map(|(name, set)| (name.clone(), set.clone())));
        self
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|set| set.value.as_str())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, set)| (name.as_str(), set.value.as_str()))
    }

    /// Those with a value other than the usual one.
    pub fn unusual(&self) -> Vec<SetSysctl> {
        let shown = self.0.iter().map(|(name, set)| SetSysctl {
            name: name.clone(),
            value: set.value.clone(),
            usual: find(name).map_or("", |known| known.usual),
            source: set.source.clone(),
            decides: None,
        });
        shown.filter(|one| one.value != one.usual).collect()
    }

    /// The sysctls of a machine that affect single packets, for `interface`; `read` returns `None` for a sysctl that
    /// the machine does not have.
    ///
    /// # Errors
    ///
    /// If a lab cannot have a value of the machine: the problem, and a hint.
    pub fn of_machine(interface: &str, read: impl Fn(&str) -> Option<String>) -> Result<Sysctls, (String, String)> {
        let mut found = Sysctls::default();
        for known in KNOWN.iter().filter(|known| known.from_machine) {
            for part in ["all", "default", interface] {
                let name = known.name.replace('*', part);
                if let Some(value) = read(&name).filter(|value| value != known.usual) {
                    found.set(&name, value.trim(), "this machine")?;
                }
            }
        }
        Ok(found)
    }
}

fn find(name: &str) -> Option<&'static KnownSysctl> {
    KNOWN.iter().find(|known| match known.name.split_once('*') {
        None => known.name == name,
        Some((start, end)) => name
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|part| !part.is_empty() && !part.contains(['.', '/'])),
    })
}

impl fmt::Display for SetSysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SetSysctl { name, value, usual, source, decides } = self;
        write!(f, "{name} = {value} ({source}; otherwise {usual})")?;
        match decides.as_deref() {
            None => Ok(()),
            Some([]) => f.write_str(", decides no check"),
            Some([only]) => write!(f, ", decides the check {only}"),
            Some([first, rest @ ..]) => write!(f, ", decides {} checks, starting with {first}", 1 + rest.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<(), (String, String)> {
        Sysctls::default().set(name, value, "--sysctl")
    }

    #[test]
    fn a_sysctl_of_the_machine_or_of_the_lab_itself_is_refused() {
        for name in [
            "net.netfilter.nf_log_all_netns",
            "net.netfilter.nf_conntrack_log_invalid",
            "net.ipv4.conf.all.log_martians",
            "net.ipv4.tcp_synack_retries",
            "net.ipv4.ip_forward",
            "kernel.panic",
            "net.ipv4.conf.../../kernel.rp_filter",
            "net.ipv4.conf..rp_filter",
        ] {
            assert!(set(name, "1").is_err(), "{name}");
        }
        assert!(set("net/ipv4/conf/eth0/rp_filter", "1").is_ok());
        for value in ["", "-", "x", "1\n2", "123456789012345678901"] {
            assert!(set("net.ipv4.icmp_ratelimit", value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_machine_gives_what_differs_and_decides_on_single_packets() {
        let read = |name: &str| match name {
            "net.ipv4.conf.eth0.rp_filter" => Some("2".to_owned()),
            "net.ipv4.conf.all.rp_filter" => Some("0".to_owned()),
            "net.ipv4.icmp_ratelimit" => Some("1000".to_owned()),
            _ => None,
        };
        let shown = Sysctls::of_machine("eth0", read).unwrap().unusual();
        let shown: Vec<String> = shown.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["net.ipv4.conf.eth0.rp_filter = 2 (this machine; otherwise 0)"]);
    }

    #[test]
    fn value_with_which_no_arp_probe_is_answered_is_refused() {
        let blind = |value: &'static str| move |name: &str| name.ends_with("all.arp_ignore").then(|| value.to_owned());
        for value in ["8", "08", "010", "4"] {
            let (problem, _) = set("net.ipv4.conf.eth0.arp_ignore", value).unwrap_err();
            assert!(problem.starts_with("with net.ipv4.conf.eth0.arp_ignore = "), "{problem}");
            assert!(Sysctls::of_machine("eth0", blind(value)).is_err());
        }
        assert!(Sysctls::of_machine("eth0", blind("3")).is_ok());
    }

    #[test]
    fn later_values_replace_earlier_ones() {
        let of = |value: &str| {
            let mut sysctls = Sysctls::default();
            sysctls.set("net.ipv4.tcp_ecn", value, "a").unwrap();
            sysctls
        };
        assert_eq!(of("0").with(&of("1")).get("net.ipv4.tcp_ecn"), Some("1"));
        assert!(of("2").unusual().is_empty());
    }
}
