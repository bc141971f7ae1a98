//! Follows one packet through a chain, as far as its result is certain.

use crate::rules::iptables_save::{Chain, MatchResult, Packet, Policy, Rule, Table};

/// The result of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reachability {
    /// It is accepted.
    Accepted,
    /// It is dropped or rejected in this line.
    Denied(usize),
    /// It depends on unsupported matches.
    Unknown,
}

/// The result of `packet` in the built-in chain `name` of `table`.
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

/// The maximum number of rules that are evaluated: chains that jump to each other multiply.
const MOST_STEPS: usize = 100_000;
/// The maximum depth of chains; iptables refuses a loop.
const DEEPEST: usize = 16;

struct ChainWalk<'a> {
    table: &'a Table,
    packet: &'a Packet,
    steps: usize,
}

impl ChainWalk<'_> {
    /// The result of the packet in `chain`; `None` if it reaches the end, or returns.
    fn chain(&mut self, chain: &Chain, depth: usize) -> Option<Reachability> {
        // The results of rules that may have matched.
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

    /// The effect of a rule on a packet that it matches.
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
    /// The next rule is evaluated.
    Next,
    /// The chain is left.
    Out,
    /// The packet's path ends.
    Ends(Reachability),
}

/// The result if it is one of the two.
fn both(a: Reachability, b: Reachability) -> Reachability {
    match (a, b) {
        (Reachability::Accepted, Reachability::Accepted) => Reachability::Accepted,
        (Reachability::Denied(line), Reachability::Denied(_)) => Reachability::Denied(line),
        _ => Reachability::Unknown,
    }
}
