//! What can be asked about a rule that has been read.

use std::ops::RangeInclusive;

use super::{Clause, Match, Module, Rule, Target};
use crate::log_line::{is_of_the_lab, nflog_name};
use crate::net::port::Port;

/// A rate limit: a bucket of `burst` packets, into which `count` come back in `seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleLimit {
    /// How many packets.
    pub count: u32,
    /// In how many seconds.
    pub seconds: u32,
    /// How many packets match in a row, when none came before.
    pub burst: u32,
}

impl RuleLimit {
    /// `-m limit` alone: iptables-extensions(8), "The default is 3/hour", "default is 5".
    pub const DEFAULT: RuleLimit = RuleLimit { count: 3, seconds: 3_600, burst: 5 };
}

/// How many bytes of a prefix LOG keeps: `char prefix[30]` of `struct xt_log_info`, less its NUL.
pub const LOG_PREFIX: usize = 29;

impl Rule {
    /// What a LOG rule puts in front of its line; empty when it says nothing, `None` for any other target.
    ///
    /// The kernel keeps 29 bytes ([`LOG_PREFIX`]); both backends of iptables 1.8.9 cut without a word, and in the midst of
    /// a character if need be, whose bytes then are as broken in the log. Such a rest shows as U+FFFD here.
    ///
    /// Of an NFLOG rule: its group and its prefix, as [`nflog_name`] begins. Groups of the lab's own block are not read.
    pub fn log_prefix(&self) -> Option<String> {
        if let Some((group, prefix)) = self.nflog().filter(|(group, _)| !is_of_the_lab(*group)) {
            return Some(nflog_name(group) + prefix);
        }
        let log = self.target.as_ref().filter(|target| target.name == "LOG")?;
        let prefix = log.option("--log-prefix").unwrap_or_default().as_bytes();
        Some(String::from_utf8_lossy(&prefix[..prefix.len().min(LOG_PREFIX)]).into_owned())
    }

    /// The first rate limit of the rule.
    pub fn limit(&self) -> Option<RuleLimit> {
        let limits = self.modules.iter().any(|module| module.name == "limit");
        let mut limit = Some(RuleLimit::DEFAULT).filter(|_| limits)?;
        for clause in &self.clauses {
            match clause.ask {
                Match::Limit { count, seconds } => limit = RuleLimit { count, seconds, ..limit },
                Match::LimitBurst(burst) => limit = RuleLimit { burst, ..limit },
                _ => {}
            }
        }
        Some(limit)
    }

    /// Whether a packet that matches goes no further in this table: ACCEPT, DROP, REJECT, and what ends a chain of nat,
    /// or hands the packet to a program. LOG, NFLOG, TRACE, MARK and the like let it go on, and so does a rule without
    /// target. A jump to a chain is neither this nor its opposite: see [`Rule::is_jump`].
    pub fn is_terminal(&self) -> bool {
        self.target.as_ref().is_some_and(|target| TERMINAL.contains(&target.name.as_str()))
    }

    /// Whether it lets in what matches: ACCEPT.
    pub fn accepts(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.name == "ACCEPT")
    }

    /// Whether it keeps out what matches: DROP, REJECT.
    pub fn denies(&self) -> bool {
        self.target.as_ref().is_some_and(|target| ["DROP", "REJECT"].contains(&target.name.as_str()))
    }

    /// Whether it hands the packet to another chain (`-j CHAIN`, `-g CHAIN`), or back to the one before (`-j RETURN`).
    pub fn is_jump(&self) -> bool {
        let not_a_chain = |name: &str| TERMINAL.contains(&name) || super::extension::known_target(name).is_some();
        self.target.as_ref().is_some_and(|target| target.goto || target.name == "RETURN" || !not_a_chain(&target.name))
    }

    /// Whether it makes the kernel track connections: the hooks of conntrack are registered for as long as such a rule
    /// is there (`nf_ct_netns_get`). An exemption alone does not (`xt_ct_tg_check` in net/netfilter/xt_CT.c).
    pub fn uses_conntrack(&self) -> bool {
        let module = self.modules.iter().any(|module| CONNTRACK_MATCHES.contains(&module.name.as_str()));
        let tracks = |target: &Target| CONNTRACK_TARGETS.contains(&target.name.as_str()) && !target.exempts();
        module || self.target.as_ref().is_some_and(tracks)
    }

    /// The matches by which the same packet may be taken at one moment, and not at another ([`OF_THE_MOMENT`]). A rate
    /// limit is none of them: it recovers.
    pub fn of_the_moment(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter().filter(|module| OF_THE_MOMENT.contains(&module.name.as_str()))
    }

    /// Whether both ask for the same and do the same, however they are written; that is what `-D` goes by. What every
    /// rule can ask has no order, what modules ask has.
    pub fn is_equivalent(&self, other: &Rule) -> bool {
        let same_target = match (&self.target, &other.target) {
            (Some(a), Some(b)) => (&a.name, a.goto, &a.options) == (&b.name, b.goto, &b.options),
            (a, b) => a.is_none() && b.is_none(),
        };
        same_target && self.same_matches(other)
    }

    /// Whether both ask for the same; `-p all` and `-s 0/0` ask for nothing.
    pub fn same_matches(&self, other: &Rule) -> bool {
        let modules = |rule: &Rule| -> Vec<(Match, bool)> {
            rule.narrowing_clauses().filter(of_module).map(match_and_negation).collect()
        };
        let common = |rule: &Rule| -> Vec<(Match, bool)> {
            rule.narrowing_clauses().filter(|c| !of_module(c)).map(match_and_negation).collect()
        };
        let (mine, theirs) = (common(self), common(other));
        let subset = |some: &[(Match, bool)], all: &[(Match, bool)]| some.iter().all(|one| all.contains(one));
        modules(self) == modules(other) && subset(&mine, &theirs) && subset(&theirs, &mine)
    }

    /// The clauses that narrow the rule.
    pub(super) fn narrowing_clauses(&self) -> impl Iterator<Item = &Clause> {
        self.clauses.iter().filter(|clause| !clause.matches_everything())
    }
}

fn of_module(clause: &&Clause) -> bool {
    clause.module.is_some()
}

fn match_and_negation(clause: &Clause) -> (Match, bool) {
    (clause.ask.clone(), clause.negated)
}

impl Clause {
    /// Whether every packet fulfils it, because it says `all` or `0/0`: iptables-save leaves such a clause out.
    fn matches_everything(&self) -> bool {
        !self.negated
            && match &self.ask {
                Match::Protocol(protocol) => *protocol == 0,
                Match::Source(prefix) | Match::Destination(prefix) => prefix.is_everything(),
                _ => false,
            }
    }
}

impl Target {
    /// The argument of `option` (with its dashes).
    pub fn option(&self, option: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == option).map(|(_, argument)| argument.as_str())
    }

    /// The destination ports that REDIRECT or DNAT may give to a packet (libxt_NAT.c): `--to-ports 2000-2010`,
    /// `--to-destination 192.0.2.1:80-90`, `--to-destination [2001:db8::1]:80`.
    pub fn new_ports(&self) -> Option<RangeInclusive<Port>> {
        let range = self.new_ports_text()?.split('/').next()?;
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(Port(first.parse().ok()?)..=Port(last.parse().ok()?))
    }

    /// The one that the first packet to port `from` gets (`get_unique_tuple` in net/netfilter/nf_nat_core.c): its own if
    /// that is in the range, else the first of the range; with `2000-2010/80` as far after 2000 as `from` is after 80.
    pub fn new_port(&self, from: Port) -> Option<Port> {
        let range = self.new_ports()?;
        match self.new_ports_text()?.split_once('/') {
            Some((_, base)) => {
                let after =
                    from.0.wrapping_sub(base.parse().ok()?) % (range.end().0 - range.start().0).saturating_add(1);
                Some(Port(range.start().0 + after))
            }
            None if range.contains(&from) => Some(from),
            None => Some(*range.start()),
        }
    }

    /// Whether each port gets one of its own in the range: `2000-2010/80`.
    pub fn shifts_ports(&self) -> bool {
        self.new_ports_text().is_some_and(|text| text.contains('/'))
    }

    fn new_ports_text(&self) -> Option<&str> {
        match self.name.as_str() {
            "REDIRECT" => self.option("--to-ports"),
            "DNAT" => port_of(self.option("--to-destination")?),
            _ => None,
        }
    }

    /// Whether it exempts packets from tracking.
    pub fn exempts(&self) -> bool {
        self.name == "NOTRACK" || self.option("--notrack").is_some()
    }
}

fn port_of(destination: &str) -> Option<&str> {
    let is_v6_alone = !destination.starts_with('[') && destination.matches(':').count() > 1;
    destination.rsplit_once(':').map(|(_, port)| port).filter(|port| !is_v6_alone && !port.contains(']'))
}

/// iptables-extensions(8): by the clock (`time`), as long as so many bytes have not passed (`quota`), by chance or every so
/// many packets (`statistic`), by what a connection has carried so far (`connbytes`).
pub const OF_THE_MOMENT: [&str; 4] = ["time", "quota", "statistic", "connbytes"];

const TERMINAL: &[&str] = &[
    "ACCEPT",
    "DROP",
    "REJECT",
    "QUEUE",
    "NFQUEUE",
    "REDIRECT",
    "DNAT",
    "SNAT",
    "MASQUERADE",
    "NETMAP",
    "TPROXY",
    "SYNPROXY",
];

/// Kernel modules that call `nf_ct_netns_get` when a rule with them is loaded.
const CONNTRACK_MATCHES: &[&str] =
    &["state", "conntrack", "connmark", "connlimit", "connbytes", "connlabel", "helper", "cluster"];

/// Likewise; the nat targets do it through the nat table.
const CONNTRACK_TARGETS: &[&str] =
    &["CT", "CONNMARK", "CONNSECMARK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "SYNPROXY"];
