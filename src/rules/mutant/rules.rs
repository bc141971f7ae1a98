//! A missing or an additional rule.

use crate::rules::iptables_save::Edit;

use super::draft::Draft;
use super::equivalent;
use super::site::MutationSite;
use super::twin::is_log;

/// Deletes the rule. `log` handles LOG rules.
pub fn delete(site: &MutationSite<'_>) -> Vec<Draft> {
    let gone = || Draft::new("the rule is deleted", vec![Edit::Delete { line: site.rule.line }]);
    (!is_log(site.rule)).then(gone).into_iter().collect()
}

/// Duplicates the rule.
pub fn duplicate(site: &MutationSite<'_>) -> Vec<Draft> {
    let again = Edit::InsertBefore { line: site.rule.line + 1, text: site.rule.text.clone() };
    vec![Draft::new("the rule is duplicated", vec![again]).equivalent(equivalent::twice(site.rule))]
}
