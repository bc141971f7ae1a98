//! The questions of the administrator, and their answers, each with its facts.

use schemars::JsonSchema;
use serde::Serialize;

use super::fact::Fact;
use crate::sensor::{EntryLines, SensorEntry};
use crate::text::group::merged;

/// All questions with their answers, worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Answers(pub Vec<QuestionAnswer>);

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Answer")]
pub struct QuestionAnswer {
    /// The question.
    pub question: PredeployQuestion,
    /// The question in words.
    pub asks: &'static str,
    /// The worst of its facts.
    pub tone: Assessment,
    /// The answer in a word or two.
    pub answer: &'static str,
    /// The line of the sensor's file that it is about; `None` if the file has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The facts that it is based on, worst first.
    pub facts: Vec<Fact>,
}

/// The questions; the one with the most harmful problems is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Question")]
pub enum PredeployQuestion {
    /// Will I be locked out?
    LockedOut,
    /// Which ports are open that are not in the sensor file?
    Unasked,
    /// Can it be identified as a Raspberry Pi?
    Disguise,
    /// Will scans be logged?
    LogLines,
    /// What does an attacker see?
    Attacker,
    /// Does anything else differ from the sensor file?
    Others,
}

/// The assessment of a fact for a deployment; worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Tone")]
pub enum Assessment {
    /// A reason not to deploy.
    Bad,
    /// Not measurable here: neither a reason against a deployment nor for it.
    Unknown,
    /// Something to know.
    Note,
    /// As it should be.
    Good,
}

/// The answer if a fact is unknown and none is a reason not to deploy.
pub(super) const NOT_KNOWN: &str = "Not known.";

impl QuestionAnswer {
    /// The worst of the facts selects one of `words`, for a reason not to deploy and for none, or [`NOT_KNOWN`].
    pub(super) fn new(question: PredeployQuestion, mut facts: Vec<Fact>, words: [&'static str; 2]) -> QuestionAnswer {
        facts.sort_by_key(|fact| fact.tone);
        let tone = facts.iter().map(|fact| fact.tone).min().unwrap_or(Assessment::Good);
        let [bad, good] = words;
        let answer = match tone {
            Assessment::Bad => bad,
            Assessment::Unknown => NOT_KNOWN,
            Assessment::Note | Assessment::Good => good,
        };
        QuestionAnswer { question, asks: question.text(), tone, answer, line: None, facts }
    }

    /// Adds those facts of `other` that are bad or unknown, and new.
    pub(super) fn add_of(&mut self, when: &str, other: &QuestionAnswer) {
        let is_news = |fact: &&Fact| fact.tone <= Assessment::Unknown && !self.facts.contains(fact);
        let news = other.facts.iter().filter(is_news);
        let news: Vec<Fact> = news.map(|fact| fact.when(when)).collect();
        if other.tone < self.tone && !news.is_empty() {
            (self.tone, self.answer) = (other.tone, other.answer);
        }
        self.facts.splice(0..0, news);
        self.facts.sort_by_key(|fact| fact.tone);
    }

    /// The answer with the line of the sensor's entry that it is about.
    pub(super) fn at_its_entry(self, lines: &EntryLines) -> QuestionAnswer {
        let line = self.question.entries().iter().find_map(|entry| lines.line(*entry));
        QuestionAnswer { line, ..self }
    }
}

impl PredeployQuestion {
    /// The question in words.
    pub const fn text(self) -> &'static str {
        match self {
            PredeployQuestion::LockedOut => "Will I be locked out?",
            PredeployQuestion::LogLines => "Will scans be logged?",
            PredeployQuestion::Attacker => "What does an attacker see?",
            PredeployQuestion::Disguise => "Can it be identified as a Raspberry Pi?",
            PredeployQuestion::Unasked => "Is anything open that should not be?",
            PredeployQuestion::Others => "Does anything else differ from the sensor file?",
        }
    }

    /// The sensor's entries that it is about, most relevant first.
    const fn entries(self) -> &'static [SensorEntry] {
        match self {
            PredeployQuestion::LockedOut => &[SensorEntry::Ssh, SensorEntry::Sensor],
            PredeployQuestion::LogLines => &[SensorEntry::Scans, SensorEntry::Sensor],
            PredeployQuestion::Disguise => {
                &[SensorEntry::Vendor, SensorEntry::Mac, SensorEntry::Host, SensorEntry::Sensor]
            }
            PredeployQuestion::Unasked => &[SensorEntry::Deny, SensorEntry::Sensor],
            PredeployQuestion::Attacker | PredeployQuestion::Others => &[SensorEntry::Sensor],
        }
    }
}

impl Answers {
    /// The facts with this assessment, each with its answer; a fact of two answers is listed once.
    pub fn facts(&self, tone: Assessment) -> Vec<(&QuestionAnswer, &Fact)> {
        let all = self.0.iter().flat_map(|answer| answer.facts.iter().map(move |fact| (answer, fact)));
        merged(all.filter(|(_, fact)| fact.tone == tone), |(_, one), (_, other)| one == other, |_, _| ())
    }

    /// Adds the bad and unknown facts of another flavour of iptables or another time, if they are new.
    pub fn add_of(&mut self, when: &str, other: &Answers) {
        let all = std::mem::take(&mut self.0).into_iter().chain(other.0.iter().cloned());
        self.0 = merged(all, |own, others| own.question == others.question, |own, others| own.add_of(when, &others));
        self.sort();
    }

    /// Sorts answers with a reason not to deploy to the front, and then those that are not known.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|answer| (answer.tone.min(Assessment::Note), answer.question));
    }
}
