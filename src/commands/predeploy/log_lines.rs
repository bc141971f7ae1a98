//! The question of whether a scan is logged: every technique that the sensor logs, at a thousand ports, in either
//! family.

use super::scans::SCAN;
use super::{
    Assessment, Fact, Families, Measured, PredeployQuestion, PredeploySubject, QuestionAnswer, RelatedChecks,
    merge_families,
};
use crate::lab::{Capture, Lab};
use crate::log_line::NFLOG_NAME;
use crate::net::Family;
use crate::net::port::PortSet;
use crate::probe::observation::LogRecord;
use crate::probe::scan::Technique;
use crate::sensor::Sensor;
use crate::text::count::counted;

pub fn answer(subject: &PredeploySubject, measured: &Measured) -> QuestionAnswer {
    let (mut facts, mut all) = (Vec::new(), Vec::new());
    for technique in Technique::LOGGED {
        let seen = Lab::families().into_iter().filter(|family| !(measured.is_hidden() && *family == Family::Ipv6));
        let of_families = seen.map(|family| (family, lines(measured, technique, family)));
        for (families, found) in merge_families(of_families.collect()) {
            facts.push(fact(subject, technique, &families, &found));
            all.push((wants(subject.sensor, technique, found.count), found.count));
        }
    }
    if let Some(line) = example(measured) {
        let text = format!("one of the {} scan:", line.0.profile().title);
        facts.push(Fact { line: Some(line.1), ..Fact::new(Assessment::Good, text) });
    }
    facts.push(Fact::new(
        Assessment::Good,
        format!(
            "of {SCAN} ports at full speed; slower scans log more lines, because limits recover{}",
            how_read(subject)
        ),
    ));
    QuestionAnswer::new(PredeployQuestion::LogLines, facts, headlines(&all))
}

/// The headlines for pairs of intention and number of lines per technique: the one if an intended line is missing, and
/// the one if none is.
fn headlines(found: &[(bool, usize)]) -> [&'static str; 2] {
    let as_wanted = found.iter().all(|(is_wanted, count)| *is_wanted == (*count > 0));
    match found.iter().filter(|(_, count)| *count > 0).count() {
        0 => ["No.", "No, as the sensor file says."],
        some if some == found.len() => ["Not all of them.", "Yes."],
        _ if as_wanted => ["Not all of them.", "Not all of them, as the sensor file says."],
        _ => ["Not all of them."; 2],
    }
}

/// True if lines of a technique are intended. A SYN scan reaches honeypots and watched ports, which log a SYN.
fn wants(sensor: &Sensor, technique: Technique, count: usize) -> bool {
    let ports_log = !sensor.honeypot.is_empty() || !sensor.watched.is_empty();
    sensor.scans.contains(&technique) || technique == Technique::Syn && ports_log && count > 0
}

/// A note on the part that was not tested.
fn how_read(subject: &PredeploySubject) -> &'static str {
    match subject.equipment.capture {
        Capture::Kmsg => "",
        Capture::Nflog => "; nothing was written to your log (NFLOG was used)",
    }
}

/// The number of lines, and their prefixes.
#[derive(Debug, PartialEq, Eq)]
struct LogLineCount {
    count: usize,
    prefixes: Vec<String>,
}

fn fact(subject: &PredeploySubject, technique: Technique, families: &Families, found: &LogLineCount) -> Fact {
    let name = technique.profile().title;
    let LogLineCount { count, prefixes } = found;
    let few: Vec<String> = prefixes.iter().take(PREFIXES).map(|prefix| format!("{prefix:?}")).collect();
    let more =
        if prefixes.len() > PREFIXES { format!(" and {} more", prefixes.len() - PREFIXES) } else { String::new() };
    let lines = counted(*count, "line");
    let lines = format!("{name} scan: {lines}, {}{more}", few.join(", "));
    match (wants(subject.sensor, technique, *count), count) {
        (true, 0) => {
            let text = format!("{name} scan: no line at all, but the sensor file asks for one ({families})");
            Fact::new(Assessment::Bad, text).about(families, RelatedChecks::Logs(technique))
        }
        (false, 0) => {
            Fact::new(Assessment::Note, format!("{name} scan: no line, and the sensor file asks for none ({families})"))
        }
        (false, _) => Fact::new(Assessment::Note, format!("{lines}, and the sensor file asks for none ({families})")),
        (true, _) => Fact::new(Assessment::Good, format!("{lines} ({families})")),
    }
}

/// The number of prefixes that are listed before the rest is counted.
const PREFIXES: usize = 3;

fn lines(measured: &Measured, technique: Technique, family: Family) -> LogLineCount {
    let thousand: PortSet = [1..=SCAN].into_iter().collect();
    let mut prefixes: Vec<String> = Vec::new();
    let mut count = 0;
    let groups = measured.scan.groups.iter();
    for group in groups.filter(|group| group.first.technique == technique && group.first.family() == family) {
        let probes = group.ports().intersection(&thousand).len();
        if probes == 0 {
            continue;
        }
        let is_of_log = |record: &&LogRecord| !record.prefix.starts_with(NFLOG_NAME);
        let records: Vec<&LogRecord> = group.observation.log.iter().filter(is_of_log).collect();
        count += probes * records.len();
        for LogRecord { prefix, .. } in records {
            if !prefixes.contains(prefix) {
                prefixes.push(prefix.clone());
            }
        }
    }
    LogLineCount { count, prefixes }
}

fn example(measured: &Measured) -> Option<(Technique, String)> {
    let wanted = [Technique::Xmas, Technique::Null, Technique::Fin, Technique::Ack, Technique::Syn];
    let line = |technique: Technique| {
        let groups = measured.scan.groups.iter().filter(move |group| group.first.technique == technique);
        let mut records = groups.flat_map(|group| &group.observation.log);
        records.find(|record| !record.prefix.starts_with(NFLOG_NAME)).map(|record| record.line.clone())
    };
    wanted.into_iter().find_map(|technique| Some((technique, line(technique)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_says_as_the_sensor_wants_only_where_no_line_is_missing_or_more() {
        assert_eq!(headlines(&[(true, 5), (true, 1)])[1], "Yes.");
        assert_eq!(headlines(&[(true, 5), (false, 0)])[1], "Not all of them, as the sensor file says.");
        assert_eq!(headlines(&[(true, 5), (false, 3), (false, 0)])[1], "Not all of them.");
        assert_eq!(headlines(&[(false, 3), (false, 0)])[1], "Not all of them.");
        assert_eq!(headlines(&[(false, 3), (false, 1)])[1], "Yes.");
        assert_eq!(headlines(&[(true, 0), (true, 3)])[0], "Not all of them.");
        assert_eq!(headlines(&[(false, 0); 5])[1], "No, as the sensor file says.");
    }
}
