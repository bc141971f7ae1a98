//! Fresh limits: a `limit` match remembers the packets before, so that a check would depend on the checks before it. The
//! lab gives every probe limits that have not seen a packet yet.
//!
//! Loading the ruleset again would do, but iptables-nft-restore waits for an RCU grace period, 10 ms or more. So with
//! nf_tables each rule that counts is *replaced by itself*: what the kernel dumps of it is sent back unchanged, all rules
//! in one transaction (`NLM_F_REPLACE` in nf_tables_newrule, net/netfilter/nf_tables_api.c), and the ruleset is dumped
//! again to prove that nothing but the handles has changed. With x_tables the ruleset is loaded again, which is quick
//! there: a table is always replaced as a whole, and xt_limit starts anew (limit_mt_check in net/netfilter/xt_limit.c).

use std::collections::BTreeMap;
use std::io;

use super::nfnetlink::{Attributes, Mode, NFTABLES, NLA_F_NESTED, Nfnetlink, Request, attributes, protocol_family};
use crate::error::{CannotMeasure, Doing, Result};
use crate::lab::Observation;
use crate::net::Family;
use crate::probe::Probe;
use crate::scan::Technique;

// enum nft_rule_attributes
const HANDLE: u16 = 3;
const EXPRESSIONS: u16 = 4;
const COMPAT: u16 = 5;
const POSITION: u16 = 6;

/// Gives every rule that counts packets a fresh start, in all `families` at once: the kernel waits for an RCU grace
/// period before it makes an xtables target anew, however many they are.
pub fn renew(netlink: &Nfnetlink, families: &[Family]) -> Result<()> {
    let list = || -> Result<Vec<(Family, Rules)>> {
        families.iter().map(|family| Ok((*family, Rules::list(netlink, *family)?))).collect()
    };
    let before = list()?;
    let counting: Vec<Request> = before.iter().flat_map(|(family, rules)| rules.replacements(*family)).collect();
    if counting.is_empty() {
        return Ok(());
    }
    netlink.transaction(counting, Mode::Replace).doing("renew the limits (nf_tables)")?;
    let after = list()?;
    if !before.iter().zip(&after).all(|((_, before), (_, after))| before.same_but_handles(after)) {
        let what = "a rule that was replaced by itself is not what it was before";
        return Err(CannotMeasure::Disagreement(what.to_owned()).into());
    }
    Ok(())
}

/// What uses up the limits of a ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spending {
    /// Nothing: no rule counts packets.
    Never,
    /// Log lines: every rule that counts is a LOG rule whose limit is its last match. As long as no prefix was seen
    /// `burst` times, no limit is used up.
    Lines {
        /// The smallest burst.
        burst: u32,
    },
    /// Packets: some limit is asked before the rule's other matches, or guards something else than a LOG.
    Packets {
        /// The smallest burst.
        burst: u32,
    },
}

impl Spending {
    /// What uses up the limits of `family`'s rules, as the kernel has them.
    pub fn of(netlink: &Nfnetlink, family: Family) -> Result<Spending> {
        let rules = Rules::list(netlink, family)?;
        Ok(rules.0.iter().map(Rule::spending).fold(Spending::Never, Spending::and))
    }

    /// The more cautious of two.
    fn and(self, other: Spending) -> Spending {
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

/// What the limits of a family have been through since they were renewed.
#[derive(Debug, Default)]
pub struct Spent {
    lines: BTreeMap<String, u32>,
    packets: u32,
}

impl Spent {
    /// Whether `probe` might meet a limit that is used up.
    pub fn is_too_much(&self, spending: Spending, probe: &Probe) -> bool {
        match spending {
            Spending::Never => false,
            Spending::Lines { burst } => self.lines.values().any(|lines| *lines >= burst),
            Spending::Packets { burst } => self.packets != 0 && self.packets + packets(probe) > burst,
        }
    }

    /// Books what a probe brought about.
    pub fn book(&mut self, probe: &Probe, observation: &Observation) {
        self.packets += packets(probe);
        for record in observation.log.iter().chain(&observation.followup) {
            *self.lines.entry(record.prefix.clone()).or_default() += 1;
        }
    }
}

/// How many packets a probe may bring about at one hook: itself, and what its conversation needs.
fn packets(probe: &Probe) -> u32 {
    match probe.technique {
        Technique::Connect => 4,
        Technique::Syn => 2,
        Technique::Null | Technique::Fin | Technique::Xmas | Technique::Ack => 1,
    }
}

/// The rules of a family, as the kernel dumps them.
struct Rules(Vec<Rule>);

/// The attributes of a rule: type and value.
struct Rule(Vec<(u16, Vec<u8>)>);

impl Rules {
    fn list(netlink: &Nfnetlink, family: Family) -> Result<Rules> {
        Rules::dump(netlink, family).doing("list the rules (nf_tables)")
    }

    /// Every rule that counts, to be put in its own place.
    fn replacements(&self, family: Family) -> impl Iterator<Item = Request> + '_ {
        const NEWRULE: u8 = 6;
        let family = protocol_family(family);
        let counting = self.0.iter().filter(|rule| rule.counts());
        counting.map(move |rule| Request {
            subsystem: NFTABLES,
            kind: NEWRULE,
            family,
            attributes: rule.as_replacement(),
        })
    }

    fn dump(netlink: &Nfnetlink, family: Family) -> io::Result<Rules> {
        const GETRULE: u8 = 7;
        let request = Request {
            subsystem: NFTABLES,
            kind: GETRULE,
            family: protocol_family(family),
            attributes: Attributes::new(),
        };
        let mut rules = Vec::new();
        netlink.dump(request, |bytes| {
            rules.push(Rule(attributes(bytes).map(|(kind, value)| (kind, value.to_vec())).collect()));
        })?;
        Ok(Rules(rules))
    }

    fn same_but_handles(&self, other: &Rules) -> bool {
        let same = |(one, other): (&Rule, &Rule)| one.comparable().eq(other.comparable());
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

impl Rule {
    /// Whether an expression of the rule remembers packets: nft's own limit and quota (iptables-nft translates `-m
    /// limit` to the former), and xtables' matches that do.
    fn counts(&self) -> bool {
        self.expressions().into_iter().any(is_counting)
    }

    fn spending(&self) -> Spending {
        let expressions = self.expressions();
        let Some(first) = expressions.iter().position(|expression| is_counting(expression)) else {
            return Spending::Never;
        };
        let burst = expressions[first..].iter().filter_map(|expression| burst(expression)).min();
        let only_logs_after = expressions[first + 1..].iter().all(|expression| is_log(expression));
        match burst {
            Some(burst) if only_logs_after => Spending::Lines { burst },
            burst => Spending::Packets { burst: burst.unwrap_or(1) },
        }
    }

    fn expressions(&self) -> Vec<&[u8]> {
        let lists = self.0.iter().filter(|(kind, _)| *kind == EXPRESSIONS);
        lists.flat_map(|(_, list)| attributes(list)).map(|(_, expression)| expression).collect()
    }

    /// Everything but where it stands, which its handle tells.
    fn as_replacement(&self) -> Attributes {
        let copied = self.0.iter().filter(|(kind, _)| *kind != POSITION);
        copied.fold(Attributes::new(), |all, (kind, value)| match *kind {
            EXPRESSIONS | COMPAT => all.bytes(*kind | NLA_F_NESTED, value),
            kind => all.bytes(kind, value),
        })
    }

    /// Replacing gives a rule a new handle, and the rule after it a new position. Packet counters are not compared.
    fn comparable(&self) -> impl Iterator<Item = (u16, Vec<u8>)> + '_ {
        let told = self.0.iter().filter(|(kind, _)| !matches!(*kind, HANDLE | POSITION));
        told.map(|(kind, value)| match *kind {
            EXPRESSIONS => (*kind, without_counters(value)),
            kind => (kind, value.clone()),
        })
    }
}

/// Name and data of an expression (enum nft_expr_attributes).
fn parts(expression: &[u8]) -> (&[u8], &[u8]) {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let part = |wanted| attributes(expression).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    (part(NAME).unwrap_or_default(), part(DATA).unwrap_or_default())
}

/// The burst of nft's own limit (enum nft_limit_attributes).
fn burst(expression: &[u8]) -> Option<u32> {
    const BURST: u16 = 3;
    let (name, data) = parts(expression);
    let (_, value) = attributes(data).find(|(kind, _)| *kind == BURST).filter(|_| name == b"limit\0")?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// Whether an expression only counts or logs: it lets every packet pass.
fn is_log(expression: &[u8]) -> bool {
    const TARGET_NAME: u16 = 1;
    let (name, data) = parts(expression);
    let target = || attributes(data).find(|(kind, _)| *kind == TARGET_NAME).map(|(_, value)| value);
    match name {
        b"counter\0" | b"log\0" => true,
        b"target\0" => matches!(target(), Some(b"LOG\0" | b"NFLOG\0")),
        _ => false,
    }
}

fn is_counting(expression: &[u8]) -> bool {
    const MATCH_NAME: u16 = 1;
    let (name, data) = parts(expression);
    match name {
        b"limit\0" | b"quota\0" | b"connlimit\0" => true,
        b"match\0" => {
            let name = attributes(data).find(|(kind, _)| *kind == MATCH_NAME).map(|(_, value)| value);
            matches!(name, Some(b"limit\0" | b"quota\0" | b"statistic\0" | b"connlimit\0"))
        }
        _ => false,
    }
}

/// The expressions, but for what `counter` and `quota` have counted.
fn without_counters(list: &[u8]) -> Vec<u8> {
    let told = attributes(list).filter(|(_, expression)| !matches!(parts(expression).0, b"counter\0" | b"quota\0"));
    told.flat_map(|(_, expression)| expression.to_vec()).collect()
}
