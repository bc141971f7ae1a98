//! The rate of a line: that of the rule that logs it, and of the rules that jump to its chain.

use crate::intent::plan::Burst;
use crate::net::rate::Rate;
use crate::probe::observation::Observation;
use crate::probe::path::{Path, Step};

/// The rate of a line, as far as it is known.
pub enum LineRate<'a> {
    /// No rule logged such a line.
    NoLine,
    /// No rule on the path to the line has a limit.
    Unlimited,
    /// The slowest of the limits on the path to the line.
    Limited(Rate),
    /// A match whose rate is not known, and its rule.
    Unread(&'a str, &'a Step),
    /// Rules that let packets through to such lines within limits of their own.
    Several(Vec<&'a Step>),
    /// A rule before those on the path to the line, which treated a packet without a line otherwise than one with it.
    Elsewhere(&'a Step),
}

/// The rate of the line with one of `prefixes`, or of any line.
pub fn of_line<'a>(observations: &'a [Observation], prefixes: Option<&[String]>) -> LineRate<'a> {
    let wanted = |prefix: &String| prefixes.is_none_or(|prefixes| prefixes.contains(prefix));
    let is_it = |step: &Step| step.log_prefix.as_ref().is_some_and(wanted);
    let probes: Vec<&Path> = observations.iter().filter_map(|observation| observation.path.as_deref()).collect();
    let answers: Vec<&Path> =
        observations.iter().filter_map(|observation| observation.answer_path.as_deref()).collect();
    let of_packets = [probes, answers];
    let ways: Vec<Vec<&Step>> = of_packets.iter().flatten().flat_map(|path| ways_to(path, is_it)).collect();
    let Some(way) = ways.first() else { return LineRate::NoLine };
    let several = independent(&ways);
    if !several.is_empty() {
        return LineRate::Several(several);
    }
    if let Some((name, step)) = way.iter().find_map(|step| Some((step.unread.first()?, *step))) {
        return LineRate::Unread(name, step);
    }
    let Some(rate) = way.iter().filter_map(|step| step.rate).max() else { return LineRate::Unlimited };
    let elsewhere = of_packets.iter().find_map(|paths| parting(paths, is_it));
    elsewhere.map_or(LineRate::Limited(rate), LineRate::Elsewhere)
}

/// The ways to the steps that log: each step, and the jumps that led to its chain.
fn ways_to(path: &Path, is_it: impl Fn(&Step) -> bool) -> Vec<Vec<&Step>> {
    let places = (0..path.steps.len()).filter(|place| is_it(&path.steps[*place]));
    places.map(|place| path.way_to(place)).collect()
}

/// The rules whose limits are on some of the ways and not on all of them, so that none of them is that of the lines; of
/// a way without a limit, the rule that logs. Empty if all ways have the same limits.
fn independent<'a>(ways: &[Vec<&'a Step>]) -> Vec<&'a Step> {
    let limits: Vec<Vec<&Step>> = ways.iter().map(|way| limits_of(way)).collect();
    if limits.iter().all(|limits| same_rules(limits, &limits_of(&ways[0]))) {
        return Vec::new();
    }
    let mut found: Vec<&Step> = Vec::new();
    for (way, limits) in ways.iter().zip(&limits) {
        let deciding = if limits.is_empty() { &way[..1] } else { limits };
        let is_new = |step: &&&Step| !found.iter().any(|other| step.is_same_rule(other));
        let new: Vec<&Step> = deciding.iter().filter(is_new).copied().collect();
        found.extend(new);
    }
    let is_of_all = |step: &Step| limits.iter().all(|limits| limits.iter().any(|other| step.is_same_rule(other)));
    found.retain(|step| !is_of_all(step));
    found.sort_by_key(|step| step.line);
    found
}

fn limits_of<'a>(way: &[&'a Step]) -> Vec<&'a Step> {
    way.iter().filter(|step| step.rate.is_some() || !step.unread.is_empty()).copied().collect()
}

fn same_rules(some: &[&Step], others: &[&Step]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| one.is_same_rule(other))
}

/// The rule before those on the path to the line at which a packet without a line parted from one with it: then the
/// rate may be that of this rule. Equal packets part only where a match remembers earlier ones.
fn parting<'a>(paths: &[&'a Path], is_it: impl Fn(&Step) -> bool + Copy) -> Option<&'a Step> {
    let logs = |path: &&&Path| path.steps.iter().any(is_it);
    let logged = paths.iter().find(logs)?;
    let place = logged.steps.iter().position(is_it)?;
    let way = logged.way_to(place);
    let others = paths.iter().filter(|path| !path.steps.iter().any(is_it));
    others.filter_map(|other| parted(&logged.steps[..=place], &way, &other.steps)).next()
}

fn parted<'a>(logged: &'a [Step], way: &[&Step], other: &'a [Step]) -> Option<&'a Step> {
    let is_on_way = |step: &Step| way.iter().any(|on_way| step.is_same_rule(on_way));
    // A LOG rule has no effect on later rules.
    let deciding = |step: &&Step| step.log_prefix.is_none() || is_on_way(step);
    let before: Vec<&Step> = logged.iter().filter(deciding).collect();
    let mut others = other.iter().filter(deciding);
    for (place, step) in before.iter().enumerate() {
        match others.next() {
            Some(other) if step.is_same_rule(other) => {}
            _ if !is_on_way(step) => return Some(step),
            other => return other.filter(|other| comes_before(other, &before[..place], way)),
        }
    }
    None
}

/// True if `step` comes before the rules of `way`: before one of them in its chain, or in a chain to which one of the
/// steps `met` jumped.
fn comes_before(step: &Step, met: &[&Step], way: &[&Step]) -> bool {
    match way.iter().find(|on_way| on_way.is_in(&step.table, &step.chain)) {
        Some(on_way) => step.rule.is_some_and(|number| Some(number) < on_way.rule),
        None => met.iter().any(|met| met.table == step.table && met.verdict.chain() == Some(&step.chain)),
    }
}

impl LineRate<'_> {
    /// The rate, if it is known.
    pub fn known(&self) -> Option<Rate> {
        match self {
            LineRate::Limited(rate) => Some(*rate),
            LineRate::NoLine | LineRate::Unlimited | LineRate::Unread(..) => None,
            LineRate::Several(_) | LineRate::Elsewhere(_) => None,
        }
    }

    /// The reason why the rate is not known although a match limits the `lines` of a burst; `None` if it is known.
    pub fn unread(&self, lines: u32, burst: &Burst) -> Option<String> {
        let is_limited = (1..u32::from(burst.probes)).contains(&lines);
        let rate = burst.expected.rate?;
        let not_known = |why: String| Some(format!("how fast the lines recover is not known: {why} {rate}"));
        match self {
            LineRate::Unread(name, step) => {
                let line = step.line.map(|line| format!(" (line {line})")).unwrap_or_default();
                not_known(format!("`-m {name}`{line} is not compared with"))
            }
            LineRate::Several(steps) => {
                let lines: Vec<String> = steps.iter().map(|step| place(step)).collect();
                let lines = lines.join(" and ");
                not_known(format!(
                    "{lines} let packets through to such lines, each by itself, and their sum is not compared with"
                ))
            }
            LineRate::Elsewhere(step) => not_known(format!(
                "what limits them is {}, before the rule that logs, and it is not compared with",
                place(step)
            )),
            LineRate::Unlimited if is_limited => {
                not_known("what limits them is a rule before the one that logs, and it is not compared with".to_owned())
            }
            LineRate::NoLine | LineRate::Unlimited | LineRate::Limited(_) => None,
        }
    }
}

/// `line 5`, or the text of a policy without a line.
fn place(step: &Step) -> String {
    step.line.map_or_else(|| step.text.clone(), |line| format!("line {line}"))
}
