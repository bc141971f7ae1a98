//! Follows one packet through a chain, as far as that can be read: what becomes of it for sure?

use crate::rules::iptables_save::{Answer, Chain, Packet, Policy, Rule, Table};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is accepted.
    Accepted,
    /// It is dropped or rejected, by what stands in this line.
    Denied(usize),
    /// It depends on what cannot be read here.
    Unknown,
}

/// What becomes of `packet` in the built-in chain `name` of `table`.
pub(super) fn walk(table: &Table, name: &str, packet: &Packet) -> Fate {
    let Some(chain) = table.chains.iter().find(|chain| chain.name == name) else { return Fate::Accepted };
    let mut walk = Walk { table, packet, steps: 0 };
    walk.chain(chain, 0).unwrap_or_else(|| policy(table, chain))
}

fn policy(table: &Table, chain: &Chain) -> Fate {
    match chain.policy {
        Some(Policy::Drop) => Fate::Denied(chain.line.unwrap_or(table.line)),
        Some(Policy::Accept) | None => Fate::Accepted,
    }
}

/// Rules that are read at most: chains that jump to each other multiply.
const MOST_STEPS: usize = 100_000;
/// Chains within chains; a loop of them is refused by iptables.
const DEEPEST: usize = 16;

struct Walk<'a> {
    table: &'a Table,
    packet: &'a Packet,
    steps: usize,
}

impl Walk<'_> {
    /// What becomes of the packet in `chain`; none if it comes out at the end, or returns.
    fn chain(&mut self, chain: &Chain, depth: usize) -> Option<Fate> {
        // What may have become of it in the rules that it may have matched.
        let mut perhaps = None;
        for rule in &chain.rules {
            self.steps += 1;
            let answer = rule.answer(self.packet);
            if answer == Answer::No {
                continue;
            }
            match (answer, self.rule(rule, depth)) {
                (_, Step::Next) => {}
                (Answer::Yes, Step::Out) if perhaps.is_none() => return None,
                (Answer::Yes, Step::Ends(fate)) => return Some(perhaps.map_or(fate, |perhaps| both(perhaps, fate))),
                (_, Step::Out) => return Some(Fate::Unknown),
                (_, Step::Ends(fate)) => perhaps = Some(perhaps.map_or(fate, |perhaps| both(perhaps, fate))),
            }
        }
        perhaps.map(|perhaps| if depth == 0 { both(perhaps, policy(self.table, chain)) } else { Fate::Unknown })
    }

    /// What a rule does with a packet that it matches.
    fn rule(&mut self, rule: &Rule, depth: usize) -> Step {
        let Some(target) = &rule.target else { return Step::Next };
        if self.steps > MOST_STEPS || depth > DEEPEST {
            return Step::Ends(Fate::Unknown);
        }
        match target.name.as_str() {
            _ if rule.accepts() => Step::Ends(Fate::Accepted),
            _ if rule.denies() => Step::Ends(Fate::Denied(rule.line)),
            _ if rule.is_terminal() => Step::Ends(Fate::Unknown),
            "RETURN" => Step::Out,
            name if rule.is_jump() => self.jump(name, target.goto, depth),
            _ => Step::Next,
        }
    }

    fn jump(&mut self, name: &str, goto: bool, depth: usize) -> Step {
        let table = self.table;
        let Some(chain) = table.chains.iter().find(|chain| chain.name == name) else {
            return Step::Ends(Fate::Unknown);
        };
        match self.chain(chain, depth + 1) {
            Some(fate) => Step::Ends(fate),
            None if goto => Step::Out,
            None => Step::Next,
        }
    }
}

enum Step {
    /// The next rule is asked.
    Next,
    /// The chain is left.
    Out,
    /// The packet's way ends.
    Ends(Fate),
}

/// One or the other.
fn both(a: Fate, b: Fate) -> Fate {
    match (a, b) {
        (Fate::Accepted, Fate::Accepted) => Fate::Accepted,
        (Fate::Denied(line), Fate::Denied(_)) => Fate::Denied(line),
        _ => Fate::Unknown,
    }
}
