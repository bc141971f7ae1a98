//! The rules that may have dropped a packet by a match: those that come next in its last chain. x_tables traces each end
//! of a chain, so that the packet has passed no other.

use super::{ChainOffset, Code, Event, EventEmitter, HOOKS, HOOKS_OUT, TraceEventKind, TraceLine};
use crate::error::Result;
use crate::lab::trace::hotdrop::is_fragment;
use crate::lab::trace::x_tables::RuleVerdict;
use crate::wire::frame::Direction;

/// Targets that return `XT_CONTINUE`.
const CONTINUES: [&str; 15] = [
    "AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CT", "DSCP", "HMARK", "LOG", "MARK", "NFLOG", "RATEEST", "SET",
    "TEE", "TOS", "TRACE",
];

/// Targets that continue, or drop a packet that they cannot change.
const CONTINUES_OR_DROPS: [&str; 7] = ["DNPT", "ECN", "HL", "SNPT", "TCPMSS", "TCPOPTSTRIP", "TTL"];

/// The chains of a packet that the host sends.
const SENT: [(u8, &str); 7] = [
    (OUTPUT, "raw"),
    (OUTPUT, "mangle"),
    (OUTPUT, "nat"),
    (OUTPUT, "filter"),
    (OUTPUT, "security"),
    (POSTROUTING, "mangle"),
    (POSTROUTING, "nat"),
];

/// A rule, or the place after the last one of a chain: the chain, and the rule's index.
type Place = (ChainOffset, usize);

/// The continuation of a packet after its last line.
enum Next {
    /// The line decided on it.
    Decided,
    /// This rule of the same table.
    Rule(Place),
    /// The next table.
    Table,
}

impl EventEmitter<'_> {
    /// True if a match may have dropped the packet after its last line.
    pub(super) fn is_dropped_by_match(&self) -> bool {
        !self.suspects().is_empty()
    }

    /// True if the line is the last one, and its target, or a match after it, may have dropped the packet.
    pub(super) fn may_have_dropped(&self, index: usize, name: &str) -> bool {
        index + 1 == self.packet.records.len() && CONTINUES_OR_DROPS.contains(&name) && self.is_dropped_by_match()
    }

    /// Emits the drop by a match, or all rules that may have caused it.
    pub(super) fn dropped_by_match(&self, each: &mut impl FnMut(&Event) -> Result<()>) -> Result<()> {
        let suspects = self.suspects();
        let last = self.packet.records.last().and_then(|last| self.decision(last));
        let is_target_suspect =
            matches!(last, Some(RuleVerdict::Extension(name)) if CONTINUES_OR_DROPS.contains(&name.as_str()));
        let verdict = if suspects.len() == 1 && !is_target_suspect { Code::Drop } else { Code::Unknown };
        for (place, index) in suspects {
            let (table, chain) = (&self.tables[place.table], &self.tables[place.table].chains[place.chain]);
            let handle = Some(place.before + index as u64 + 1);
            let (table, chain) = (table.name.as_bytes(), chain.name.as_bytes());
            each(&Event { table, chain, kind: TraceEventKind::Rule, handle, verdict, ..self.own("") })?;
        }
        Ok(())
    }

    /// The rules whose matches may have dropped the packet.
    fn suspects(&self) -> Vec<Place> {
        if self.packet.came_through || is_fragment(&self.packet.bytes) {
            return Vec::new();
        }
        let places = match self.next() {
            Next::Decided => Vec::new(),
            Next::Rule(place) => vec![place],
            Next::Table => self.next_tables(),
        };
        places.into_iter().flat_map(|place| self.suspects_from(place)).collect()
    }

    fn suspects_from(&self, (chain, first): Place) -> Vec<Place> {
        let (table, seen) = (&self.tables[chain.table], &self.packet.sighting);
        let rules = table.chains[chain.chain].rules.iter().enumerate().skip(first);
        let may = rules.filter(|(_, rule)| rule.conditions.may_drop(table.family, &self.packet.bytes, seen));
        may.map(|(index, _)| (chain, index)).collect()
    }

    fn next(&self) -> Next {
        let Some(last) = self.packet.records.last() else { return Next::Table };
        if self.packet.entered && last.hook != INPUT {
            return Next::Table;
        }
        match self.decision(last) {
            Some(RuleVerdict::Accept) => Next::Table,
            Some(RuleVerdict::Extension(name))
                if !CONTINUES.contains(&name.as_str()) && !CONTINUES_OR_DROPS.contains(&name.as_str()) =>
            {
                Next::Decided
            }
            Some(RuleVerdict::Drop | RuleVerdict::Queue) | None => Next::Decided,
            _ => self.next_rule(last).map_or(Next::Decided, Next::Rule),
        }
    }

    /// The rule after the last line of a table that is not decided; `None` if it is the policy, which is traced.
    fn next_rule(&self, last: &TraceLine) -> Option<Place> {
        let is_of_table = |line: &&TraceLine| (line.hook, line.place.table) == (last.hook, last.place.table);
        let records = &self.packet.records;
        let first = records.len() - records.iter().rev().take_while(is_of_table).count();
        let mut callers = Vec::new();
        let mut next = None;
        for line in &records[first..] {
            let after = (line.place, line.number);
            next = match self.decision(line)? {
                RuleVerdict::Jump(chain) => {
                    callers.push(after);
                    self.beginning(line.place.table, chain)
                }
                RuleVerdict::Goto(chain) => self.beginning(line.place.table, chain),
                RuleVerdict::Return => callers.pop(),
                _ => Some(after),
            };
        }
        next
    }

    /// The tables that a packet meets next, up to the first one that sees every packet: nat sees the first packet of a
    /// connection.
    fn next_tables(&self) -> Vec<Place> {
        let hook = self.hook();
        let order = match hook {
            INPUT => [(INPUT, "mangle"), (INPUT, "filter"), (INPUT, "security"), (INPUT, "nat")].as_slice(),
            PREROUTING => &[(PREROUTING, "raw"), (PREROUTING, "mangle"), (PREROUTING, "nat")],
            _ => &SENT,
        };
        let is_at =
            |line: &TraceLine, place: &(u8, &str)| (line.hook, self.tables[line.place.table].name.as_str()) == *place;
        let met = self.packet.records.last().and_then(|line| order.iter().position(|place| is_at(line, place)));
        let mut found = Vec::new();
        for (hook, name) in &order[met.map_or(0, |met| met + 1)..] {
            let family = self.packet.family;
            let Some(at) = self.tables.iter().position(|table| table.family == family && table.name == *name) else {
                continue;
            };
            // Conntrack is between raw and the other tables, and may drop a packet, too.
            if *hook != INPUT && *name != "raw" && self.has_conntrack && self.packet.conntrack.is_none() {
                break;
            }
            let Some(place) = self.beginning(at, HOOKS[usize::from(*hook)]) else { continue };
            found.push(place);
            if *name != "nat" {
                break;
            }
        }
        // Past PREROUTING comes routing.
        if self.packet.routed.is_some() && hook == PREROUTING { Vec::new() } else { found }
    }

    /// The hook to which the packet came last.
    fn hook(&self) -> u8 {
        let last = self.packet.records.last().map(|line| line.hook);
        match self.packet.direction {
            Direction::In if self.packet.entered => INPUT,
            Direction::In => PREROUTING,
            Direction::Out => last.unwrap_or(HOOKS_OUT[0]),
        }
    }

    fn beginning(&self, table: usize, name: &str) -> Option<Place> {
        let chains = &self.tables[table].chains;
        let chain = chains.iter().position(|chain| chain.name == name)?;
        let before = chains[..chain].iter().map(|chain| chain.rules.len() as u64).sum();
        Some((ChainOffset { table, chain, before }, 0))
    }
}

/// The hooks `NF_INET_LOCAL_OUT` and `NF_INET_POST_ROUTING`.
const OUTPUT: u8 = HOOKS_OUT[0];
const POSTROUTING: u8 = HOOKS_OUT[1];

/// The hook `NF_INET_PRE_ROUTING`.
const PREROUTING: u8 = 0;

/// The hook `NF_INET_LOCAL_IN`.
const INPUT: u8 = 1;
