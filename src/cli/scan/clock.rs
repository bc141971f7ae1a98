//! What time it is, for reports that say so.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{InputError, Result};
use crate::report::nmap::Moment;

/// A report that is made twice can be made to say the same, see reproducible-builds.org, "SOURCE_DATE_EPOCH".
const FIXED: &str = "SOURCE_DATE_EPOCH";

/// The present, or what SOURCE_DATE_EPOCH says it is.
pub fn now() -> Result<Moment> {
    match std::env::var_os(FIXED) {
        None => Ok(Moment(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())),
        Some(text) => parse(&text.to_string_lossy()).ok_or_else(|| {
            let problem = format!("{FIXED} is `{}`", text.to_string_lossy().escape_debug());
            InputError::new(problem, "set it to a number of seconds since 1970, up to the year 9999").into()
        }),
    }
}

/// The last second of the year 9999.
const LATEST: u64 = 253_402_300_799;

fn parse(text: &str) -> Option<Moment> {
    let seconds = text.parse().ok().filter(|seconds| *seconds <= LATEST)?;
    Some(Moment(std::time::Duration::from_secs(seconds)))
}
