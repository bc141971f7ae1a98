//! Log lines that are missing, unreachable, or have another prefix.

use crate::rules::iptables_save::{Chain, Edit, Rule, Target};

use super::draft::Draft;
use super::order;
use super::site::MutationSite;
use super::text;
use super::twin::{is_log, verdict_of};

/// Deletes the rule.
pub fn delete(site: &MutationSite<'_>) -> Vec<Draft> {
    let gone = || Draft::new("the LOG rule is deleted", vec![Edit::Delete { line: site.rule.line }]);
    is_log(site.rule).then(gone).into_iter().collect()
}

/// Moves the rule after the one that decides on all its packets.
pub fn behind_the_verdict(site: &MutationSite<'_>) -> Vec<Draft> {
    let verdict = verdict_of(site.rule, site.after()).filter(|_| is_log(site.rule) && order::is_movable(site));
    let move_down = |verdict: &Rule| {
        let edit = Edit::Move { line: site.rule.line, before: verdict.line + 1 };
        Draft::new(format!("the LOG rule comes after line {}", verdict.line), vec![edit])
    };
    verdict.filter(|verdict| verdict.line > site.rule.line).map(move_down).into_iter().collect()
}

/// Changes the case of one letter of the prefix, or removes the blank at its end.
pub fn prefix(site: &MutationSite<'_>) -> Vec<Draft> {
    let Some((target, prefix)) = prefix_of(site.rule) else { return Vec::new() };
    let blankless = prefix.strip_suffix(' ').filter(|rest| !rest.is_empty()).map(str::to_owned);
    let others = [other_letter(prefix), blankless].into_iter().flatten();
    others.map(|other| with_prefix(site, target, prefix, &other)).collect()
}

fn prefix_of(rule: &Rule) -> Option<(&Target, &str)> {
    let target = rule.target.as_ref().filter(|_| is_log(rule))?;
    let (_, prefix) = target.options.iter().find(|(option, _)| is_prefix(option))?;
    (!prefix.contains(char::is_control)).then_some((target, prefix))
}

fn is_prefix(option: &str) -> bool {
    matches!(option, "--log-prefix" | "--nflog-prefix")
}

/// Changes the last letter, the one that distinguishes prefixes least.
fn other_letter(prefix: &str) -> Option<String> {
    let at = prefix.rfind(|c: char| c.is_ascii_alphabetic())?;
    let (start, end) = (prefix.get(..at)?, prefix.get(at + 1..)?);
    let letter = char::from(prefix.as_bytes().get(at)? ^ 0x20);
    Some(format!("{start}{letter}{end}"))
}

fn with_prefix(site: &MutationSite<'_>, target: &Target, was: &str, becomes: &str) -> Draft {
    let options: String = target.options.iter().map(|(option, argument)| written(option, argument, becomes)).collect();
    let text = site.rule.with_target(&format!("-j {}{options}", target.name));
    let what = format!("the log prefix {} becomes {}", text::quoted(was), text::quoted(becomes));
    site.rewrite(text, what)
}

fn written(option: &str, argument: &str, prefix: &str) -> String {
    match argument {
        _ if is_prefix(option) => format!(" {option} {}", text::quoted(prefix)),
        "" => format!(" {option}"),
        plain if plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) => format!(" {option} {plain}"),
        other => format!(" {option} {}", text::quoted(other)),
    }
}

/// Moves the rule to PREROUTING of the nat table, which sees the first packet of a connection, and never an INVALID or
/// later one: most scans are not logged.
pub fn in_nat(site: &MutationSite<'_>) -> Vec<Draft> {
    let hears = is_log(site.rule) && site.table.name == "filter" && site.chain.name == "INPUT";
    let Some(text) = in_prerouting(&site.rule.text).filter(|_| hears) else { return Vec::new() };
    let Some(arrival) = arrival(site, text) else { return Vec::new() };
    let edits = vec![Edit::Delete { line: site.rule.line }, arrival];
    vec![Draft::new("the LOG rule is in PREROUTING of the nat table", edits)]
}

/// `-A INPUT ...` as a rule of PREROUTING.
fn in_prerouting(rule: &str) -> Option<String> {
    let rest = rule.strip_prefix("-A")?.trim_start().strip_prefix("INPUT")?;
    rest.starts_with(' ').then(|| format!("-A PREROUTING{rest}"))
}

/// The edit that inserts the rule: before the rules of PREROUTING if there are any, else in a table of its own.
fn arrival(site: &MutationSite<'_>, text: String) -> Option<Edit> {
    let Some(nat) = site.listing.tables.iter().find(|table| table.name == "nat") else {
        let line = site.listing.source.text.lines().count() + 1;
        return Some(Edit::InsertBefore { line, text: format!("*nat\n:PREROUTING ACCEPT [0:0]\n{text}\nCOMMIT") });
    };
    let prerouting = nat.chains.iter().find(|chain| chain.name == "PREROUTING")?;
    Some(Edit::InsertBefore { line: first_place(prerouting)?, text })
}

fn first_place(chain: &Chain) -> Option<usize> {
    let first = chain.rules.iter().map(|rule| rule.line).min();
    first.or(chain.line.map(|line| line + 1))
}
