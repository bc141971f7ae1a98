//! The lab's own table: it catches the canaries before any rule of the ruleset under test can see them, and logs them;
//! and it switches on what the lab [`Watch`]es: the rule trace of every packet, or a line for what was let in. Named
//! `scanlab`, in `ip` and `ip6`, its chains before and behind those of the ruleset, which stays as it was given.

use std::net::IpAddr;

use super::namespace::Isolated;
use super::nfnetlink::{Attributes, Mode, NFTABLES, Nfnetlink, Request, protocol_family};
use crate::canary;
use crate::error::{Doing, Result};
use crate::net::Family;

/// Its name.
pub const NAME: &str = "scanlab";

/// Where a chain hangs (enum nf_inet_hooks, linux/netfilter_ipv4.h).
struct Place {
    chain: &'static str,
    hook: u32,
    priority: i32,
}

/// Before all: conntrack's defragmentation is at -400, raw at -300.
const PREROUTING: Place = Place { chain: "prerouting", hook: 0, priority: -450 };

/// Before all that the host sends.
const OUTPUT: Place = Place { chain: "output", hook: 3, priority: -450 };

/// Behind all chains of the ruleset; only conntrack's confirmation is later.
const INPUT: Place = Place { chain: "input", hook: 1, priority: i32::MAX - 1 };

/// The chain that begins the trace of a packet that goes out.
pub const OUT: &str = OUTPUT.chain;

/// The chain whose policy is the last event of a packet that was let in.
pub const LET_IN: &str = INPUT.chain;

/// What the line of an accepted packet says first; see [`Watch::Verdicts`].
pub const ACCEPTED_PREFIX: &str = "scanlab accepted: ";

/// What is watched besides replies and log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Nothing.
    Replies,
    /// Which packets come out of the INPUT hook behind all chains of the ruleset: one more log line for each. For rules of
    /// x_tables, which nf_tables does not trace.
    Verdicts,
    /// The path of every packet through the rules of nf_tables.
    Paths,
}

/// Makes the table for every family.
pub fn install(isolated: &Isolated, netlink: &Nfnetlink, families: &[Family], watch: Watch) -> Result<()> {
    isolated.assert("making the lab's own table")?;
    let requests = families.iter().flat_map(|family| of_family(*family, watch)).collect();
    netlink.transaction(requests, Mode::Create).doing("make the lab's own table (nf_tables)")
}

/// A new rule comes before those that are there (nf_tables_newrule without `NLM_F_APPEND`), so the canary's is made last.
fn of_family(family: Family, watch: Watch) -> Vec<Request> {
    let mut requests = vec![table(family), chain(family, &PREROUTING)];
    match watch {
        Watch::Replies => {}
        Watch::Verdicts => requests.extend([chain(family, &INPUT), accepted_rule(family)]),
        Watch::Paths => {
            requests.extend([chain(family, &OUTPUT), chain(family, &INPUT)]);
            requests.extend([trace_rule(family, &PREROUTING), trace_rule(family, &OUTPUT)]);
        }
    }
    requests.push(canary_rule(family, watch));
    requests
}

fn table(family: Family) -> Request {
    const NEWTABLE: u8 = 0;
    const TABLE_NAME: u16 = 1;
    request(NEWTABLE, family, Attributes::new().string(TABLE_NAME, NAME))
}

fn chain(family: Family, place: &Place) -> Request {
    const NEWCHAIN: u8 = 3;
    const TABLE_NAME: u16 = 1;
    const CHAIN_NAME: u16 = 3;
    const HOOK: u16 = 4;
    const TYPE: u16 = 7;
    const HOOK_NUMBER: u16 = 1;
    const HOOK_PRIORITY: u16 = 2;
    let hook = Attributes::new().be32(HOOK_NUMBER, place.hook).be32(HOOK_PRIORITY, place.priority as u32);
    let attributes = Attributes::new().string(TABLE_NAME, NAME).string(CHAIN_NAME, place.chain);
    request(NEWCHAIN, family, attributes.nested(HOOK, hook).string(TYPE, "filter"))
}

/// `ip saddr CANARY log prefix "scanlab canary: " drop`; traced as everything else when paths are watched.
fn canary_rule(family: Family, watch: Watch) -> Request {
    let source = octets(canary::source(family));
    let traced = if watch == Watch::Paths { trace_on().to_vec() } else { Vec::new() };
    let catch = [load_source(family), equals(&source)].into_iter().chain(traced);
    rule(family, &PREROUTING, catch.chain([log(canary::PREFIX), verdict(NF_DROP)]))
}

/// `meta nftrace set 1 accept`: accepting ends this chain only, and saves the event of its policy.
fn trace_rule(family: Family, place: &Place) -> Request {
    rule(family, place, trace_on().into_iter().chain([verdict(NF_ACCEPT)]))
}

/// `log prefix "scanlab accepted: "`, whoever sent it: a probe can have a spoofed source.
fn accepted_rule(family: Family) -> Request {
    rule(family, &INPUT, [log(ACCEPTED_PREFIX)])
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn rule(family: Family, place: &Place, expressions: impl IntoIterator<Item = Attributes>) -> Request {
    const NEWRULE: u8 = 6;
    const TABLE_NAME: u16 = 1;
    const CHAIN_NAME: u16 = 2;
    const EXPRESSIONS: u16 = 4;
    const LIST_ELEMENT: u16 = 1;
    let list = expressions.into_iter().fold(Attributes::new(), |list, one| list.nested(LIST_ELEMENT, one));
    let attributes = Attributes::new().string(TABLE_NAME, NAME).string(CHAIN_NAME, place.chain);
    request(NEWRULE, family, attributes.nested(EXPRESSIONS, list))
}

/// The 128-bit register that the expressions share.
const REGISTER: u32 = 1;

fn load_source(family: Family) -> Attributes {
    const TO_REGISTER: u16 = 1;
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    const NETWORK_HEADER: u32 = 1;
    let (offset, length) = match family {
        Family::Ipv4 => (12, 4),
        Family::Ipv6 => (8, 16),
    };
    let data = Attributes::new().be32(TO_REGISTER, REGISTER).be32(BASE, NETWORK_HEADER);
    expression("payload", data.be32(OFFSET, offset).be32(LENGTH, length))
}

fn equals(value: &[u8]) -> Attributes {
    const FROM_REGISTER: u16 = 1;
    const OPERATOR: u16 = 2;
    const DATA: u16 = 3;
    const EQUAL: u32 = 0;
    const VALUE: u16 = 1;
    let data = Attributes::new().be32(FROM_REGISTER, REGISTER).be32(OPERATOR, EQUAL);
    expression("cmp", data.nested(DATA, Attributes::new().bytes(VALUE, value)))
}

fn log(prefix: &str) -> Attributes {
    const PREFIX: u16 = 2;
    const LEVEL: u16 = 5;
    const DEBUG: u32 = 7;
    expression("log", Attributes::new().string(PREFIX, prefix).be32(LEVEL, DEBUG))
}

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

fn verdict(code: u32) -> Attributes {
    const VERDICT_REGISTER: u32 = 0;
    const VERDICT: u16 = 2;
    const CODE: u16 = 1;
    let verdict = Attributes::new().nested(VERDICT, Attributes::new().be32(CODE, code));
    immediate(VERDICT_REGISTER, verdict)
}

/// `meta nftrace set 1`
fn trace_on() -> [Attributes; 2] {
    const KEY: u16 = 2;
    const FROM_REGISTER: u16 = 3;
    const NFTRACE: u32 = 12;
    const VALUE: u16 = 1;
    let set = Attributes::new().be32(KEY, NFTRACE).be32(FROM_REGISTER, REGISTER);
    [immediate(REGISTER, Attributes::new().bytes(VALUE, &[1])), expression("meta", set)]
}

fn immediate(register: u32, value: Attributes) -> Attributes {
    const TO_REGISTER: u16 = 1;
    const DATA: u16 = 2;
    expression("immediate", Attributes::new().be32(TO_REGISTER, register).nested(DATA, value))
}

fn expression(name: &str, data: Attributes) -> Attributes {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    Attributes::new().string(NAME, name).nested(DATA, data)
}

fn request(kind: u8, family: Family, attributes: Attributes) -> Request {
    Request { subsystem: NFTABLES, kind, family: protocol_family(family), attributes }
}
