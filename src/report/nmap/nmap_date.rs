//! A point in time, in UTC, in nmap's three date formats.

use std::time::Duration;

/// A time since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub Duration);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A day of the Gregorian calendar; months and days begin at 1.
struct Date {
    year: u64,
    month: u64,
    day: u64,
}

impl UnixTime {
    /// `1795450357`
    pub fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    /// `Mon Nov 23 16:12:37 2026`, as asctime(3) prints it.
    pub fn long(self) -> String {
        let Date { year, month, day } = self.date();
        let name = DAYS[(self.days() % 7) as usize];
        format!("{name} {} {day:>2} {} {year}", MONTHS[month as usize - 1], self.clock())
    }

    /// `2026-11-23 16:12 UTC`
    pub fn short(self) -> String {
        format!("{} {} UTC", self.calendar(), &self.clock()[..5])
    }

    /// `2026-11-23 16:12:37 UTC`
    pub fn exact(self) -> String {
        format!("{} {} UTC", self.calendar(), self.clock())
    }

    /// The time that has passed since `earlier`.
    pub fn since(self, earlier: UnixTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    fn days(self) -> u64 {
        self.seconds() / 86_400
    }

    fn calendar(self) -> String {
        let Date { year, month, day } = self.date();
        format!("{year}-{month:02}-{day:02}")
    }

    fn clock(self) -> String {
        let second = self.seconds() % 86_400;
        format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
    }

    /// Counts from 1 March of the year 0, so that a leap day ends its year (Howard Hinnant, "chrono-Compatible Low-Level
    /// Date Algorithms", `civil_from_days`).
    fn date(self) -> Date {
        let days = self.days() + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Date { year: era * 400 + year + u64::from(month <= 2), month, day }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `date -u -d @SECONDS` prints them.
    #[test]
    fn moments_are_written_as_nmap_does() {
        for (seconds, long, exact) in [
            (0, "Thu Jan  1 00:00:00 1970", "1970-01-01 00:00:00 UTC"),
            (951_782_400, "Tue Feb 29 00:00:00 2000", "2000-02-29 00:00:00 UTC"),
            (1_795_450_357, "Mon Nov 23 16:12:37 2026", "2026-11-23 16:12:37 UTC"),
            (4_107_542_399, "Sun Feb 28 23:59:59 2100", "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100", "2100-03-01 00:00:00 UTC"),
        ] {
            let moment = UnixTime(Duration::from_secs(seconds));
            assert_eq!((&*moment.long(), &*moment.exact()), (long, exact));
        }
        assert_eq!(UnixTime(Duration::from_secs(1_795_450_357)).short(), "2026-11-23 16:12 UTC");
    }
}
