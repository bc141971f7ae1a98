//! Limits: too generous, too strict, or on the wrong rule.

use crate::rules::iptables_save::{Clause, Match, Rule};

use super::draft::Draft;
use super::site::MutationSite;
use super::text;
use super::twin::{is_log, verdict_of};

/// The factor of a wrong unit that still looks plausible: packets per day or per two hours, five per minute or one per
/// second.
const FACTOR: u32 = 12;
/// `XT_LIMIT_SCALE`: "rate too fast" above this number per second.
const FASTEST: u64 = 10_000;
/// The default of libxt_limit.c, and its maximum.
const DEFAULT_BURST: u32 = 5;
const LARGEST_BURST: u32 = 10_000;
/// In seconds.
const DAY: u64 = 86_400;

/// A limit of twelve times as many packets.
pub fn rate(site: &MutationSite<'_>) -> Vec<Draft> {
    limits(site.rule).filter_map(|(clause, count, seconds)| faster(site, clause, count, seconds)).collect()
}

fn faster(site: &MutationSite<'_>, clause: &Clause, count: u32, seconds: u32) -> Option<Draft> {
    let count = count.checked_mul(FACTOR).filter(|count| u64::from(*count) <= FASTEST * u64::from(seconds))?;
    Some(site.replace(clause, &format!("--limit {count}/{}", unit(seconds)?)))
}

const fn unit(seconds: u32) -> Option<&'static str> {
    match seconds {
        1 => Some("sec"),
        60 => Some("min"),
        3_600 => Some("hour"),
        86_400 => Some("day"),
        _ => None,
    }
}

/// A burst of one, and of one more than present.
pub fn burst(site: &MutationSite<'_>) -> Vec<Draft> {
    let Some((limit, count, seconds)) = limits(site.rule).next() else { return Vec::new() };
    let current = burst_of(site.rule).map_or(DEFAULT_BURST, |(_, burst)| burst);
    let others = [1, current.saturating_add(1)].into_iter().filter(|burst| *burst != current);
    others.filter(|burst| holds(*burst, count, seconds)).map(|burst| with_burst(site, limit, burst)).collect()
}

/// True if the bucket fits the counter: xt_limit.c counts in 32 bits, in units so small that a day just fits: `MAX_CPJ
/// (0xFFFFFFFF / (HZ*60*60*24))`. A bucket that needs longer to fill may overflow; the legacy backend refuses such a
/// rule.
fn holds(burst: u32, count: u32, seconds: u32) -> bool {
    let to_fill = u64::from(burst) * u64::from(seconds) / u64::from(count.max(1));
    burst <= LARGEST_BURST && to_fill <= DAY
}

fn with_burst(site: &MutationSite<'_>, limit: &Clause, burst: u32) -> Draft {
    let option = format!("--limit-burst {burst}");
    match burst_of(site.rule) {
        Some((clause, _)) => site.replace(clause, &option),
        None => {
            let text = site.rule.with(limit, &format!("{} {option}", site.written(limit)));
            site.rewrite(text, format!("gets {option}"))
        }
    }
}

fn burst_of(rule: &Rule) -> Option<(&Clause, u32)> {
    rule.clauses.iter().find_map(|clause| match clause.ask {
        Match::LimitBurst(burst) => Some((clause, burst)),
        _ => None,
    })
}

fn limits(rule: &Rule) -> impl Iterator<Item = (&Clause, u32, u32)> {
    rule.clauses.iter().filter_map(|clause| match clause.ask {
        Match::Limit { count, seconds } => Some((clause, count, seconds)),
        _ => None,
    })
}

/// Adds the limit of a LOG rule to the rule that decides on its packets: packets over the limit get past it.
pub fn on_the_verdict(site: &MutationSite<'_>) -> Vec<Draft> {
    let mut logs = (0..site.before().len()).rev().filter_map(|at| limited_log(site, at));
    let log = logs.find(|(log, after)| decides(site.rule, log, after));
    log.map(|(log, _)| limited(site, log)).into_iter().collect()
}

/// The rule at `at`, if it logs and has a limit, and the rules after it.
fn limited_log<'a>(site: &MutationSite<'a>, at: usize) -> Option<(&'a Rule, &'a [Rule])> {
    let (log, after) = site.chain.rules.get(at..)?.split_first()?;
    (is_log(log) && limits(log).next().is_some()).then_some((log, after))
}

fn decides(rule: &Rule, log: &Rule, after: &[Rule]) -> bool {
    verdict_of(log, after).is_some_and(|verdict| std::ptr::eq(verdict, rule))
}

fn limited(site: &MutationSite<'_>, log: &Rule) -> Draft {
    let counts = |clause: &&Clause| matches!(clause.ask, Match::Limit { .. } | Match::LimitBurst(_));
    let options = log.clauses.iter().filter(counts).filter_map(|clause| log.text.get(clause.span.clone()));
    let limit = format!("-m limit {}", options.collect::<Vec<_>>().join(" "));
    let text = text::with_match(site.rule, &limit);
    site.rewrite(text, format!("gets {limit}, the limit of line {}", log.line))
}
