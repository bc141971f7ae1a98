//! Edits of parts of a rule that are no clauses.

use crate::rules::iptables_save::Rule;

/// The text of `rule` with `-m was` written as `-m becomes`.
pub fn with_module(rule: &Rule, was: &str, becomes: &str) -> String {
    let mut text = rule.text.clone();
    for module in rule.modules.iter().rev().filter(|module| module.name == was) {
        text.replace_range(module.span.clone(), &format!("-m {becomes}"));
    }
    text
}

/// The text of `rule` with an additional match before the target.
pub fn with_match(rule: &Rule, addition: &str) -> String {
    let target = rule.target.as_ref().map(|target| target.span.start);
    match target.and_then(|at| rule.text.split_at_checked(at)) {
        Some((matches, target)) => format!("{} {addition} {target}", matches.trim_end()),
        None => format!("{} {addition}", rule.text),
    }
}

/// An argument in quotes, as iptables-save prints it (`xtables_save_string`).
pub fn quoted(argument: &str) -> String {
    let escape = |c: char| if matches!(c, '"' | '\\' | '\'') { vec!['\\', c] } else { vec![c] };
    format!("\"{}\"", argument.chars().flat_map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_argument_is_as_iptables_save_prints_it() {
        assert_eq!(quoted(r#"a "b" \ 'c' "#), r#""a \"b\" \\ \'c\' ""#);
    }
}
