//! The time, for reports that contain one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{InputError, Result};

/// The variable that makes reports reproducible: <https://reproducible-builds.org/specs/source-date-epoch/>, "an ASCII
/// representation of an integer".
const FIXED: &str = "SOURCE_DATE_EPOCH";

/// The last second of the year 9999.
const LATEST: u64 = 253_402_300_799;

/// The present, or the time of `SOURCE_DATE_EPOCH`; since 1970-01-01 00:00:00 UTC.
pub fn now() -> Result<Duration> {
    let present = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(fixed()?.unwrap_or_else(present))
}

/// The time of `SOURCE_DATE_EPOCH`; `None` if it is not set.
///
/// # Errors
/// If it is no number of seconds (an input error).
pub fn fixed() -> Result<Option<Duration>> {
    let text = std::env::var_os(FIXED);
    Ok(text.map(|text| parse(&text.to_string_lossy())).transpose()?)
}

fn parse(text: &str) -> std::result::Result<Duration, InputError> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= LATEST);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let problem = format!("{FIXED} is `{}`, which is not a time", text.escape_debug());
        InputError::new(problem, "it counts the seconds since 1970, up to the year 9999; unset it to use the clock")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_date_is_a_number_of_seconds() {
        assert_eq!(parse("1795449690").unwrap(), Duration::from_secs(1_795_449_690));
        for text in ["", "-1", "today", "1e9", "253402300800", "99999999999999999999"] {
            parse(text).unwrap_err();
        }
    }
}
