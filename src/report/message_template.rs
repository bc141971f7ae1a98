//! The parts of an explanation that are specific to one check: the rule that matched, the name of the probe, the
//! expected prefix, and the intended rule. Explanations that differ only in these parts are merged into one sentence:
//! "the NULL, FIN or Xmas probe".

use crate::intent::check::Check;
use crate::intent::explanation::Explanation;
use crate::text::group::once;

/// The variable parts of a check's explanation; empty where the sentence does not contain one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageTemplate([String; 4]);

impl MessageTemplate {
    /// The variable parts of this check's explanation.
    pub fn new(check: &Check, explanation: &Explanation) -> MessageTemplate {
        let is_spoken_of = |prefix: &&String| explanation.words.contains(&format!("{prefix:?}"));
        let prefix = check.expected.log.iter().flatten().find(is_spoken_of);
        let meant = explanation.meant.as_ref().and_then(|place| Some((place.file.display(), place.line?)));
        MessageTemplate([
            deciding_rule(explanation).unwrap_or_default(),
            probe_name(&explanation.words).unwrap_or_default(),
            prefix.map(|prefix| format!("{prefix:?}")).unwrap_or_default(),
            meant.map(|(file, line)| format!("{file}:{line}")).unwrap_or_default(),
        ])
    }

    /// The sentence with its variable parts replaced by placeholders.
    pub fn template(&self, words: &str) -> String {
        let marked = |words: String, (own, mark): (&String, &str)| replace_whole(&words, own, mark);
        self.0.iter().zip(MARKS).fold(words.to_owned(), marked)
    }

    /// The sentence with the variable parts of all checks, of which this is the first, in its placeholders.
    pub fn filled(&self, words: &str, all: &[MessageTemplate]) -> String {
        let fill = |words: String, (index, mark): (usize, &str)| {
            words.replace(mark, &or(&once(all.iter().map(|slots| slots.0[index].as_str()))))
        };
        MARKS.into_iter().enumerate().fold(self.template(words), fill)
    }
}

/// Placeholders: control characters that no ruleset or report can contain.
const MARKS: [&str; 4] = ["\u{1}", "\u{2}", "\u{3}", "\u{4}"];

/// `rules.v4:10 accepts`
fn deciding_rule(explanation: &Explanation) -> Option<String> {
    let took = explanation.took.as_ref()?;
    let (before, verb) = explanation.words.split_once(&format!("{}:{} ", took.file.display(), took.line?))?;
    let verb = verb.split(' ').next()?;
    let whole = before.is_empty() || before.ends_with(' ');
    whole.then(|| format!("{}:{} {verb}", took.file.display(), took.line.unwrap_or_default()))
}

/// `Xmas probe`
fn probe_name(words: &str) -> Option<String> {
    let (before, _) = words.split_once(" probe")?;
    let name = before.rsplit(' ').next()?;
    (name != "the" && name != "this").then(|| format!("{name} probe"))
}

/// Replaces whole words only: line 5 is no part of line 55.
fn replace_whole(words: &str, own: &str, mark: &str) -> String {
    if own.is_empty() {
        return words.to_owned();
    }
    let mut parts = words.split(own);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_whole = !part.starts_with(|next: char| next.is_ascii_digit());
        text.push_str(if is_whole { mark } else { own });
        text.push_str(part);
    }
    text
}

/// `a, b or c`; `NULL, FIN or Xmas probe`.
fn or(values: &[&str]) -> String {
    let probes: Option<Vec<&str>> = values.iter().map(|value| value.strip_suffix(" probe")).collect();
    match probes {
        Some(names) => format!("{} probe", list(&names)),
        None => list(values),
    }
}

fn list(values: &[&str]) -> String {
    match values {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(probe: &str, prefix: &str, meant: &str) -> MessageTemplate {
        MessageTemplate(["", probe, prefix, meant].map(str::to_owned))
    }

    #[test]
    fn one_sentence_tells_them_all() {
        let words = "r.v4:5 drops the NULL probe before r.v4:7 can see it: as every NULL probe is";
        let null = slots("NULL probe", "\"Null: \"", "r.v4:7");
        let xmas = slots("Xmas probe", "\"Xmas: \"", "r.v4:9");
        let filled_in =
            "r.v4:5 drops the NULL or Xmas probe before r.v4:7 or r.v4:9 can see it: as every NULL or Xmas probe is";
        assert_eq!(null.filled(words, &[null.clone(), xmas]), filled_in);
        assert_eq!(null.filled(words, &[null.clone(), null.clone()]), words);
    }

    #[test]
    fn a_line_is_no_part_of_another() {
        let meant = slots("", "", "r.v4:5");
        assert_eq!(
            meant.template("r.v4:55 drops it before r.v4:5 can see it"),
            "r.v4:55 drops it before \u{4} can see it"
        );
    }

    #[test]
    fn a_probe_without_a_name_has_no_place() {
        assert_eq!(probe_name("r.v4:5 drops the Xmas probe"), Some("Xmas probe".to_owned()));
        assert_eq!(probe_name("r.v4:5 drops the probe"), None);
        assert_eq!(probe_name("nothing"), None);
    }
}
