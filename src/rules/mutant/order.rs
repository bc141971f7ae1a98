//! The right rules in the wrong order.

use crate::net::conntrack::ConntrackState;
use crate::rules::iptables_save::{Edit, Match, Rule};

use super::draft::Draft;
use super::equivalent;
use super::site::MutationSite;

/// Swaps the rule and the next one.
pub fn swap(site: &MutationSite<'_>) -> Vec<Draft> {
    let Some(next) = site.after().first() else { return Vec::new() };
    let (upper, lower) = (site.rule.line, next.line);
    if upper >= lower || !is_movable(site) || !may_come_before(site, next, upper) {
        return Vec::new();
    }
    let edits = vec![Edit::Move { line: lower, before: upper }];
    let what = format!("is swapped with line {lower}");
    vec![Draft::new(what, edits).equivalent(equivalent::swapped(site.rule, next))]
}

/// Moves a rule for INVALID or ESTABLISHED to the start of its chain, and to its end.
pub fn move_state_rule(site: &MutationSite<'_>) -> Vec<Draft> {
    if !site.rule.clauses.iter().any(|clause| is_about_state(&clause.ask)) || !is_movable(site) {
        return Vec::new();
    }
    [to_the_front(site), to_the_end(site)].into_iter().flatten().collect()
}

fn is_about_state(ask: &Match) -> bool {
    let Match::State(states) = ask else { return false };
    states.contains(&ConntrackState::Invalid) || states.contains(&ConntrackState::Established)
}

fn to_the_front(site: &MutationSite<'_>) -> Option<Draft> {
    let (line, before) = (site.rule.line, site.before().first()?.line);
    let draft = || Draft::new("the rule becomes the first one of its chain", vec![Edit::Move { line, before }]);
    (before < line && may_come_before(site, site.rule, before)).then(draft)
}

fn to_the_end(site: &MutationSite<'_>) -> Option<Draft> {
    let (line, last) = (site.rule.line, site.after().last()?.line);
    let before = last + 1;
    let draft = || Draft::new("the rule becomes the last one of its chain", vec![Edit::Move { line, before }]);
    (last > line).then(draft)
}

/// True if the lines of the chain are in the order of its rules: with `-I` they are not, and moving one would have
/// another effect than described.
pub fn is_movable(site: &MutationSite<'_>) -> bool {
    let appends = |rule: &Rule| matches!(rule.text.split_whitespace().next(), Some("-A" | "--append"));
    let rules = &site.chain.rules;
    rules.iter().all(appends) && rules.is_sorted_by_key(|rule| rule.line)
}

/// True if the chain that `rule` jumps to, if any, is declared above line `before`.
fn may_come_before(site: &MutationSite<'_>, rule: &Rule, before: usize) -> bool {
    let Some(target) = &rule.target else { return true };
    let chain = site.table.chains.iter().find(|chain| chain.name == target.name);
    chain.is_none_or(|chain| chain.line.is_none_or(|line| line < before))
}
