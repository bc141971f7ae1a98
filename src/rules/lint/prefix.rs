//! Log prefixes.

use super::{FindingKind, LintFinding};
use crate::rules::iptables_save::{LOG_PREFIX, Listing, Rule};

/// Prefixes that are too long, and prefixes without a blank at their end.
pub(super) fn check(listing: &Listing) -> Vec<LintFinding> {
    let finding = |rule: &Rule| {
        let written = rule.target.as_ref()?.option("--log-prefix")?;
        let kept = rule.log_prefix()?;
        too_long(listing, rule, written, &kept).or_else(|| without_blank(listing, rule, &kept))
    };
    listing.rules().filter_map(finding).collect()
}

/// `char prefix[30]` of `struct xt_log_info`: both iptables-restore and `--test` cut silently.
fn too_long(listing: &Listing, rule: &Rule, written: &str, kept: &str) -> Option<LintFinding> {
    let message =
        format!("this log prefix is {} bytes long, and the kernel keeps {LOG_PREFIX}: `{kept}`", written.len());
    let finding = || LintFinding::new(FindingKind::PrefixTooLong, listing, rule.line, message);
    (written.len() > LOG_PREFIX).then(|| finding().fix(with_prefix(rule, &shortened(written))))
}

/// The kernel puts no separator between the prefix and `IN=` (`nf_log_dump_packet_common`).
fn without_blank(listing: &Listing, rule: &Rule, kept: &str) -> Option<LintFinding> {
    let message = format!("this log prefix has no space at its end: the line begins with `{kept}IN=`");
    let finding = || LintFinding::new(FindingKind::PrefixWithoutBlank, listing, rule.line, message);
    let glued = !kept.is_empty() && !kept.ends_with(' ');
    glued.then(|| finding().fix(with_prefix(rule, &shortened(kept))))
}

/// As many whole characters as fit, and a blank.
fn shortened(prefix: &str) -> String {
    let fits = prefix.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end < LOG_PREFIX).last();
    format!("{} ", prefix[..fits.unwrap_or_default()].trim_end())
}

/// The rule with another prefix.
fn with_prefix(rule: &Rule, prefix: &str) -> String {
    let Some(target) = &rule.target else { return rule.text.clone() };
    let option = |(name, argument): &(String, String)| match (name.as_str(), argument.as_str()) {
        ("--log-prefix", _) => format!(" {name} {}", quoted(prefix)),
        (_, "") => format!(" {name}"),
        (_, argument) if argument.contains([' ', '\t', '"']) => format!(" {name} {}", quoted(argument)),
        (_, argument) => format!(" {name} {argument}"),
    };
    rule.with_target(&format!("-j {}{}", target.name, target.options.iter().map(option).collect::<String>()))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
