//! Parses iptables-save text: tables, chains and rules, each with its line, and every rule split into clauses.
//!
//! This does not predict the kernel. It locates a rule and its matches, so that a report can point at it and a mutant
//! can be made of it; the *effect* of a rule is measured. So parsing never fails: it is up to iptables to refuse a
//! ruleset, and unsupported options are kept as [`Match::Other`].

mod backend;
mod base;
mod canonical;
mod chance;
mod command;
mod edit;
mod evaluate;
mod extension;
mod getopt;
mod icmp_type;
mod limit_visits;
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
pub use evaluate::{MatchResult, Packet, is_interface};
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
    /// The line that declares it; `None` for a built-in chain that is only used by rules.
    pub line: Option<usize>,
    /// The policy of a built-in chain, if the text sets it.
    pub policy: Option<Policy>,
    /// Its rules as in the kernel after all lines of the text have been executed.
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
    /// The range of `text` in the whole text.
    pub span: Range<usize>,
    /// The text from `-A` (or `-I`, `-R`) to the end of its line, without counters and trailing blanks.
    pub text: String,
    /// Its matches, in the order of the text.
    pub clauses: Vec<Clause>,
    /// The modules that it loads by name (`-m NAME`), in the order of the text.
    pub modules: Vec<Module>,
    /// Its target; `None` for a rule that only counts.
    pub target: Option<Target>,
}

/// `-m NAME`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The range of `-m NAME` in [`Rule::text`].
    pub span: Range<usize>,
}

/// One match of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// The match.
    pub ask: Match,
    /// `!`
    pub negated: bool,
    /// The `-m` module of the option; `None` for a match without a module (`-p`, `-s`, `-i`, ...).
    pub module: Option<String>,
    /// The range of the option in [`Rule::text`], with its `!` and its arguments, without `-m`.
    pub span: Range<usize>,
}

/// A match and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Match {
    /// `-p tcp`: the protocol's number (IANA); 0 is `all`.
    Protocol(u8),
    /// `-s`
    Source(Prefix),
    /// `-d`
    Destination(Prefix),
    /// `-i`: a name, or the beginning of names followed by `+`.
    InInterface(String),
    /// `-o`
    OutInterface(String),
    /// `--sport`, `--sports`
    SourcePorts(PortSet),
    /// `--dport`, `--dports`
    DestinationPorts(PortSet),
    /// `--tcp-flags MASK COMP`, and `--syn`, which is `FIN,SYN,RST,ACK SYN`.
    TcpFlags {
        /// The flags that are examined: FIN is 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32.
        mask: u8,
        /// Those of them that must be set.
        comp: u8,
    },
    /// `--state`, and `--ctstate` with only these states.
    State(BTreeSet<ConntrackState>),
    /// `--limit`: a number of packets in a number of seconds.
    Limit {
        /// The number of packets.
        count: u32,
        /// The number of seconds.
        seconds: u32,
    },
    /// `--limit-burst`
    LimitBurst(u32),
    /// `--icmp-type`, `--icmpv6-type`: type, with a code if there is one; `None` is `any`.
    IcmpType(Option<(u8, Option<u8>)>),
    /// `--comment`
    Comment(String),
    /// Any other option, as written.
    Other(String),
}

/// An address with its mask: `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// The bits that count, from the most significant one (bit 127 in both families); masks need not be contiguous.
    pub mask: u128,
}

/// The target of a rule: `-j LOG --log-prefix "x "`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, or the name of a chain.
    pub name: String,
    /// `-g` in place of `-j`.
    pub goto: bool,
    /// Its options with their arguments, unquoted: `("--log-prefix", "x ")`; the argument is empty for a flag.
    pub options: Vec<(String, String)>,
    /// Its range in [`Rule::text`], including options.
    pub span: Range<usize>,
    /// The ranges of its options that are separate from it in [`Rule::text`].
    pub apart: Vec<Range<usize>>,
}

#[cfg(test)]
mod tests;
