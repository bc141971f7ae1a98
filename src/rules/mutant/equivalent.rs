//! Equivalences of two rules that the text alone proves, without a measurement.

use crate::net::port::PortSet;
use crate::rules::iptables_save::{Clause, Match, Module, Rule};

use super::twin::is_verdict;

/// Matches whose result depends only on the packet and its connection.
const WITHOUT_MEMORY: [&str; 8] = ["comment", "conntrack", "icmp", "icmp6", "multiport", "state", "tcp", "udp"];

/// The reason why a duplicate of `rule` makes no difference.
pub fn twice(rule: &Rule) -> Option<&'static str> {
    let decided = is_verdict(rule) && !has_memory(rule);
    decided.then_some("no packet that the first one matches reaches the second one")
}

/// The reason why swapping two neighbours makes no difference.
pub fn swapped(one: &Rule, other: &Rule) -> Option<&'static str> {
    if apart(one, other) {
        return Some("no packet matches both rules");
    }
    let same = is_verdict(one) && is_verdict(other) && target(one) == target(other);
    (same && !has_memory(one) && !has_memory(other)).then_some("both rules do the same")
}

fn target(rule: &Rule) -> Option<&str> {
    rule.text.get(rule.target.as_ref()?.span.clone())
}

/// True if the effect of the rule may depend on earlier packets.
fn has_memory(rule: &Rule) -> bool {
    memory_at(rule).is_some()
}

/// The position of the first match of `rule` that may be stateful: a limit is, and an unsupported match may be.
fn memory_at(rule: &Rule) -> Option<usize> {
    let counts = |module: &&Module| !WITHOUT_MEMORY.contains(&module.name.as_str());
    let counting = rule.modules.iter().filter(counts).map(|module| module.span.start);
    let unknown = rule.clauses.iter().filter(|clause| is_unknown(clause)).map(|_| 0);
    counting.chain(unknown).min()
}

fn is_unknown(clause: &Clause) -> bool {
    matches!(clause.ask, Match::Other(_)) && clause.module.is_none()
}

/// True if no packet can reach the stateful matches of both rules.
fn apart(one: &Rule, other: &Rule) -> bool {
    early(one).any(|clause| early(other).any(|with| exclude(&clause.ask, &with.ask)))
}

/// The clauses that are evaluated before any stateful match. Matches are evaluated in the order in which they are
/// loaded, and those without a module come first.
fn early(rule: &Rule) -> impl Iterator<Item = &Clause> {
    let end = memory_at(rule).unwrap_or(usize::MAX);
    rule.clauses.iter().filter(move |clause| !clause.negated && (clause.module.is_none() || clause.span.end <= end))
}

/// True if the two matches are disjoint.
fn exclude(one: &Match, other: &Match) -> bool {
    match (one, other) {
        (Match::Protocol(one), Match::Protocol(other)) => one != other && *one != 0 && *other != 0,
        (Match::InInterface(one), Match::InInterface(other)) => other_names(one, other),
        (Match::OutInterface(one), Match::OutInterface(other)) => other_names(one, other),
        (Match::SourcePorts(one), Match::SourcePorts(other)) => disjoint(one, other),
        (Match::DestinationPorts(one), Match::DestinationPorts(other)) => disjoint(one, other),
        (Match::State(one), Match::State(other)) => one.is_disjoint(other),
        (Match::TcpFlags { mask, comp }, Match::TcpFlags { mask: other_mask, comp: other_comp }) => {
            (comp ^ other_comp) & mask & other_mask != 0
        }
        (Match::IcmpType(Some((one, _))), Match::IcmpType(Some((other, _)))) => one != other,
        _ => false,
    }
}

fn other_names(one: &str, other: &str) -> bool {
    one != other && !one.ends_with('+') && !other.ends_with('+')
}

fn disjoint(one: &PortSet, other: &PortSet) -> bool {
    !one.ranges().any(|range| other.ranges().any(|with| range.start() <= with.end() && with.start() <= range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::Family;
    use crate::rules::iptables_save::Listing;

    fn read(rule: &str) -> Rule {
        let text = format!("*filter\n-A INPUT {rule}\nCOMMIT\n");
        let listing = Listing::parse(Family::Ipv4, &Source { name: "rules".into(), text: text.into() });
        listing.rules().next().cloned().unwrap()
    }

    #[test]
    fn a_verdict_without_memory_is_never_needed_twice() {
        assert!(twice(&read("-p tcp --dport 22 -m conntrack --ctstate NEW -j DROP")).is_some());
        let others = [
            "-j LOG",
            "-j visits",
            "-m limit -j ACCEPT",
            "-m recent --rcheck -j DROP",
            "-m statistic -j DROP",
            "-p tcp",
        ];
        for rule in others {
            assert_eq!(twice(&read(rule)), None, "{rule}");
        }
    }

    #[test]
    fn rules_for_different_packets_may_change_places() {
        for (one, other) in [
            ("-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 1:21 -j LOG"),
            ("-p tcp -j ACCEPT", "-p udp -j DROP"),
            ("-i lo -j ACCEPT", "-i eth0 -m limit --limit 1/sec -j LOG"),
            ("-p tcp --syn -j ACCEPT", "-p tcp --tcp-flags ALL NONE -j LOG"),
            ("-m conntrack --ctstate NEW -j ACCEPT", "-m state --state INVALID -j DROP"),
            ("-p icmp --icmp-type 8 -j ACCEPT", "-p icmp --icmp-type 3/4 -j DROP"),
            ("-s 10.0.0.1 -j DROP", "-d 10.0.0.2 -j DROP"),
        ] {
            assert!(swapped(&read(one), &read(other)).is_some(), "{one}, {other}");
        }
    }

    #[test]
    fn rules_that_one_packet_may_reach_may_not() {
        for (one, other) in [
            ("-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 22:23 -j LOG"),
            ("-p tcp --dport 22 -j ACCEPT", "-p tcp ! --dport 22 -j DROP"),
            ("-p tcp --sport 22 -j ACCEPT", "-p tcp --dport 23 -j DROP"),
            ("-i eth+ -j ACCEPT", "-i eth0 -j DROP"),
            ("-p all -j ACCEPT", "-p tcp -j DROP"),
            ("-p tcp --dport 22 -j ACCEPT", "-p tcp -m limit --limit 1/sec -m tcp --dport 23 -j LOG"),
            ("-m limit --limit 1/sec -j ACCEPT", "-m limit --limit 5/sec -j ACCEPT"),
        ] {
            assert_eq!(swapped(&read(one), &read(other)), None, "{one}, {other}");
        }
    }
}
