//! Patches that move a rule.

use super::super::{PlacedRule, matches_state, names_a_port};
use super::{PatchBuilder, PatchCandidate, lines, opens_wide};
use crate::net::conntrack::ConntrackState;
use crate::rules::iptables_save::{Clause, Edit, Match, Rule};

impl<'a> PatchBuilder<'a> {
    /// Moves the intended rule before the deciding rule: with its verdict, and, if it is for all ports, before all
    /// rules that may match such a packet; then before the deciding rule; then alone.
    pub(super) fn move_up(&self) -> Vec<PatchCandidate> {
        let (Some(meant), Some(deciding)) = (self.finding.meant, self.deciding_rule_in_chain()) else {
            return Vec::new();
        };
        if deciding.number >= meant.number || opens_wide(meant.rule) {
            return Vec::new();
        }
        let before = self.first_of_group(deciding).rule.line;
        let mut group = self.group_after(meant);
        group.retain(|placed| !opens_wide(placed.rule));
        let mut found = Vec::new();
        let early = self.early_in_chain_of(deciding).filter(|line| *line < before && !names_a_port(meant.rule));
        found.extend(early.map(|line| moved(&group, line)));
        if group.len() > 1 {
            found.push(moved(&group, before));
        }
        found.push(moved(&[meant], before));
        if before != deciding.rule.line {
            found.push(moved(&[meant], deciding.rule.line));
        }
        found
    }

    /// Moves the LOG alone before the one that logs first.
    pub(super) fn log_before(&self) -> Vec<PatchCandidate> {
        let (Some(meant), Some(other)) = (self.finding.meant, self.deciding_rule_in_chain()) else { return Vec::new() };
        if other.number < meant.number { vec![moved(&[meant], other.rule.line)] } else { Vec::new() }
    }

    /// Moves a rule that matches INVALID packets after all rules for scans, which fixes each of them.
    pub(super) fn move_deciding_rule_down(&self) -> Vec<PatchCandidate> {
        let deciding =
            self.deciding_rule_in_chain().filter(|deciding| matches_state(deciding.rule, ConntrackState::Invalid));
        let Some(deciding) = deciding else { return Vec::new() };
        let asks_flags = |placed: &PlacedRule| {
            (placed.table, placed.chain) == (deciding.table, deciding.chain)
                && placed.number > deciding.number
                && placed.rule.clauses.iter().any(|clause| matches!(clause.ask, Match::TcpFlags { .. }))
        };
        let Some(last) = self.scene.listing.placed_rules().filter(asks_flags).last() else { return Vec::new() };
        let first = self.first_of_group(deciding);
        let group = if first == deciding { vec![deciding] } else { vec![first, deciding] };
        vec![moved_after(&group, last.rule.line)]
    }

    /// Moves a rule that denies everything after all rules that accept, which fixes each of them.
    pub(super) fn move_denial_down(&self) -> Vec<PatchCandidate> {
        let is_denial = |deciding: &PlacedRule| deciding.rule.denies() && !names_a_port(deciding.rule);
        let Some(deciding) = self.deciding_rule_in_chain().filter(is_denial) else { return Vec::new() };
        let lets_in = |placed: &PlacedRule| {
            let is_later =
                (placed.table, placed.chain) == (deciding.table, deciding.chain) && placed.number > deciding.number;
            is_later && placed.rule.accepts()
        };
        let Some(last) = self.scene.listing.placed_rules().filter(lets_in).last() else { return Vec::new() };
        let first = self.first_of_group(deciding);
        let group = if first == deciding { vec![deciding] } else { vec![first, deciding] };
        vec![moved_after(&group, last.rule.line)]
    }

    /// The first rule of the chain that does not accept loopback or ESTABLISHED packets: those rules belong at the
    /// start.
    fn early_in_chain_of(&self, deciding: PlacedRule) -> Option<usize> {
        let is_loopback = |clause: &Clause| matches!(&clause.ask, Match::InInterface(name) if name == "lo");
        let belongs_to_front = |rule: &Rule| {
            rule.accepts() && (matches_state(rule, ConntrackState::Established) || rule.clauses.iter().any(is_loopback))
        };
        let early = |placed: &PlacedRule| {
            (placed.table, placed.chain) == (deciding.table, deciding.chain) && !belongs_to_front(placed.rule)
        };
        self.scene.listing.placed_rules().find(early).map(|placed| placed.rule.line)
    }

    /// Moves the LOG from the nat table before the deciding rule.
    pub(super) fn log_where_it_is_taken(&self) -> Vec<PatchCandidate> {
        let (Some(meant), Some(step)) = (self.finding.meant, self.finding.took) else { return Vec::new() };
        let appended = format!("-A {} ", meant.chain);
        let Some(rest) = meant.rule.text.strip_prefix(&appended) else { return Vec::new() };
        let Some(line) = self.line_before(step).filter(|_| !meant.rule.is_terminal()) else { return Vec::new() };
        let text = format!("-A {} {rest}", step.chain);
        let edits = vec![Edit::Delete { line: meant.rule.line }, Edit::InsertBefore { line, text }];
        let words =
            format!("move line {} to chain {} of table {}, line {line}", meant.rule.line, step.chain, step.table);
        vec![PatchCandidate { words, edits }]
    }
}

fn moved(group: &[PlacedRule], before: usize) -> PatchCandidate {
    let edits = group.iter().map(|placed| Edit::Move { line: placed.rule.line, before });
    PatchCandidate { words: format!("move {} before line {before}", lines(group)), edits: edits.collect() }
}

fn moved_after(group: &[PlacedRule], line: usize) -> PatchCandidate {
    let edits = group.iter().map(|placed| Edit::Move { line: placed.rule.line, before: line + 1 });
    PatchCandidate { words: format!("move {} after line {line}", lines(group)), edits: edits.collect() }
}
