//! The rule to fix: where the reports of a mismatch point to.

use std::path::Path;

use crate::intent::explanation::{Explanation, Patch, RuleRef};

/// A line of a ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulePlace<'a> {
    /// The ruleset's file.
    pub file: &'a Path,
    /// The line, from 1.
    pub line: usize,
}

/// The rule to fix: the one that matched the packet, or else the intended one, or else the line that the patch changes.
/// `None` if there is none of them. It is never a policy, which is right as a rule: then a rule is missing, and the row
/// that expects it says which.
pub fn to_fix(explanation: &Explanation) -> Option<RulePlace<'_>> {
    let Explanation { took, meant, patch, .. } = explanation;
    let rules = took.iter().chain(meant).filter(|place| place.rule.is_some());
    rules.into_iter().find_map(of_rule).or_else(|| patched(took.as_ref()?, patch.as_ref()?))
}

fn of_rule(rule: &RuleRef) -> Option<RulePlace<'_>> {
    rule.line.map(|line| RulePlace { file: &rule.file, line })
}

/// The first line that the patch changes, in the file of the policy. A line that is added at the end of the file is shown at
/// the line before it.
fn patched<'a>(policy: &'a RuleRef, patch: &Patch) -> Option<RulePlace<'a>> {
    let mut lines = patch.diff.lines().skip_while(|line| !line.starts_with("@@ -"));
    let first: usize = lines.next()?.strip_prefix("@@ -")?.split([',', ' ']).next()?.parse().ok()?;
    let before = lines.take_while(|line| line.starts_with(' ')).count();
    Some(RulePlace { file: &policy.file, line: (first + before).max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::explanation::Cause;

    fn place(line: usize, rule: Option<usize>) -> RuleRef {
        let (file, table, chain) = ("rules.v4".into(), "filter".to_owned(), "INPUT".to_owned());
        RuleRef { file, line: Some(line), table, chain, rule, text: String::new() }
    }

    fn patch(diff: &str) -> Patch {
        Patch { words: String::new(), resolves: 1, checked: 1, diff: diff.to_owned() }
    }

    #[test]
    fn place_is_a_rule_and_never_the_policy() {
        let (policy, rule) = (|| Some(place(2, None)), |line| Some(place(line, Some(1))));
        let insertion = "--- rules.v4\n+++ rules.v4\n@@ -5,3 +5,4 @@\n a\n b\n+new\n COMMIT\n";
        for (took, meant, diff, line) in [
            (rule(5), rule(6), None, Some(5)),
            (policy(), rule(6), None, Some(6)),
            (policy(), rule(6), Some(insertion), Some(6)),
            (policy(), None, Some(insertion), Some(7)),
            (policy(), None, Some("not a diff"), None),
            (policy(), None, None, None),
            (None, None, None, None),
        ] {
            let (cause, words, patch) = (Cause::Policy, String::new(), diff.map(patch));
            let explanation = Explanation { cause, took, meant, words, patch };
            assert_eq!(to_fix(&explanation).map(|place| place.line), line, "{explanation:?}");
        }
    }
}
