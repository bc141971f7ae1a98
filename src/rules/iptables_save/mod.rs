//! iptables-save text, read: tables, chains and rules, each with its line, and every rule taken apart into clauses.
//!
//! The kernel is never second-guessed by this. It tells where a rule stands and what it asks for, so that a report can
//! point at it and a mutant can be made of it; what a rule *does* is measured. Hence reading never fails: iptables is the
//! one to refuse a ruleset, and what is not understood here is kept as [`Match::Other`].

mod backend;
mod base;
mod canonical;
mod command;
mod edit;
mod evaluate;
mod extension;
mod getopt;
mod icmp_type;
mod line;
mod listing;
mod match_kind;
mod memory;
mod nflog;
mod number;
mod open_rules;
mod parse;
mod ports;
mod prefix;
mod protocol;
#[cfg(test)]
mod real_iptables_tests;
mod rewrite;
mod rule;
mod unified;
pub(crate) mod wrong_format;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

use crate::error::Source;
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::net::port::PortSet;

pub use backend::Backend;
pub use edit::{Edit, apply};
pub use evaluate::{MatchResult, Packet};
pub use listing::{HOOKS, PlacedRule};
pub use memory::keeps_lists;
pub use nflog::{Copy as NflogCopy, Groups};
pub use rule::{LOG_PREFIX, OF_THE_MOMENT, RuleLimit};
pub use unified::unified;

/// A ruleset of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The family.
    pub family: Family,
    /// The flavour of the iptables-restore that loads the text.
    pub backend: Backend,
    /// The text that was read.
    pub source: Source,
    /// Its tables, each once, in the order of the text.
    pub tables: Vec<Table>,
}

/// A table: `*filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The line of `*filter` (1 is the first).
    pub line: usize,
    /// Its chains, in the order of the text.
    pub chains: Vec<Chain>,
}

/// A chain: `:INPUT DROP [0:0]`, `:scans - [0:0]`, or `-N scans`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// The line that declares it; `None` for a built-in chain that only rules speak of.
    pub line: Option<usize>,
    /// The policy of a built-in chain, when the text sets it.
    pub policy: Option<Policy>,
    /// Its rules, as they stand in the kernel when all lines of the text have been carried out.
    pub rules: Vec<Rule>,
}

/// The policy of a built-in chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// ACCEPT
    Accept,
    /// DROP
    Drop,
}

/// A rule. A line that lists several addresses (`-s 10.0.0.1,10.0.0.2`) makes several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its line (1 is the first).
    pub line: usize,
    /// Where `text` stands in the whole text.
    pub span: Range<usize>,
    /// From `-A` (or `-I`, `-R`) to the end of its line, without counters and trailing blanks.
    pub text: String,
    /// What it asks for, in the order of the text.
    pub clauses: Vec<Clause>,
    /// The matches that it loads by name (`-m NAME`), in the order of the text.
    pub modules: Vec<Module>,
    /// What it does; `None` for a rule that only counts.
    pub target: Option<Target>,
}

/// `-m NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Where `-m NAME` stands in [`Rule::text`].
    pub span: Range<usize>,
}

/// One thing that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// What is asked.
    pub ask: Match,
    /// `!`
    pub negated: bool,
    /// The `-m` module that the option belongs to; `None` for what every rule can ask (`-p`, `-s`, `-i`, ...).
    pub module: Option<String>,
    /// Where the option stands in [`Rule::text`], with its `!` and its arguments, without `-m`.
    pub span: Range<usize>,
}

/// What a clause asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Match {
    /// `-p tcp`: the protocol's number (IANA); 0 is `all`.
    Protocol(u8),
    /// `-s`
    Source(Prefix),
    /// `-d`
    Destination(Prefix),
    /// `-i`: a name, or the beginning of names with a `+` behind it.
    InInterface(String),
    /// `-o`
    OutInterface(String),
    /// `--sport`, `--sports`
    SourcePorts(PortSet),
    /// `--dport`, `--dports`
    DestinationPorts(PortSet),
    /// `--tcp-flags MASK COMP`, and `--syn`, which is `FIN,SYN,RST,ACK SYN`.
    TcpFlags {
        /// The flags that are looked at: FIN is 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32.
        mask: u8,
        /// Those of them that must be set.
        comp: u8,
    },
    /// `--state`, and `--ctstate` where it names nothing but these.
    State(BTreeSet<ConntrackState>),
    /// `--limit`: packets for each so many seconds.
    Limit {
        /// How many.
        count: u32,
        /// In how many seconds.
        seconds: u32,
    },
    /// `--limit-burst`
    LimitBurst(u32),
    /// `--icmp-type`, `--icmpv6-type`: type, and code where one is named; none is `any`.
    IcmpType(Option<(u8, Option<u8>)>),
    /// `--comment`
    Comment(String),
    /// Any other option, as it is written.
    Other(String),
}

/// An address with its mask: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// Which bits count, from the most significant one (bit 127 in both families); masks need not be contiguous.
    pub mask: u128,
}

/// What a rule does with what it matches: `-j LOG --log-prefix "x "`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, or the name of a chain.
    pub name: String,
    /// `-g` in place of `-j`.
    pub goto: bool,
    /// Its options with their arguments, unquoted: `("--log-prefix", "x ")`; the argument is empty for a flag.
    pub options: Vec<(String, String)>,
    /// Where it stands in [`Rule::text`], options included.
    pub span: Range<usize>,
    /// Its options that stand elsewhere in [`Rule::text`], with something else in between.
    pub apart: Vec<Range<usize>>,
}

#[cfg(test)]
mod tests;
