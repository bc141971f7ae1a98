//! Rules that match by chance (`-m statistic`), and rulesets in which it is decided for each of them if it matches: a
//! result that is the same in all of them does not depend on chance.

use crate::error::Source;
use crate::net::Family;
use crate::rules::iptables_save::{self, Edit, Listing, Rule};

/// A rule that matches by chance.
#[derive(Debug, Clone, PartialEq)]
pub struct ChanceRule {
    /// The family of its ruleset.
    pub family: Family,
    /// Its line.
    pub line: usize,
    /// `FILE:LINE`.
    pub at: String,
    /// `FILE:LINE: TEXT`.
    pub place: String,
    /// The share of packets that it matches.
    pub share: f64,
    /// True if it drops or rejects.
    pub denies: bool,
}

/// Rulesets without chance.
#[derive(Debug, Clone)]
pub struct ChanceState {
    /// The rules that apply: `while rules.v4:6 applies by chance`.
    pub name: String,
    /// The rulesets. Every rule keeps its line.
    pub rulesets: Vec<(Family, Source)>,
}

/// The maximum number of rules that are tried alone.
const ALONE: usize = 8;

/// The share of lost packets up to which TCP and scanners retransmit with success.
const MILD: f64 = 0.5;

/// The rules of `rulesets` that match by chance.
pub fn rules(rulesets: &[(Family, Source)]) -> Vec<ChanceRule> {
    let of = |(family, source): &(Family, Source)| {
        let listing = Listing::parse(*family, source);
        let found = listing.rules().filter_map(|rule| {
            let at = format!("{}:{}", source.name.display(), rule.line);
            let (place, denies) = (listing.quoted(rule), rule.denies());
            Some(ChanceRule { family: *family, line: rule.line, at, place, share: rule.chance()?, denies })
        });
        found.collect::<Vec<_>>()
    };
    rulesets.iter().flat_map(of).collect()
}

/// The states in which results are compared: no such rule applies, all do, and if there are several in a family, each
/// alone. Empty without such a rule.
pub fn states(rulesets: &[(Family, Source)]) -> Vec<ChanceState> {
    let rules = rules(rulesets);
    if rules.is_empty() {
        return Vec::new();
    }
    let number =
        |rule: &ChanceRule| rules.iter().filter(|other| other.family == rule.family && other.line < rule.line).count();
    let numbers: Vec<usize> = rules.iter().map(number).collect();
    let count = numbers.iter().max().map_or(0, |most| most + 1);
    let alone = if count > 1 { count.min(ALONE) } else { 0 };
    let chosen = |wanted: &dyn Fn(usize) -> bool| {
        let applied = rules.iter().zip(&numbers).filter(|(_, number)| wanted(**number));
        let applied: Vec<&ChanceRule> = applied.map(|(rule, _)| rule).collect();
        state(rulesets, &rules, &applied)
    };
    let mut states = vec![chosen(&|_| false), chosen(&|_| true)];
    states.extend((0..alone).map(|only| chosen(&|number| number == only)));
    states
}

/// The number of rules of a family up to which [`states`] are all combinations.
pub const COMBINED: usize = 2;

/// True if packets that one of `rules` matches are lost, and that is rare enough to be healed by retransmission.
pub fn is_mild(rules: &[&ChanceRule]) -> bool {
    let arrive: f64 = rules.iter().map(|rule| 1.0 - rule.share).product();
    rules.iter().all(|rule| rule.denies) && 1.0 - arrive <= MILD + f64::EPSILON
}

/// The rules with their shares: `rules.v4:6 matches 20 % of the packets`.
pub fn shares(rules: &[&ChanceRule]) -> String {
    let each = rules.iter().map(|rule| format!("{} matches {} % of the packets", rule.at, percent(rule.share)));
    each.collect::<Vec<_>>().join(", ")
}

/// Two significant digits below 1 %, one decimal above.
fn percent(share: f64) -> f64 {
    let scale = if share < 0.01 { 10_000.0 } else { 10.0 };
    (share * 100.0 * scale).round() / scale
}

fn state(rulesets: &[(Family, Source)], rules: &[ChanceRule], applied: &[&ChanceRule]) -> ChanceState {
    let text = |family: Family, rule: &Rule| {
        let is_applied = applied.iter().any(|other| (other.family, other.line) == (family, rule.line));
        if is_applied { rule.without_chance() } else { String::new() }
    };
    let of = |(family, source): &(Family, Source)| {
        let listing = Listing::parse(*family, source);
        let by_chance = listing.rules().filter(|rule| rule.is_by_chance());
        let edits: Vec<Edit> =
            by_chance.map(|rule| Edit::Replace { line: rule.line, text: text(*family, rule) }).collect();
        (*family, iptables_save::apply(source, &edits))
    };
    ChanceState { name: name(rules, applied), rulesets: rulesets.iter().map(of).collect() }
}

fn name(rules: &[ChanceRule], applied: &[&ChanceRule]) -> String {
    let list = |rules: Vec<&ChanceRule>| match rules.as_slice() {
        [first, _, _, _, ..] => format!("{} and {} other rules", first.at, rules.len() - 1),
        few => few.iter().map(|rule| rule.at.as_str()).collect::<Vec<_>>().join(" and "),
    };
    let verb = |count: usize, one: &'static str, many: &'static str| if count == 1 { one } else { many };
    match applied.len() {
        0 => format!(
            "while {} {} by chance",
            list(rules.iter().collect()),
            verb(rules.len(), "does not match", "do not match")
        ),
        count => format!("while {} {} by chance", list(applied.to_vec()), verb(count, "matches", "match")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rulesets(rules: &str) -> Vec<(Family, Source)> {
        let text = format!("*filter\n{rules}COMMIT\n");
        vec![(Family::Ipv4, Source { name: "rules.v4".into(), text: text.into() })]
    }

    #[test]
    fn every_rule_is_tried_alone_with_the_others_and_not_at_all() {
        let random = "-A INPUT -m statistic --mode random --probability 0.2 -j DROP\n";
        let nth = "-A INPUT -m statistic --mode nth --every 4 --packet 0 -j DROP\n";
        let two = rulesets(&format!("{random}{nth}"));
        let texts: Vec<Vec<String>> = states(&two)
            .iter()
            .map(|state| state.rulesets[0].1.text.lines().map(str::to_owned).skip(1).take(2).collect())
            .collect();
        let drop = "-A INPUT -j DROP".to_owned();
        let none = String::new();
        assert_eq!(texts[0], [none.clone(), none.clone()]);
        assert_eq!(texts[1], [drop.clone(), drop.clone()]);
        assert_eq!(texts[2..], [vec![drop.clone(), none.clone()], vec![none, drop]]);
        assert_eq!(states(&rulesets(random)).len(), 2);
    }

    #[test]
    fn a_rule_that_always_or_never_matches_is_not_by_chance() {
        for rule in ["random --probability 1", "random --probability 0", "nth --every 1 --packet 0"] {
            let rule = format!("-A INPUT -m statistic --mode {rule} -j DROP\n");
            assert!(states(&rulesets(&rule)).is_empty(), "{rule}");
        }
        let negated = "-A INPUT -m statistic --mode nth ! --every 4 --packet 0 -j DROP\n";
        assert_eq!(rules(&rulesets(negated))[0].share, 0.75);
    }

    #[test]
    fn losses_add_up_to_more_than_retransmission_heals() {
        let rule = "-A INPUT -m statistic --mode random --probability 0.4 -j DROP\n";
        let (one, two) = (rules(&rulesets(rule)), rules(&rulesets(&rule.repeat(2))));
        assert!(is_mild(&one.iter().collect::<Vec<_>>()));
        assert!(!is_mild(&two.iter().collect::<Vec<_>>()));
        assert_eq!(shares(&one.iter().collect::<Vec<_>>()), "rules.v4:2 matches 40 % of the packets");
    }
}
