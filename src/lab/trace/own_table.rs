//! The lab's own table: it catches the canaries before any rule of the ruleset under test can see them, and logs them;
//! and it enables the rule trace of every packet, if the lab's [`WatchedEvents`] include paths. Named `scanlab`, in
//! `ip` and `ip6`, it has chains before and after those of the ruleset, which is not changed.
//!
//! The bit that it sets (`meta nftrace`) makes x_tables trace, too (`skb->nf_trace` in `ipt_do_table`). The trace of
//! x_tables goes to a log group, and so do the [`Mark`]s of this table then: where a packet begins, and where it has
//! passed all chains.

use std::net::IpAddr;

use super::nfnetlink::{Attributes, Mode, NFTABLES, Nfnetlink, Request, protocol_family};
use crate::error::{Context, Result};
use crate::lab::host::fence;
use crate::lab::host::iptables::Backend;
use crate::lab::host::namespace::Isolated;
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::probe::canary;
use crate::wire::frame::Direction;

/// The name of the table.
pub const NAME: &str = "scanlab";

/// The hook and the priority of a chain (enum nf_inet_hooks, linux/netfilter_ipv4.h).
struct Hook {
    chain: &'static str,
    hook: u32,
    priority: i32,
}

/// Before the other chains of the table, so that fences are neither traced nor logged.
const FENCE: Hook = Hook { chain: "fence", hook: 0, priority: -460 };

/// Before all other chains: conntrack's defragmentation is at -400, raw at -300.
const PREROUTING: Hook = Hook { chain: "prerouting", hook: 0, priority: -450 };

/// Before all other chains for packets that the host sends.
const OUTPUT: Hook = Hook { chain: "output", hook: 3, priority: -450 };

/// After the last chain of PREROUTING, where the destination is the one that routing sees.
const ROUTED_PLACE: Hook = Hook { chain: ROUTED, hook: 0, priority: i32::MAX - 1 };

/// Before all chains of INPUT.
const ENTERING: Hook = Hook { chain: "entering", hook: 1, priority: -450 };

/// After all chains of the ruleset; only conntrack's confirmation is later.
const INPUT: Hook = Hook { chain: "input", hook: 1, priority: i32::MAX - 1 };

/// After conntrack, which is at -200.
const TRACKED: Hook = Hook { chain: "tracked", hook: 0, priority: -199 };

/// After conntrack, for packets that the host sends.
const TRACKED_OUT: Hook = Hook { chain: "tracked-out", hook: 3, priority: -199 };

/// After all other chains for packets that the host sends.
const POSTROUTING: Hook = Hook { chain: "postrouting", hook: 4, priority: i32::MAX - 1 };

/// The chain that begins the trace of an incoming packet.
pub const RECEIVED: &str = PREROUTING.chain;

/// The chain that begins the trace of an outgoing packet.
pub const OUT: &str = OUTPUT.chain;

/// The chain whose policy is the last event of an accepted packet.
pub const LET_IN: &str = INPUT.chain;

/// The chain that shows a packet as routing sees it, after DNAT.
pub const ROUTED: &str = "routed";

/// The chain that shows a packet of the host as it leaves, after DNAT.
pub const LEAVES: &str = POSTROUTING.chain;

/// The chain that catches fences. Packets over `lo` are traced here already, since they were traced when they were
/// sent.
pub const FENCES: &str = FENCE.chain;

/// The log group of [`Mark`]s; the groups in rulesets are usually among the first few.
pub const LOG_GROUP: u16 = 0xfe4d;

/// The events that are watched besides replies and log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchedEvents {
    /// No others.
    Replies,
    /// The path of every packet through the rules.
    Paths,
    /// Paths, and every frame on the link.
    Frames,
}

/// Creates the chain that logs fences to their group, and drops them; see [`fence`].
pub fn catch_fences(isolated: &Isolated, netlink: &Nfnetlink) -> Result<()> {
    isolated.assert("making the lab's own table")?;
    let requests = vec![table(Family::Ipv4), chain(Family::Ipv4, &FENCE), fence_rule()];
    netlink.transaction(requests, Mode::Create).context("make the chain that catches fences (nf_tables, nfnetlink_log)")
}

/// A message of the lab's own table, used if nf_tables traces no other table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The packet comes to the first chain.
    Begins(Direction),
    /// Its conntrack state.
    Tracked(ConntrackState),
    /// It has passed PREROUTING, and routing comes next.
    Routed,
    /// Routing has led it to INPUT.
    Enters,
    /// It has passed all chains of the ruleset.
    CameThrough,
}

impl Mark {
    /// Parses a prefix.
    pub fn read(prefix: &[u8]) -> Option<Mark> {
        let states = ConntrackState::ALL.map(Mark::Tracked);
        let begins = [Direction::In, Direction::Out].map(Mark::Begins);
        let others = begins.into_iter().chain([Mark::Routed, Mark::Enters, Mark::CameThrough]);
        others.chain(states).find(|mark| mark.prefix().as_bytes() == prefix)
    }

    const fn prefix(self) -> &'static str {
        match self {
            Mark::Begins(Direction::In) => "comes in",
            Mark::Begins(Direction::Out) => "goes out",
            Mark::Tracked(state) => state.as_str(),
            Mark::Routed => "is routed",
            Mark::Enters => "enters INPUT",
            Mark::CameThrough => "came through",
        }
    }
}

/// The way in which the table makes the kernel trace packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracing {
    /// The backend of the ruleset.
    pub backend: Backend,
    /// True if the ruleset makes the kernel track connections: this table must not do so by itself.
    pub has_conntrack: bool,
    /// True if a nat table can change the destination of packets.
    pub has_nat: bool,
}

/// The destination of the messages of the table's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logger {
    /// The kernel's log.
    Kernel,
    /// The NFLOG group.
    Group(u16),
}

/// Creates the table for every family; `tracing` returns `None` if paths are not watched.
pub fn install(
    isolated: &Isolated,
    netlink: &Nfnetlink,
    families: &[Family],
    logger: Logger,
    tracing: impl Fn(Family) -> Option<Tracing>,
) -> Result<()> {
    isolated.assert("making the lab's own table")?;
    let requests = families.iter().flat_map(|family| of_family(*family, logger, tracing(*family))).collect();
    netlink.transaction(requests, Mode::Create).context("make the lab's own table (nf_tables)")
}

/// Builds the requests for a family. A new rule comes before those that exist (nf_tables_newrule without
/// `NLM_F_APPEND`), so the canary's is made last.
fn of_family(family: Family, logger: Logger, tracing: Option<Tracing>) -> Vec<Request> {
    let mut requests = vec![table(family), chain(family, &PREROUTING)];
    match tracing.map(|tracing| (tracing.backend, tracing.has_conntrack)) {
        None => {}
        Some((Backend::Nft, _)) => {
            requests.extend([chain(family, &OUTPUT), chain(family, &INPUT)]);
            requests.extend([trace_rule(family, &PREROUTING, None), trace_rule(family, &OUTPUT, None)]);
        }
        Some((Backend::Legacy, has_conntrack)) => {
            requests.extend([&OUTPUT, &ENTERING, &INPUT, &POSTROUTING].map(|place| chain(family, place)));
            for (place, direction) in [(&PREROUTING, Direction::In), (&OUTPUT, Direction::Out)] {
                requests.push(trace_rule(family, place, Some(Mark::Begins(direction))));
            }
            requests
                .extend([&INPUT, &POSTROUTING].map(|place| rule(family, place, [log_expression(Mark::CameThrough)])));
            requests.push(rule(family, &ENTERING, [log_expression(Mark::Enters)]));
            for place in [&TRACKED, &TRACKED_OUT].into_iter().filter(|_| has_conntrack) {
                requests.push(chain(family, place));
                requests.extend(ConntrackState::ALL.map(|state| state_rule(family, place, state)));
            }
        }
    }
    if let Some(tracing) = tracing.filter(|tracing| tracing.has_nat) {
        requests.push(chain(family, &ROUTED_PLACE));
        requests.push(match tracing.backend {
            Backend::Nft => chain(family, &POSTROUTING),
            Backend::Legacy => rule(family, &ROUTED_PLACE, [log_expression(Mark::Routed)]),
        });
    }
    requests.push(canary_rule(family, logger, tracing));
    requests
}

fn table(family: Family) -> Request {
    const NEWTABLE: u8 = 0;
    const TABLE_NAME: u16 = 1;
    request(NEWTABLE, family, Attributes::new().string(TABLE_NAME, NAME))
}

fn chain(family: Family, place: &Hook) -> Request {
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

/// Builds `ip saddr CANARY log prefix "scanlab canary: " drop`; canaries are traced as all packets if paths are
/// watched.
fn canary_rule(family: Family, logger: Logger, tracing: Option<Tracing>) -> Request {
    let source = match canary::source(family) {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let traced = match tracing.map(|tracing| tracing.backend) {
        None => Vec::new(),
        Some(Backend::Nft) => trace_on().to_vec(),
        Some(Backend::Legacy) => vec![log_expression(Mark::Begins(Direction::In))],
    };
    let catch = [load_source(family), equals(&source)].into_iter().chain(traced);
    rule(family, &PREROUTING, catch.chain([log(canary::PREFIX, logger), verdict(NF_DROP)]))
}

/// Builds `ip saddr SOURCE ip protocol PROTOCOL @nh,160,64 MAGIC log group GROUP drop`.
fn fence_rule() -> Request {
    let source = [load_source(Family::Ipv4), equals(&fence::SOURCE.octets())];
    let protocol = [load_network(9, 1), equals(&[fence::PROTOCOL])];
    let magic = [load_network(20, fence::MAGIC.len() as u32), equals(&fence::MAGIC)];
    let caught = [log_to(fence::GROUP), verdict(NF_DROP)];
    rule(Family::Ipv4, &FENCE, [source, protocol, magic, caught].into_iter().flatten())
}

/// Builds `meta nftrace set 1 accept`, after a mark: accept ends this chain only, and avoids the event of its policy.
fn trace_rule(family: Family, place: &Hook, mark: Option<Mark>) -> Request {
    rule(family, place, mark.map(log_expression).into_iter().chain(trace_on()).chain([verdict(NF_ACCEPT)]))
}

/// Builds `ct state new log group ... prefix "NEW"`, with the bits of `NF_CT_STATE_BIT` and the like
/// (linux/netfilter/nf_conntrack_common.h).
fn state_rule(family: Family, place: &Hook, state: ConntrackState) -> Request {
    let bit: u32 = match state {
        ConntrackState::Invalid => 1,
        ConntrackState::Established => 2,
        ConntrackState::Related => 4,
        ConntrackState::New => 8,
        ConntrackState::Untracked => 64,
    };
    rule(family, place, [load_state(), equals(&bit.to_ne_bytes()), log_expression(Mark::Tracked(state))])
}

fn rule(family: Family, place: &Hook, expressions: impl IntoIterator<Item = Attributes>) -> Request {
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
    family.pick(load_network(12, 4), load_network(8, 16))
}

/// Builds `@nh,OFFSET,LENGTH`, in bytes.
fn load_network(offset: u32, length: u32) -> Attributes {
    const TO_REGISTER: u16 = 1;
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    const NETWORK_HEADER: u32 = 1;
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

/// Builds a log expression (enum nft_log_attributes); a group and a level exclude each other.
fn log(prefix: &str, logger: Logger) -> Attributes {
    const GROUP: u16 = 1;
    const PREFIX: u16 = 2;
    const LEVEL: u16 = 5;
    const DEBUG: u32 = 7;
    let attributes = Attributes::new().string(PREFIX, prefix);
    expression(
        "log",
        match logger {
            Logger::Kernel => attributes.be32(LEVEL, DEBUG),
            Logger::Group(group) => attributes.bytes(GROUP, &group.to_be_bytes()),
        },
    )
}

/// Logs to a group without a queue: otherwise the kernel keeps up to 100 packets.
fn log_to(group: u16) -> Attributes {
    const GROUP: u16 = 1;
    const QUEUE_THRESHOLD: u16 = 4;
    let data = Attributes::new().bytes(GROUP, &group.to_be_bytes());
    expression("log", data.bytes(QUEUE_THRESHOLD, &1u16.to_be_bytes()))
}

/// Builds `log group ... prefix "..."`.
fn log_expression(mark: Mark) -> Attributes {
    log(mark.prefix(), Logger::Group(LOG_GROUP))
}

/// Builds `ct state`, in the machine's byte order (`nft_ct_get_eval`).
fn load_state() -> Attributes {
    const TO_REGISTER: u16 = 1;
    const KEY: u16 = 2;
    const STATE: u32 = 0;
    expression("ct", Attributes::new().be32(TO_REGISTER, REGISTER).be32(KEY, STATE))
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

/// Builds `meta nftrace set 1`.
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
