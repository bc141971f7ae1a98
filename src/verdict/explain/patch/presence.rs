//! Patches that add or delete a rule, or change a policy.

use super::super::PlacedRule;
use super::{PatchBuilder, PatchCandidate, group_after, lines, names_one_port, names_one_source_port, opens_wide};
use crate::intent::explanation::Cause;
use crate::probe::path::{Step, StepVerdict};
use crate::rules::iptables_save::Edit;
use crate::verdict::explain::expected_effect::ExpectedEffect;

impl<'a> PatchBuilder<'a> {
    /// Deletes the deciding rule. A rule that denies is deleted only if it is for the port that should be open: other
    /// cases must have a better fix.
    pub(super) fn delete_deciding_rule(&self) -> Vec<PatchCandidate> {
        // SYNPROXY and queues are there on purpose: deleting them would reduce protection.
        let keeps = self.finding.took.is_some_and(|step| step.verdict == StepVerdict::Stolen);
        let Some(deciding) = self.deciding_rule().filter(|_| !keeps) else { return Vec::new() };
        let is_to_get_in = matches!(self.finding.goal, ExpectedEffect::LetIn(_));
        let is_of_answers = self.finding.cause == Cause::AnswerTaken && names_one_source_port(deciding.rule);
        if deciding.rule.denies() && !(is_to_get_in && (names_one_port(deciding.rule) || is_of_answers)) {
            return Vec::new();
        }
        let line = deciding.rule.line;
        vec![PatchCandidate { words: format!("delete line {line}"), edits: vec![Edit::Delete { line }] }]
    }

    /// Adds a rule for the port alone, before the one that keeps it out.
    pub(super) fn let_in(&self) -> Vec<PatchCandidate> {
        let (ExpectedEffect::LetIn(_), Some(ports), Some(step)) = (&self.finding.goal, self.ports(), self.finding.took)
        else {
            return Vec::new();
        };
        let protocol = self.protocol();
        let rule = |from: &str| format!("-A {}{from} -p {protocol} --dport {ports} -j ACCEPT", step.chain);
        // If the port is open on other interfaces, open it on this one only.
        let over = format!(" -i {}", self.scene.interface);
        let source = self.ssh_networks().into_iter().find(|network| network.contains(self.finding.packet.source));
        let mut from = vec![source.map(|network| format!(" -s {network}")).unwrap_or_default()];
        from.extend((step.chain != "OUTPUT").then_some(over));
        from.iter().flat_map(|from| self.added(step, rule(from))).collect()
    }

    /// Adds a rule that drops packets of the protocol that arrive on the interface and no rule matches; or else changes
    /// the policy.
    pub(super) fn default_deny(&self) -> Vec<PatchCandidate> {
        let took = self.finding.took.filter(|step| step.table == "filter");
        let (ExpectedEffect::KeepOut(_), Some(step)) = (&self.finding.goal, took) else { return Vec::new() };
        let rule = format!("-A {} -i {} -p {} -j DROP", step.chain, self.scene.interface, self.protocol());
        [self.added(step, rule), self.policy("DROP")].concat()
    }

    /// Adds the rule with which every stateful filter begins.
    pub(super) fn carry_on(&self) -> Vec<PatchCandidate> {
        let Some(step) = self.finding.took.filter(|_| self.finding.meant.is_none()) else { return Vec::new() };
        let in_chain = |placed: &PlacedRule| step.is_in(placed.table, placed.chain);
        let first = self.scene.listing.placed_rules().find(in_chain).map(|placed| placed.rule.line);
        let rule = format!("-A {} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", step.chain);
        let at_first = first.map(|line| inserted(line, rule.clone()));
        at_first.into_iter().chain(self.added(step, rule)).collect()
    }

    /// Adds a jump to the unreached chain before the deciding rule.
    pub(super) fn jump(&self) -> Vec<PatchCandidate> {
        let (Some(meant), Some(step)) = (self.finding.meant, self.finding.took) else { return Vec::new() };
        let opens =
            |placed: &PlacedRule| (placed.table, placed.chain) == (meant.table, meant.chain) && opens_wide(placed.rule);
        if meant.table != step.table
            || meant.chain == step.chain
            || self.scene.listing.placed_rules().any(|placed| opens(&placed))
        {
            return Vec::new();
        }
        self.added(step, format!("-A {} -j {}", step.chain, meant.chain))
    }

    /// Copies the other family's rule with this prefix, and the verdict after it, before the deciding rule.
    pub(super) fn copy_of_twin(&self) -> Vec<PatchCandidate> {
        let (ExpectedEffect::Line { prefix, .. } | ExpectedEffect::Lines { prefix, .. }) = &self.finding.goal else {
            return Vec::new();
        };
        let (Some(twin), Some(step)) = (self.scene.twin, self.finding.took) else { return Vec::new() };
        let logs = |placed: &PlacedRule| placed.rule.log_prefix().as_deref() == Some(prefix);
        let Some(original) = twin.placed_rules().find(logs) else { return Vec::new() };
        let Some(line) = self.line_before(step) else { return Vec::new() };
        let file = twin.source.name.display();
        let copy = |group: &[PlacedRule]| PatchCandidate {
            words: format!("copy {} of {file} to line {line}", lines(group)),
            edits: vec![Edit::InsertBefore { line, text: texts(group) }],
        };
        let mut group = group_after(original, twin.placed_rules());
        group.retain(|placed| !opens_wide(placed.rule));
        if group.len() > 1 { vec![copy(&group), copy(&group[..1])] } else { vec![copy(&group)] }
    }

    fn added(&self, step: &Step, rule: String) -> Vec<PatchCandidate> {
        self.line_before(step).map(|line| inserted(line, rule)).into_iter().collect()
    }

    /// Changes the policy of the filter table; nat sees the first packet of a connection only.
    fn policy(&self, policy: &str) -> Vec<PatchCandidate> {
        let Some((step, line)) = self
            .finding
            .took
            .filter(|step| step.rule.is_none() && step.table == "filter")
            .and_then(|step| Some((step, step.line?)))
        else {
            return Vec::new();
        };
        let text = format!(":{} {policy} [0:0]", step.chain);
        let words = format!("set the policy of {} to {policy}", step.chain);
        vec![PatchCandidate { words, edits: vec![Edit::Replace { line, text }] }]
    }
}

fn inserted(line: usize, text: String) -> PatchCandidate {
    PatchCandidate { words: format!("add `{text}` as line {line}"), edits: vec![Edit::InsertBefore { line, text }] }
}

fn texts(group: &[PlacedRule]) -> String {
    group.iter().map(|placed| placed.rule.text.as_str()).collect::<Vec<_>>().join("\n")
}
