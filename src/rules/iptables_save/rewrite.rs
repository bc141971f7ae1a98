//! Edits of a rule's text, the basis of fixes and mutants.
//!
//! This code does not check that iptables accepts the result: without its `-p tcp`, a rule with `--dport` is refused.

use std::ops::Range;

use super::{Clause, Match, Module, Rule};
use crate::text::words::words;

impl Rule {
    /// The rule's text without `clause`.
    ///
    /// 1. `--limit-burst` is removed with `--limit`: alone it would mean 3/hour.
    /// 2. `-m NAME` is removed with its last option, if without one it matches everything or is refused.
    /// 3. A list of addresses is removed as a whole.
    pub fn without(&self, clause: &Clause) -> String {
        let mut spans: Vec<Range<usize>> = self.bound_to(clause).map(|clause| clause.span.clone()).collect();
        spans.extend(self.module_of(clause).filter(|module| self.is_empty_without(module, clause)).map(span_of));
        cut(&self.text, spans)
    }

    /// The rule's text with `replacement` in place of `clause`; its `-m` stays.
    pub fn with(&self, clause: &Clause, replacement: &str) -> String {
        replace(&self.text, &clause.span, replacement)
    }

    /// The rule's text with `limit` (`-m limit --limit 1/day`) in place of every rate limit; an empty one removes them.
    pub fn with_limits(&self, limit: &str) -> String {
        self.with_matches(&["limit"], limit)
    }

    /// The rule's text without the matches of these names, and all their options.
    pub fn without_matches(&self, names: &[&str]) -> String {
        self.with_matches(names, "")
    }

    /// Puts `replacement` in place of each `-m NAME`, and removes the options.
    fn with_matches(&self, names: &[&str], replacement: &str) -> String {
        let modules = self.modules.iter().filter(|module| names.contains(&module.name.as_str()));
        let is_of = |clause: &&Clause| clause.module.as_deref().is_some_and(|module| names.contains(&module));
        let options = self.clauses.iter().filter(is_of).map(|clause| (&clause.span, ""));
        let mut spans: Vec<(&Range<usize>, &str)> =
            modules.map(|module| (&module.span, replacement)).chain(options).collect();
        spans.sort_by_key(|(span, _)| span.start);
        spans.iter().rev().fold(self.text.clone(), |text, (span, with)| replace(&text, span, with))
    }

    /// The rule's text with `target` (`-j DROP`) in place of the target and all its options; at the end if there was
    /// none. An empty `target` removes it.
    pub fn with_target(&self, target: &str) -> String {
        let Some(old) = &self.target else { return format!("{} {target}", self.text).trim_end().to_owned() };
        // Separate options come after `-j`, so cutting them does not move it.
        replace(&cut(&self.text, old.apart.clone()), &old.span, target)
    }

    /// The rule's text with `clause` negated: with a `!`, or without the existing one.
    pub fn negating(&self, clause: &Clause) -> String {
        let Some(text) = self.text.get(clause.span.clone()) else { return self.text.clone() };
        let negation = words(text).into_iter().find(|word| word.text == "!" && clause.negated);
        match negation {
            Some(word) => self.with(clause, &cut(text, vec![word.span])),
            None => self.with(clause, &format!("! {text}")),
        }
    }

    /// The clause itself, and the clause that has no meaning without it.
    fn bound_to<'a>(&'a self, clause: &'a Clause) -> impl Iterator<Item = &'a Clause> {
        let limits = clause.module.as_deref() == Some("limit") && !matches!(clause.ask, Match::LimitBurst(_));
        let burst = move |other: &&Clause| {
            let same = self.module_of(other) == self.module_of(clause);
            limits && same && matches!(other.ask, Match::LimitBurst(_))
        };
        std::iter::once(clause).chain(self.clauses.iter().filter(burst))
    }

    /// The `-m` of `clause`: the last one of its name before it. `None` for a match without a module, and for the match
    /// that iptables loads automatically for the protocol.
    pub fn module_of(&self, clause: &Clause) -> Option<&Module> {
        let name = clause.module.as_ref()?;
        self.modules.iter().rev().find(|module| module.name == *name && module.span.end <= clause.span.start)
    }

    fn is_empty_without(&self, module: &Module, clause: &Clause) -> bool {
        let gone = |other: &Clause| self.bound_to(clause).any(|bound| bound.span == other.span);
        let left = self.clauses.iter().any(|other| self.module_of(other) == Some(module) && !gone(other));
        !left && !STANDS_ALONE.contains(&module.name.as_str())
    }
}

/// Matches that iptables accepts without an option: they match everything then, or match by their presence. All others
/// are refused (`-m icmp`, `-m state`, `-m comment`, `-m multiport`, ...) or have a default (`-m limit`: 3/hour).
const STANDS_ALONE: &[&str] =
    &["tcp", "udp", "udplite", "sctp", "dccp", "ah", "esp", "frag", "rpfilter", "socket", "eui64"];

fn span_of(module: &Module) -> Range<usize> {
    module.span.clone()
}

/// `text` without `spans`, and without the blanks before each.
fn cut(text: &str, mut spans: Vec<Range<usize>>) -> String {
    spans.sort_by_key(|span| span.start);
    spans.iter().rev().fold(text.to_owned(), |text, span| replace(&text, span, ""))
}

/// `text` with `replacement` at `span`, separated by blanks from its neighbours. A quoted word may be followed directly
/// by the next one. A span outside the text changes nothing.
fn replace(text: &str, span: &Range<usize>, replacement: &str) -> String {
    let (Some(before), Some(after)) = (text.get(..span.start), text.get(span.end..)) else { return text.to_owned() };
    let blank = [' ', '\t'];
    let mut parts = vec![before.trim_end_matches(blank)];
    parts.extend([replacement, after.trim_start_matches(blank)]);
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::Listing;
    use super::*;
    use crate::error::Source;
    use crate::net::Family;

    fn read(text: &str) -> Rule {
        let text = format!("*filter\n{text}\n");
        let listing = Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() });
        listing.rules().next().cloned().expect("one rule")
    }

    /// The rule without each of its clauses in turn.
    fn without_each(text: &str) -> Vec<String> {
        let rule = read(text);
        rule.clauses.iter().map(|clause| rule.without(clause)).collect()
    }

    #[test]
    fn a_clause_goes_with_what_is_nothing_without_it() {
        assert_eq!(
            without_each(
                "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m limit --limit 5/min --limit-burst 7 -j LOG"
            ),
            [
                "-A INPUT -m tcp --dport 22 -m conntrack --ctstate NEW -m limit --limit 5/min --limit-burst 7 -j LOG",
                "-A INPUT -p tcp -m tcp -m conntrack --ctstate NEW -m limit --limit 5/min --limit-burst 7 -j LOG",
                "-A INPUT -p tcp -m tcp --dport 22 -m limit --limit 5/min --limit-burst 7 -j LOG",
                "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j LOG",
                "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m limit --limit 5/min -j LOG",
            ]
        );
    }

    #[test]
    fn a_module_stays_while_it_has_an_option() {
        assert_eq!(
            without_each("-A INPUT -m conntrack --ctstate NEW ! --ctstatus ASSURED"),
            ["-A INPUT -m conntrack ! --ctstatus ASSURED", "-A INPUT -m conntrack --ctstate NEW"]
        );
        assert_eq!(
            without_each("-A INPUT -m comment --comment \"a b\"-m comment --comment c"),
            ["-A INPUT -m comment --comment c", "-A INPUT -m comment --comment \"a b\""]
        );
    }

    #[test]
    fn a_negated_clause_goes_with_its_negation() {
        assert_eq!(without_each("-A INPUT ! -i lo -j DROP"), ["-A INPUT -j DROP"]);
        assert_eq!(without_each("-A INPUT -s 1/8,2/8 -j DROP"), ["-A INPUT -j DROP"]);
    }

    #[test]
    fn a_clause_is_replaced_or_turned_around() {
        let rule = read("-A INPUT -p tcp ! --dport 22 -j DROP");
        let [protocol, port] = rule.clauses.as_slice() else { panic!("two clauses") };
        assert_eq!(rule.with(port, "--dport 23"), "-A INPUT -p tcp --dport 23 -j DROP");
        assert_eq!(rule.negating(protocol), "-A INPUT ! -p tcp ! --dport 22 -j DROP");
        assert_eq!(rule.negating(port), "-A INPUT -p tcp --dport 22 -j DROP");
        let old = read("-A INPUT -p tcp --dport ! 22 -j DROP");
        assert_eq!(old.negating(&old.clauses[1]), "-A INPUT -p tcp --dport 22 -j DROP");
        let shout = read("-A INPUT -m comment --comment ! -j DROP");
        assert_eq!(shout.negating(&shout.clauses[0]), "-A INPUT -m comment ! --comment ! -j DROP");
    }

    #[test]
    fn a_limit_is_replaced_with_all_its_options() {
        let with = |text: &str, limit: &str| read(text).with_limits(limit);
        let rule = "-A INPUT -p tcp -m limit --limit 5/min --limit-burst 7 --dport 22 -m limit -j LOG";
        assert_eq!(with(rule, ""), "-A INPUT -p tcp --dport 22 -j LOG");
        assert_eq!(with(rule, "-m limit"), "-A INPUT -p tcp -m limit --dport 22 -m limit -j LOG");
        assert_eq!(with("-A INPUT -j DROP", "-m limit"), "-A INPUT -j DROP");
    }

    #[test]
    fn a_match_goes_with_all_its_options() {
        let rule = "-A INPUT -p tcp -m time --timestart 08:00 --timestop 20:00 --kerneltz --dport 22 -m quota ! --quota 9 -j LOG";
        assert_eq!(read(rule).without_matches(&["time", "quota"]), "-A INPUT -p tcp --dport 22 -j LOG");
        assert_eq!(read(rule).without_matches(&["statistic"]), rule);
    }

    #[test]
    fn a_target_is_replaced_with_all_its_options() {
        let with = |text: &str, target: &str| read(text).with_target(target);
        assert_eq!(with("-A INPUT -j LOG --log-prefix \"a b\" --log-uid -i lo", "-j DROP"), "-A INPUT -j DROP -i lo");
        assert_eq!(with("-A INPUT -j LOG -p tcp --log-prefix x", "-j DROP"), "-A INPUT -j DROP -p tcp");
        assert_eq!(with("-A INPUT -p tcp", "-j DROP"), "-A INPUT -p tcp -j DROP");
        assert_eq!(with("-A INPUT -j DROP", ""), "-A INPUT");
    }

    #[test]
    fn a_clause_of_another_rule_changes_nothing_that_matters() {
        let rule = read("-A INPUT -j DROP");
        let stranger = read("-A INPUT -p tcp -m tcp --dport 22 -m comment --comment \"very far away\"");
        for clause in &stranger.clauses[1..] {
            assert_eq!(rule.without(clause), rule.text);
            assert_eq!(rule.negating(clause), rule.text);
        }
    }
}
