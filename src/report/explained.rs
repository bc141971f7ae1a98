//! Explanations for people: the rule that matched the packet, the intended rule, the clause that did not match, and the
//! fix.
//!
//! Equal explanations are printed once: for all ports, for all techniques with the same result, and for both families
//! if their files have the same text on the same lines.

use std::fmt::Write;

use super::check_location::whereabouts;
use super::message_template::MessageTemplate;
use crate::intent::check::{Check, Outcome};
use crate::intent::explanation::{Cause, Explanation, Patch, RuleRef};
use crate::text::escape::visible;
use crate::text::group::{merged, once};
use crate::text::wrap::hanging;

/// One block for each distinct explanation of a mismatch; prose is wrapped at `width` columns. Known mismatches have a
/// reason of their own and are left out.
pub fn blocks(checks: &[Check], width: u16) -> String {
    let mut text = String::new();
    let mut shown: Vec<&str> = Vec::new();
    for (block, likewise) in in_both_families(shared(checks)) {
        let families = [Some(&block), likewise.as_ref()].into_iter().flatten().filter_map(Block::family);
        let families = families.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "  why  {} ({families})", visible(&whereabouts(&block.checks())));
        text.push_str(&block.body(usize::from(width), &shown));
        // Without a rule there is no file to name, and the families are in the heading.
        if let Some(file) = likewise.as_ref().and_then(Block::file) {
            let _ = writeln!(text, "{INDENT}{} has the same problem on the same line", visible(&file));
        }
        shown.extend([Some(&block), likewise.as_ref()].into_iter().flatten().filter_map(Block::diff));
    }
    text
}

/// The distinct explanations of mismatches, each with that of the other family if they differ in the file name only.
pub(super) fn explanations(checks: &[Check]) -> Vec<(Block<'_>, Option<Block<'_>>)> {
    in_both_families(shared(checks))
}

/// Checks whose explanations differ only in the parts that [`MessageTemplate`] replaces.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block<'a> {
    told: Vec<(&'a Check, &'a Explanation)>,
}

/// Groups the checks that can share a block, in the order of the checks.
fn shared(checks: &[Check]) -> Vec<Block<'_>> {
    let mismatched = checks.iter().filter(|check| check.outcome == Outcome::Mismatched);
    let blocks = mismatched.filter_map(|check| Some(Block { told: vec![(check, check.explanation.as_ref()?)] }));
    merged(blocks, Block::is_like, |block, other| block.told.extend(other.told))
}

/// Each block with the block of the other family that has the same text but for the file name.
fn in_both_families(mut blocks: Vec<Block<'_>>) -> Vec<(Block<'_>, Option<Block<'_>>)> {
    let mut pairs = Vec::new();
    while !blocks.is_empty() {
        let block = blocks.remove(0);
        let likewise = blocks.iter().position(|other| other.same_result(&block));
        pairs.push((block, likewise.map(|index| blocks.remove(index))));
    }
    pairs
}

impl<'a> Block<'a> {
    fn is_like(&self, other: &Block) -> bool {
        let words = |check, told: &Explanation| MessageTemplate::new(check, told).template(&told.words);
        let ((check, told), (others, other)) = (self.told[0], other.told[0]);
        (check.family, told.cause, &told.patch) == (others.family, other.cause, &other.patch)
            && words(check, told) == words(others, other)
    }

    /// True if the other block is of the other family, and equal apart from the file name.
    fn same_result(&self, other: &Block) -> bool {
        let anonymous = |block: &Block| {
            let body = block.body(usize::MAX, &[]);
            let body = block.file().map_or(body.clone(), |name| body.replace(&name, "the file"));
            (whereabouts(&block.checks()), body)
        };
        self.family() != other.family() && anonymous(self) == anonymous(other)
    }

    /// Its checks.
    pub(super) fn checks(&self) -> Vec<&'a Check> {
        self.told.iter().map(|(check, _)| *check).collect()
    }

    /// The kind of mistake.
    pub(super) fn cause(&self) -> Cause {
        self.told[0].1.cause
    }

    /// The rules that matched the packets, as `FILE:LINE: TEXT`.
    pub(super) fn matched(&self) -> Vec<String> {
        self.places(|told| told.took.as_ref()).into_iter().map(quoted).collect()
    }

    /// The intended rules, as `FILE:LINE: TEXT`.
    pub(super) fn intended(&self) -> Vec<String> {
        self.places(|told| told.meant.as_ref()).into_iter().map(quoted).collect()
    }

    /// The tested fix.
    pub(super) fn patch(&self) -> Option<&'a Patch> {
        self.told[0].1.patch.as_ref()
    }

    fn family(&self) -> Option<String> {
        self.told[0].0.family.map(|family| family.to_string())
    }

    /// The file of its rules; `None` if no rule is known.
    pub(super) fn file(&self) -> Option<String> {
        let (_, told) = self.told[0];
        let place = told.took.as_ref().or(told.meant.as_ref())?;
        Some(place.file.display().to_string()).filter(|name| !name.is_empty())
    }

    fn diff(&self) -> Option<&'a str> {
        self.told[0].1.patch.as_ref().map(|patch| patch.diff.as_str())
    }

    fn body(&self, width: usize, shown: &[&str]) -> String {
        let (_, told) = self.told[0];
        let mut text = hanging(INDENT, INDENT.len(), &visible(&self.words()), width);
        let (took, meant) = (self.places(|told| told.took.as_ref()), self.places(|told| told.meant.as_ref()));
        took.iter().filter(|place| !meant.contains(place)).for_each(|place| write_place(&mut text, "matched", place));
        meant.iter().for_each(|place| write_place(&mut text, "intended", place));
        told.patch.iter().for_each(|patch| write_patch(&mut text, patch, width, shown));
        text
    }

    /// The sentence of the first check, with the variable parts of all checks in its placeholders.
    pub(super) fn words(&self) -> String {
        let all: Vec<MessageTemplate> =
            self.told.iter().map(|(check, told)| MessageTemplate::new(check, told)).collect();
        all[0].filled(&self.told[0].1.words, &all)
    }

    /// The distinct rules that `of` returns, in order.
    fn places(&self, of: fn(&Explanation) -> Option<&RuleRef>) -> Vec<&'a RuleRef> {
        once(self.told.iter().filter_map(|(_, told)| of(told)))
    }
}

fn write_place(text: &mut String, word: &str, place: &RuleRef) {
    let _ = writeln!(text, "{INDENT}{word:<8} {}", visible(&quoted(place)));
}

fn write_patch(text: &mut String, patch: &Patch, width: usize, shown: &[&str]) {
    let is_shown = shown.contains(&patch.diff.as_str());
    let words = match is_shown {
        true => format!("as above: {}", patch.words),
        false => format!("{} ({})", patch.words, patch.tried()),
    };
    text.push_str(&hanging(&format!("{INDENT}fix      "), INDENT.len() + 9, &visible(&words), width));
    for line in patch.diff.lines().filter(|_| !is_shown) {
        let _ = writeln!(text, "{INDENT}         {}", visible(line));
    }
}

/// The indent below the first word of a block.
const INDENT: &str = "       ";

/// `rules.v4:12: -A INPUT ...`: never cut, since a truncated rule could not be pasted back.
fn quoted(place: &RuleRef) -> String {
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!("{}{line}: {}", place.file.display(), place.text)
}
