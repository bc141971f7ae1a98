//! The rules that a packet can reach, and its headers there. The name of a chain is not enough: every table has an
//! INPUT, and NAT changes a packet between two hooks.

use std::collections::{BTreeMap, BTreeSet};

use super::{MismatchContext, PlacedRule, intended};
use crate::net::port::Port;
use crate::probe::path::Path;
use crate::rules::iptables_save::{HOOKS, Listing, Packet};

/// A packet and the hooks on its path.
pub struct PacketView<'a> {
    listing: &'a Listing,
    /// The packet as it was sent.
    sent: Packet,
    /// The packet after the rule of the nat table that changed it.
    changed: Option<(Packet, NatChange)>,
    /// The hooks that the packet passes.
    passes: BTreeSet<&'static str>,
    /// The hooks that lead to a chain.
    hooks: BTreeMap<(String, String), BTreeSet<&'static str>>,
}

/// The change that a rule of the nat table made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatChange {
    /// The line of the rule.
    pub line: usize,
    /// The port that the packet was sent to.
    pub from: Port,
    /// The port that it has afterwards.
    pub to: Port,
    /// The first and the last of the ports among which the kernel chooses.
    pub range: (Port, Port),
}

impl<'a> PacketView<'a> {
    /// The view of `packet`, which took `path`.
    pub fn new(packet: &Packet, path: &Path, scene: MismatchContext<'a>) -> PacketView<'a> {
        PacketView {
            listing: scene.listing,
            sent: packet.clone(),
            changed: changed(packet, path, scene.listing),
            passes: passed_hooks(packet, path),
            hooks: hooks_by_chain(scene.listing),
        }
    }

    /// The packet as the rule sees it.
    pub fn packet(&self, placed: &PlacedRule) -> &Packet {
        match &self.changed {
            Some((packet, _)) if self.is_after_nat(placed.table, placed.chain) => packet,
            _ => &self.sent,
        }
    }

    /// The change that NAT had made to the packet before this chain.
    pub fn change(&self, table: &str, chain: &str) -> Option<NatChange> {
        self.changed.as_ref().filter(|_| self.is_after_nat(table, chain)).map(|(_, change)| *change)
    }

    /// The packet as the chain sees it.
    pub fn packet_in(&self, table: &str, chain: &str) -> &Packet {
        match &self.changed {
            Some((packet, _)) if self.is_after_nat(table, chain) => packet,
            _ => &self.sent,
        }
    }

    /// The packet as it was sent.
    pub fn sent(&self) -> &Packet {
        &self.sent
    }

    /// True if the packet can reach the rule, or no rule jumps to its chain.
    pub fn can_meet(&self, placed: &PlacedRule) -> bool {
        self.hooks_of(placed.table, placed.chain).is_none_or(|hooks| !hooks.is_disjoint(&self.passes))
    }

    /// The rules that the packet can reach.
    pub fn rules(&self) -> impl Iterator<Item = PlacedRule<'a>> {
        self.listing.placed_rules().filter(|placed| self.can_meet(placed))
    }

    fn hooks_of(&self, table: &str, chain: &str) -> Option<&BTreeSet<&'static str>> {
        self.hooks.get(&(table.to_owned(), chain.to_owned()))
    }

    /// True if nat comes before the chain. Destinations change in PREROUTING for arriving packets, and in OUTPUT for
    /// packets of the host; raw and mangle see both before nat does (`enum nf_ip_hook_priorities`).
    fn is_after_nat(&self, table: &str, chain: &str) -> bool {
        let is_after = |hook: &&'static str| match *hook {
            "PREROUTING" => false,
            "OUTPUT" => !["raw", "mangle", "nat"].contains(&table),
            _ => true,
        };
        // A ruleset without the table has no chain of it.
        let own: BTreeSet<&str> = HOOKS.into_iter().filter(|hook| *hook == chain).collect();
        let hooks = self.hooks_of(table, chain).unwrap_or(&own);
        !hooks.is_empty() && hooks.iter().filter(|hook| self.passes.contains(*hook)).all(is_after)
    }
}

fn passed_hooks(packet: &Packet, path: &Path) -> BTreeSet<&'static str> {
    const IN: [&str; 2] = ["PREROUTING", "INPUT"];
    const OUT: [&str; 2] = ["OUTPUT", "POSTROUTING"];
    const THROUGH: [&str; 3] = ["PREROUTING", "FORWARD", "POSTROUTING"];
    let is_forwarded = path.steps.iter().any(|step| step.chain == "FORWARD");
    match packet.in_interface.as_deref() {
        _ if is_forwarded => THROUGH.into(),
        Some("lo") => IN.into_iter().chain(OUT).collect(),
        Some(_) => IN.into(),
        None => OUT.into(),
    }
}

/// The hooks of every chain that a built-in chain leads to.
fn hooks_by_chain(listing: &Listing) -> BTreeMap<(String, String), BTreeSet<&'static str>> {
    let mut found: BTreeMap<(String, String), BTreeSet<&'static str>> = BTreeMap::new();
    for table in &listing.tables {
        for hook in HOOKS {
            let mut open = vec![hook];
            while let Some(name) = open.pop() {
                if !found.entry((table.name.clone(), name.to_owned())).or_default().insert(hook) {
                    continue;
                }
                let chain = table.chains.iter().find(|chain| chain.name == name);
                let targets = chain.into_iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.target.as_ref());
                let names = targets.map(|target| target.name.as_str());
                open.extend(names.filter(|name| table.chains.iter().any(|chain| chain.name == *name)));
            }
        }
    }
    found
}

/// The packet with the port that a rule on its path gave it, if the rule names one.
fn changed(packet: &Packet, path: &Path, listing: &Listing) -> Option<(Packet, NatChange)> {
    let from = intended::port(packet)?;
    let placed_rules = path.steps.iter().filter(|step| step.table == "nat").filter_map(|step| listing.placed(step));
    let change =
        placed_rules.filter_map(|placed| change_by(&placed, from)).next().filter(|change| change.to != from)?;
    Some((intended::with_port(packet, change.to), change))
}

fn change_by(placed: &PlacedRule, from: Port) -> Option<NatChange> {
    let target = placed.rule.target.as_ref()?;
    let (to, range) = (target.new_port(from)?, target.new_ports()?);
    let range = if target.shifts_ports() { (to, to) } else { (*range.start(), *range.end()) };
    Some(NatChange { line: placed.rule.line, from, to, range })
}
