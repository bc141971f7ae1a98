//! Evaluates a ruleset for a packet, rule by rule. This only selects packets to send; recorded facts are measured.

use crate::probe::path::Fate;
use crate::rules::iptables_save::{Chain, Clause, Listing, Match, MatchResult, Packet, Rule};
use crate::wire::frame::Direction;

/// The derived result of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The end of its path.
    pub fate: Fate,
    /// The prefixes of the lines that it causes.
    pub lines: Vec<String>,
}

/// The chains that a packet passes, in their order (`enum nf_ip_hook_priorities`).
const RECEIVED: [(&str, &str); 5] =
    [("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("nat", "PREROUTING"), ("mangle", "INPUT"), ("filter", "INPUT")];
const SENT: [(&str, &str); 6] = [
    ("raw", "OUTPUT"),
    ("mangle", "OUTPUT"),
    ("nat", "OUTPUT"),
    ("filter", "OUTPUT"),
    ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"),
];

/// The result of `listing` for `packet`; `None` if it cannot be derived. Limits count as never used up.
pub fn walk(listing: &Listing, packet: &Packet, direction: Direction) -> Option<ReadOutcome> {
    let chains: &[(&str, &str)] = if direction == Direction::In { &RECEIVED } else { &SENT };
    let mut lines = Vec::new();
    for (table, name) in chains {
        let Some(chain) = listing.chain(table, name) else { continue };
        // In the raw table conntrack has not yet seen the packet.
        let unseen = Packet { conntrack: None, ..packet.clone() };
        let mut way =
            ReadPath { listing, table, packet: if *table == "raw" { &unseen } else { packet }, lines: &mut lines };
        let end = way.chain(chain, 0)?;
        let dropped = chain.policy == Some(crate::rules::iptables_save::Policy::Drop);
        match end {
            End::Fate(Fate::Accepted) => {}
            End::Fate(fate) => return Some(ReadOutcome { fate, lines }),
            End::Returned if dropped => return Some(ReadOutcome { fate: Fate::Dropped, lines }),
            End::Returned => {}
        }
    }
    Some(ReadOutcome { fate: Fate::Accepted, lines })
}

/// The end of a chain.
enum End {
    Fate(Fate),
    Returned,
}

struct ReadPath<'a> {
    listing: &'a Listing,
    table: &'a str,
    packet: &'a Packet,
    lines: &'a mut Vec<String>,
}

/// A bound for texts that `iptables-restore`, which refuses loops, has not checked.
const DEPTH: usize = 16;

impl ReadPath<'_> {
    fn chain(&mut self, chain: &Chain, depth: usize) -> Option<End> {
        for rule in &chain.rules {
            match answer(rule, self.packet) {
                MatchResult::No => {}
                MatchResult::Unknown => return None,
                MatchResult::Yes => {
                    if let Some(end) = self.target(rule, depth)? {
                        return Some(end);
                    }
                }
            }
        }
        Some(End::Returned)
    }

    /// `None` if it cannot be derived; `Some(None)` to go on with the next rule.
    fn target(&mut self, rule: &Rule, depth: usize) -> Option<Option<End>> {
        let Some(target) = &rule.target else { return Some(None) };
        match target.name.as_str() {
            "ACCEPT" => return Some(Some(End::Fate(Fate::Accepted))),
            "DROP" => return Some(Some(End::Fate(Fate::Dropped))),
            "REJECT" => return Some(Some(End::Fate(Fate::Rejected))),
            "RETURN" => return Some(Some(End::Returned)),
            "LOG" => {
                self.lines.extend(rule.log_prefix());
                return Some(None);
            }
            "NFLOG" | "TRACE" => return Some(None),
            _ => {}
        }
        let chain = self.listing.chain(self.table, &target.name).filter(|_| depth < DEPTH)?;
        match self.chain(chain, depth + 1)? {
            End::Returned if !target.goto => Some(None),
            end => Some(Some(end)),
        }
    }
}

fn answer(rule: &Rule, packet: &Packet) -> MatchResult {
    if rule.limit().is_none() {
        return rule.answer(packet);
    }
    let asks = |clause: &&Clause| !matches!(clause.ask, Match::Limit { .. } | Match::LimitBurst(_));
    let answers = || rule.clauses.iter().filter(asks).map(|clause| clause.answer(packet));
    [MatchResult::No, MatchResult::Unknown]
        .into_iter()
        .find(|one| answers().any(|answer| answer == *one))
        .unwrap_or(MatchResult::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::Family;
    use crate::net::conntrack::ConntrackState;
    use crate::net::port::Port;
    use crate::wire::headers::Content;

    fn outcome(rules: &str) -> String {
        let source = Source { name: "rules.v4".into(), text: rules.into() };
        let packet = Packet {
            family: Family::Ipv4,
            in_interface: Some("eth0".to_owned()),
            out_interface: None,
            source: [203, 0, 113, 66].into(),
            destination: [203, 0, 113, 10].into(),
            protocol: 6,
            content: Content::Tcp { source: Port(40_000), destination: Port(80), flags: 2 },
            conntrack: Some(ConntrackState::New),
        };
        walk(&Listing::parse(Family::Ipv4, &source), &packet, Direction::In)
            .map_or("unknown".to_owned(), |outcome| format!("{:?} {:?}", outcome.fate, outcome.lines))
    }

    #[test]
    fn rules_chains_and_policies_are_followed() {
        for (rules, expected) in [
            ("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", "Dropped []"),
            ("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 80 -j ACCEPT\nCOMMIT\n", "Accepted []"),
            (
                "*filter\n:INPUT DROP [0:0]\n:a - [0:0]\n-A INPUT -j a\n-A INPUT -j ACCEPT\n\
                 -A a -m limit -j LOG --log-prefix \"x \"\n-A a -j RETURN\n-A a -j REJECT\nCOMMIT\n",
                "Accepted [\"x \"]",
            ),
            ("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m mark --mark 1 -j DROP\nCOMMIT\n", "unknown"),
            ("*raw\n-A PREROUTING -j DROP\nCOMMIT\n*filter\n-A INPUT -j ACCEPT\nCOMMIT\n", "Dropped []"),
        ] {
            assert_eq!(outcome(rules), expected, "{rules}");
        }
    }
}
