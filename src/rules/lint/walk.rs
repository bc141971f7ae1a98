//! Follows one packet through a chain, as far as that can be read: what becomes of it for sure?

use crate::rules::iptables_save::{Chain, MatchResult, Packet, Policy, Rule, Table};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reachability {
    /// It is accepted.
    Accepted,
    /// It is dropped or rejected, by what stands in this line.
    Denied(usize),
    /// It depends on what cannot be read here.
    Unknown,
}

/// What becomes of `packet` in the built-in chain `name` of `table`.
pub(super) fn walk(table: &Table, name: &str, packet: &Packet) -> Reachability {
    let Some(chain) = table.chains.iter().find(|chain| chain.name == name) else { return Reachability::Accepted };
    let mut walk = ChainWalk { table, packet, steps: 0 };
    walk.chain(chain, 0).unwrap_or_else(|| policy(table, chain))
}

fn policy(table: &Table, chain: &Chain) -> Reachability {
    match chain.policy {
        Some(Policy::Drop) => Reachability::Denied(chain.line.unwrap_or(table.line)),
        Some(Policy::Accept) | None => Reachability::Accepted,
    }
}

/// Rules that are read at most: chains that jump to each other multiply.
const MOST_STEPS: usize = 100_000;
/// Chains within chains; a loop of them is refused by iptables.
const DEEPEST: usize = 16;

struct ChainWalk<'a> {
    table: &'a Table,
    packet: &'a Packet,
    steps: usize,
}

impl ChainWalk<'_> {
    /// What becomes of the packet in `chain`; `None` if it comes out at the end, or returns.
    fn chain(&mut self, chain: &Chain, depth: usize) -> Option<Reachability> {
        // What may have become of it in the rules that it may have matched.
        let mut perhaps = None;
        for rule in &chain.rules {
            self.steps += 1;
            let answer = rule.answer(self.packet);
            if answer == MatchResult::No {
                continue;
            }
            match (answer, self.rule(rule, depth)) {
                (_, ChainStep::Next) => {}
                (MatchResult::Yes, ChainStep::Out) if perhaps.is_none() => return None,
                (MatchResult::Yes, ChainStep::Ends(fate)) => {
                    return Some(perhaps.map_or(fate, |perhaps| both(perhaps, fate)));
                }
                (_, ChainStep::Out) => return Some(Reachability::Unknown),
                (_, ChainStep::Ends(fate)) => perhaps = Some(perhaps.map_or(fate, |perhaps| both(perhaps, fate))),
            }
        }
        perhaps.map(|perhaps| if depth == 0 { both(perhaps, policy(self.table, chain)) } else { Reachability::Unknown })
    }

    /// What a rule does with a packet that it matches.
    fn rule(&mut self, rule: &Rule, depth: usize) -> ChainStep {
        let Some(target) = &rule.target else { return ChainStep::Next };
        if self.steps > MOST_STEPS || depth > DEEPEST {
            return ChainStep::Ends(Reachability::Unknown);
        }
        match target.name.as_str() {
            _ if rule.accepts() => ChainStep::Ends(Reachability::Accepted),
            _ if rule.denies() => ChainStep::Ends(Reachability::Denied(rule.line)),
            _ if rule.is_terminal() => ChainStep::Ends(Reachability::Unknown),
            "RETURN" => ChainStep::Out,
            name if rule.is_jump() => self.jump(name, target.goto, depth),
            _ => ChainStep::Next,
        }
    }

    fn jump(&mut self, name: &str, goto: bool, depth: usize) -> ChainStep {
        let table = self.table;
        let Some(chain) = table.chains.iter().find(|chain| chain.name == name) else {
            return ChainStep::Ends(Reachability::Unknown);
        };
        match self.chain(chain, depth + 1) {
            Some(fate) => ChainStep::Ends(fate),
            None if goto => ChainStep::Out,
            None => ChainStep::Next,
        }
    }
}

enum ChainStep {
    /// The next rule is asked.
    Next,
    /// The chain is left.
    Out,
    /// The packet's way ends.
    Ends(Reachability),
}

/// One or the other.
fn both(a: Reachability, b: Reachability) -> Reachability {
    match (a, b) {
        (Reachability::Accepted, Reachability::Accepted) => Reachability::Accepted,
        (Reachability::Denied(line), Reachability::Denied(_)) => Reachability::Denied(line),
        _ => Reachability::Unknown,
    }
}
