//! The result of an operator for one rule, without the rule's place.

use crate::rules::iptables_save::Edit;

/// A mutant without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The mistake in plain words, without the line.
    pub what: String,
    /// The edits of the original.
    pub edits: Vec<Edit>,
    /// The reason why no packet can show a difference, if it is evident.
    pub equivalent: Option<&'static str>,
}

impl Draft {
    /// A draft that may make a difference.
    pub fn new(what: impl Into<String>, edits: Vec<Edit>) -> Draft {
        Draft { what: what.into(), edits, equivalent: None }
    }

    /// The draft with the reason why it makes no difference.
    pub fn equivalent(self, equivalent: Option<&'static str>) -> Draft {
        Draft { equivalent, ..self }
    }
}
