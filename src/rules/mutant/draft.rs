//! What an operator makes of a rule, before it is known as whose and where.

use crate::rules::iptables_save::Edit;

/// A mutant in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What is different, in plain words, without the line.
    pub what: String,
    /// What makes it from the original.
    pub edits: Vec<Edit>,
    /// Why no packet can tell it from the original, if that is plain.
    pub equivalent: Option<&'static str>,
}

impl Draft {
    /// A draft that may make a difference.
    pub fn new(what: impl Into<String>, edits: Vec<Edit>) -> Draft {
        Draft { what: what.into(), edits, equivalent: None }
    }

    /// The same, with the reason why it makes none.
    pub fn equivalent(self, equivalent: Option<&'static str>) -> Draft {
        Draft { equivalent, ..self }
    }
}
