//! The extensions that a ruleset may use.
//!
//! [`MATCHES`] and [`TARGETS`] list them: each was loaded in a network namespace, and had no effect on the machine
//! (docs/limits.md; tests/kernel/admission.rs repeats it). Everything else is refused.

use super::Terms;
use super::load::CommandLine;
use super::naming::{By, Named, named};
use crate::error::InputError;

/// Matches without state, or with state in the network namespace only. `icmpv6` and `ipv6-icmp` are other names of
/// icmp6.
pub const MATCHES: &[&str] = &[
    "addrtype",
    "ah",
    "bpf",
    "cgroup",
    "cluster",
    "comment",
    "connbytes",
    "connlabel",
    "connlimit",
    "connmark",
    "conntrack",
    "cpu",
    "dccp",
    "devgroup",
    "dscp",
    "dst",
    "ecn",
    "esp",
    "eui64",
    "frag",
    "hashlimit",
    "hbh",
    "helper",
    "hl",
    "icmp",
    "icmp6",
    "icmpv6",
    "ipcomp",
    "iprange",
    "ipv6-icmp",
    "ipv6header",
    "length",
    "limit",
    "mac",
    "mark",
    "mh",
    "multiport",
    "owner",
    "physdev",
    "pkttype",
    "policy",
    "quota",
    "rateest",
    "realm",
    "recent",
    "rpfilter",
    "rt",
    "sctp",
    "set",
    "socket",
    "srh",
    "state",
    "statistic",
    "string",
    "tcp",
    "tcpmss",
    "time",
    "tos",
    "ttl",
    "u32",
    "udp",
    "udplite",
];

/// Targets without state, or with state in the network namespace only.
pub const TARGETS: &[&str] = &[
    "ACCEPT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CT",
    "DNAT",
    "DNPT",
    "DROP",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "LOG",
    "MARK",
    "MASQUERADE",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "QUEUE",
    "RATEEST",
    "REDIRECT",
    "REJECT",
    "RETURN",
    "SET",
    "SNAT",
    "SNPT",
    "SYNPROXY",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
];

/// Known extensions that are refused, with the reason.
pub const REFUSED: &[(&str, &str)] = &[
    ("AUDIT", "it writes to the audit log of the machine"),
    ("CLUSTERIP", "Linux has removed it, and nothing was measured"),
    ("CONNSECMARK", "security labels are those of the machine's policy"),
    (
        "IDLETIMER",
        "timers with the same label are one timer in the whole machine, so it would restart that of the host",
    ),
    ("LED", "it drives the LEDs of the machine"),
    ("SECMARK", "security labels are those of the machine's policy, and a wrong one writes to the machine's log"),
    ("ULOG", "Linux has removed it, and nothing was measured"),
    ("ipvs", "it was not measured"),
    ("nfacct", "a missing counter writes to the machine's log"),
    ("osf", "its fingerprints are shared by the whole machine"),
];

/// Options of admitted extensions that are refused: the extension, the option, its shortest form, and the reason.
pub const REFUSED_OPTIONS: &[(&str, &str, usize, &str)] = &[
    ("CT", "timeout", 1, "a policy that does not exist writes its name to the machine's log"),
    (
        "CT",
        "helper",
        2,
        "it loads a kernel module, and a helper that does not exist writes its name to the machine's log",
    ),
    ("bpf", "object-pinned", 1, "the program is an object of the machine"),
    ("cgroup", "path", 1, "control groups are those of the machine, and a missing one writes to its log"),
];

/// Refuses the line if it names an extension that is not on the list.
pub fn admit(terms: Terms, line: &CommandLine<'_>) -> Result<(), InputError> {
    for extension in named(&line.words) {
        if let Some((span, problem)) = refused_option(line, &extension).or_else(|| refused(terms, line, &extension)) {
            return Err(line.error(
                span,
                problem,
                "only extensions that are proved to stay within the lab are loaded: see docs/limits.md",
            ));
        }
    }
    Ok(())
}

type ExtensionRefusal = Option<(std::ops::Range<usize>, String)>;

fn refused(terms: Terms, line: &CommandLine<'_>, extension: &Named) -> ExtensionRefusal {
    let Named { by, name, span } = extension;
    let option = if *by == By::Match { "-m" } else { "-j" };
    let refusal = |reason: &str| Some((span.clone(), format!("{option} {name} is refused: {reason}")));
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| refused == name) {
        return refusal(reason);
    }
    if name == "physdev" && !terms.bridge_filter {
        return refusal("it would load br_netfilter, which makes bridged packets pass the machine's own rules");
    }
    if *by == By::Jump && TARGETS.contains(&name.as_str()) && line.chains.contains(name) {
        return refusal("a chain of this table has the name of a target");
    }
    let is_admitted = match by {
        By::Match => MATCHES.contains(&name.as_str()),
        By::Jump => TARGETS.contains(&name.as_str()) || line.chains.contains(name),
    };
    match by {
        _ if is_admitted => None,
        By::Match => refusal("scanlab does not know this match to be harmless"),
        By::Jump => refusal("it is neither a chain of this table nor a target that scanlab knows to be harmless"),
    }
}

fn refused_option(line: &CommandLine<'_>, extension: &Named) -> ExtensionRefusal {
    let of_this = REFUSED_OPTIONS.iter().filter(|(name, ..)| *name == extension.name);
    of_this.clone().find_map(|(name, option, shortest, reason)| {
        let word = line.option(option, *shortest)?;
        Some((word.span.clone(), format!("--{option} of {name} is refused: {reason}")))
    })
}
