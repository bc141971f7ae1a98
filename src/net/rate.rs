//! The rate of a `limit` match as the kernel stores it: a time between two packets.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// `XT_LIMIT_SCALE` (linux/netfilter/xt_limit.h): times are counted in units of 1/10000 s.
pub const SCALE: u64 = 10_000;

/// The rate of recovery of a limit: the time between two packets, in units of 1/10000 s. `300/hour` and `5/min` are
/// equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    interval: u64,
}

impl Rate {
    /// The rate of `packets` in `seconds`; `None` if there are no packets, or more than the kernel can distinguish.
    pub fn new(packets: u64, seconds: u64) -> Option<Rate> {
        let interval = SCALE.checked_mul(seconds)?.checked_div(packets)?;
        (interval != 0).then_some(Rate { interval })
    }
}

/// The units of iptables, in seconds.
const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "min"), (1, "sec")];

/// Prints the stored rate as libxt_limit.c does (`print_rate`).
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |(seconds, _): &(u64, &str)| SCALE * seconds;
        let fits = |unit: &&(u64, &str)| {
            self.interval <= length(unit) && length(unit) / self.interval >= length(unit) % self.interval
        };
        let unit = UNITS[1..].iter().take_while(fits).last().unwrap_or(&UNITS[0]);
        write!(f, "{}/{}", length(unit) / self.interval, unit.1)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+/(sec|min|hour|day)$" })
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_printed_as_iptables_prints_it() {
        for (packets, seconds, printed) in
            [(5, 60, "5/min"), (300, 3600, "5/min"), (1, 1, "1/sec"), (3, 3600, "3/hour"), (2, 86_400, "2/day")]
        {
            assert_eq!(Rate::new(packets, seconds).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn a_rate_outside_the_range_of_the_kernel_is_none() {
        assert_eq!(Rate::new(0, 60), None);
        assert_eq!(Rate::new(20_000, 1), None);
        assert_eq!(Rate::new(1, u64::MAX), None);
    }
}
