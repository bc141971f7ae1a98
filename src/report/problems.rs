//! The reasons not to deploy: facts and mismatches with the same cause are one problem.
//!
//! A mismatch has an explanation, often with a fix, and a fact has an effect. Explanations with the same fix belong
//! together, and so do a fact and a mismatch that measured the same, or that name the same wrong rule.

use super::Report;
use super::explained::{Block, explanations};
use crate::commands::predeploy::{Assessment, Fact, PredeployQuestion, QuestionAnswer, RelatedChecks};
use crate::intent::check::{Check, Outcome};
use crate::intent::explanation::{Cause, Patch};
use crate::intent::scenario::CheckSubject;
use crate::net::Family;
use crate::probe::scan::Technique;
use crate::text::group::{merged, once};

/// One reason not to deploy.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem<'a> {
    /// The most harmful question that it answers.
    pub answer: &'a QuestionAnswer,
    /// Its effects, in the order of the questions.
    pub facts: Vec<&'a Fact>,
    /// A fix that a note suggests.
    pub advice: Option<&'a str>,
    /// Its mismatches.
    pub mismatches: Vec<Mismatches<'a>>,
}

/// Mismatched checks with one explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatches<'a> {
    /// The checks.
    pub checks: Vec<&'a Check>,
    /// The explanation, and the equal one of the other family; `None` if there is none.
    pub explanation: Option<(Block<'a>, Option<Block<'a>>)>,
}

/// All reasons, most harmful first; empty if there is none.
pub fn problems(report: &Report) -> Vec<Problem<'_>> {
    let Some(answers) = &report.answers else { return Vec::new() };
    let checks = report.scenarios.iter().flatten().flat_map(|scenario| {
        let explained = explanations(&scenario.checks).into_iter().map(Mismatches::explained);
        explained.chain(unexplained(&scenario.checks))
    });
    let fixes = merged(checks.map(|one| vec![one]), |one, other| is_one_fix(&one[0], &other[0]), Vec::extend);
    let bad = answers.facts(Assessment::Bad);
    let others = bad.iter().find(|(_, fact)| fact.details.related == RelatedChecks::All).map(|(answer, _)| *answer);
    let bad: Vec<(&QuestionAnswer, &Fact)> =
        bad.into_iter().filter(|(_, fact)| fact.details.related != RelatedChecks::All).collect();
    let notes = answers.facts(Assessment::Note);
    let mut problems = Vec::new();
    let mut reported: Vec<&Fact> = Vec::new();
    for mismatches in fixes {
        let related: Vec<_> = bad.iter().filter(|(_, fact)| mismatches.iter().any(|one| one.is_of(fact))).collect();
        let Some(answer) = related.iter().map(|(answer, _)| *answer).min_by_key(|one| one.question).or(others) else {
            continue;
        };
        let facts = related.into_iter().map(|(_, fact)| *fact).filter(|fact| !reported.contains(fact)).collect();
        reported.extend(&facts);
        let mut notes = notes.iter().filter(|(_, note)| mismatches.iter().any(|one| one.is_of(note)));
        let advice = notes.find_map(|(_, note)| note.details.fix.as_deref());
        problems.push(Problem { answer, facts, advice, mismatches });
    }
    let rest = bad.iter().filter(|(_, fact)| !reported.contains(fact));
    let rest = rest.map(|(answer, fact)| Problem { answer, facts: vec![*fact], advice: None, mismatches: Vec::new() });
    problems.extend(merged(rest, Problem::has_same_cause, |problem, other| problem.facts.extend(other.facts)));
    problems.sort_by_key(|problem| problem.answer.question);
    problems
}

/// The mismatched checks without an explanation, by subject and family.
fn unexplained(checks: &[Check]) -> Vec<Mismatches<'_>> {
    let mismatched = checks.iter().filter(|check| check.outcome == Outcome::Mismatched && check.explanation.is_none());
    let each = mismatched.map(|check| Mismatches { checks: vec![check], explanation: None });
    let is_like = |one: &Mismatches, other: &Mismatches| {
        let key = |one: &Mismatches| (one.checks[0].subject.name(), one.checks[0].family);
        key(one) == key(other)
    };
    merged(each, is_like, |one, other| one.checks.extend(other.checks))
}

/// True if both have the same fix, or both are of a family without a ruleset.
fn is_one_fix(one: &Mismatches, other: &Mismatches) -> bool {
    let diffs = [one, other].map(|one| one.patch().map(|patch| &patch.diff));
    let families = [one, other].map(|one| one.without_ruleset());
    diffs[0].is_some() && diffs[0] == diffs[1] || families[0].is_some() && families[0] == families[1]
}

impl<'a> Problem<'a> {
    /// The responsible rules, as `FILE:LINE: TEXT`; intended rules are not among them.
    pub fn rules(&self) -> Vec<String> {
        let of_facts = self.facts.iter().flat_map(|fact| fact.details.rules.iter().cloned());
        let matched = self.mismatches.iter().flat_map(Mismatches::matched);
        let intended = self.intended();
        once(of_facts.chain(matched).filter(|rule| !intended.contains(rule)))
    }

    /// The intended rules, as `FILE:LINE: TEXT`.
    pub fn intended(&self) -> Vec<String> {
        once(self.mismatches.iter().flat_map(Mismatches::intended))
    }

    /// The tested fix of its mismatches.
    pub fn patch(&self) -> Option<&'a Patch> {
        self.mismatches.iter().find_map(Mismatches::patch)
    }

    /// A fix that was not tested.
    pub fn suggested(&self) -> Option<String> {
        let family = self.mismatches.iter().find_map(Mismatches::without_ruleset);
        let ruleset = family.map(|family| {
            let end = family.pick("v4", "v6");
            format!("load an {} ruleset as well: `scanlab generate` writes rules.{end} from the sensor", family.title())
        });
        let of_facts = self.facts.iter().find_map(|fact| fact.details.fix.as_deref()).or(self.advice);
        ruleset.or_else(|| of_facts.map(str::to_owned))
    }

    fn has_same_cause(&self, other: &Problem) -> bool {
        let rules = |problem: &Problem| problem.facts.iter().flat_map(|fact| &fact.details.rules).cloned().collect();
        let (own, others): (Vec<String>, Vec<String>) = (rules(self), rules(other));
        let are_of_sensor =
            [self, other].iter().all(|problem| problem.facts.iter().all(|fact| fact.details.is_of_sensor));
        let is_shared = are_of_sensor || own.iter().any(|rule| others.contains(rule));
        self.answer.question == other.answer.question && is_shared
    }
}

impl<'a> Mismatches<'a> {
    fn explained((block, likewise): (Block<'a>, Option<Block<'a>>)) -> Mismatches<'a> {
        let checks = [Some(&block), likewise.as_ref()].into_iter().flatten().flat_map(Block::checks).collect();
        Mismatches { checks, explanation: Some((block, likewise)) }
    }

    /// The sentence that explains them; `None` if there is none.
    pub fn words(&self) -> Option<String> {
        self.explanation.as_ref().map(|(block, _)| block.words())
    }

    /// The file of the other family that has the same mistake on the same line.
    pub fn other_file(&self) -> Option<String> {
        self.explanation.as_ref()?.1.as_ref()?.file()
    }

    /// The family without a ruleset, if that is the cause.
    pub fn without_ruleset(&self) -> Option<Family> {
        let (block, _) = self.explanation.as_ref()?;
        self.checks[0].family.filter(|_| block.cause() == Cause::NoRuleset)
    }

    fn patch(&self) -> Option<&'a Patch> {
        self.explanation.as_ref()?.0.patch()
    }

    fn matched(&self) -> Vec<String> {
        self.explanation.as_ref().map(|(block, _)| block.matched()).unwrap_or_default()
    }

    fn intended(&self) -> Vec<String> {
        self.explanation.as_ref().map(|(block, _)| block.intended()).unwrap_or_default()
    }

    /// True if the fact is an effect of the same mistake.
    fn is_of(&self, fact: &Fact) -> bool {
        if let Some(family) = self.without_ruleset() {
            return fact.details.families.0 == [family];
        }
        let families = &fact.details.families;
        let is_of_family =
            |check: &&&Check| families.0.is_empty() || check.family.is_none_or(|family| families.contains(family));
        let mut checks = self.checks.iter().filter(is_of_family);
        let is_measured = checks.any(|check| measures(check, &fact.details.related));
        is_measured && self.has_no_other_rule(fact) || self.blames(fact)
    }

    /// True unless other rules are responsible for the fact than for the mismatches.
    fn has_no_other_rule(&self, fact: &Fact) -> bool {
        let blocks = self.explanation.iter().flat_map(|(block, likewise)| [Some(block), likewise.as_ref()]).flatten();
        let own: Vec<String> = blocks.flat_map(|block| [block.matched(), block.intended()].concat()).collect();
        let rules = &fact.details.rules;
        rules.is_empty() || own.is_empty() || rules.iter().any(|rule| own.contains(rule))
    }

    /// True if a rule of the fact is the wrong one: the intended rule, which differs from the intent, or one that
    /// accepts too much.
    fn blames(&self, fact: &Fact) -> bool {
        const TOO_MUCH: [Cause; 3] = [Cause::TooBroad, Cause::Policy, Cause::NoRule];
        let Some((block, likewise)) = &self.explanation else { return false };
        let matched = if TOO_MUCH.contains(&block.cause()) { block.matched() } else { Vec::new() };
        let others = likewise.iter().flat_map(Block::intended);
        let wrong: Vec<String> = matched.into_iter().chain(block.intended()).chain(others).collect();
        fact.details.rules.iter().any(|rule| wrong.contains(rule))
    }
}

/// True if the mismatch of `check` is about the same measurement.
fn measures(check: &Check, related: &RelatedChecks) -> bool {
    match related {
        RelatedChecks::None | RelatedChecks::All => false,
        RelatedChecks::Connections(ports) => {
            let connects = matches!(check.subject.technique(), Some(Technique::Syn | Technique::Connect));
            let is_to_port = check.destination().is_some_and(|port| ports.contains(port));
            is_to_port && (connects || check.subject.packet().is_some()) && has_another_fate(check)
        }
        RelatedChecks::Logs(technique) => check.subject.technique() == Some(*technique) && has_another_log(check),
        RelatedChecks::Mac => check.subject == CheckSubject::Vendor,
        RelatedChecks::Neighbours => matches!(check.subject, CheckSubject::Ndp),
    }
}

/// True if the probe had another end than expected, whatever was logged.
fn has_another_fate(check: &Check) -> bool {
    let Some(observed) = &check.observed else { return false };
    let fate = |facts: &crate::intent::check::CheckFacts| (facts.state, facts.verdict, facts.accepted);
    fate(&check.expected) != fate(observed)
}

fn has_another_log(check: &Check) -> bool {
    let Some(observed) = &check.observed else { return false };
    (&check.expected.log, check.expected.lines) != (&observed.log, observed.lines)
}

/// True if `question` has a problem of its own.
pub fn heads(problems: &[Problem], question: PredeployQuestion) -> bool {
    problems.iter().any(|problem| problem.answer.question == question)
}
