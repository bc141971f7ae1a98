//! Facts that hold now, and may not later: a rule with `-m time` accepts by day, one with `-m quota` until a number of
//! bytes has passed.
//!
//! Such rules are removed, and then loaded without the time-dependent matches, and everything is measured again in each
//! state: a reason not to deploy in one of them is a reason now.
//!
//! Chance (`-m statistic`) is decided before (`by_chance`).

use std::collections::BTreeSet;

use super::{Answers, Measured, PredeploySubject, answers_of, measure};
use crate::error::{Result, Source};
use crate::net::Family;
use crate::rules::iptables_save::{self, Edit, Listing, OF_THE_MOMENT, Rule};
use crate::rules::space::Region;

/// The state of such rules at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeDependentResult {
    /// They match nothing.
    None,
    /// They match all packets that their other matches select.
    All,
}

/// The answers at other times, each with a name: `while rules.v4:17 does not apply (-m time)`. Empty, without a
/// measurement, if no rule is time-dependent.
pub fn answers_then(subject: &PredeploySubject) -> Result<Vec<(String, Answers)>> {
    let Some(which) = which(subject) else { return Ok(Vec::new()) };
    let of = |moment| {
        let rulesets: Vec<(Family, Source)> =
            subject.rulesets.iter().map(|(family, source)| (*family, at(moment, *family, source))).collect();
        let then = PredeploySubject { rulesets: &rulesets, ..subject.clone() };
        let measured = Measured { of_the_moment: places(subject), ..measure(&then)? };
        Ok((which.describe(moment), answers_of(&then, &measured)))
    };
    [TimeDependentResult::None, TimeDependentResult::All].into_iter().map(of).collect()
}

/// The lines of time-dependent rules.
pub fn places(subject: &PredeploySubject) -> Vec<(Family, usize)> {
    let of = |(family, source): &(Family, Source)| {
        let listing = subject.equipment.listing(*family, source);
        of_the_moment(&listing).map(|rule| (*family, rule.line)).collect::<Vec<_>>()
    };
    subject.rulesets.iter().flat_map(of).collect()
}

fn of_the_moment(listing: &Listing) -> impl Iterator<Item = &Rule> {
    listing.rules().filter(|rule| rule.of_the_moment().next().is_some())
}

/// True if a leaf with these results of matches is measured: with one time-dependent rule, in one of both states; with
/// several, if all of them match, or none does.
pub fn is_tried_at_each_moment(listing: &Listing, region: &Region) -> bool {
    let is_of_moment = |key: &str| OF_THE_MOMENT.iter().any(|name| key.starts_with(&format!("-m {name} ")));
    let is_one = of_the_moment(listing).count() == 1;
    let answers: Vec<bool> = region.answers().filter(|(key, _)| is_of_moment(key)).map(|(_, answer)| answer).collect();
    let are_equal = answers.windows(2).all(|two| two[0] == two[1]);
    !answers.is_empty() && (is_one || are_equal)
}

/// The ruleset in this state. Every rule keeps its line.
fn at(moment: TimeDependentResult, family: Family, source: &Source) -> Source {
    let listing = Listing::parse(family, source);
    let rules = of_the_moment(&listing);
    let text = |rule: &Rule| match moment {
        TimeDependentResult::None => String::new(),
        TimeDependentResult::All => rule.without_matches(&OF_THE_MOMENT),
    };
    let edits: Vec<Edit> = rules.map(|rule| Edit::Replace { line: rule.line, text: text(rule) }).collect();
    iptables_save::apply(source, &edits)
}

/// The time-dependent rules.
#[derive(Debug)]
struct TimeDependentRules {
    /// `rules.v4:17`
    first: String,
    /// The number of others.
    others: usize,
    /// `-m time`
    matches: BTreeSet<String>,
}

fn which(subject: &PredeploySubject) -> Option<TimeDependentRules> {
    let listings = subject.rulesets.iter().map(|(family, source)| (source, subject.equipment.listing(*family, source)));
    let mut places = BTreeSet::new();
    let mut matches = BTreeSet::new();
    for (number, (source, listing)) in listings.enumerate() {
        for rule in of_the_moment(&listing) {
            for module in rule.of_the_moment() {
                places.insert((number, rule.line, source.name.display().to_string()));
                matches.insert(format!("-m {}", module.name));
            }
        }
    }
    let others = places.len().saturating_sub(1);
    let (_, line, file) = places.pop_first()?;
    Some(TimeDependentRules { first: format!("{file}:{line}"), others, matches })
}

impl TimeDependentRules {
    fn describe(&self, moment: TimeDependentResult) -> String {
        let (rules, one) = match self.others {
            0 => (self.first.clone(), true),
            1 => (format!("{} and one other rule", self.first), false),
            others => (format!("{} and {others} other rules", self.first), false),
        };
        let verb = match (moment, one) {
            (TimeDependentResult::None, true) => "does not apply",
            (TimeDependentResult::None, false) => "do not apply",
            (TimeDependentResult::All, true) => "applies",
            (TimeDependentResult::All, false) => "apply",
        };
        let matches = self.matches.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("while {rules} {verb}: {matches}")
    }
}
