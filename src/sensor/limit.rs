//! Reads a rate limit as the `limit` match does: libxt_limit.c of iptables parses it, xt_limit.c of the kernel applies
//! it. Values that either would refuse, round away or let overflow are refused here.

use super::table::Value;
use super::{SensorLimit, TimeUnit};
use crate::error::Result;
use crate::net::rate::{Rate, SCALE};

/// iptables-extensions(8), limit: "the default is 5".
const DEFAULT_BURST: u32 = 5;
/// libxt_limit.c, `limit_opts`: `.max = 10000`.
const MAX_BURST: u32 = 10_000;

impl Default for SensorLimit {
    /// The article's `5/min`, with the burst that iptables gives it.
    fn default() -> Self {
        SensorLimit { count: 5, per: TimeUnit::Minute, burst: DEFAULT_BURST }
    }
}

impl SensorLimit {
    /// The rate of recovery; the kernel stores this instead of `count` and `per`.
    ///
    /// # Panics
    /// If the limit was constructed with a rate that [`read_limit`] refuses.
    pub fn rate(&self) -> Rate {
        Rate::new(self.count.into(), self.per.seconds().into()).expect("a rate that the kernel can keep")
    }
}

/// Time between two packets, in units of 1/10000 s.
fn interval(limit: &SensorLimit) -> u64 {
    SCALE * u64::from(limit.per.seconds()) / u64::from(limit.count)
}

/// Reads `"5/min"` or `{ rate = "5/min", burst = 5 }`.
pub fn read_limit(value: Value<'_>) -> Result<SensorLimit> {
    if value.as_text().is_some() {
        return rate(&value, DEFAULT_BURST);
    }
    if !value.is_table() {
        return value.wrong_type("a rate like \"5/min\", or { rate = \"5/min\", burst = 5 }");
    }
    let mut table = value.into_table()?;
    let burst = table.take("burst").map_or(Ok(DEFAULT_BURST), |value| burst(&value))?;
    let limit = match table.take("rate") {
        Some(value) => rate(&value, burst)?,
        None => SensorLimit { burst, ..SensorLimit::default() },
    };
    table.finish()?;
    Ok(limit)
}

fn burst(value: &Value<'_>) -> Result<u32> {
    let number = value.number()?;
    u32::try_from(number)
        .ok()
        .filter(|burst| (1..=MAX_BURST).contains(burst))
        .ok_or_else(|| value.error(format!("burst {number} is out of range"), "the burst is 1 to 10000").into())
}

fn rate(value: &Value<'_>, burst: u32) -> Result<SensorLimit> {
    let text = value.text()?;
    let problem = || format!("`{}` is not a rate", text.escape_debug());
    let form = "write a number and a unit, like 5/min; the units are sec, min, hour and day";
    let (count, unit) = text.split_once('/').ok_or_else(|| value.error(problem(), form))?;
    let per = time_unit(unit).ok_or_else(|| value.error(problem(), form))?;
    let count: u32 = Some(count)
        .filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| value.error(problem(), form))?;
    if count == 0 {
        return Err(value
            .error("a rate of 0 never logs", "to log nothing of a technique, leave it out of `scans`")
            .into());
    }
    let limit = SensorLimit { count, per, burst };
    keepable(value, &limit)?;
    Ok(limit)
}

/// 1. libxt_limit.c: "Rate too fast" when the interval rounds to 0.
/// 2. xt_limit.c counts credits in 32 bits, scaled so that one day just fits whatever HZ is (`CREDITS_PER_JIFFY`). If
///    interval times burst is longer, the legacy backend refuses the rule (`1/day` with a burst of 2 or 5) or, if the
///    product wraps unnoticed, uses a smaller burst than it was given.
fn keepable(value: &Value<'_>, limit: &SensorLimit) -> Result<()> {
    if interval(limit) == 0 {
        return Err(value.error(format!("{limit} is too fast for the limit match"), "at most 10000/sec").into());
    }
    let most = SCALE * u64::from(TimeUnit::Day.seconds()) / interval(limit);
    if u64::from(limit.burst) > most {
        let problem = format!("a burst of {} at {limit} overflows the counter of iptables-legacy", limit.burst);
        let hint =
            format!("the burst may last for a day at most: here {most}; set it with {{ rate = .., burst = {most} }}");
        return Err(value.error(problem, hint).into());
    }
    Ok(())
}

/// Any beginning of second, minute, hour or day, in any case (libxt_limit.c, `parse_rate`).
fn time_unit(text: &str) -> Option<TimeUnit> {
    let text = text.to_ascii_lowercase();
    let units =
        [("second", TimeUnit::Second), ("minute", TimeUnit::Minute), ("hour", TimeUnit::Hour), ("day", TimeUnit::Day)];
    let found = units.into_iter().find(|(word, _)| !text.is_empty() && word.starts_with(&text));
    found.map(|(_, unit)| unit)
}
