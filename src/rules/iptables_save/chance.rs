//! Rules that match by chance.

use super::rule::BY_CHANCE;
use super::{Clause, Module, Rule, number};

impl Rule {
    /// True if chance, or the number of earlier packets, decides for each packet separately if the rule matches.
    pub fn is_by_chance(&self) -> bool {
        self.chance().is_some()
    }

    /// The share of packets that its `statistic` matches let it match; `None` if that is none or all of them. An
    /// unreadable share is one half.
    pub fn chance(&self) -> Option<f64> {
        let shares = self.instances(BY_CHANCE).map(|module| self.share(module).unwrap_or(0.5));
        let share = shares.fold(1.0, |all, one| all * one);
        (share > 0.0 && share < 1.0).then_some(share)
    }

    /// The rule's text without its `statistic` matches.
    pub fn without_chance(&self) -> String {
        self.without_matches(&[BY_CHANCE])
    }

    fn share(&self, module: &Module) -> Option<f64> {
        let option = |name: &str| -> Option<(&Clause, &str)> {
            self.options(BY_CHANCE, &[name]).find(|(clause, _)| self.module_of(clause) == Some(module))
        };
        let (clause, share) = match (option("--probability"), option("--every")) {
            (Some((clause, share)), _) => (clause, share.parse::<f64>().ok()?),
            (None, Some((clause, every))) => (clause, 1.0 / f64::from(number::parse(every)?)),
            (None, None) => return None,
        };
        Some(if clause.negated { 1.0 - share } else { share })
    }
}
