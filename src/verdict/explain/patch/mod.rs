//! Changes that may fix a mismatch: moving, deleting or editing one rule. These are candidates; each has to be loaded,
//! and every check repeated, before it is shown.

mod place;
mod presence;
mod wording;

use super::why::same_matches;
use super::{Diagnosis, MismatchContext, PlacedRule, matches_state};
use crate::intent::explanation::Cause;
use crate::net::conntrack::ConntrackState;
use crate::net::port::Port;
use crate::probe::path::Step;
use crate::rules::iptables_save::{Clause, Edit, Match, Rule};
use crate::wire::headers::Content;

/// A change that may fix a mismatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchCandidate {
    /// The change in words.
    pub words: String,
    /// The edits of the ruleset.
    pub edits: Vec<Edit>,
}

/// Candidates for a fix, smallest change first.
pub fn candidates(finding: &Diagnosis, scene: MismatchContext) -> Vec<PatchCandidate> {
    let builder = PatchBuilder { finding, scene };
    match finding.cause {
        Cause::EarlierRule | Cause::LogAfterVerdict => {
            let moves = [builder.move_deciding_rule_down(), builder.move_up(), builder.move_denial_down()].concat();
            [moves, builder.narrow_source(), builder.out_of_list(), builder.delete_deciding_rule(), builder.let_in()]
                .concat()
        }
        Cause::ConntrackState => [builder.drop_clause(), builder.move_up()].concat(),
        Cause::TcpFlags => [builder.right_flags(), builder.right_flags_and_up()].concat(),
        Cause::OtherMatch => {
            let edits = [builder.right_port(), builder.right_new_port(), builder.right_interface()].concat();
            let edits = [edits, builder.unnegated(), builder.right_source()].concat();
            [edits, builder.drop_clause(), builder.let_in()].concat()
        }
        Cause::TooBroad => {
            [builder.only_new(), builder.narrow_source(), builder.out_of_list(), builder.delete_deciding_rule()]
                .concat()
        }
        Cause::LoggedTwice => builder.delete_deciding_rule(),
        Cause::OtherOrder => builder.log_before(),
        Cause::Reject => builder.silence(),
        Cause::LimitFirst => builder.limit_last(),
        Cause::LimitOnVerdict => builder.no_limit(),
        Cause::OtherRate => builder.right_burst(),
        Cause::OtherPrefix => builder.right_prefix(),
        Cause::AnswerTaken | Cause::FollowupTaken => {
            [builder.move_up(), builder.delete_deciding_rule(), builder.carry_on()].concat()
        }
        Cause::Policy => [builder.default_deny(), builder.let_in()].concat(),
        Cause::NoRule => [builder.copy_of_twin(), builder.let_in()].concat(),
        Cause::NatTable => builder.log_where_it_is_taken(),
        Cause::ChainNotReached => {
            let edits = [builder.right_port(), builder.right_interface(), builder.right_source()].concat();
            [edits, builder.drop_clause(), builder.jump()].concat()
        }
        Cause::NotListening => builder.right_new_port(),
        Cause::NoRuleset | Cause::LimitSpent | Cause::Listening | Cause::Vanished => Vec::new(),
    }
}

struct PatchBuilder<'a> {
    finding: &'a Diagnosis<'a>,
    scene: MismatchContext<'a>,
}

impl<'a> PatchBuilder<'a> {
    fn port(&self) -> Option<Port> {
        match self.finding.packet.content {
            Content::Tcp { destination, .. } | Content::Udp { destination, .. } => Some(destination),
            Content::Icmp { .. } | Content::Other => None,
        }
    }

    /// The destination ports of the packet in iptables' notation: NAT chooses within a range.
    fn ports(&self) -> Option<String> {
        let range = self.finding.change.map(|change| change.range).filter(|(first, last)| first < last);
        self.port().map(|port| range.map_or(port.to_string(), |(first, last)| format!("{first}:{last}")))
    }

    /// iptables' name of the protocol of a packet with ports.
    fn protocol(&self) -> &'static str {
        if matches!(self.finding.packet.content, Content::Udp { .. }) { "udp" } else { "tcp" }
    }

    /// The line before which a new rule would see the packets of `step`; for a policy, after all rules of the chain.
    fn line_before(&self, step: &Step) -> Option<usize> {
        match self.scene.listing.placed(step) {
            Some(deciding) => Some(self.first_of_group(deciding).rule.line),
            None => {
                let of_chain = self
                    .scene
                    .listing
                    .placed_rules()
                    .filter(|placed| (placed.table, placed.chain) == (&step.table, &step.chain));
                of_chain.last().map(|last| last.rule.line + 1).or(step.line.map(|line| line + 1))
            }
        }
    }

    fn deciding_rule(&self) -> Option<PlacedRule<'a>> {
        self.scene.listing.placed(self.finding.took?)
    }

    /// The rule in the intended rule's chain that decided on the packet, or that jumped to the chain where it was
    /// decided.
    fn deciding_rule_in_chain(&self) -> Option<PlacedRule<'a>> {
        let meant = self.finding.meant?;
        let deciding = self.deciding_rule()?;
        if (deciding.table, deciding.chain) == (meant.table, meant.chain) {
            return Some(deciding);
        }
        let jumps = |placed: &PlacedRule| {
            let target = placed.rule.target.as_ref().map(|target| target.name.as_str());
            (placed.table, placed.chain, target) == (meant.table, meant.chain, Some(deciding.chain))
        };
        self.scene.listing.placed_rules().find(jumps)
    }

    /// The LOG directly before a rule with the same matches belongs to it.
    fn first_of_group(&self, deciding: PlacedRule<'a>) -> PlacedRule<'a> {
        let before = |placed: &PlacedRule| {
            (placed.table, placed.chain, placed.number + 1) == (deciding.table, deciding.chain, deciding.number)
                && placed.rule.log_prefix().is_some()
                && same_matches(placed.rule, deciding.rule)
        };
        self.scene.listing.placed_rules().find(before).unwrap_or(deciding)
    }

    fn group_after(&self, meant: PlacedRule<'a>) -> Vec<PlacedRule<'a>> {
        group_after(meant, self.scene.listing.placed_rules())
    }
}

/// True if it accepts more than one port, or ESTABLISHED: such a rule must not match more packets than now.
fn opens_wide(rule: &Rule) -> bool {
    rule.accepts() && !names_one_port(rule) && !matches_state(rule, ConntrackState::Established)
}

fn names_one_port(rule: &Rule) -> bool {
    let only = |ask: &Match| matches!(ask, Match::DestinationPorts(ports) if ports.iter().count() == 1);
    rule.clauses.iter().any(|clause| only(&clause.ask) && !clause.negated)
}

/// True if it matches one source port, as for the host's answers.
fn names_one_source_port(rule: &Rule) -> bool {
    let only = |ask: &Match| matches!(ask, Match::SourcePorts(ports) if ports.iter().count() == 1);
    rule.clauses.iter().any(|clause| only(&clause.ask) && !clause.negated)
}

/// A rule, and the verdict directly after it with the same matches.
fn group_after<'a>(first: PlacedRule<'a>, mut all: impl Iterator<Item = PlacedRule<'a>>) -> Vec<PlacedRule<'a>> {
    let next = |placed: &PlacedRule| {
        (placed.table, placed.chain, placed.number) == (first.table, first.chain, first.number + 1)
            && placed.rule.is_terminal()
            && same_matches(placed.rule, first.rule)
    };
    [first].into_iter().chain(all.find(next)).collect()
}

fn text_of<'a>(rule: &'a Rule, clause: &Clause) -> &'a str {
    rule.text.get(clause.span.clone()).unwrap_or_default()
}

fn replaced(rule: &Rule, text: String, words: String) -> PatchCandidate {
    PatchCandidate { words, edits: vec![Edit::Replace { line: rule.line, text }] }
}

/// `line 12`, `lines 12 and 13`
fn lines(group: &[PlacedRule]) -> String {
    let numbers: Vec<String> = group.iter().map(|placed| placed.rule.line.to_string()).collect();
    format!("{} {}", if group.len() > 1 { "lines" } else { "line" }, numbers.join(" and "))
}
