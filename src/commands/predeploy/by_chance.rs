//! Answers about rules that match by chance (`-m statistic`). Everything is measured in rulesets in which chance is decided
//! ([`chance::states`]), so that no answer depends on luck: what differs between them is decided by chance, and the shares
//! of the rules say how often.

use super::counted::{self, Counted};
use super::{Answers, Assessment, Before, Fact, Families, Measured, PredeployFindings, PredeployQuestion};
use super::{PredeploySubject, QuestionAnswer, RelatedChecks};
use crate::commands::chance::{self, ChanceRule};
use crate::lab::Survival;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::path::{Step, StepVerdict};
use crate::text::group::once;

/// The name of a state, its answers, and the measurements.
type InState<'a> = (&'a str, Answers, Measured);

/// The findings from those in all states; the first one is that in which no such rule matches.
pub fn combined(subject: &PredeploySubject, found: Vec<InState>) -> PredeployFindings {
    let rules = chance::rules(subject.rulesets);
    let answers = found[0].1.0.iter().map(|answer| of_question(subject, &rules, answer.question, &found)).collect();
    let callers = found.into_iter().next().map(|(.., measured)| measured.callers).unwrap_or_default();
    PredeployFindings { answers: Answers(answers), callers }
}

fn of_question(
    subject: &PredeploySubject,
    rules: &[ChanceRule],
    question: PredeployQuestion,
    found: &[InState],
) -> QuestionAnswer {
    let answers: Vec<(&str, &QuestionAnswer, &Measured)> = found
        .iter()
        .filter_map(|(name, answers, measured)| {
            let answer = answers.0.iter().find(|answer| answer.question == question)?;
            Some((*name, answer, measured))
        })
        .collect();
    let (first, rest) = answers.split_first().expect("every state has every answer");
    let is_common = |fact: &&Fact| rest.iter().all(|(_, answer, _)| answer.facts.contains(fact));
    let common: Vec<Fact> = first.1.facts.iter().filter(is_common).cloned().collect();
    let differing: Vec<Differing> = answers
        .iter()
        .map(|(name, answer, measured)| Differing {
            name,
            facts: answer.facts.iter().filter(|fact| !common.contains(fact)).collect(),
            resets: measured.resets_sessions(),
        })
        .collect();
    let by_chance = match question {
        PredeployQuestion::LockedOut => lockout(subject, rules, &differing),
        // A port that is sometimes open is open.
        PredeployQuestion::Unasked => differing.iter().flat_map(|state| state.problems(|tone| tone)).collect(),
        _ => differing.iter().flat_map(|state| state.problems(|_| Assessment::Unknown)).collect(),
    };
    let facts = match by_chance.as_slice() {
        [] => first.1.facts.clone(),
        _ => common.into_iter().chain(by_chance).collect(),
    };
    let worded = answers.iter().map(|(_, answer, _)| *answer);
    let bad = worded.clone().find(|answer| answer.tone == Assessment::Bad).map_or("Yes.", |answer| answer.answer);
    let good = worded.clone().find(|answer| answer.tone >= Assessment::Note).map_or("No.", |answer| answer.answer);
    QuestionAnswer::new(question, facts, [bad, good])
}

/// The facts of one state that are not those of every state.
struct Differing<'a> {
    name: &'a str,
    facts: Vec<&'a Fact>,
    /// True if a rule resets open sessions.
    resets: bool,
}

impl Differing<'_> {
    /// Its reasons not to deploy, and what is not known, with `tone` in place of their assessment.
    fn problems(&self, tone: fn(Assessment) -> Assessment) -> Vec<Fact> {
        let problems = self.facts.iter().filter(|fact| fact.tone <= Assessment::Unknown);
        problems.map(|fact| Fact { tone: tone(fact.tone), ..fact.when(self.name) }).collect()
    }

    fn problems_over(&self, family: Family) -> impl Iterator<Item = &Fact> {
        let is_over =
            move |fact: &&&Fact| fact.details.families.contains(family) || fact.details.families == Families::default();
        self.facts.iter().filter(|fact| fact.tone <= Assessment::Unknown).filter(is_over).copied()
    }
}

/// The facts about SSH connections that are not the same in all states.
fn lockout(subject: &PredeploySubject, rules: &[ChanceRule], states: &[Differing]) -> Vec<Fact> {
    let with_rules = Family::BOTH.into_iter().filter(|family| rules.iter().any(|rule| rule.family == *family));
    let mut facts: Vec<Fact> = Vec::new();
    for family in with_rules {
        let is_bad = |state: &Differing| state.problems_over(family).any(|fact| fact.tone == Assessment::Bad);
        if states.iter().all(is_bad) {
            let bad = states.iter().flat_map(|state| state.problems_over(family).map(|fact| fact.when(state.name)));
            facts.extend(bad.filter(|fact| !facts.contains(fact)).collect::<Vec<_>>());
        } else {
            facts.extend(over_one_family(rules, states, family).or_else(|| untried(subject, family)));
        }
    }
    facts
}

fn over_one_family(rules: &[ChanceRule], states: &[Differing], family: Family) -> Option<Fact> {
    let own: Vec<&ChanceRule> = rules.iter().filter(|rule| rule.family == family).collect();
    let failing: Vec<&Differing> = states.iter().filter(|state| state.problems_over(family).next().is_some()).collect();
    let problem = failing.first()?.problems_over(family).next()?;
    let of_all = |rule: &&ChanceRule| {
        let mut places =
            failing.iter().flat_map(|state| state.problems_over(family)).flat_map(|fact| &fact.details.rules);
        places.any(|place| place.starts_with(&format!("{}: ", rule.at)))
    };
    let blamed: Vec<&ChanceRule> = own.iter().copied().filter(of_all).collect();
    let deciding = if blamed.is_empty() { own } else { blamed };
    let fails_without = states.first().is_some_and(|none| none.problems_over(family).next().is_some());
    let is_mild = !fails_without && chance::is_mild(&deciding);
    let resets = failing.iter().any(|state| state.resets);
    let (tone, effect) = match (resets, is_mild) {
        (true, _) => (Assessment::Bad, "and an open session is reset by the first packet that it matches"),
        (false, true) => (Assessment::Note, "and what is lost is sent again, slowly"),
        (false, false) => (Assessment::Unknown, "and chance decides if a connection works"),
    };
    let text = format!(
        "SSH over {} depends on chance: {}; {} ({}), {effect}",
        family.title(),
        chance::shares(&deciding),
        problem.details.effect,
        failing[0].name,
    );
    let places = deciding.iter().map(|rule| rule.place.clone()).collect();
    Some(Fact::new(tone, text).by(places).about(&family.into(), problem.details.related.clone()))
}

/// An unknown fact if SSH packets meet more rules by chance than are tried in all combinations.
fn untried(subject: &PredeploySubject, family: Family) -> Option<Fact> {
    let of = |port: &Port| {
        [Counted::Openings, Counted::Session].map(|packets| {
            counted::met(subject, family, *port, packets, |listing, at| {
                at.rule.is_by_chance().then(|| listing.quoted(at.rule))
            })
        })
    };
    let rules = once(subject.sensor.ssh.iter().flat_map(of).flatten().collect::<Vec<String>>());
    let text = format!(
        "not all combinations of the rules that match packets of SSH by chance were tried over {}",
        family.title()
    );
    (rules.len() > chance::COMBINED)
        .then(|| Fact::new(Assessment::Unknown, text).by(rules).about(&family.into(), RelatedChecks::None))
}

impl Measured {
    /// True if a rule answers packets of an open session with a RST.
    fn resets_sessions(&self) -> bool {
        let tracked = self.sessions.iter().filter(|(before, _)| *before != Before::NoRules);
        let mut dead = tracked.flat_map(|(_, found)| &found.sessions).filter(|one| one.survival == Survival::Dead);
        let resets = |step: &Step| step.verdict == StepVerdict::Reject && step.text.contains("tcp-reset");
        dead.any(|session| session.took.iter().any(resets))
    }
}
