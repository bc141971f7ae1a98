//! The evaluation of a packet rule by rule: rules that matched, as the kernel traced it, and those before them that did
//! not, with the reason, which is derived from the rule's text.

use serde::Serialize;

use crate::probe::Probe;
use crate::probe::path::{Path, Step};
use crate::rules::iptables_save::{Clause, Listing, Match, MatchResult, Packet, Rule};
use crate::wire::frame::Direction;
use crate::wire::headers::Content;
use crate::wire::tcp_flags::TcpFlags;

/// A rule or a policy on the way of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleVisit {
    /// Its table.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// Its number in the chain, from 1; `None` for a policy.
    pub rule: Option<usize>,
    /// Its line in the ruleset file.
    pub line: Option<usize>,
    /// Its text.
    pub text: String,
    /// Its verdict on the packet; `None` for a rule that did not match.
    pub verdict: Option<String>,
    /// The reason why it did not match.
    pub why_not: Option<String>,
}

/// All rules and policies on this path, matched or not.
pub fn visits(path: &Path, listing: Option<&Listing>, packet: &Packet) -> Vec<RuleVisit> {
    let mut met = Vec::new();
    let mut last: Vec<(&str, &str, usize)> = Vec::new();
    for step in &path.steps {
        let place = last.iter_mut().find(|(table, chain, _)| (*table, *chain) == (&*step.table, &*step.chain));
        let before = place.as_ref().map_or(0, |(.., number)| *number);
        met.extend(passed(step, before, listing, packet));
        met.push(matched(step));
        let number = step.rule.unwrap_or(usize::MAX);
        match place {
            Some(place) => place.2 = number,
            None => last.push((&step.table, &step.chain, number)),
        }
    }
    met
}

fn matched(step: &Step) -> RuleVisit {
    RuleVisit {
        table: step.table.clone(),
        chain: step.chain.clone(),
        rule: step.rule,
        line: step.line,
        text: step.text.clone(),
        verdict: Some(step.verdict.to_string()),
        why_not: None,
    }
}

/// The rules of the step's chain between number `before` and the step.
fn passed(step: &Step, before: usize, listing: Option<&Listing>, packet: &Packet) -> Vec<RuleVisit> {
    let chain = listing.and_then(|listing| listing.chain(&step.table, &step.chain));
    let rules = chain.map(|chain| &*chain.rules).unwrap_or_default();
    let until = step.rule.map_or(rules.len(), |number| number - 1).min(rules.len());
    // A chain that is entered for the second time starts at its first rule.
    let before = if before > until { 0 } else { before };
    let passed = |(place, rule): (usize, &Rule)| RuleVisit {
        table: step.table.clone(),
        chain: step.chain.clone(),
        rule: Some(before + place + 1),
        line: Some(rule.line),
        text: rule.text.clone(),
        verdict: None,
        why_not: Some(why_not(rule, packet)),
    };
    rules[before..until].iter().enumerate().map(passed).collect()
}

fn why_not(rule: &Rule, packet: &Packet) -> String {
    let refusal = rule.clauses.iter().find(|clause| clause.answer(packet) == MatchResult::No);
    match refusal {
        Some(clause) => refused(rule, clause, packet),
        None if rule.limit().is_some() => "its limit is used up".to_owned(),
        None => "one of its matches fails".to_owned(),
    }
}

fn refused(rule: &Rule, clause: &Clause, packet: &Packet) -> String {
    let text = rule.text.get(clause.span.clone()).unwrap_or_default();
    let is = match (&clause.ask, packet.content) {
        (Match::State(_), _) => packet.conntrack.map(|state| format!("to conntrack it is {state}")),
        (Match::TcpFlags { .. }, Content::Tcp { flags, .. }) => Some(format!("its flags are {}", TcpFlags(flags))),
        (Match::DestinationPorts(_), Content::Tcp { destination, .. } | Content::Udp { destination, .. }) => {
            Some(format!("it goes to {destination}"))
        }
        (Match::SourcePorts(_), Content::Tcp { source, .. } | Content::Udp { source, .. }) => {
            Some(format!("it comes from {source}"))
        }
        (Match::InInterface(_), _) => packet.in_interface.as_ref().map(|name| format!("the packet arrived on {name}")),
        (Match::Protocol(_), _) => Some(format!("its protocol is {}", packet.protocol)),
        _ => None,
    };
    let is = is.map(|is| format!("; {is}")).unwrap_or_default();
    format!("needs {text}{is}")
}

/// The probe, or its answer, as a rule sees it.
pub fn packet(probe: &Probe, path: &Path, interface: &str, direction: Direction) -> Packet {
    let flow = probe.flow;
    let interface = Some(interface.to_owned());
    let (protocol, content) = probe.content();
    let incoming = Packet {
        family: probe.family(),
        in_interface: interface.clone(),
        out_interface: None,
        source: flow.prober,
        destination: flow.host,
        protocol,
        content,
        conntrack: path.conntrack,
    };
    match direction {
        Direction::In => incoming,
        // Flags and ports of the answer are left out: no reason is derived from them.
        Direction::Out => Packet {
            in_interface: None,
            out_interface: interface,
            source: flow.host,
            destination: flow.prober,
            content: Content::Other,
            ..incoming
        },
    }
}
