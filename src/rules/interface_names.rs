//! Names of interfaces that between them meet every `-i` and `-o` of a ruleset in each way that a name can.

use super::iptables_save::{Match, Rule, is_interface};
use crate::net::InterfaceName;
use crate::text::group::once;

/// The link, `lo`, one name for each that is written, and one that no pattern but `+` matches.
pub fn distinct_names(rules: &[&Rule], link: &InterfaceName) -> Vec<String> {
    let names = named(rules, link);
    let others = unnamed(&patterns(rules));
    once(names.into_iter().chain(others))
}

/// The link, `lo`, and one name for each that is written, in their order.
pub fn named(rules: &[&Rule], link: &InterfaceName) -> Vec<String> {
    let usual = [link.to_string(), "lo".to_owned()];
    once(usual.into_iter().chain(name_of_each(rules, link).into_iter().map(|(_, name)| name)))
}

/// Each name that is written, with an interface for it. That of a pattern is none that is written, and no longer pattern
/// matches it: `eth1` for `eth+` beside `eth0`.
pub fn name_of_each<'r>(rules: &[&'r Rule], link: &InterfaceName) -> Vec<(&'r str, String)> {
    let patterns = patterns(rules);
    let name = |pattern: &'r str| match pattern.strip_suffix('+') {
        Some(start) => Some((pattern, of_pattern(start, &patterns, link)?)),
        None => Some((pattern, pattern.to_owned())),
    };
    patterns.iter().copied().filter_map(name).collect()
}

fn patterns<'r>(rules: &[&'r Rule]) -> Vec<&'r str> {
    let clauses = rules.iter().flat_map(|rule| &rule.clauses);
    once(clauses.filter_map(|clause| match &clause.ask {
        Match::InInterface(name) | Match::OutInterface(name) => Some(name.as_str()),
        _ => None,
    }))
}

/// A name that the pattern `start+` matches, and no narrower one: the link, if it is such a name.
fn of_pattern(start: &str, patterns: &[&str], link: &InterfaceName) -> Option<String> {
    let is_narrower = |other: &&str| other.strip_suffix('+').is_none_or(|longer| longer.len() > start.len());
    let narrower: Vec<&str> = patterns.iter().copied().filter(is_narrower).collect();
    let names = [link.to_string()].into_iter().chain(numbered(if start.is_empty() { "any" } else { start }));
    let is_of_it = |name: &String| name.starts_with(start) && !narrower.iter().any(|other| is_interface(other, name));
    names.into_iter().find(is_of_it)
}

/// A name that none of the patterns matches but `+`, which matches all.
fn unnamed(patterns: &[&str]) -> Option<String> {
    let starts = ["other".to_owned()].into_iter().chain(('a'..='z').map(|letter| format!("{letter}{letter}")));
    let is_free = |name: &String| !patterns.iter().any(|other| *other != "+" && is_interface(other, name));
    starts.flat_map(|start| numbered(&start).collect::<Vec<_>>()).find(is_free)
}

/// `eth0`, `eth1` and so on: as many as are at most fifteen bytes long (`IFNAMSIZ`), and not too many.
fn numbered(start: &str) -> impl Iterator<Item = String> {
    (0..1000).map(move |number| format!("{start}{number}")).filter(|name| name.len() <= 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Source;
    use crate::net::Family;
    use crate::rules::iptables_save::Listing;

    fn names(rules: &[&str]) -> Vec<String> {
        let rules: String = rules.iter().map(|rule| format!("-A INPUT {rule} -j DROP\n")).collect();
        let text = format!("*filter\n{rules}COMMIT\n");
        let listing = Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() });
        let rules: Vec<&Rule> = listing.rules().collect();
        distinct_names(&rules, &"eth0".parse().expect("a name"))
    }

    #[test]
    fn pattern_beside_a_name_of_its_kind_has_a_name_of_its_own() {
        assert_eq!(names(&["-i eth0", "-i eth+"]), ["eth0", "lo", "eth1", "other0"]);
        assert_eq!(names(&["-i eth1+", "-i eth+"]), ["eth0", "lo", "eth10", "other0"]);
        assert_eq!(names(&["-i eth1", "-i eth0+", "-i eth+"]), ["eth0", "lo", "eth1", "eth2", "other0"]);
    }

    #[test]
    fn names_of_patterns_that_match_the_usual_name_for_others_leave_another() {
        assert_eq!(names(&["-i o+"]), ["eth0", "lo", "o0", "aa0"]);
        assert_eq!(names(&["-i +"]), ["eth0", "lo", "other0"]);
    }

    #[test]
    fn name_of_a_long_pattern_is_one_that_an_interface_can_have() {
        assert_eq!(names(&["-i abcdefghijklmn+"])[2], "abcdefghijklmn0");
    }
}
