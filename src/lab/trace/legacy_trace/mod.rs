//! The packet trace of x_tables (`trace_packet` in net/ipv4/netfilter/ip_tables.c and net/ipv6/netfilter/ip6_tables.c),
//! translated into events of nf_tables, so that the same code makes paths from both.
//!
//! The kernel writes a line for every rule that a traced packet matches, *before* it calls the rule's target, and for
//! every policy and every end of a chain. With `nfnetlink_log` as the namespace's logger the line arrives as a message,
//! together with the packet. The lab's own table writes to the same socket where a packet begins and where it was
//! accepted or left: one queue, so the order is the kernel's.
//!
//! The verdict of a rule comes from the kernel's copy of it (`x_tables`), and the next lines must agree: an accepted
//! packet does not appear again in that table, a dropped one does not appear at all, a jump goes to its chain. The
//! verdict of an extension's target is known only when it runs: the next lines show it.

mod untraced;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use super::lost;
use super::nft_trace::{Code, Event, TraceEventKind};
use super::own_table::{self, Mark};
use super::x_tables::{KernelChain, KernelTable, RuleVerdict};
use crate::error::{CannotMeasure, Context, Error, Result};
use crate::lab::fault::{Fault, Sabotage};
use crate::lab::host::namespace::Isolated;
use crate::lab::log::nflog::{Logged, Nflog};
use crate::lab::log::nflog_lines::{Renderer, WrittenLine};
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::rules::iptables_save::HOOKS;
use crate::wire::frame::Direction;
use crate::wire::headers::{Content, TracedHeaders};
use crate::wire::ip_header::split;

/// The default group of `nf_log_trace` (`default_loginfo` in net/netfilter/nfnetlink_log.c).
pub const TRACE_GROUP: u16 = 0;

/// A socket for the traces of x_tables in the lab's namespace.
pub struct XTracer {
    nflog: Nflog,
    tables: Vec<KernelTable>,
    has_conntrack: bool,
    places: HashMap<(Family, Vec<u8>), ChainOffset>,
    /// Packets since the last read.
    packets: Vec<TracedPacket>,
    /// The number of the next packet.
    next: u32,
    renderer: Renderer,
    /// Lines that rules of the ruleset have logged to the group of the trace.
    strays: Vec<String>,
}

/// The position of a chain in `tables`, and the number of the rule before its first.
#[derive(Debug, Clone, Copy)]
struct ChainOffset {
    table: usize,
    chain: usize,
    before: u64,
}

/// A packet and its trace so far.
struct TracedPacket {
    family: Family,
    direction: Direction,
    bytes: Vec<u8>,
    sighting: TracedHeaders,
    conntrack: Option<ConntrackState>,
    records: Vec<TraceLine>,
    /// Its bytes at routing, if a nat table can change them.
    routed: Option<Vec<u8>>,
    /// True if it came to INPUT.
    entered: bool,
    /// True if it passed all chains of the ruleset.
    came_through: bool,
}

/// A line of the trace.
struct TraceLine {
    hook: u8,
    place: ChainOffset,
    /// The number of the rule in its chain, from 1; the number after the last rule is the end of the chain.
    number: usize,
    conntrack: Option<ConntrackState>,
}

impl XTracer {
    /// Opens a socket in the lab's namespace, and makes it the namespace's logger. `has_conntrack` if a rule makes the
    /// kernel track connections. `fault` may make the socket too small.
    pub fn open(
        isolated: &Isolated,
        tables: Vec<KernelTable>,
        has_conntrack: bool,
        fault: Option<&Arc<Sabotage>>,
    ) -> Result<XTracer> {
        let starved = fault.filter(|sabotage| sabotage.fault == Fault::LostTrace).cloned();
        let mut nflog = Nflog::open(isolated, [TRACE_GROUP, own_table::LOG_GROUP], "rule trace")?;
        if let Some(sabotage) = starved {
            sabotage.plant(1);
            nflog.shrink_buffer(sabotage)?;
        }
        Family::BOTH.into_iter().try_for_each(log_to_netlink)?;
        let places = places(&tables);
        let renderer = Renderer::new(None)?;
        let (packets, strays) = (Vec::new(), Vec::new());
        Ok(XTracer { nflog, tables, has_conntrack, places, packets, next: 0, renderer, strays })
    }

    /// The number of probes that may be sent before their traces are read.
    pub fn probes_at_once(&self) -> usize {
        self.nflog.probes_at_once()
    }

    /// Calls `each` with every event since the last call, packet by packet, in the order in which they began.
    pub fn drain(&mut self, mut each: impl FnMut(&Event) -> Result<()>) -> Result<()> {
        self.packets.clear();
        let XTracer { nflog, packets, places, renderer, strays, .. } = self;
        nflog.drain(|logged| match logged.group {
            own_table::LOG_GROUP => mark(packets, logged),
            _ if read_line(logged.prefix).is_none() => {
                let (WrittenLine::OfLog(line) | WrittenLine::OfNflog(line)) = renderer.line(logged)?;
                strays.push(line);
                Ok(())
            }
            _ => record(packets, places, logged),
        })?;
        for packet in &self.packets {
            self.next = self.next.wrapping_add(1);
            let (tables, has_conntrack) = (&self.tables, self.has_conntrack);
            EventEmitter { tables, has_conntrack, packet, number: self.next }.emit(&mut each)?;
        }
        Ok(())
    }

    /// Reads and discards all messages; returns their number.
    pub fn discard(&mut self) -> Result<usize> {
        self.strays.clear();
        self.nflog.discard()
    }

    /// Removes and returns the lines of NFLOG rules that use the group of the trace.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.strays)
    }
}

/// Sets "the netfilter logger of a protocol family" (nf_log-sysctl.rst), of which each namespace has its own. LOG rules
/// do not use it: `nf_log_packet` uses the logger of the rule's own kind.
fn log_to_netlink(family: Family) -> Result<()> {
    let number = family.pick(2, 10);
    let path = format!("/proc/sys/net/netfilter/nf_log/{number}");
    match fs::write(&path, "nfnetlink_log") {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            Err(CannotMeasure::NoPaths { why: format!("{path} cannot be written: {error}") }.into())
        }
        written => written.context(format!("write nfnetlink_log to {path}")),
    }
}

/// Chains by their name in a line, such as `filter:INPUT`.
fn places(tables: &[KernelTable]) -> HashMap<(Family, Vec<u8>), ChainOffset> {
    let mut places = HashMap::new();
    for (at, table) in tables.iter().enumerate() {
        let mut before = 0;
        for (chain_at, chain) in table.chains.iter().enumerate() {
            let name = format!("{}:{}", table.name, chain.name).into_bytes();
            places.insert((table.family, name), ChainOffset { table: at, chain: chain_at, before });
            before += chain.rules.len() as u64;
        }
    }
    places
}

/// Records a mark of the lab's own table. Other packets in this group come from an NFLOG rule of the ruleset.
fn mark(packets: &mut Vec<TracedPacket>, logged: &Logged) -> Result<()> {
    let Some(mark) = Mark::read(logged.prefix) else { return Ok(()) };
    if let Mark::Begins(direction) = mark {
        packets.push(TracedPacket {
            family: logged.family,
            direction,
            bytes: logged.packet.to_vec(),
            sighting: sighting(logged)?,
            conntrack: None,
            records: Vec::new(),
            routed: None,
            entered: false,
            came_through: false,
        });
        return Ok(());
    }
    let Some(packet) = owner(packets, logged)? else { return Ok(()) };
    match mark {
        Mark::Begins(_) => {}
        Mark::Tracked(state) => packet.conntrack = Some(state),
        Mark::Routed => packet.routed = Some(logged.packet.to_vec()),
        Mark::Enters => packet.entered = true,
        Mark::CameThrough => {
            packet.came_through = true;
            if packet.direction == Direction::Out {
                packet.routed = Some(logged.packet.to_vec());
            }
        }
    }
    Ok(())
}

/// Records a line of the trace. Other packets in this group come from an NFLOG rule of the ruleset.
fn record(
    packets: &mut [TracedPacket],
    places: &HashMap<(Family, Vec<u8>), ChainOffset>,
    logged: &Logged,
) -> Result<()> {
    let Some((chain, number)) = read_line(logged.prefix) else { return Ok(()) };
    let unknown = || {
        let prefix = String::from_utf8_lossy(logged.prefix);
        let words = format!("the trace names {prefix:?}, which the lab did not load");
        Error::from(CannotMeasure::Disagreement(words))
    };
    let place = *places.get(&(logged.family, chain.to_vec())).ok_or_else(unknown)?;
    let Some(packet) = owner(packets, logged)? else { return Ok(()) };
    packet.records.push(TraceLine { hook: logged.hook, place, number, conntrack: packet.conntrack });
    Ok(())
}

/// Parses `TRACE: filter:INPUT:rule:3 `: the chain, and the number. `rule`, `return` and `policy` are ignored:
/// ip_tables writes `policy` for a rule, too, if it has no match and a verdict (`get_chainname_rulenum`).
pub fn read_line(prefix: &[u8]) -> Option<(&[u8], usize)> {
    let line = prefix.strip_prefix(b"TRACE: ")?.strip_suffix(b" ")?;
    let mut words = line.rsplitn(3, |byte| *byte == b':');
    let number = str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let _kind = words.next()?;
    Some((words.next()?, number))
}

/// Finds the packet of a line by its content, beginning with the last one, since packets that the host sends while it
/// processes another one are nested in its trace. A nat table may have changed addresses and ports meanwhile.
///
/// `None` if its beginning was not traced: the kernel's timers may send packets at the time when the lab begins to
/// read, or while it reads. Probes and their answers are complete once the fence is answered; one without a trace is a
/// loss.
fn owner<'a>(packets: &'a mut [TracedPacket], logged: &Logged) -> Result<Option<&'a mut TracedPacket>> {
    let direction = if HOOKS_OUT.contains(&logged.hook) { Direction::Out } else { Direction::In };
    let seen = sighting(logged)?;
    let fits = |packet: &TracedPacket| packet.direction == direction && packet.family == logged.family;
    let same = |packet: &TracedPacket| fits(packet) && packet.sighting == seen;
    let numbers = |of: &TracedHeaders| (of.headers.protocol, of.tag, of.seq);
    let rewritten = |packet: &TracedPacket| fits(packet) && numbers(&packet.sighting) == numbers(&seen);
    let place = packets.iter().rposition(same).or_else(|| packets.iter().rposition(rewritten));
    Ok(place.map(|place| &mut packets[place]))
}

/// True for listener reports (after a hop-by-hop header) and neighbour discovery (RFC 3810, RFC 4861): multicast, or
/// these types of ICMPv6.
fn is_between_neighbours(sighting: &TracedHeaders) -> bool {
    const ICMPV6: u8 = 58;
    let headers = &sighting.headers;
    let is_ndp = matches!(headers.content, Content::Icmp { kind: 133..=137, .. }) && headers.protocol == ICMPV6;
    is_ndp || headers.destination.is_multicast()
}

/// The hooks `NF_INET_LOCAL_OUT` and `NF_INET_POST_ROUTING`.
const HOOKS_OUT: [u8; 2] = [3, 4];

fn sighting(logged: &Logged) -> Result<TracedHeaders> {
    TracedHeaders::from_packet(logged.packet).ok_or_else(|| lost("a trace came without its packet".to_owned()))
}

/// Emits the events of a packet.
struct EventEmitter<'a> {
    tables: &'a [KernelTable],
    has_conntrack: bool,
    packet: &'a TracedPacket,
    number: u32,
}

impl EventEmitter<'_> {
    fn emit(&self, each: &mut impl FnMut(&Event) -> Result<()>) -> Result<()> {
        let (network, transport) = split(&self.packet.bytes);
        let begins = match self.packet.direction {
            Direction::In => own_table::RECEIVED,
            Direction::Out => own_table::OUT,
        };
        each(&Event { network: Some(network), transport: Some(transport), ..self.own(begins) })?;
        for index in 0..self.packet.records.len() {
            if let Some(event) = self.event(index)? {
                each(&event)?;
            }
        }
        self.dropped_by_match(each)?;
        if let Some(routed) = &self.packet.routed {
            let (network, transport) = split(routed);
            each(&Event { network: Some(network), transport: Some(transport), ..self.own(own_table::ROUTED) })?;
        }
        if self.packet.came_through {
            self.met_every_table()?;
        }
        match (self.packet.came_through, self.packet.direction) {
            (true, Direction::In) => each(&Event { conntrack: self.packet.conntrack, ..self.own(own_table::LET_IN) }),
            _ => Ok(()),
        }
    }

    fn own(&self, chain: &'static str) -> Event<'static> {
        Event {
            family: self.packet.family,
            packet: self.number,
            table: own_table::NAME.as_bytes(),
            chain: chain.as_bytes(),
            kind: TraceEventKind::Policy,
            handle: None,
            verdict: Code::Accept,
            conntrack: None,
            network: None,
            transport: None,
        }
    }

    /// The event of a line; `None` for the end of a user-defined chain, which nf_tables does not number.
    fn event(&self, index: usize) -> Result<Option<Event<'_>>> {
        let record = &self.packet.records[index];
        let (table, chain) = self.at(record);
        if !self.follows(index) {
            return Err(self.gap(record));
        }
        let event = |kind, handle, verdict| Event {
            table: table.name.as_bytes(),
            chain: chain.name.as_bytes(),
            kind,
            handle,
            verdict,
            conntrack: record.conntrack,
            ..self.own(own_table::LET_IN)
        };
        let Some(rule) = chain.rules.get(record.number.wrapping_sub(1)) else {
            let policy = |code| chain.is_built_in.then(|| event(TraceEventKind::Policy, None, code));
            return Ok(policy(self.code(index, &chain.end)));
        };
        let code = self.code(index, &rule.decision);
        let kind = if code == Code::Return { TraceEventKind::Return } else { TraceEventKind::Rule };
        Ok(Some(event(kind, Some(record.place.before + record.number as u64), code)))
    }

    fn at(&self, record: &TraceLine) -> (&KernelTable, &KernelChain) {
        let table = &self.tables[record.place.table];
        (table, &table.chains[record.place.chain])
    }

    /// The decision of a line.
    fn decision(&self, record: &TraceLine) -> Option<&RuleVerdict> {
        let (_, chain) = self.at(record);
        match record.number.checked_sub(1)? {
            number if number == chain.rules.len() => Some(&chain.end),
            number => Some(&chain.rules.get(number)?.decision),
        }
    }

    /// True if the lines before and after a line are consistent with it.
    fn follows(&self, index: usize) -> bool {
        let records = &self.packet.records;
        let record = &records[index];
        let is_next = |next: &&TraceLine| (next.hook, next.place.table) == (record.hook, record.place.table);
        let is_first = index.checked_sub(1).is_none_or(|before| !is_next(&&records[before]));
        if is_first && Some(&self.at(record).1.name.as_str()) != HOOKS.get(usize::from(record.hook)) {
            return false;
        }
        let next = records.get(index + 1).filter(is_next);
        if !self.goes_on(index) && self.is_dropped_by_match() {
            return true;
        }
        match self.decision(record) {
            None => false,
            Some(RuleVerdict::Continue | RuleVerdict::Return) => next.is_some(),
            Some(RuleVerdict::Jump(chain) | RuleVerdict::Goto(chain)) => {
                next.is_some_and(|next| self.at(next).1.name == *chain)
            }
            Some(RuleVerdict::Accept) => next.is_none(),
            Some(RuleVerdict::Drop) => !self.goes_on(index),
            Some(RuleVerdict::Queue | RuleVerdict::Extension(_)) => true,
        }
    }

    /// True if the packet appears again, in any table.
    fn goes_on(&self, index: usize) -> bool {
        index + 1 < self.packet.records.len() || self.packet.came_through
    }

    fn code<'a>(&self, index: usize, decision: &'a RuleVerdict) -> Code<'a> {
        match decision {
            RuleVerdict::Accept => Code::Accept,
            RuleVerdict::Drop => Code::Drop,
            RuleVerdict::Return => Code::Return,
            RuleVerdict::Queue => Code::Stolen,
            RuleVerdict::Continue => Code::Continue,
            RuleVerdict::Jump(chain) => Code::Jump(chain.as_bytes()),
            RuleVerdict::Goto(chain) => Code::Goto(chain.as_bytes()),
            RuleVerdict::Extension(name) => self.code_of_extension(index, name),
        }
    }

    /// The verdict of an extension's target. If the packet does not appear again, a target of nat is not the cause:
    /// routing is.
    fn code_of_extension(&self, index: usize, name: &str) -> Code<'static> {
        const STEALS: [&str; 2] = ["NFQUEUE", "SYNPROXY"];
        const LETS_PASS: [&str; 6] = ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "TPROXY"];
        let records = &self.packet.records;
        let place = |record: &TraceLine| (record.hook, record.place.table);
        match records.get(index + 1) {
            Some(next) if place(next) == place(&records[index]) => Code::Continue,
            _ if name == "TEE" && HOOKS_OUT.contains(&records[index].hook) && !self.goes_on(index) => Code::Unknown,
            _ if STEALS.contains(&name) => Code::Stolen,
            _ if self.goes_on(index) || LETS_PASS.contains(&name) => Code::Accept,
            _ if self.may_have_dropped(index, name) => Code::Unknown,
            _ if self.is_dropped_by_match() => Code::Continue,
            _ => Code::Drop,
        }
    }

    /// The packet, for errors.
    fn name(&self) -> String {
        self.packet.sighting.headers.to_string()
    }

    /// Checks that an accepted packet has passed every table of its hooks, except nat, which sees only the first packet
    /// of a connection.
    ///
    /// Neighbour discovery and listener reports of IPv6 are exempt, because they may have been sent when the lab began
    /// to read.
    fn met_every_table(&self) -> Result<()> {
        if is_between_neighbours(&self.packet.sighting) {
            return Ok(());
        }
        let hooks: [usize; 2] = match self.packet.direction {
            Direction::In => [0, 1],
            Direction::Out => [3, 4],
        };
        for (index, table) in self.tables.iter().enumerate() {
            let is_checked = table.family == self.packet.family && table.name != "nat";
            for hook in hooks.into_iter().filter(|_| is_checked) {
                let has_hook = table.chains.iter().any(|chain| chain.is_built_in && chain.name == HOOKS[hook]);
                let met = |record: &TraceLine| usize::from(record.hook) == hook && record.place.table == index;
                if has_hook && !self.packet.records.iter().any(met) {
                    let what = format!(
                        "{} came through, and nothing is traced in {} of {}",
                        self.name(),
                        HOOKS[hook],
                        table.name
                    );
                    return Err(lost(what));
                }
            }
        }
        Ok(())
    }

    fn gap(&self, record: &TraceLine) -> Error {
        let (table, chain) = self.at(record);
        let (table, chain, number) = (&table.name, &chain.name, record.number);
        lost(format!("what is traced around number {number} of chain {chain} in table {table} does not follow from it"))
    }
}

#[cfg(test)]
mod tests {
    use super::read_line;

    #[test]
    fn a_line_names_a_chain_and_a_number() {
        assert_eq!(read_line(b"TRACE: filter:INPUT:rule:3 "), Some((&b"filter:INPUT"[..], 3)));
        assert_eq!(read_line(b"TRACE: nat:odd:name:return:12 "), Some((&b"nat:odd:name"[..], 12)));
        for other in [&b"TRACE: filter:INPUT:rule:x "[..], b"TRACE: filter:3 ", b"odd: ", b""] {
            assert_eq!(read_line(other), None, "{other:?}");
        }
    }
}
