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
use crate::text::group::{grouped, merged, once};

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
    let mut fixes: Vec<Vec<Mismatches>> =
        merged(checks.map(|one| vec![one]), |one, other| is_one_fix(&one[0], &other[0]), Vec::extend);
    // An effect that several mistakes have is listed with one that has a fix.
    fixes.sort_by_key(|all| all.iter().all(|one| one.patch().is_none()));
    let bad = answers.facts(Assessment::Bad);
    let others = bad.iter().find(|(_, fact)| fact.details.related == RelatedChecks::All).map(|(answer, _)| *answer);
    let bad: Vec<(&QuestionAnswer, &Fact)> =
        bad.into_iter().filter(|(_, fact)| fact.details.related != RelatedChecks::All).collect();
    let notes = answers.facts(Assessment::Note);
    let mut problems = Vec::new();
    let mut reported: Vec<&Fact> = Vec::new();
    let is_measured = |fact: &Fact| fixes.iter().flatten().any(|one| one.measures(fact));
    let related = |mismatches: &[Mismatches]| -> Vec<(&QuestionAnswer, &Fact)> {
        let is_of = |fact: &Fact| mismatches.iter().any(|one| one.is_of(fact, is_measured(fact)));
        bad.iter().filter(|(_, fact)| is_of(fact)).copied().collect()
    };
    for (related, mismatches) in fixes.iter().flat_map(|all| by_question(related(all), all.clone())) {
        let Some(answer) = related.iter().map(|(answer, _)| *answer).min_by_key(|one| one.question).or(others) else {
            continue;
        };
        let facts = related.into_iter().map(|(_, fact)| fact).filter(|fact| !reported.contains(fact)).collect();
        reported.extend(&facts);
        let mut notes = notes.iter().filter(|(_, note)| mismatches.iter().any(|one| one.is_of(note, false)));
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

/// Facts, each with the answer that it belongs to.
type Related<'a> = Vec<(&'a QuestionAnswer, &'a Fact)>;

/// One part for each question, each with the mismatches that measure its facts; the last part has the rest. What a
/// policy drops can be due to several missing rules, so only a common fix makes them one problem.
fn by_question<'a>(related: Related<'a>, all: Vec<Mismatches<'a>>) -> Vec<(Related<'a>, Vec<Mismatches<'a>>)> {
    let has_one_fix = all.iter().any(|one| one.patch().is_some() || one.without_ruleset().is_some());
    if has_one_fix {
        return vec![(related, all)];
    }
    let by_answer = grouped(related.into_iter().map(|(answer, fact)| (answer, (answer, fact))));
    let mut parts: Vec<Related> = by_answer.into_iter().map(|(_, facts)| facts).collect();
    let last = parts.pop().unwrap_or_default();
    let mut rest = all;
    let mut split = |facts: Related<'a>| {
        let is_own = |check: &Check| facts.iter().any(|(_, fact)| measures(check, fact));
        let own = rest.iter().filter_map(|one| one.only(is_own)).collect();
        rest = rest.iter().filter_map(|one| one.only(|check| !is_own(check))).collect();
        (facts, own)
    };
    let mut parts: Vec<_> = parts.into_iter().map(&mut split).collect();
    parts.push((last, rest));
    parts
}

/// True if both have the same fix, also on other lines of the other family's file, both are of a family without a
/// ruleset, or both have no rule that was intended.
fn is_one_fix(one: &Mismatches, other: &Mismatches) -> bool {
    let diffs = [one, other].map(|one| one.patch().map(|patch| &patch.diff));
    let families = [one, other].map(|one| one.without_ruleset());
    let has_same_fix = diffs[0].is_some() && diffs[0] == diffs[1];
    let has_no_ruleset = families[0].is_some() && families[0] == families[1];
    has_same_fix || has_no_ruleset || one.has_twin(other) || one.lacks_a_rule() && other.lacks_a_rule()
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

    /// The tested fixes of its mismatches: one for each family's file that has the mistake on other lines.
    pub fn patches(&self) -> Vec<&'a Patch> {
        let patches = self.mismatches.iter().filter_map(Mismatches::patch);
        merged(patches, |one, other| one.diff == other.diff, |_, _| ())
    }

    /// A fix that was not tested.
    pub fn suggested(&self) -> Option<String> {
        let family = self.mismatches.iter().find_map(Mismatches::without_ruleset);
        let ruleset = family.map(|family| {
            let end = family.pick("v4", "v6");
            format!("load an {} ruleset as well: `scanlab generate` writes rules.{end} from the sensor", family.title())
        });
        let of_facts = self.facts.iter().find_map(|fact| fact.details.fix.as_deref()).or(self.advice);
        let is_unlogged =
            self.answer.question == PredeployQuestion::LogLines && self.mismatches.iter().any(Mismatches::lacks_a_rule);
        let generated =
            is_unlogged.then(|| "`scanlab generate` writes rules that log them, from the sensor".to_owned());
        ruleset.or_else(|| of_facts.map(str::to_owned)).or(generated)
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

    fn has_twin(&self, other: &Mismatches) -> bool {
        matches!((&self.explanation, &other.explanation), (Some((own, None)), Some((other, None))) if own.has_twin(other))
    }

    /// True if no rule was intended for their packets, and no fix was found.
    fn lacks_a_rule(&self) -> bool {
        let Some((block, _)) = &self.explanation else { return false };
        block.cause() == Cause::NoRule && block.patch().is_none()
    }

    /// The explanation of each family.
    fn blocks(&self) -> impl Iterator<Item = &Block<'a>> {
        self.explanation.iter().flat_map(|(block, likewise)| [Some(block), likewise.as_ref()]).flatten()
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

    /// Those of the checks that `keep` selects; `None` if there are none.
    fn only(&self, keep: impl Fn(&Check) -> bool) -> Option<Mismatches<'a>> {
        let checks: Vec<&Check> = self.checks.iter().filter(|check| keep(check)).copied().collect();
        let mut blocks = self.blocks().filter_map(|block| block.only(&keep));
        let explanation = blocks.next().map(|block| (block, blocks.next()));
        (!checks.is_empty()).then_some(Mismatches { checks, explanation })
    }

    /// True if the fact is an effect of the same mistake. A fact that checks measure is an effect of what they failed
    /// for, even if its rule is the wrong one of other checks.
    fn is_of(&self, fact: &Fact, is_measured: bool) -> bool {
        self.measures(fact) || !is_measured && self.blames(fact)
    }

    /// True if its checks measure the fact, and blame no other rule.
    fn measures(&self, fact: &Fact) -> bool {
        match self.without_ruleset() {
            Some(family) => fact.details.families.0 == [family],
            None => self.checks.iter().any(|check| measures(check, fact)) && self.has_no_other_rule(fact),
        }
    }

    /// True unless other rules are responsible for the fact than for the mismatches.
    fn has_no_other_rule(&self, fact: &Fact) -> bool {
        let own: Vec<String> = self.blocks().flat_map(|block| [block.matched(), block.intended()].concat()).collect();
        let rules = &fact.details.rules;
        rules.is_empty() || own.is_empty() || rules.iter().any(|rule| own.contains(rule))
    }

    /// True if a rule of the fact is the wrong one: the intended rule, which differs from the intent, or one that
    /// accepts too much.
    fn blames(&self, fact: &Fact) -> bool {
        const TOO_MUCH: [Cause; 3] = [Cause::TooBroad, Cause::Policy, Cause::NoRule];
        let Some((block, likewise)) = &self.explanation else { return false };
        if self.without_ruleset().is_some() {
            return false;
        }
        let matched = if TOO_MUCH.contains(&block.cause()) { block.matched() } else { Vec::new() };
        let others = likewise.iter().flat_map(Block::intended);
        let wrong: Vec<String> = matched.into_iter().chain(block.intended()).chain(others).collect();
        fact.details.rules.iter().any(|rule| wrong.contains(rule))
    }
}

/// True if the mismatch of `check` is about the same measurement.
fn measures(check: &Check, fact: &Fact) -> bool {
    let families = &fact.details.families;
    let is_of_family = families.0.is_empty() || check.family.is_none_or(|family| families.contains(family));
    is_of_family && measures_the_same(check, &fact.details.related)
}

fn measures_the_same(check: &Check, related: &RelatedChecks) -> bool {
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
