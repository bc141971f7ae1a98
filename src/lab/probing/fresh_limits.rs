//! Fresh limits: a `limit` match remembers earlier packets, so that a check would depend on the checks before it. For
//! every probe the lab provides limits that have not seen a packet yet.
//!
//! Loading the ruleset again would do, but iptables-nft-restore waits for an RCU grace period, 10 ms or more. So with
//! nf_tables each rule that counts is *replaced by itself*: the kernel's dump of it is sent back unchanged, all rules
//! in one transaction (`NLM_F_REPLACE` in nf_tables_newrule, net/netfilter/nf_tables_api.c), and the ruleset is dumped
//! again to prove that nothing but the handles has changed. With x_tables the ruleset is loaded again, which is quick
//! there: a table is always replaced as a whole, and xt_limit is reset (limit_mt_check in net/netfilter/xt_limit.c).

use std::collections::BTreeMap;

use crate::error::Result;
use crate::lab::trace::nfnetlink::{Attributes, NLA_F_NESTED, Nfnetlink, attributes};
use crate::lab::trace::nft_rules::{self, ReplaceFailure, RuleAttributes, Rules, expression_parts};
use crate::net::Family;
use crate::probe::Probe;
use crate::probe::observation::Observation;
use crate::wire::tcp_flags::TcpFlags;

/// Resets every rule that counts packets, in all `families` at once: the kernel waits for one RCU grace period before
/// it creates xtables targets again, whatever their number. Returns the rules with their new handles; `None` if there
/// was nothing to reset.
pub fn renew(netlink: &Nfnetlink, before: &[Rules]) -> Result<Option<Vec<Rules>>> {
    if !before.iter().flat_map(Rules::iter).any(counts) {
        return Ok(None);
    }
    let families: Vec<Family> = before.iter().map(|rules| rules.family).collect();
    let now = nft_rules::list_all(netlink, &families)?;
    let spent =
        now.iter().flat_map(|rules| rules.changed(may_be_spent, |_, list| with_counters_at_zero(list))).collect();
    let words = ReplaceFailure {
        operation: "renew the limits (nf_tables)",
        disagreement: "a rule that was replaced by itself is not what it was before",
    };
    nft_rules::replace(netlink, before, spent, Rules::same_but_handles, words)
}

/// The kind of events that use up the limits of a ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spending {
    /// No event: no rule counts packets.
    Never,
    /// Log lines: every rule that counts is a LOG rule whose limit is its last match. As long as no prefix was logged
    /// `burst` times, no limit is used up.
    Lines {
        /// The smallest burst.
        burst: u32,
    },
    /// Packets: some limit comes before other matches of its rule, or its rule has another target than LOG.
    Packets {
        /// The smallest burst.
        burst: u32,
    },
}

impl Spending {
    /// The events for these rules of the kernel.
    pub fn new(rules: &Rules) -> Spending {
        rules.iter().map(spending).fold(Spending::Never, Spending::and)
    }

    /// True if the packets of `probe` find no limit used up that was fresh before them.
    pub fn allows(self, probe: &Probe) -> bool {
        match self {
            Spending::Never => true,
            Spending::Lines { burst } | Spending::Packets { burst } => packets(probe) <= burst,
        }
    }

    /// The same if each packet meets a limit so many times: as many fewer packets use it up.
    pub fn for_visits(self, visits: u32) -> Spending {
        match self {
            Spending::Never => Spending::Never,
            Spending::Lines { burst } => Spending::Lines { burst: burst / visits.max(1) },
            Spending::Packets { burst } => Spending::Packets { burst: burst / visits.max(1) },
        }
    }

    /// The one of the two that uses up limits sooner.
    pub fn and(self, other: Spending) -> Spending {
        match (self, other) {
            (Spending::Never, spending) | (spending, Spending::Never) => spending,
            (Spending::Lines { burst: one }, Spending::Lines { burst: other }) => {
                Spending::Lines { burst: one.min(other) }
            }
            (
                Spending::Lines { burst: one } | Spending::Packets { burst: one },
                Spending::Lines { burst: other } | Spending::Packets { burst: other },
            ) => Spending::Packets { burst: one.min(other) },
        }
    }
}

/// The use of a family's limits since they were reset.
#[derive(Debug, Default)]
pub struct LimitUse {
    lines: BTreeMap<String, u32>,
    packets: u32,
}

impl LimitUse {
    /// True if `probe` might find a limit that is used up.
    pub fn would_exceed(&self, spending: Spending, probe: &Probe) -> bool {
        match spending {
            Spending::Never => false,
            Spending::Lines { burst } => self.lines.values().any(|lines| lines + packets(probe) > burst),
            Spending::Packets { burst } => self.packets != 0 && self.packets + packets(probe) > burst,
        }
    }

    /// Counts the packets and lines that a probe caused.
    pub fn record(&mut self, probe: &Probe, observation: &Observation) {
        self.packets += packets(probe);
        for record in observation.log.iter().chain(&observation.followup) {
            *self.lines.entry(record.prefix.clone()).or_default() += 1;
        }
    }
}

/// The largest number of packets of a probe at one hook: the probe itself, and the later packets of its exchange.
pub(super) fn packets(probe: &Probe) -> u32 {
    match () {
        () if probe.technique.is_full_connect() => 4,
        () if probe.flags() & TcpFlags::SYN != 0 => 2,
        () => 1,
    }
}

/// True if an expression of the rule remembers packets: nft's own limit and quota (iptables-nft translates `-m limit`
/// to the former), and xtables' matches that do.
fn counts(rule: &RuleAttributes) -> bool {
    rule.expressions().into_iter().any(is_counting)
}

/// True if the rule may have seen a packet since its limit was reset. A fresh limit lets a packet pass, which the
/// counter of the rule then counts if no later match can prevent it.
fn may_be_spent(rule: &RuleAttributes) -> bool {
    let expressions = rule.expressions();
    let Some(first) = expressions.iter().position(|expression| is_counting(expression)) else { return false };
    let after = &expressions[first + 1..];
    let is_counted = || is_limit(expressions[first]) && after.iter().copied().all(is_log);
    let is_untouched = || after.iter().any(|expression| counted(expression) == Some(0));
    !(is_untouched() && is_counted())
}

/// True for nft's own limit, which a packet passes if it is within the rate (enum nft_limit_attributes).
fn is_limit(expression: &[u8]) -> bool {
    const FLAGS: u16 = 5;
    let (name, data) = expression_parts(expression);
    let is_inverted = || attributes(data).any(|(kind, value)| kind == FLAGS && value.iter().any(|byte| *byte != 0));
    name == b"limit\0" && !is_inverted()
}

/// The number of packets of a `counter` (enum nft_counter_attributes).
fn counted(expression: &[u8]) -> Option<u64> {
    const PACKETS: u16 = 2;
    let (name, data) = expression_parts(expression);
    let (_, value) = attributes(data).find(|(kind, _)| *kind == PACKETS).filter(|_| name == b"counter\0")?;
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// The expressions of a rule, with its counter set to zero.
fn with_counters_at_zero(list: &[u8]) -> Attributes {
    const LIST_ELEMENT: u16 = 1;
    const NAME: u16 = 1;
    attributes(list).fold(Attributes::new(), |all, (_, expression)| match expression_parts(expression).0 {
        b"counter\0" => all.nested(LIST_ELEMENT, Attributes::new().bytes(NAME, b"counter\0")),
        _ => all.bytes(LIST_ELEMENT | NLA_F_NESTED, expression),
    })
}

fn spending(rule: &RuleAttributes) -> Spending {
    let expressions = rule.expressions();
    let Some(first) = expressions.iter().position(|expression| is_counting(expression)) else {
        return Spending::Never;
    };
    let burst = expressions[first..].iter().filter_map(|expression| burst(expression)).min();
    let only_logs_after = expressions[first + 1..].iter().copied().all(is_log);
    match burst {
        Some(burst) if only_logs_after => Spending::Lines { burst },
        burst => Spending::Packets { burst: burst.unwrap_or(1) },
    }
}

/// The burst of nft's own limit (enum nft_limit_attributes).
fn burst(expression: &[u8]) -> Option<u32> {
    const BURST: u16 = 3;
    let (name, data) = expression_parts(expression);
    let (_, value) = attributes(data).find(|(kind, _)| *kind == BURST).filter(|_| name == b"limit\0")?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// True if an expression only counts or logs: it lets every packet pass.
pub fn is_log(expression: &[u8]) -> bool {
    const TARGET_NAME: u16 = 1;
    let (name, data) = expression_parts(expression);
    let target = || attributes(data).find(|(kind, _)| *kind == TARGET_NAME).map(|(_, value)| value);
    match name {
        b"counter\0" | b"log\0" => true,
        b"target\0" => matches!(target(), Some(b"LOG\0" | b"NFLOG\0")),
        _ => false,
    }
}

fn is_counting(expression: &[u8]) -> bool {
    const MATCH_NAME: u16 = 1;
    let (name, data) = expression_parts(expression);
    match name {
        b"limit\0" | b"quota\0" | b"connlimit\0" => true,
        b"match\0" => {
            let name = attributes(data).find(|(kind, _)| *kind == MATCH_NAME).map(|(_, value)| value);
            matches!(name, Some(b"limit\0" | b"quota\0" | b"statistic\0" | b"connlimit\0"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Addresses;
    use crate::net::port::Port;
    use crate::probe::scan::Technique;
    use crate::probe::scan_pass::PassNumbering;

    #[test]
    fn burst_of_the_packets_of_a_probe_allows_it_and_a_smaller_one_does_not() {
        let mut numbering = PassNumbering::new(1);
        for (technique, burst) in [(Technique::Fin, 1), (Technique::Syn, 2), (Technique::Connect, 4)] {
            let probe = numbering.phase(technique, Family::Ipv4, Addresses::default()).probe(Port(80), 0);
            for spending in [|burst| Spending::Lines { burst }, |burst| Spending::Packets { burst }] {
                assert!(spending(burst).allows(&probe) && !spending(burst - 1).allows(&probe), "{technique:?}");
            }
            assert!(Spending::Never.allows(&probe), "{technique:?}");
        }
    }
}
