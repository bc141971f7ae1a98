//! Queries on a parsed rule.

use std::ops::RangeInclusive;

use super::{Clause, Match, Module, Rule, Target};
use crate::log_line::{is_of_the_lab, nflog_name};
use crate::net::port::Port;
use crate::net::rate::Rate;

/// A rate limit: a bucket of `burst` packets, to which `count` are added in `seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleLimit {
    /// The number of packets.
    pub count: u32,
    /// The number of seconds.
    pub seconds: u32,
    /// The number of packets that match in a row with a full bucket.
    pub burst: u32,
}

impl RuleLimit {
    /// `-m limit` alone: iptables-extensions(8), "The default is 3/hour", "default is 5".
    pub const DEFAULT: RuleLimit = RuleLimit { count: 3, seconds: 3_600, burst: 5 };

    /// The rate at which it recovers.
    pub fn rate(self) -> Option<Rate> {
        Rate::new(self.count.into(), self.seconds.into())
    }

    /// The slowest of `limits`, which decides in the long run.
    pub fn slowest(limits: impl IntoIterator<Item = RuleLimit>) -> Option<RuleLimit> {
        // Equal rates need not be the same text: 5/min is 300/hour.
        let product = |one: RuleLimit, other: RuleLimit| u64::from(one.seconds) * u64::from(other.count);
        limits.into_iter().max_by(|one, other| product(*one, *other).cmp(&product(*other, *one)))
    }

    /// The effect of `limits` on packets that have to pass all of them: the slowest rate and the smallest burst.
    pub(super) fn together(limits: &[RuleLimit]) -> Option<RuleLimit> {
        let burst = limits.iter().map(|limit| limit.burst).min()?;
        RuleLimit::slowest(limits.iter().copied()).map(|limit| RuleLimit { burst, ..limit })
    }
}

/// The maximum length of a prefix in bytes: `char prefix[30]` of `struct xt_log_info`, without its NUL.
pub const LOG_PREFIX: usize = 29;

impl Rule {
    /// The prefix of a LOG rule; empty by default, `None` for any other target.
    ///
    /// The kernel keeps 29 bytes ([`LOG_PREFIX`]); both backends of iptables 1.8.9 cut silently, even within a
    /// character, whose bytes are then incomplete in the log. They are U+FFFD here.
    ///
    /// For an NFLOG rule: its group and its prefix, beginning with [`nflog_name`]. Groups of the lab's own block are
    /// ignored.
    pub fn log_prefix(&self) -> Option<String> {
        if let Some((group, prefix)) = self.nflog().filter(|(group, _)| !is_of_the_lab(*group)) {
            return Some(nflog_name(group) + prefix);
        }
        let log = self.target.as_ref().filter(|target| target.name == "LOG")?;
        let prefix = log.option("--log-prefix").unwrap_or_default().as_bytes();
        Some(String::from_utf8_lossy(&prefix[..prefix.len().min(LOG_PREFIX)]).into_owned())
    }

    /// True if a matching packet goes no further in this table: ACCEPT, DROP, REJECT, and targets that end a chain of
    /// nat, or pass the packet to a program. After LOG, NFLOG, TRACE, MARK and similar targets it goes on, as after a
    /// rule without target. A jump to a chain is neither: see [`Rule::is_jump`].
    pub fn is_terminal(&self) -> bool {
        self.target.as_ref().is_some_and(|target| TERMINAL.contains(&target.name.as_str()))
    }

    /// True if the target is ACCEPT.
    pub fn accepts(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.name == "ACCEPT")
    }

    /// True if the target is DROP or REJECT.
    pub fn denies(&self) -> bool {
        self.target.as_ref().is_some_and(|target| ["DROP", "REJECT"].contains(&target.name.as_str()))
    }

    /// True if it passes the packet to another chain (`-j CHAIN`, `-g CHAIN`), or back to the previous one (`-j
    /// RETURN`).
    pub fn is_jump(&self) -> bool {
        let not_a_chain = |name: &str| TERMINAL.contains(&name) || super::extension::known_target(name).is_some();
        self.target.as_ref().is_some_and(|target| target.goto || target.name == "RETURN" || !not_a_chain(&target.name))
    }

    /// True if it makes the kernel track connections: the hooks of conntrack are registered as long as such a rule
    /// exists (`nf_ct_netns_get`). An exemption alone does not (`xt_ct_tg_check` in net/netfilter/xt_CT.c).
    pub fn uses_conntrack(&self) -> bool {
        let module = self.modules.iter().any(|module| CONNTRACK_MATCHES.contains(&module.name.as_str()));
        let tracks = |target: &Target| CONNTRACK_TARGETS.contains(&target.name.as_str()) && !target.exempts();
        module || self.target.as_ref().is_some_and(tracks)
    }

    /// The time-dependent matches, which may match the same packet at one time and not at another ([`OF_THE_MOMENT`]).
    /// A rate limit is excluded, since it recovers.
    pub fn of_the_moment(&self) -> impl Iterator<Item = &Module> {
        let varies = |module: &&Module| module.name != BY_CHANCE || self.is_by_chance();
        self.modules.iter().filter(|module| OF_THE_MOMENT.contains(&module.name.as_str())).filter(varies)
    }

    /// True if both have equivalent matches and the same target, whatever their notation; `-D` uses this equivalence.
    /// Matches without a module have no order, those of modules have.
    pub fn is_equivalent(&self, other: &Rule) -> bool {
        let same_target = match (&self.target, &other.target) {
            (Some(a), Some(b)) => (&a.name, a.goto, &a.options) == (&b.name, b.goto, &b.options),
            (a, b) => a.is_none() && b.is_none(),
        };
        same_target && self.same_matches(other)
    }

    /// True if both have the same matches; `-p all` and `-s 0/0` match everything and are ignored.
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
    /// True if it matches every packet, such as `all` or `0/0`: iptables-save leaves it out.
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

    /// The new port of the first packet to port `from` (`get_unique_tuple` in net/netfilter/nf_nat_core.c): `from`
    /// itself if it is in the range, else the first of the range; with `2000-2010/80`, 2000 plus the distance of `from`
    /// from 80.
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

    /// True if each port is mapped to its own port in the range: `2000-2010/80`.
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

    /// True if it exempts packets from tracking.
    pub fn exempts(&self) -> bool {
        self.name == "NOTRACK" || self.option("--notrack").is_some()
    }
}

fn port_of(destination: &str) -> Option<&str> {
    let is_v6_alone = !destination.starts_with('[') && destination.matches(':').count() > 1;
    destination.rsplit_once(':').map(|(_, port)| port).filter(|port| !is_v6_alone && !port.contains(']'))
}

/// iptables-extensions(8): by the clock (`time`), until a number of bytes has passed (`quota`), at random or every n-th
/// packet (`statistic`), by the traffic of a connection so far (`connbytes`).
pub const OF_THE_MOMENT: [&str; 4] = ["time", "quota", BY_CHANCE, "connbytes"];

/// The match that decides for each packet by chance, or by the number of earlier packets.
pub(super) const BY_CHANCE: &str = "statistic";

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

/// Targets with the same effect; those of nat have it through the nat table.
const CONNTRACK_TARGETS: &[&str] =
    &["CT", "CONNMARK", "CONNSECMARK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "SYNPROXY"];
