//! Explanations for people: the rule that matched the packet, the intended rule, the clause that did not match, and the
//! fix.
//!
//! Equal explanations are printed once: for all ports, for all techniques with the same result, and for both families
//! if their files have the same text on the same lines.

use std::fmt::Write;

use super::check_location::whereabouts;
use super::layout::Layout;
use super::message_template::MessageTemplate;
use crate::intent::check::{Check, Outcome};
use crate::intent::explanation::{Cause, Explanation, Patch, RuleRef};
use crate::text::escape::visible;
use crate::text::group::{merged, once};

/// One block for each distinct explanation of a mismatch; prose is wrapped at `width` columns. Known mismatches have a
/// reason of their own and are left out.
pub fn blocks(checks: &[Check], width: u16) -> String {
    let mut text = String::new();
    let mut shown: Vec<&str> = Vec::new();
    for cause in causes(checks) {
        let _ = writeln!(text, "  why  {} ({})", visible(&whereabouts(&cause.block.checks())), cause.families());
        text.push_str(&cause.story(Layout::below_table(width), &shown));
        shown.extend(cause.diffs());
    }
    text
}

/// A cause of mismatches: the checks that share it, and the block of the other family that has the same text but for the
/// file name.
pub struct ExplainedCause<'a> {
    block: Block<'a>,
    likewise: Option<Block<'a>>,
}

/// The causes of the mismatches that are explained, in the order of the checks.
pub fn causes(checks: &[Check]) -> impl Iterator<Item = ExplainedCause<'_>> {
    explanations(checks).into_iter().map(|(block, likewise)| ExplainedCause { block, likewise })
}

/// The distinct explanations of mismatches, each with that of the other family if they differ in the file name only.
pub(super) fn explanations(checks: &[Check]) -> Vec<(Block<'_>, Option<Block<'_>>)> {
    let mut blocks = shared(checks);
    let mut pairs = Vec::new();
    while !blocks.is_empty() {
        let block = blocks.remove(0);
        let likewise = blocks.iter().position(|other| other.same_result(&block));
        pairs.push((block, likewise.map(|index| blocks.remove(index))));
    }
    pairs
}

impl<'a> ExplainedCause<'a> {
    /// The checks that share it.
    pub fn checks(&self) -> Vec<&'a Check> {
        self.blocks().flat_map(Block::checks).collect()
    }

    /// The cause in words, the rules, and the fix; a diff that was `shown` is not repeated.
    pub fn story(&self, layout: Layout, shown: &[&str]) -> String {
        let mut text = self.block.body(layout, shown);
        // Without a rule there is no file to name, and the families are in the heading.
        if let Some(file) = self.likewise.as_ref().and_then(Block::file) {
            text += &layout.prose(layout.also, &format!("{} has the same problem on the same line", visible(&file)));
        }
        text
    }

    /// The diffs that its story shows.
    pub fn diffs(&self) -> impl Iterator<Item = &'a str> {
        self.blocks().filter_map(Block::diff)
    }

    fn families(&self) -> String {
        self.blocks().filter_map(Block::family).collect::<Vec<_>>().join(", ")
    }

    fn blocks(&self) -> impl Iterator<Item = &Block<'a>> {
        [Some(&self.block), self.likewise.as_ref()].into_iter().flatten()
    }
}

/// Checks whose explanations differ only in the parts that [`MessageTemplate`] replaces.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block<'a> {
    explained: Vec<(&'a Check, &'a Explanation)>,
}

/// Groups the checks that can share a block, in the order of the checks.
fn shared(checks: &[Check]) -> Vec<Block<'_>> {
    let mismatched = checks.iter().filter(|check| check.outcome == Outcome::Mismatched);
    let blocks = mismatched.filter_map(|check| Some(Block { explained: vec![(check, check.explanation.as_ref()?)] }));
    merged(blocks, Block::is_like, |block, other| block.explained.extend(other.explained))
}

impl<'a> Block<'a> {
    fn is_like(&self, other: &Block) -> bool {
        let words = |check, explained: &Explanation| MessageTemplate::new(check, explained).template(&explained.words);
        let ((check, explained), (others, other)) = (self.explained[0], other.explained[0]);
        (check.family, explained.cause, &explained.patch) == (others.family, other.cause, &other.patch)
            && words(check, explained) == words(others, other)
    }

    /// True if the other block is of the other family, and equal apart from the file name.
    fn same_result(&self, other: &Block) -> bool {
        let anonymous = |block: &Block| {
            let body = block.body(Layout::below_table(u16::MAX), &[]);
            let body = block.file().map_or(body.clone(), |name| body.replace(&name, "the file"));
            (whereabouts(&block.checks()), body)
        };
        self.family() != other.family() && anonymous(self) == anonymous(other)
    }

    /// True if the other block is of the other family, and has the same mistake with the same fix, on other lines.
    pub(super) fn has_twin(&self, other: &Block) -> bool {
        let anonymous = |block: &Block| {
            let fix = block.patch().map(|patch| patch.words.as_str()).unwrap_or_default();
            let texts = [whereabouts(&block.checks()), block.words(), fix.to_owned()];
            texts.map(|text| without_lines(&block.file().map_or(text.clone(), |name| text.replace(&name, ""))))
        };
        self.family() != other.family() && anonymous(self) == anonymous(other)
    }

    /// Its checks.
    pub(super) fn checks(&self) -> Vec<&'a Check> {
        self.explained.iter().map(|(check, _)| *check).collect()
    }

    /// The same block with those checks only that `keep` selects; `None` if there are none.
    pub(super) fn only(&self, keep: impl Fn(&Check) -> bool) -> Option<Block<'a>> {
        let explained: Vec<_> = self.explained.iter().filter(|(check, _)| keep(check)).copied().collect();
        (!explained.is_empty()).then_some(Block { explained })
    }

    /// The kind of mistake.
    pub(super) fn cause(&self) -> Cause {
        self.explained[0].1.cause
    }

    /// The rules that matched the packets, as `FILE:LINE: TEXT`.
    pub(super) fn matched(&self) -> Vec<String> {
        self.places(|explained| explained.took.as_ref()).into_iter().map(quoted).collect()
    }

    /// The intended rules, as `FILE:LINE: TEXT`.
    pub(super) fn intended(&self) -> Vec<String> {
        self.places(|explained| explained.meant.as_ref()).into_iter().map(quoted).collect()
    }

    /// The tested fix.
    pub(super) fn patch(&self) -> Option<&'a Patch> {
        self.explained[0].1.patch.as_ref()
    }

    fn family(&self) -> Option<String> {
        self.explained[0].0.family.map(|family| family.to_string())
    }

    /// The file of its rules; `None` if no rule is known.
    pub(super) fn file(&self) -> Option<String> {
        let (_, explained) = self.explained[0];
        let place = explained.took.as_ref().or(explained.meant.as_ref())?;
        Some(place.file.display().to_string()).filter(|name| !name.is_empty())
    }

    fn diff(&self) -> Option<&'a str> {
        self.explained[0].1.patch.as_ref().map(|patch| patch.diff.as_str())
    }

    fn body(&self, layout: Layout, shown: &[&str]) -> String {
        let (_, explained) = self.explained[0];
        let mut text = layout.prose(layout.cause, &visible(&self.words()));
        let (took, meant) =
            (self.places(|explained| explained.took.as_ref()), self.places(|explained| explained.meant.as_ref()));
        let place = |label, place: &RuleRef| layout.rule(label, &visible(&quoted(place)));
        text.extend(took.iter().filter(|took| !meant.contains(took)).map(|took| place("matched", took)));
        text.extend(meant.iter().map(|meant| place("intended", meant)));
        text.extend(explained.patch.iter().map(|patch| fix(patch, layout, shown)));
        text
    }

    /// The sentence of the first check, with the variable parts of all checks in its placeholders.
    pub(super) fn words(&self) -> String {
        let all: Vec<MessageTemplate> =
            self.explained.iter().map(|(check, explained)| MessageTemplate::new(check, explained)).collect();
        all[0].filled(&self.explained[0].1.words, &all)
    }

    /// The distinct rules that `of` returns, in order.
    fn places(&self, of: fn(&Explanation) -> Option<&RuleRef>) -> Vec<&'a RuleRef> {
        once(self.explained.iter().filter_map(|(_, explained)| of(explained)))
    }
}

/// The text without the numbers of lines: `:16`, `line 16`, `lines 16 and 17`.
fn without_lines(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut is_line = false;
    for word in text.split(' ') {
        let number = word.trim_matches(|c: char| !c.is_ascii_digit());
        let is_number = !number.is_empty() && (is_line || word.starts_with(':') || word.starts_with("(:"));
        words.push(if is_number { word.replace(number, "") } else { word.to_owned() });
        is_line = matches!(word, "line" | "lines") || is_line && (is_number || word == "and");
    }
    words.join(" ")
}

fn fix(patch: &Patch, layout: Layout, shown: &[&str]) -> String {
    if shown.contains(&patch.diff.as_str()) {
        return layout.prose("fix", &visible(&format!("as above: {}", patch.words)));
    }
    let words = layout.prose("fix", &visible(&format!("{} ({})", patch.words, patch.tried())));
    words + &patch.diff.lines().map(|line| layout.diff_line(&visible(line))).collect::<String>()
}

/// `rules.v4:12: -A INPUT ...`
fn quoted(place: &RuleRef) -> String {
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: {}", place.file.display(), place.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_lines_are_left_out_and_others_stay() {
        for (text, without) in [
            (":16 rejects the SYN probe of port 80", ": rejects the SYN probe of port 80"),
            ("the policy of INPUT (:2) drops it", "the policy of INPUT (:) drops it"),
            ("move lines 12 and 13 before line 6", "move lines  and  before line "),
            ("write `--dport 22` in line 9", "write `--dport 22` in line "),
        ] {
            assert_eq!(without_lines(text), without);
        }
    }
}
