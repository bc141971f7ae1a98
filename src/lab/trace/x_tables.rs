//! The rules of x_tables as the kernel has them (`IPT_SO_GET_ENTRIES`, net/ipv4/netfilter/ip_tables.c, and the same for
//! IPv6): chain by chain, in order, each with its verdict and its limits. The layout is that of
//! linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h and linux/netfilter/x_tables.h.

use std::os::fd::{AsFd, OwnedFd};
use std::{io, iter};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::hotdrop::{Conditions, HotDrop};
use super::nft_rules::KernelRuleText;
use crate::error::{CannotMeasure, Context, Result};
use crate::lab::host::namespace::Isolated;
use crate::lab::probing::fresh_limits::Spending;
use crate::net::Family;
use crate::net::rate::{Rate, SCALE};
use crate::rules::iptables_save::{HOOKS, Listing};
use crate::sys;

/// A table.
pub struct KernelTable {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Its chains, in the kernel's order.
    pub chains: Vec<KernelChain>,
}

/// A chain.
pub struct KernelChain {
    /// Its name.
    pub name: String,
    /// Its rules, in order.
    pub rules: Vec<KernelRule>,
    /// The end of the chain: the policy of a built-in chain, the return of another.
    pub end: RuleVerdict,
    /// True if packets enter it by a hook.
    pub is_built_in: bool,
}

/// A rule.
pub struct KernelRule {
    /// The verdict on packets that match.
    pub decision: RuleVerdict,
    /// Its conditions.
    pub conditions: Conditions,
    matches: Vec<MatchOf>,
}

/// The verdict of a rule on packets that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleVerdict {
    /// ACCEPT
    Accept,
    /// DROP
    Drop,
    /// RETURN
    Return,
    /// QUEUE
    Queue,
    /// A rule without target.
    Continue,
    /// `-j CHAIN`
    Jump(String),
    /// `-g CHAIN`
    Goto(String),
    /// The target of an extension, whose verdict is known only when it runs.
    Extension(String),
}

/// A match of a rule, as far as it is needed.
enum MatchOf {
    /// `-m limit`: the time between two packets, in units of 1/10000 s, and the burst.
    Limit { interval: u32, burst: u32 },
    /// Another one that remembers packets.
    Memory,
    /// Any other.
    Other,
}

impl KernelTable {
    /// Lists the kernel's tables that `listings` have. A query for another table would create it.
    pub fn list(isolated: &Isolated, listings: &[Listing]) -> Result<Vec<KernelTable>> {
        isolated.assert("listing the rules")?;
        let names = listings.iter().flat_map(|listing| listing.tables.iter().map(move |table| (listing.family, table)));
        let listed = names.map(|(family, table)| {
            let entries =
                IptEntries::query(family, &table.name).context(format!("list the table {} (x_tables)", table.name))?;
            let chains = entries.chains().ok_or_else(|| unreadable(family, &table.name))?;
            Ok(KernelTable { family, name: table.name.clone(), chains })
        });
        listed.collect()
    }

    /// Every rule, with its number in the lab's trace.
    pub fn known(&self) -> impl Iterator<Item = KernelRuleText<'_>> {
        let rules = self.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
        rules.zip(1..).map(|((chain, rule), handle)| KernelRuleText {
            table: self.name.as_bytes(),
            chain: chain.name.as_bytes(),
            handle,
            rate: rule.rate(),
        })
    }

    /// The kind of events that use up the limits of its rules.
    pub fn spending(&self) -> Spending {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules);
        rules.map(KernelRule::spending).fold(Spending::Never, Spending::and)
    }
}

/// The rules of all tables, for the index of rules.
pub fn all_known(tables: &[KernelTable]) -> Vec<(Family, Vec<KernelRuleText<'_>>)> {
    tables.iter().map(|table| (table.family, table.known().collect())).collect()
}

impl KernelRule {
    /// The slowest rate of its limits.
    fn rate(&self) -> Option<Rate> {
        let intervals = self.matches.iter().filter_map(|one| match one {
            MatchOf::Limit { interval, .. } => Some(*interval),
            MatchOf::Memory | MatchOf::Other => None,
        });
        // A rate is stored here as `avg` of struct xt_rateinfo.
        intervals.filter_map(|interval| Rate::new(SCALE, interval.into())).max()
    }

    fn spending(&self) -> Spending {
        let Some(first) = self.matches.iter().position(|one| !matches!(one, MatchOf::Other)) else {
            return Spending::Never;
        };
        let burst = self.matches[first..].iter().filter_map(|one| match one {
            MatchOf::Limit { burst, .. } => Some(*burst),
            MatchOf::Memory | MatchOf::Other => None,
        });
        let burst = burst.min();
        let is_log = matches!(&self.decision, RuleVerdict::Extension(name) if matches!(name.as_str(), "LOG" | "NFLOG"));
        match burst {
            Some(burst) if is_log && first + 1 == self.matches.len() => Spending::Lines { burst },
            burst => Spending::Packets { burst: burst.unwrap_or(1) },
        }
    }
}

fn unreadable(family: Family, table: &str) -> crate::error::Error {
    CannotMeasure::Disagreement(format!("the kernel lists table {table} ({family}) in a way that cannot be read"))
        .into()
}

/// The size of a table's name, with its NUL (`XT_TABLE_MAXNAMELEN`).
const NAME: usize = 32;

/// A table as the kernel returns it.
struct IptEntries {
    family: Family,
    /// The offset at which each hook begins; `None` for a hook that the table does not have.
    hooks: [Option<usize>; 5],
    bytes: Vec<u8>,
}

impl IptEntries {
    fn query(family: Family, table: &str) -> io::Result<IptEntries> {
        const GET_INFO: i32 = 64;
        const GET_ENTRIES: i32 = 65;
        // From struct ipt_getinfo: name, valid_hooks, hook_entry[5], underflow[5], num_entries, size.
        const INFO: usize = NAME + 13 * 4;
        let (address, level) = family.pick((AddressFamily::Inet, 0), (AddressFamily::Inet6, 41));
        let socket: OwnedFd = socket(address, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
        let mut info = named(table, INFO)?;
        sys::read_option(socket.as_fd(), level, GET_INFO, &mut info)?;
        let number = |index: usize| native(&info, NAME + 4 * index).unwrap_or_default();
        let (valid, size) = (number(0), number(12));
        let hook = |hook: usize| (valid >> hook & 1 == 1).then(|| number(1 + hook) as usize);
        // From struct ipt_get_entries: name, size, and the entries, which are aligned to 64 bits.
        let start = (NAME + 4).next_multiple_of(align_of::<u64>());
        let mut bytes = named(table, start + size as usize)?;
        bytes[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
        sys::read_option(socket.as_fd(), level, GET_ENTRIES, &mut bytes)?;
        Ok(IptEntries { family, hooks: std::array::from_fn(hook), bytes: bytes.split_off(start) })
    }

    /// The chains. `None` if the table is inconsistent.
    fn chains(&self) -> Option<Vec<KernelChain>> {
        let mut heads: Vec<Head> = Vec::new();
        let mut offset = 0;
        while offset < self.bytes.len() {
            let entry = IptEntry::at(self, offset)?;
            if let Some(hook) = self.hooks.iter().position(|hook| *hook == Some(offset)) {
                heads.push(Head {
                    name: HOOKS[hook].to_owned(),
                    is_built_in: true,
                    first: offset,
                    entries: Vec::new(),
                });
            }
            match entry.begins_chain() {
                Some(name) => {
                    let first = offset + entry.length;
                    heads.push(Head { name, is_built_in: false, first, entries: Vec::new() });
                }
                None => heads.last_mut()?.entries.push(entry),
            }
            offset += self.length(offset)?;
        }
        // The last entry of a table is an error target, too, and begins no chain.
        heads.pop_if(|head| head.entries.is_empty());
        let target = |place: usize| Some(heads.iter().find(|head| head.first == place)?.name.clone());
        heads.iter().map(|head| head.chain(target)).collect()
    }

    fn length(&self, offset: usize) -> Option<usize> {
        IptEntry::at(self, offset).map(|entry| entry.length)
    }
}

/// The beginning of a chain, and its entries.
struct Head<'a> {
    name: String,
    is_built_in: bool,
    /// The offset of its first entry, to which jumps go.
    first: usize,
    entries: Vec<IptEntry<'a>>,
}

impl Head<'_> {
    fn chain(&self, target: impl Fn(usize) -> Option<String>) -> Option<KernelChain> {
        let (end, rules) = self.entries.split_last()?;
        let rule = |entry: &IptEntry| {
            let (decision, conditions, matches) = (entry.decision(&target)?, entry.conditions(), entry.matches());
            Some(KernelRule { decision, conditions, matches })
        };
        Some(KernelChain {
            name: self.name.clone(),
            rules: rules.iter().map(rule).collect::<Option<_>>()?,
            end: end.decision(&target)?,
            is_built_in: self.is_built_in,
        })
    }
}

/// A `struct ipt_entry` or `struct ip6t_entry`.
struct IptEntry<'a> {
    offset: usize,
    length: usize,
    goto: bool,
    protocol: Option<u8>,
    matches: &'a [u8],
    target: &'a [u8],
}

/// The header of `struct xt_entry_match` and `struct xt_entry_target`: size, name, revision; then their data.
const EXTENSION: usize = 32;

impl<'a> IptEntry<'a> {
    fn at(entries: &'a IptEntries, offset: usize) -> Option<IptEntry<'a>> {
        // Offsets in the entry before its matches: of the protocol and of the inverted conditions; of the flags, with the bit that means `-g`, of the offset of the
        // target, and of the counters, which are aligned to 64 bits.
        let (flags, goto, offsets, counters) = entries.family.pick((82, 2, 88, 96usize), (131, 4, 140, 148));
        let (protocol, inverted) = entries.family.pick((80, 83), (128, 132));
        const INVERTED_PROTOCOL: u8 = 0x40;
        let head = counters.next_multiple_of(align_of::<u64>()) + 16;
        let bytes = entries.bytes.get(offset..)?;
        let target = usize::from(short(bytes, offsets)?);
        let length = usize::from(short(bytes, offsets + 2)?);
        Some(IptEntry {
            offset,
            length: (length != 0).then_some(length)?,
            goto: bytes.get(flags)? & goto != 0,
            protocol: short(bytes, protocol)
                .and_then(|number| u8::try_from(number).ok())
                .filter(|number| *number != 0 && bytes[inverted] & INVERTED_PROTOCOL == 0),
            matches: bytes.get(head..target)?,
            target: bytes.get(target..length).filter(|target| target.len() >= EXTENSION)?,
        })
    }

    /// The chain that begins here: `XT_ERROR_TARGET` has its name.
    fn begins_chain(&self) -> Option<String> {
        (name(self.target) == "ERROR").then(|| text(&self.target[EXTENSION..]))
    }

    /// The verdict. `XT_STANDARD_TARGET` has no name; its number is the offset of a jump, or a verdict (`-NF_ACCEPT -
    /// 1`, `XT_RETURN`).
    fn decision(&self, chain: impl Fn(usize) -> Option<String>) -> Option<RuleVerdict> {
        let name = name(self.target);
        if !name.is_empty() {
            return Some(RuleVerdict::Extension(name));
        }
        let verdict = native(self.target, EXTENSION)? as i32;
        Some(match verdict {
            -1 => RuleVerdict::Drop,
            -2 => RuleVerdict::Accept,
            -4 => RuleVerdict::Queue,
            -5 => RuleVerdict::Return,
            0.. if verdict as usize == self.offset + self.length => RuleVerdict::Continue,
            0.. if self.goto => RuleVerdict::Goto(chain(verdict as usize)?),
            0.. => RuleVerdict::Jump(chain(verdict as usize)?),
            _ => return None,
        })
    }

    fn matches(&self) -> Vec<MatchOf> {
        self.each_match().map(match_of).collect()
    }

    fn conditions(&self) -> Conditions {
        let matches = self.each_match().map(|one| HotDrop::of(&name(one), &one[EXTENSION..])).collect();
        Conditions { protocol: self.protocol, matches }
    }

    fn each_match(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut left = self.matches;
        iter::from_fn(move || {
            let size = short(left, 0).map(usize::from).filter(|size| (EXTENSION..=left.len()).contains(size))?;
            let (one, rest) = left.split_at(size);
            left = rest;
            Some(one)
        })
    }
}

fn match_of(bytes: &[u8]) -> MatchOf {
    match name(bytes).as_str() {
        // From struct xt_rateinfo: avg, burst.
        "limit" => {
            let number = |at| native(bytes, EXTENSION + at).unwrap_or_default();
            MatchOf::Limit { interval: number(0), burst: number(4) }
        }
        "quota" | "statistic" | "connlimit" => MatchOf::Memory,
        _ => MatchOf::Other,
    }
}

fn name(extension: &[u8]) -> String {
    text(&extension[2..EXTENSION - 1])
}

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

fn named(table: &str, length: usize) -> io::Result<Vec<u8>> {
    if table.len() >= NAME {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = vec![0; length];
    bytes[..table.len()].copy_from_slice(table.as_bytes());
    Ok(bytes)
}

fn native(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
