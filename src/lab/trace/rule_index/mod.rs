//! The index from the rules of the kernel to those of the file. The kernel identifies a rule by its handle; a chain
//! lists its handles in the order of its rules, and the file has the rules in the same order. Both are matched chain by
//! chain; the text of a rule is never compared, since nf_tables may print it in other words.

use std::collections::{HashMap, HashSet};

use super::nft_rules::{KernelRuleText, Renamed};
use super::nft_trace::{Code, Event, TraceEventKind};
use super::own_table;
use crate::error::{CannotMeasure, Result};
use crate::net::Family;
use crate::probe::path::{Step, StepVerdict};
use crate::rules::iptables_save::{Chain, Listing, PlacedRule, Policy, Rule};

/// The rules and policies of a lab, by their identifiers in the kernel.
#[derive(Clone)]
pub struct RuleIndex {
    rules: HashMap<(Family, Vec<u8>, u64), Step>,
    policies: HashMap<(Family, Vec<u8>, Vec<u8>), Step>,
    /// The chains that have rules.
    with_rules: HashSet<(Family, Vec<u8>, Vec<u8>)>,
}

impl RuleIndex {
    /// Matches the kernel's rules with those of the files.
    ///
    /// # Errors
    ///
    /// If the numbers of rules in a chain differ: then the meaning of a handle is unknown.
    pub fn compile<'a>(
        listings: &[Listing],
        kernel: impl IntoIterator<Item = (Family, Vec<KernelRuleText<'a>>)>,
    ) -> Result<RuleIndex> {
        let mut compiled = RuleIndex { rules: HashMap::new(), policies: HashMap::new(), with_rules: HashSet::new() };
        for (family, rules) in kernel {
            let listing = listings.iter().find(|listing| listing.family == family);
            compiled.add_rules(family, listing, &rules)?;
        }
        listings.iter().for_each(|listing| compiled.add_policies(listing));
        Ok(compiled)
    }

    /// Checks that each chain that has rules in the files has some in the kernel: a program that ends without an error
    /// may have loaded nothing.
    pub fn assert_loaded(listings: &[Listing], kernel: &[(Family, Vec<KernelRuleText>)]) -> Result<()> {
        let all =
            kernel.iter().flat_map(|(family, rules)| rules.iter().map(move |rule| (*family, rule.table, rule.chain)));
        let there: HashSet<_> = all.collect();
        let mut rules = listings.iter().flat_map(|listing| listing.placed_rules().map(|at| (listing.family, at)));
        let missing = rules.find(|(family, at)| !there.contains(&(*family, at.table.as_bytes(), at.chain.as_bytes())));
        let Some((family, PlacedRule { table, chain, .. })) = missing else { return Ok(()) };
        let problem = format!(
            "it ended without an error, and the kernel has no rule in chain {chain} of table {table} ({family})"
        );
        Err(CannotMeasure::ProgramFailed { program: "iptables-restore".to_owned(), problem }.into())
    }

    /// Replaces old handles by new ones.
    pub fn rename(&mut self, renamed: &[Renamed]) {
        for Renamed { family, table, before, after } in renamed {
            if let Some(step) = self.rules.remove(&(*family, table.clone(), *before)) {
                self.rules.insert((*family, table.clone(), *after), step);
            }
        }
    }

    /// The rule or policy of an event, as in the file; `None` for the end of a chain, which is no step.
    ///
    /// # Errors
    ///
    /// If the handle is unknown: the ruleset has changed without the lab.
    pub fn step(&self, event: &Event) -> Result<Option<Step>> {
        match (event.kind, event.handle) {
            (TraceEventKind::Policy, _) => Ok(self.policy(event)),
            (_, None) => Ok(None),
            (TraceEventKind::Rule | TraceEventKind::Return, Some(handle)) => {
                let known = self.rules.get(&(event.family, event.table.to_vec(), handle));
                let step = known.ok_or_else(|| unknown(event, handle))?;
                Ok(Some(Step { verdict: verdict(event.verdict, &step.verdict), ..step.clone() }))
            }
        }
    }

    /// The policy of an event. x_tables has every chain of a table, nf_tables only those of the file: a chain that is
    /// not in the file and accepts all packets is no step.
    fn policy(&self, event: &Event) -> Option<Step> {
        let key = (event.family, event.table.to_vec(), event.chain.to_vec());
        let declared = self.policies.get(&key).cloned();
        let at = (event.family, event.table.to_vec(), event.chain.to_vec());
        if declared.is_none() && event.verdict == Code::Accept && !self.with_rules.contains(&at) {
            return None;
        }
        let policy = if event.verdict == Code::Drop { Policy::Drop } else { Policy::Accept };
        let undeclared = || policy_step(&text(event.table), &text(event.chain), None, policy);
        let step = declared.unwrap_or_else(undeclared);
        Some(Step { verdict: verdict(event.verdict, &step.verdict), ..step })
    }

    fn add_rules(&mut self, family: Family, listing: Option<&Listing>, rules: &[KernelRuleText]) -> Result<()> {
        let mut chains: HashMap<(&[u8], &[u8]), Vec<KernelRuleText>> = HashMap::new();
        for rule in rules.iter().filter(|rule| rule.table != own_table::NAME.as_bytes()) {
            chains.entry((rule.table, rule.chain)).or_default().push(*rule);
        }
        for ((table, chain), handles) in chains {
            let known = listing.and_then(|listing| listing.chain(&text(table), &text(chain)));
            self.add_chain(family, (table, chain), &handles, known)?;
            self.with_rules.insert((family, table.to_vec(), chain.to_vec()));
        }
        Ok(())
    }

    fn add_chain(
        &mut self,
        family: Family,
        at: (&[u8], &[u8]),
        handles: &[KernelRuleText],
        known: Option<&Chain>,
    ) -> Result<()> {
        let (table, chain) = (text(at.0), text(at.1));
        let rules = known.map(|chain| chain.rules.as_slice()).unwrap_or_default();
        if rules.len() != handles.len() {
            return Err(CannotMeasure::Disagreement(format!(
                "chain {chain} of table {table} ({family}) has {} rules in the kernel, and {} in the file",
                handles.len(),
                rules.len()
            ))
            .into());
        }
        for (index, (rule, known)) in rules.iter().zip(handles).enumerate() {
            // A packet has to pass every limit of a rule, so the slowest one decides.
            let rate = known.rate.into_iter().chain(rule.hash_rate()).max();
            let step = Step { rate, ..rule_step(&table, &chain, index + 1, rule) };
            self.rules.insert((family, at.0.to_vec(), known.handle), step);
        }
        Ok(())
    }

    fn add_policies(&mut self, listing: &Listing) {
        for table in &listing.tables {
            for chain in &table.chains {
                let Some(policy) = chain.policy else { continue };
                let key = (listing.family, table.name.clone().into_bytes(), chain.name.clone().into_bytes());
                self.policies.insert(key, policy_step(&table.name, &chain.name, chain.line, policy));
            }
        }
    }
}

fn rule_step(table: &str, chain: &str, number: usize, rule: &Rule) -> Step {
    let rejects = rule.target.as_ref().is_some_and(|target| target.name == "REJECT");
    let verdict = if rejects { StepVerdict::Reject } else { StepVerdict::Continue };
    let unread = rule.remembers_unread().map(str::to_owned).collect();
    let step = Step::new((table, chain), [Some(number), Some(rule.line)], &rule.text, verdict);
    Step { log_prefix: rule.log_prefix(), unread, ..step }
}

fn policy_step(table: &str, chain: &str, line: Option<usize>, policy: Policy) -> Step {
    let policy = match policy {
        Policy::Accept => "ACCEPT",
        Policy::Drop => "DROP",
    };
    Step::new((table, chain), [None, line], &format!(":{chain} {policy}"), StepVerdict::Continue)
}

/// The verdict of a step. That of a REJECT is also `NF_DROP`; its answer is another packet.
fn verdict(code: Code, meant: &StepVerdict) -> StepVerdict {
    match code {
        Code::Drop if *meant == StepVerdict::Reject => StepVerdict::Reject,
        Code::Drop | Code::Unknown => StepVerdict::Drop,
        Code::Accept => StepVerdict::Accept,
        Code::Stolen => StepVerdict::Stolen,
        Code::Continue => StepVerdict::Continue,
        Code::Return => StepVerdict::Return,
        Code::Jump(chain) => StepVerdict::Jump(text(chain)),
        Code::Goto(chain) => StepVerdict::Goto(text(chain)),
    }
}

fn unknown(event: &Event, handle: u64) -> crate::error::Error {
    CannotMeasure::Disagreement(format!(
        "the trace names rule {handle} of chain {} in table {} ({}), which the lab did not load",
        text(event.chain),
        text(event.table),
        event.family
    ))
    .into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
